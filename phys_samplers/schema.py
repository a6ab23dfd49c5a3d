"""What files and messages must hold, declared as data: a wrong type is named in one place, by the path of its field.

    HEAD = table({"name": TEXT, "cells": rows(table({"id": TEXT, "seed": whole(0)}))})
    HEAD(data, "")   # Malformed: cells[3].seed is '0'; expected an integer of at least 0

A shape is a function that looks at a value and at the path of it. (Libraries that do the like name no place within a
list, or not the value, or take longer to import than a listing may take in all.)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

LONGEST_INTEGER = 1_990
"""Bits of an integer that is written, and read; Python may refuse longer ones."""
Shape: TypeAlias = Callable[[Any, str], None]


class Malformed(ValueError):  # noqa: N818 - reads as the condition it names
    """A value is not what its shape says; the message begins with the path of the field."""


def short(value: Any) -> str:
    """A value for messages, whatever it is: one line, no control characters, at most 100 letters."""
    if type(value) is int and value.bit_length() > LONGEST_INTEGER:
        return f"an integer of {value.bit_length():,} bits"
    try:
        text = ascii(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= 100 else text[:97] + "..."


def wrong(value: Any, path: str, expected: str) -> Malformed:
    """The error about a value."""
    return Malformed(f"{path or 'the whole'} is {short(value)}; expected {expected}")


def anything(value: Any, path: str) -> None:
    """What JSON holds."""


def text(expected: str = "a text", *, pattern: str = "", longest: int = 2**20) -> Shape:
    """A string; of a ``pattern`` as a whole, if there is one."""
    form = re.compile(pattern) if pattern else None

    def shape(value: Any, path: str) -> None:
        if type(value) is not str or len(value) > longest or (form and not form.fullmatch(value)):
            raise wrong(value, path, expected)

    return shape


def whole(least: int = -(2**63), most: int = 2**63 - 1) -> Shape:
    """An integer."""
    expected = "an integer" + (f" of at least {least}" if least > -(2**63) else "")

    def shape(value: Any, path: str) -> None:
        if type(value) is not int or not least <= value <= most:
            raise wrong(value, path, expected)

    return shape


def number(least: float = -1e300) -> Shape:
    """A finite number."""
    expected = "a number" + (f" of at least {least:g}" if least > -1e300 else "")

    def shape(value: Any, path: str) -> None:
        if type(value) not in (int, float) or not least <= value <= 1e300:
            raise wrong(value, path, expected)

    return shape


def flag(value: Any, path: str) -> None:
    """True or false."""
    if type(value) is not bool:
        raise wrong(value, path, "true or false")


def one_of(*allowed: Any) -> Shape:
    """One of some values, and of their type."""
    expected = ("one of " if len(allowed) > 1 else "") + ", ".join(map(str, allowed))

    def shape(value: Any, path: str) -> None:
        if not any(type(value) is type(known) and value == known for known in allowed):
            raise wrong(value, path, expected)

    return shape


def maybe(inner: Shape) -> Shape:
    """That or null."""

    def shape(value: Any, path: str) -> None:
        if value is not None:
            inner(value, path)

    return shape


def rows(inner: Shape = anything, *, least: int = 0, most: int = 2**24) -> Shape:
    """A list of so many."""
    many = (
        f"{most:,}" if least == most else f"at least {least:,} and at most {most:,}" if least else f"at most {most:,}"
    )

    def shape(value: Any, path: str) -> None:
        if type(value) is not list or not least <= len(value) <= most:
            raise wrong(value, path, f"a list of {many}" if type(value) is list else "a list")
        if inner is not anything:
            for place, item in enumerate(value):
                inner(item, f"{path}[{place}]")

    return shape


def pair(first: Shape, second: Shape) -> Shape:
    """A list of two."""

    def shape(value: Any, path: str) -> None:
        if type(value) is not list or len(value) != 2:
            raise wrong(value, path, "a list of two")
        first(value[0], f"{path}[0]")
        second(value[1], f"{path}[1]")

    return shape


def mapping(inner: Shape = anything) -> Shape:
    """A mapping whose keys are free."""

    def shape(value: Any, path: str) -> None:
        if type(value) is not dict:
            raise wrong(value, path, "a mapping")
        if inner is not anything:
            for key, item in value.items():
                inner(item, _under(path, key))

    return shape


def table(needed: Mapping[str, Shape], optional: Mapping[str, Shape] | None = None) -> Shape:
    """A mapping with certain keys; what else it has is let be, as later versions may add to it."""
    known: Sequence[tuple[str, Shape]] = tuple({**needed, **(optional or {})}.items())

    def shape(value: Any, path: str) -> None:
        if type(value) is not dict:
            raise wrong(value, path, "a mapping")
        for key, inner in known:
            if key in value:
                inner(value[key], _under(path, key))
            elif key in needed:
                raise Malformed(f"lacks {_under(path, key)!r}")

    return shape


def _under(path: str, key: str) -> str:
    name = key if key.isidentifier() else short(key)
    return f"{path}.{name}" if path else name
