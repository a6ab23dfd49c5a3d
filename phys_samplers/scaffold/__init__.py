"""Writing a new plugin package that works and passes its own tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Self

from phys_registry import PhysError

_PATTERN = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*")
PREFIX = "phys-"


class InvalidPluginName(PhysError, ValueError):  # noqa: N818 - reads as the condition it names
    """A name that cannot become a package, or that is taken."""


@dataclass(frozen=True, kw_only=True)
class PluginNames:
    """What a plugin and its parts are called.

    Args:
        component: the sampler's registered name, ``mirror-langevin``.
    """

    component: str

    @classmethod
    def of(cls, name: str) -> Self:
        """Derive the names from ``name``, with or without the prefix ``phys-``.

        Raises:
            InvalidPluginName: saying which names are good, or who has this one.
        """
        from phys_samplers.catalogue import registry

        word = name.replace("_", "-").removeprefix(PREFIX)
        if not _PATTERN.fullmatch(word):
            raise InvalidPluginName(
                f"{name!r} is not a plugin name; expected lower-case letters and digits in words joined by hyphens, "
                "beginning with a letter, e.g. mirror-langevin"
            )
        names = cls(component=word)
        if word in registry.names("sampler"):
            owner = registry.owner("sampler", word)
            raise InvalidPluginName(f"there is a sampler {word!r} already, of plugin {owner!r}; choose another name")
        if find_spec(names.module) is not None:
            raise InvalidPluginName(f"there is a module {names.module!r} already; choose another name")
        return names

    @property
    def distribution(self) -> str:
        """What pip calls it: ``phys-mirror-langevin``."""
        return f"{PREFIX}{self.component}"

    @property
    def module(self) -> str:
        """The import package: ``phys_mirror_langevin``."""
        return self.distribution.replace("-", "_")

    @property
    def stem(self) -> str:
        """What class names begin with: ``MirrorLangevin``."""
        return "".join(word.capitalize() for word in self.component.split("-"))


SUFFIX = ".template"
MODULE_FOLDER = "module"
"""Folder of the templates that stands for the import package."""


class FolderInUse(PhysError, ValueError):  # noqa: N818 - reads as the condition it names
    """The folder for a new plugin holds something already."""


def write_plugin(names: PluginNames, folder: Path) -> list[Path]:
    """Write a package with a sampler that works.

    Args:
        names: what its parts are called.
        folder: where to; made if absent.

    Returns:
        The files written, sorted.

    Raises:
        FolderInUse: if the folder is not empty, or is a file.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        problem = "is not empty" if folder.is_dir() else "is a file"
        raise FolderInUse(f"{folder} {problem}; give a new or empty folder, e.g. --out {folder}-new")
    words = {
        "component": names.component,
        "distribution": names.distribution,
        "module": names.module,
        "stem": names.stem,
    }
    texts = {
        Path(*(names.module if part == MODULE_FOLDER else part for part in path.parts)): Template(text).substitute(
            words
        )
        for path, text in _templates(files(__package__).joinpath("templates"), Path())
    }
    for path, text in texts.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return sorted(folder / path for path in texts)


def _templates(folder: Traversable, place: Path) -> list[tuple[Path, str]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _templates(entry, place / entry.name)
        elif entry.name.endswith(SUFFIX):
            found.append((place / entry.name.removesuffix(SUFFIX), entry.read_text(encoding="utf-8")))
    return found
