"""One-line documentation of options, read from Google-style docstrings and dataclass field metadata."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from typing import Any

_SECTION = re.compile(r"(Args|Arguments|Parameters|Attributes):\s*$")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


def option_docs(target: Callable[..., Any]) -> dict[str, str]:
    """Collect what is written about each option.

    Sources, the later winning: docstrings of base classes, the class's (or function's) own, that of ``__init__``, and
    ``field(metadata={"doc": ...})``.

    Args:
        target: A class, a function or any callable.

    Returns:
        Text by option name; options nothing is written about are missing.
    """
    docs: dict[str, str] = {}
    owners: list[object] = list(reversed(target.__mro__)) if isinstance(target, type) else [target]
    for owner in owners:
        docs.update(parse(getattr(owner, "__doc__", None)))
        if isinstance(owner, type):
            docs.update(parse(getattr(vars(owner).get("__init__"), "__doc__", None)))
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        for item in dataclasses.fields(target):
            if isinstance(item.metadata.get("doc"), str):
                docs[item.name] = item.metadata["doc"]
    return docs


def parse(text: str | None) -> dict[str, str]:
    """Read the ``Args:`` and ``Attributes:`` sections of a docstring.

    Args:
        text: The docstring.

    Returns:
        Text by name, lines joined by a space.
    """
    docs: dict[str, str] = {}
    inside = False
    indent: int | None = None
    name = ""
    for line in inspect.cleandoc(text or "").splitlines():
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if depth == 0:
            inside, indent, name = bool(_SECTION.match(line)), None, ""
            continue
        if not inside:
            continue
        indent = depth if indent is None else indent
        entry = _ENTRY.match(line.strip()) if depth == indent else None
        if entry:
            name = entry[1]
            docs[name] = entry[2]
        elif name and depth > indent:
            docs[name] = f"{docs[name]} {line.strip()}".strip()
    return docs
