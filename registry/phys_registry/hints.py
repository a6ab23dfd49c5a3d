"""Type hints of a target's options, resolved one by one so that one unresolvable hint does not hide the others."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any


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
