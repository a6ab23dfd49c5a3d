"""Reading ``bellman[kernel=gaussian,slice,epsilon=0.1]``: a name with options, expanded to every combination.

Grammar: ``name`` or ``name[key=value,value,...,key=value,...]``; the values of a key go on to the next ``key=``. A
value is a number, ``true``, ``false``, ``null``, a quoted string, a list ``[64,64]`` (read as a tuple), bare text, or
the text of one other component: ``edm[integrator=edm-heun[churn=0.2]]``. The key ``preset`` names a preset.

Before it are the type hints of a target's options, each resolved by itself, and whether a value fits one.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import itertools
import math
import numbers
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Any, Literal, Union

from .component import NAME_PATTERN, FrozenDict
from .errors import SpecError


def signature_of(target: Callable[..., Any]) -> inspect.Signature | None:
    """The signature of a class, a function or any callable; None for one without, as some built-ins are."""
    try:
        return inspect.signature(target)
    except (TypeError, ValueError):
        return None


def parameter_hints(target: Callable[..., Any], parameters: Mapping[str, inspect.Parameter]) -> dict[str, Any]:
    """Resolve the hints of a target's parameters, those written as strings included; those that cannot be are left out.

    The hint of a dataclass field is resolved in the module of the class that declares it, so recipes may inherit from
    each other across modules.
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
    """A type hint, or a string annotation, as a reader would write it, such as ``int | None``."""
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


MOST_COMBINATIONS = 10_000
"""Components that one text may stand for."""
DEEPEST = 20
"""Lists and components within one another."""
MOST_DIGITS = 100
"""Of an integer."""
_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*=")
_BARE = re.compile(r"[^\s,\[\]=\"']+(?:[ \t]+[^\s,\[\]=\"']+)*")
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}


@dataclass(frozen=True)
class ComponentSpec:
    """A component's name with a preset and options; ``str()`` gives the canonical text, which `parse_spec` reads back.

    Attributes:
        name: The component's name.
        preset: A preset's name, or ``None``.
        options: Option values by name, sorted by name.
    """

    name: str
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=FrozenDict, hash=False)

    def __post_init__(self) -> None:
        """Sort and freeze the options."""
        object.__setattr__(self, "options", FrozenDict(sorted(self.options.items())))

    def __str__(self) -> str:
        """Write the canonical text: the preset first, then the options by name."""
        pairs = [("preset", self.preset)] if self.preset is not None else []
        inside = ",".join(f"{key}={_write(value)}" for key, value in [*pairs, *self.options.items()])
        return f"{self.name}[{inside}]" if inside else self.name


def parse_spec(text: str) -> list[ComponentSpec]:
    """Read a component text and expand it.

    Args:
        text: For example ``bellman[kernel=gaussian,slice]``.

    Returns:
        One specification for each combination of the values, in the order written (the last key varies fastest); equal
        ones once.

    Raises:
        SpecError: The text is malformed; the message points at the place.
    """
    reader = _Reader(text)
    name = reader.name()
    values = reader.options()
    reader.end(bool(values))
    count = math.prod(map(len, values.values()))
    if count > MOST_COMBINATIONS:
        raise SpecError(f"{text[:80]!r} stands for {count:,} components; expected at most {MOST_COMBINATIONS:,}")
    found: dict[str, ComponentSpec] = {}
    for combination in itertools.product(*values.values()):
        options = dict(zip(values, combination, strict=True))
        spec = ComponentSpec(name, options.pop("preset", None), options)
        found.setdefault(str(spec), spec)
    return list(found.values())


class _Reader:
    """One pass over the text from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, problem: str, at: int | None = None) -> SpecError:
        place = self.at if at is None else at
        begin = max(0, place - 1_000)  # a text may be endless
        shown = self.text[begin : place + 1_000]
        return SpecError(f"cannot read the component text: {problem}\n  {shown}\n  {' ' * (place - begin)}^")

    def space(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def take(self, letter: str) -> bool:
        self.space()
        if not self.text.startswith(letter, self.at):
            return False
        self.at += 1
        return True

    def name(self) -> str:
        self.space()
        match = NAME_PATTERN.match(self.text, self.at)
        if not match:
            raise self.fail("expected a name (lower-case letters, digits, '_', '+', '-')")
        self.at = match.end()
        return match[0]

    def options(self) -> dict[str, list[Any]]:
        values: dict[str, list[Any]] = {}
        if self.take("["):
            start = self.at - 1
            if not self.take("]"):
                for key, value in self.pairs():
                    values.setdefault(key, []).append(value)
                if not self.take("]"):
                    problem = "this '[' is not closed" if self.at >= len(self.text) else "expected ',' or ']'"
                    raise self.fail(problem, start if self.at >= len(self.text) else None)
        return values

    def end(self, after_options: bool) -> None:
        self.space()
        if self.at < len(self.text):
            raise self.fail("expected the end" if after_options else "expected '[' or the end")

    def pairs(self) -> Iterator[tuple[str, Any]]:
        key = ""
        seen: set[str] = set()
        while True:
            self.space()
            match = _KEY.match(self.text, self.at)
            if match:
                key = match[1]
                if key in seen:
                    raise self.fail(f"{key!r} is given twice; write its values as {key}=a,b")
                seen.add(key)
                self.at = match.end()
            elif not key:
                raise self.fail("expected key=value")
            self.space()
            start = self.at
            value = self.value()
            if key == "preset" and not isinstance(value, str):
                raise self.fail("a preset is a name; quote it if it looks like a number", start)
            yield key, value
            if not self.take(","):
                return

    def value(self) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.fail(f"more than {DEEPEST} lists and components within one another")
        found = self._value()
        self.depth -= 1
        return found

    def _value(self) -> Any:
        self.space()
        if self.take("["):
            return self.sequence()
        quoted = _QUOTED.match(self.text, self.at)
        if quoted:
            return self.string(quoted)
        if self.text[self.at : self.at + 1] in ("'", '"') and self.at < len(self.text):
            raise self.fail("this quotation mark is not closed")
        bare = _BARE.match(self.text, self.at)
        if not bare:
            raise self.fail('expected a value (write "" for an empty text)')
        if self.text.startswith("[", bare.end()) and NAME_PATTERN.fullmatch(bare[0]):
            return self.nested()
        if len(bare[0]) > MOST_DIGITS and bare[0].lstrip("+-").isdigit():
            raise self.fail(f"an integer of {len(bare[0]):,} digits; expected at most {MOST_DIGITS}")
        self.at = bare.end()
        return _read_bare(bare[0])

    def nested(self) -> str:
        """The text of one component, canonical."""
        name = self.name()
        start = self.at
        values = self.options()
        if several := [key for key, found in values.items() if len(found) > 1]:
            raise self.fail(
                f"{several[0]!r} of the inner {name!r} has several values; write that many inner components", start
            )
        options = {key: found[0] for key, found in values.items()}
        return str(ComponentSpec(name, options.pop("preset", None), options))

    def sequence(self) -> tuple[Any, ...]:
        start = self.at - 1
        items: list[Any] = []
        if self.take("]"):
            return ()
        while True:
            items.append(self.value())
            if self.take("]"):
                return tuple(items)
            if not self.take(","):
                raise self.fail("this '[' is not closed", start)

    def string(self, match: re.Match[str]) -> str:
        import json

        body = match[0]
        if body[0] == "'":
            self.at = match.end()
            return re.sub(r"\\(.)", r"\1", body[1:-1])
        try:
            value: str = json.loads(body)
        except ValueError as error:
            raise self.fail(f"this is not a JSON string ({error})") from None
        if any("\ud800" <= letter <= "\udfff" for letter in value):
            raise self.fail("this text has half of a surrogate pair, which no file takes")
        self.at = match.end()
        return value


def _read_bare(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if not _NUMBER.fullmatch(text):
        return text
    digits = text.lstrip("+-")
    if digits.isdigit():
        return text if len(digits) > 1 and digits[0] == "0" else int(text)  # 007 is a label, not a number
    return float(text)


def _write(value: object) -> str:
    import json  # seldom needed

    if isinstance(value, str):
        plain = _BARE.fullmatch(value) and _read_bare(value) == value
        return value if plain or _is_component(value) else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_write, value))}]"
    return json.dumps(value)


def _is_component(text: str) -> bool:
    """Whether ``text`` is the canonical text of one component with options."""
    if not text.endswith("]"):
        return False
    try:
        specs = parse_spec(text)
    except SpecError:
        return False
    return len(specs) == 1 and str(specs[0]) == text
