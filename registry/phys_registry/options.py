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

from .docstrings import option_docs
from .errors import BadOption, listing, suggest
from .hints import hint_text, parameter_hints, signature_of
from .typecheck import accepts

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
    for name, hint, facts in _checks(type(instance)):  # type: ignore[arg-type]
        value = getattr(instance, name)
        if not (accepts(hint, value) and facts.admits(value)):
            return f"{name} is {value!r}; expected {_expected(hint, facts)}"
    return None


@functools.cache
def _checks(cls: type[Any]) -> tuple[tuple[str, Any, Facts], ...]:
    """Name, resolved hint (``Any`` where it cannot be resolved) and facts of every field."""
    hints = parameter_hints(cls, _named_parameters(cls))
    return tuple((name, hints.get(name, Any), facts) for name, facts in facts_of(cls).items())


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


@dataclass(frozen=True, kw_only=True)
class OptionInfo:
    """One option of a component.

    Attributes:
        name: The keyword.
        type: The type hint as text; empty if there is none.
        default: ``repr`` of the default; empty if there is none.
        required: Whether it must be given.
        doc: What the docstring says about it.
        stage: When it acts.
        allowed: Its bounds in words; empty if there are none.
    """

    name: str
    type: str = ""
    default: str = ""
    required: bool = False
    doc: str = ""
    stage: Stage = "fit"
    allowed: str = ""


def option_table(target: Callable[..., Any]) -> tuple[OptionInfo, ...]:
    """List a target's options.

    Args:
        target: A class or factory.

    Returns:
        The options in the order of the signature; ``*args`` and ``**kwargs`` are left out.
    """
    docs, facts = option_docs(target), facts_of(target)
    return tuple(
        OptionInfo(
            name=name,
            type="" if parameter.annotation is parameter.empty else hint_text(parameter.annotation),
            default=_default_text(target, parameter),
            required=parameter.default is parameter.empty,
            doc=docs.get(name, ""),
            stage=facts.get(name, _UNMARKED).stage,
            allowed=facts.get(name, _UNMARKED).phrase(""),
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
