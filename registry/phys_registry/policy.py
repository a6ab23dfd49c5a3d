"""Which plugins the environment allows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

ALLOW = "PHYS_SAMPLERS_PLUGINS"
DENY = "PHYS_SAMPLERS_DENY"
FILES = "PHYS_SAMPLERS_PLUGIN_FILES"


class Policy:
    """What three environment variables say.

    ``PHYS_SAMPLERS_PLUGINS``: a comma list; of the installed plugins only these are loaded (empty: none; unset: all).
    ``PHYS_SAMPLERS_DENY``: a comma list; never loaded, built-ins included. A package name covers its modules.
    ``PHYS_SAMPLERS_PLUGIN_FILES``: files to load at start, separated as in ``PATH``.

    Names are entry-point, distribution, module or file-stem names; case, ``-``, ``_`` and ``.`` do not matter.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Read the variables.

        Args:
            environment: The environment.
        """
        allowed = environment.get(ALLOW)
        self.allowed: list[str] | None = None if allowed is None else _split(allowed)
        self.denied: list[str] = _split(environment.get(DENY, ""))
        self.files: list[str] = [path for path in environment.get(FILES, "").split(os.pathsep) if path.strip()]

    def refusal(self, names: Iterable[str], *, installed: bool) -> str:
        """Say why a plugin is not to be loaded.

        Args:
            names: All the names it goes by.
            installed: Whether it is an installed third-party plugin, to which the allow list applies.

        Returns:
            The reason, or an empty string when it may be loaded.
        """
        known = list(names)
        if any(_covers(entry, name) for entry in self.denied for name in known):
            return f"denied by {DENY}"
        if installed and self.allowed is not None:
            if any(_covers(entry, name) for entry in self.allowed for name in known):
                return ""
            return f"not listed in {ALLOW}"
        return ""

    def absent(self, names: Iterable[str]) -> list[str]:
        """Find allowed names that no plugin goes by, for example misspelt ones.

        Args:
            names: The names of all plugins found.

        Returns:
            Entries of the allow list without a plugin.
        """
        known = list(names)
        return [entry for entry in self.allowed or [] if not any(_covers(entry, name) for name in known)]


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _covers(entry: str, name: str) -> bool:
    if _plain(entry) == _plain(name):
        return True
    wanted, parts = entry.split("."), name.split(".")
    return [_plain(part) for part in wanted] == [_plain(part) for part in parts[: len(wanted)]]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).casefold()
