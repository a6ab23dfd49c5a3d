"""The options a target takes, and the check of given values against them."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from .docstrings import option_docs
from .errors import BadOption, listing, suggest
from .hints import hint_text, parameter_hints, signature_of
from .typecheck import accepts

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, kw_only=True)
class OptionInfo:
    """One option of a component.

    Attributes:
        name: The keyword.
        type: The type hint as text; empty if there is none.
        default: ``repr`` of the default; empty if there is none.
        required: Whether it must be given.
        doc: What the docstring says about it.
    """

    name: str
    type: str = ""
    default: str = ""
    required: bool = False
    doc: str = ""


def option_table(target: Callable[..., Any]) -> tuple[OptionInfo, ...]:
    """List a target's options.

    Args:
        target: A class or factory.

    Returns:
        The options in the order of the signature; ``*args`` and ``**kwargs`` are left out.
    """
    docs = option_docs(target)
    return tuple(
        OptionInfo(
            name=name,
            type="" if parameter.annotation is parameter.empty else hint_text(parameter.annotation),
            default=_default_text(target, parameter),
            required=parameter.default is parameter.empty,
            doc=docs.get(name, ""),
        )
        for name, parameter in _named_parameters(target).items()
    )


def check_options(label: str, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that do not exist, miss, or have the wrong type, before the target is called.

    Args:
        label: How to name the component in messages, for example ``sampler 'bellman'``.
        target: A class or factory.
        options: The options it is to be called with.

    Raises:
        BadOption: The first problem found.
    """
    signature = signature_of(target)
    if signature is None:
        return
    parameters = _named_parameters(target)
    open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values())
    allowed = f"Options of {label}: {listing(parameters, empty='none')}"
    unknown = [name for name in options if name not in parameters]
    if unknown and not open_ended:
        hint = suggest(unknown[0], parameters)
        raise BadOption(f"{label} has no option {unknown[0]!r}.{hint} {allowed}")
    missing = [
        name for name, parameter in parameters.items() if parameter.default is parameter.empty and name not in options
    ]
    if missing:
        needed = ", ".join(f"{name}=..." for name in missing)
        raise BadOption(f"{label} needs {needed}. {allowed}")
    hints = parameter_hints(target, parameters)
    for name, value in options.items():
        if name in hints and not accepts(hints[name], value):
            parameter = parameters[name]
            default = "" if parameter.default is parameter.empty else f"; default: {_default_text(target, parameter)}"
            given = f"{name}={value!r} ({type(value).__name__})"
            raise BadOption(f"{label} got {given}; expected {_allowed(hints[name], parameter)}{default}")


def _allowed(hint: object, parameter: inspect.Parameter) -> str:
    """What may be given: the values of a ``Literal``, also behind another name, else the annotation as written."""
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return hint_text(parameter.annotation)


def _named_parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    signature = signature_of(target)
    if signature is None:
        return {}
    return {name: parameter for name, parameter in signature.parameters.items() if parameter.kind in _NAMED}


def _default_text(target: Callable[..., Any], parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return ""
    fields = {item.name: item for item in dataclasses.fields(target)} if dataclasses.is_dataclass(target) else {}
    item = fields.get(parameter.name)
    if item is not None and item.default_factory is not dataclasses.MISSING:
        factory = item.default_factory
        if factory in (list, dict, set, tuple, frozenset):
            return repr(factory())
        return f"{getattr(factory, '__qualname__', type(factory).__qualname__)}()"
    if isinstance(parameter.default, type) or inspect.isroutine(parameter.default):
        return parameter.default.__qualname__
    return repr(parameter.default)
