"""Type hints of a target's options, each resolved by itself, and whether a value fits one."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import numbers
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import InitVar
from typing import Any, Literal, Union


def signature_of(target: Callable[..., Any]) -> inspect.Signature | None:
    """Read a target's signature.

    Args:
        target: A class, a function or any callable.

    Returns:
        The signature, or ``None`` for a callable without one (some built-ins).
    """
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def parameter_hints(target: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Resolve the hints of a target's parameters, those written as strings included.

    The hint of a dataclass field is resolved in the module of the class that declares it, so recipes may inherit from
    each other across modules.

    Args:
        target: A class, a function or any callable.
        parameters: Its parameters.

    Returns:
        Hints by parameter name; a parameter whose hint is missing or cannot be resolved is left out.
    """
    function = _initialiser(target)
    outer = getattr(function, "__globals__", {})
    fields = _field_annotations(target)
    hints: dict[str, Any] = {}
    for name, parameter in parameters.items():
        if parameter.annotation is parameter.empty:
            continue
        declared, namespace, local = fields.get(name, (None, outer, {}))
        if declared != parameter.annotation:
            namespace, local = outer, {}
        try:
            hints[name] = _resolve(parameter.annotation, namespace, local)
        except Exception:  # a hint may name anything; one that cannot be resolved is not checked
            continue
    return hints


def hint_text(hint: object) -> str:
    """Write a type hint as a reader would.

    Args:
        hint: A hint, or a string annotation.

    Returns:
        For example ``int | None``.
    """
    return hint if isinstance(hint, str) else inspect.formatannotation(hint)


def _initialiser(target: Callable[..., Any]) -> object:
    while isinstance(target, functools.partial):
        target = target.func
    if isinstance(target, type):
        own = target.__init__  # type: ignore[misc]
        return inspect.unwrap(own if own is not object.__init__ else target.__new__)
    if inspect.isroutine(target):
        return inspect.unwrap(target)
    return type(target).__call__


def _field_annotations(target: Callable[..., Any]) -> dict[str, tuple[object, dict[str, Any], dict[str, Any]]]:
    while isinstance(target, functools.partial):
        target = target.func
    if not (isinstance(target, type) and dataclasses.is_dataclass(target)):
        return {}
    found: dict[str, tuple[object, dict[str, Any], dict[str, Any]]] = {}
    for owner in reversed(target.__mro__):
        module = sys.modules.get(owner.__module__)
        namespace = vars(module) if module else {}
        for name, annotation in inspect.get_annotations(owner).items():
            found[name] = (annotation, namespace, dict(vars(owner)))
    return found


def _resolve(annotation: object, namespace: dict[str, Any], local: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    return typing.get_type_hints(holder, namespace, {**namespace, **local})["hint"]


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
