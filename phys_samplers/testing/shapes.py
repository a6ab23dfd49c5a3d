"""Shapes in annotations, checked while tests run: what a signature says of its tensors holds in every call.

Annotations are jaxtyping's (``phys_samplers.shapes``). A combination of shapes and dtypes that a function was called
with before is not checked again, so that loops over thousands of steps cost what they did.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator
from functools import wraps
from inspect import signature
from types import FunctionType, ModuleType
from typing import Any

from jaxtyping import AbstractArray, jaxtyped


class ShapeError(AssertionError):
    """A tensor whose shape or dtype is not that of its annotation."""


def check_shapes(module: ModuleType) -> int:
    """Check what the methods of the module's classes say of their tensors from now on; how many such methods there are.

    Functions outside classes are not checked: other modules hold them already.
    """
    count = 0
    for cls in vars(module).values():
        if isinstance(cls, type) and cls.__module__ == module.__name__:
            for name, method in list(vars(cls).items()):
                if isinstance(method, FunctionType) and (hints := _hints(method)):
                    setattr(cls, name, _checked(method, hints))
                    count += 1
    return count


def _hints(function: FunctionType) -> dict[str, Any]:
    """The annotations with shapes; none for a function that is checked already."""
    names = [name for name, hint in function.__annotations__.items() if name == "return" or isinstance(hint, str)]
    if not names or hasattr(function, "__checked__"):
        return {}
    return {name: hint for name, hint in typing.get_type_hints(function).items() if any(_shaped(hint))}


def _shaped(hint: Any) -> Iterator[bool]:
    """Whether the type, or a part of it, has a shape."""
    yield isinstance(hint, type) and issubclass(hint, AbstractArray)
    for part in typing.get_args(hint):
        yield from _shaped(part)


def _checked(function: Callable[..., Any], hints: dict[str, Any]) -> Callable[..., Any]:
    result = hints.pop("return", None)
    places = {name: place for place, name in enumerate(signature(function).parameters)}
    seen: set[Any] = set()

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        given = {name: args[places[name]] if places[name] < len(args) else kwargs.get(name) for name in hints}
        answer = function(*args, **kwargs)
        combination = tuple(map(_form, (*given.values(), answer)))
        if combination not in seen:
            with jaxtyped("context"):
                for name, value in given.items():
                    _check(value, hints[name], f"{name} of {function.__qualname__}")
                _check(answer, result, f"the answer of {function.__qualname__}")
            seen.add(combination)
        return answer

    call.__checked__ = True  # type: ignore[attr-defined]
    return call


def _form(value: Any) -> Any:
    """What shapes are checked by."""
    if isinstance(value, tuple):
        return tuple(map(_form, value))
    return (tuple(value.shape), value.dtype) if hasattr(value, "shape") else None


def _check(value: Any, hint: Any, what: str) -> None:
    if isinstance(hint, type) and issubclass(hint, AbstractArray):
        if not isinstance(value, hint):
            raise ShapeError(f"{what} is {_form(value) or type(value).__name__}; expected {hint.__name__}")
    elif typing.get_origin(hint) is tuple and isinstance(value, tuple):
        for part, expected in zip(value, typing.get_args(hint), strict=True):
            _check(part, expected, what)
