"""The options a target takes: what each knows of itself, and the check of given values against that.

An option of a dataclass says beside its default when it acts and what it may be:

    steps: int = fit_option(4_000, least=1)
    sampling_steps: int = draw_option(40, least=1)

Listings, help, errors, shared fits and the identity of results all read that; an option that says nothing is taken to
decide the fit.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from typing import Any, Literal, get_args, get_origin

from .component import Component
from .errors import BadOption, brief, listing, suggest
from .spec import accepts, hint_text, parameter_hints, signature_of

Stage = Literal["fit", "draw"]
"""When an option acts: it decides what is fitted, or only what a draw from the fit does."""

_FACTS = "option"
_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What an option knows of itself.

    Attributes:
        stage: When it acts.
        least: Smallest value.
        most: Largest value.
        above: Bound below all values.
        below: Bound above all values.
    """

    stage: Stage = "fit"
    least: float | None = None
    most: float | None = None
    above: float | None = None
    below: float | None = None

    @property
    def bounded(self) -> bool:
        """Whether there is any bound; a bounded number is also finite."""
        return (self.least, self.most, self.above, self.below) != (None, None, None, None)

    def admits(self, value: object) -> bool:
        """Whether a number, or every number of a tuple, keeps the bounds; anything else does."""
        if isinstance(value, tuple | list):
            return all(map(self.admits, value))
        if not self.bounded or isinstance(value, bool) or not isinstance(value, numbers.Real):
            return True
        number = float(value)
        return (
            math.isfinite(number)
            and (self.least is None or number >= self.least)
            and (self.most is None or number <= self.most)
            and (self.above is None or number > self.above)
            and (self.below is None or number < self.below)
        )

    def phrase(self, noun: str) -> str:
        """What is allowed, for people: ``an integer of at least 1``, ``a number above 0 and below 1``."""
        if (self.least, self.most, self.above, self.below) == (None, None, 0, None):
            return f"a positive {noun.partition(' ')[2]}" if noun else "positive"
        parts = [
            f"{word} {bound:g}"
            for word, bound in (
                ("of at least", self.least),
                ("above", self.above),
                ("of at most", self.most),
                ("below", self.below),
            )
            if bound is not None
        ]
        return f"{noun} {' and '.join(parts)}".strip()


def option(
    default: Any = MISSING,
    *,
    default_factory: Any = MISSING,
    stage: Stage = "fit",
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> Any:
    """A dataclass field that knows its stage and bounds; bounds hold for numbers and for every number of a tuple.

    Args:
        default: Its default, if it has one.
        default_factory: A function that makes the default.
        stage: When it acts.
        least: Smallest value.
        most: Largest value.
        above: Bound below all values.
        below: Bound above all values.

    Returns:
        A dataclass field.
    """
    facts = Facts(stage=stage, least=least, most=most, above=above, below=below)
    given = {"default": default} if default_factory is MISSING else {"default_factory": default_factory}
    return dataclasses.field(**given, metadata={_FACTS: facts})


fit_option = functools.partial(option, stage="fit")
"""An option that decides the fit; see `option`."""
draw_option = functools.partial(option, stage="draw")
"""An option that acts on draws only, so that fits that differ in it are one fit; see `option`."""


def facts_of(target: Callable[..., Any]) -> dict[str, Facts]:
    """What the options of a dataclass know of themselves.

    Args:
        target: A dataclass, or anything else, of which nothing is known.

    Returns:
        Facts by field name.
    """
    if not dataclasses.is_dataclass(target):
        return {}
    return {f.name: f.metadata.get(_FACTS, _UNMARKED) for f in dataclasses.fields(target)}


_UNMARKED = Facts()


def value_problem(instance: Any) -> str | None:
    """Say what is wrong with the values of a dataclass instance, by type hints and bounds.

    Args:
        instance: The dataclass instance.

    Returns:
        One sentence on the first option that cannot have its value, or ``None``.
    """
    for name, hint, facts, default in _checks(type(instance)):  # type: ignore[arg-type]
        value = getattr(instance, name)
        if value is not default and not (accepts(hint, value) and facts.admits(value)):
            return f"{name} is {brief(value)}; expected {_expected(hint, facts)}"
    return None


@functools.cache
def _checks(cls: type[Any]) -> tuple[tuple[str, Any, Facts, Any], ...]:
    """Of every field the name, the hint (``Any`` if it cannot be resolved), the facts, and the default if that fits."""
    hints = parameter_hints(cls, named_parameters(cls))
    rows = []
    for field in dataclasses.fields(cls):
        hint, facts = hints.get(field.name, Any), field.metadata.get(_FACTS, _UNMARKED)
        good = accepts(hint, field.default) and facts.admits(field.default)
        rows.append((field.name, hint, facts, field.default if good else MISSING))
    return tuple(rows)


def _expected(hint: Any, facts: Facts) -> str:
    """What an option may be, in words."""
    optional = get_origin(hint) is not Literal and accepts(hint, None) and hint is not Any
    kinds = [arg for arg in get_args(hint) if arg is not type(None)] if optional else [hint]
    first = kinds[0] if len(kinds) == 1 else None
    if get_origin(first) is Literal:
        text = f"one of {', '.join(map(str, get_args(first)))}"
    elif first is int:
        text = facts.phrase("an integer")
    elif first is float or facts.bounded:
        text = facts.phrase("a number")
    else:
        text = " or ".join(hint_text(kind) for kind in kinds)
    return f"{text}, or None" if optional else text


@dataclass(frozen=True)
class _Signature:
    """What a target takes."""

    parameters: dict[str, inspect.Parameter]
    required: tuple[str, ...]
    open_ended: bool
    hints: dict[str, Any]


def _read_signature(target: Callable[..., Any]) -> _Signature | None:
    signature = signature_of(target)
    if signature is None:
        return None
    parameters = named_parameters(target)
    return _Signature(
        parameters=parameters,
        required=tuple(name for name, parameter in parameters.items() if parameter.default is parameter.empty),
        open_ended=any(parameter.kind is parameter.VAR_KEYWORD for parameter in signature.parameters.values()),
        hints=parameter_hints(target, parameters),
    )


_signature = functools.lru_cache(maxsize=1024)(_read_signature)


def check_options(component: Component, target: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse options that do not exist, miss, or have the wrong type, before the target is called.

    What the target takes is read once.

    Args:
        component: Whose options these are.
        target: Its class or factory.
        options: The options it is to be called with.

    Raises:
        BadOption: The first problem found.
    """
    try:
        takes = _signature(target)
    except TypeError:  # not hashable
        takes = _read_signature(target)
    if takes is None:
        return
    for name in options:
        if name not in takes.parameters and not takes.open_ended:
            gone = component.gone_options.get(name)
            hint = f" {gone}." if gone else suggest(name, takes.parameters)
            raise BadOption(f"{component.label} has no option {name!r}.{hint} {_known(component, takes)}")
    missing = [name for name in takes.required if name not in options]
    if missing:
        needed = ", ".join(f"{name}=..." for name in missing)
        raise BadOption(f"{component.label} needs {needed}. {_known(component, takes)}")
    for name, value in options.items():
        if name in takes.hints and not accepts(takes.hints[name], value):
            parameter = takes.parameters[name]
            default = "" if parameter.default is parameter.empty else f"; default: {default_text(target, parameter)}"
            given = f"{name}={brief(value)} ({type(value).__name__})"
            raise BadOption(
                f"{component.label} got {given}; expected {_allowed(takes.hints[name], parameter)}{default}"
            )


def _known(component: Component, takes: _Signature) -> str:
    return f"Options of {component.label}: {listing(takes.parameters, empty='none')}"


def _allowed(hint: object, parameter: inspect.Parameter) -> str:
    """What may be given: the values of a ``Literal``, also behind another name, else the annotation as written."""
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return hint_text(parameter.annotation)


def named_parameters(target: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters that can be given by name."""
    signature = signature_of(target)
    if signature is None:
        return {}
    return {name: parameter for name, parameter in signature.parameters.items() if parameter.kind in _NAMED}


def default_text(target: Callable[..., Any], parameter: inspect.Parameter) -> str:
    """A default as it is written; empty if there is none."""
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
