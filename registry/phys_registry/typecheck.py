"""Whether a value fits a type hint, for the simple hints that options have."""

from __future__ import annotations

import numbers
import types
import typing
from dataclasses import InitVar
from typing import Any, Literal, Union


def accepts(hint: Any, value: object) -> bool:
    """Decide whether a value fits a hint.

    Checked are ``bool``, ``int``, ``float``, ``str``, ``None``, ``Literal``, ``Optional`` and unions, ``tuple[...]``,
    and what wraps them (``Annotated``, ``NewType``, ``InitVar``, type aliases). An integer fits ``float``; a bool fits
    neither ``int`` nor ``float``; NumPy's scalars fit like Python's. Any other hint fits every value.

    Args:
        hint: The resolved hint.
        value: The value; nothing is coerced.

    Returns:
        ``False`` only when the value certainly does not fit.
    """
    hint = _unwrap(hint)
    if hint is None or hint is types.NoneType:
        return value is None
    if hint is bool:
        return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")
    if hint is int:
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, numbers.Real) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return any(_same(value, choice) for choice in arguments)
    if origin is Union or origin is types.UnionType:
        return any(accepts(choice, value) for choice in arguments)
    if hint is tuple or origin is tuple:
        return _accepts_tuple(hint, arguments, value)
    return True


def _unwrap(hint: Any) -> Any:
    while True:
        if isinstance(hint, InitVar):
            hint = hint.type
        elif typing.get_origin(hint) is typing.Annotated:
            hint = typing.get_args(hint)[0]
        elif isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # ``type X = ...``, Python 3.12 and later
            hint = hint.__value__
        else:
            return hint


def _same(value: object, choice: object) -> bool:
    if isinstance(choice, str):
        return isinstance(value, str) and value == choice
    return type(value) is type(choice) and value == choice


def _accepts_tuple(hint: Any, arguments: tuple[Any, ...], value: object) -> bool:
    if not isinstance(value, tuple):
        return False
    if not arguments:  # a bare ``tuple`` takes any; ``tuple[()]`` only the empty one
        return hint is tuple or hint is typing.Tuple or not value  # noqa: UP006
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return all(accepts(arguments[0], item) for item in value)
    return len(arguments) == len(value) and all(map(accepts, arguments, value))
