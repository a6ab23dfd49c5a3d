"""Writing a plugin package from the templates."""

from __future__ import annotations

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template

from phys_registry import PhysError
from phys_samplers.scaffold.names import PluginNames

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
