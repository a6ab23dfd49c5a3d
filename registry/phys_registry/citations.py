"""BibTeX: single entries of a text, and those that a component names by their keys."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterable

from .errors import InvalidComponent, listing, suggest

FILE = "references.bib"
"""The file beside a plugin's module that holds the entries its components name."""
_HEAD = re.compile(r"@\s*\w+\s*\{\s*([^,\s]+)\s*,")
_BRACE = re.compile(r"[{}]")


def entries(text: str) -> dict[str, str]:
    """Split BibTeX into its entries; one ends where its braces close.

    Args:
        text: Any number of entries; what is between them is left out.

    Returns:
        Entries by key, in order; of those with the same key the first.
    """
    found: dict[str, str] = {}
    at = 0
    while head := _HEAD.search(text, at):
        depth, end = 0, len(text)
        for brace in _BRACE.finditer(text, head.start()):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                end = brace.end()
                break
        found.setdefault(head[1], text[head.start() : end].strip())
        at = end
    return found


def resolve(keys: Iterable[str], folder: str, label: str) -> str:
    """Look keys up in the ``references.bib`` of a folder.

    Args:
        keys: Keys of entries.
        folder: Where the file is; empty if the component was registered by code that is in no file.
        label: Whose keys these are, for messages.

    Returns:
        The entries in the order of the keys, an empty line between two.

    Raises:
        InvalidComponent: There is no such file, it cannot be read, or it lacks a key.
    """
    cure = f"add it to {FILE} beside the plugin's module, or give the BibTeX text itself (it begins with '@')"
    path = os.path.join(folder, FILE)
    if not folder or not os.path.isfile(path):
        place = f"there is no file {path!r}" if folder else "it was not declared in a file"
        raise InvalidComponent(f"{label}: citation names {listing(keys)}, but {place}; {cure}")
    known = _read(path, os.stat(path).st_mtime_ns)
    for key in keys:
        if key not in known:
            raise InvalidComponent(f"{label}: citation key {key!r} is not in {path!r}.{suggest(key, known)} {cure}")
    return "\n\n".join(known[key] for key in keys)


@functools.lru_cache(maxsize=64)
def _read(path: str, _changed: int) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return entries(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidComponent(f"{path!r} cannot be read as UTF-8 text: {error}") from error
