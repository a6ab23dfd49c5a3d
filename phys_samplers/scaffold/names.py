"""The names of a new plugin, all derived from one."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
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
