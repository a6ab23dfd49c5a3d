"""Checks of what a suite file holds; every message names the file, the key, its value and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from phys_registry import ComponentSpec, SpecError, parse_spec
from phys_registry.errors import suggest
from phys_samplers.errors import ConfigurationError
from phys_samplers.own_targets import own_spec
from phys_samplers.schema import short

MOST_SEEDS = 100_000
DEEPEST = 16
"""Lists within one another in an option."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class Checks:
    """Reads typed values out of a mapping.

    Args:
        source: how to name the mapping in messages.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def fail(self, key: str, problem: str, expected: str) -> NoReturn:
        """Raise about ``key``."""
        raise ConfigurationError(f"{self.source}: {key} {problem}; expected {expected}")

    def keys(
        self, data: Mapping[str, Any], allowed: Sequence[str], *, needed: Sequence[str] = (), at: str = ""
    ) -> None:
        """Refuse keys that do not exist and the lack of those that must."""
        place = f" in [{at}]" if at else ""
        for key in data:
            if key not in allowed:
                raise ConfigurationError(
                    f"{self.source}: there is no key {short(key)}{place}.{suggest(str(key)[:100], allowed)} "
                    f"Allowed: {', '.join(allowed)}"
                )
        for key in needed:
            if key not in data:
                raise ConfigurationError(f"{self.source}: the key {key!r} is missing{place}; it must be given")

    def table(self, data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        """A mapping, empty if absent."""
        value = {} if data.get(key) is None else data[key]
        if not isinstance(value, Mapping):
            self.fail(key, f"is {short(value)}", f"a table, [{key}]")
        return value

    def tables(self, data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        """A list of mappings, empty if absent."""
        value = [] if data.get(key) is None else data[key]
        if not isinstance(value, Sequence) or not all(isinstance(row, Mapping) for row in value):
            self.fail(key, f"is {short(value)}", f"tables, each headed [[{key}]]")
        return list(value)

    def text(self, data: Mapping[str, Any], key: str, default: str, *, at: str = "") -> str:
        """A string."""
        value = data.get(key, default)
        if not isinstance(value, str):
            self.fail(_join(at, key), f"is {short(value)}", "a string")
        return value

    def some_text(self, data: Mapping[str, Any], key: str, *, at: str = "") -> str:
        """A string that is not empty."""
        value = self.text(data, key, "", at=at)
        if not value.strip():
            self.fail(_join(at, key), f"is {short(value)}", "a text that is not empty")
        return value

    def flag(self, data: Mapping[str, Any], key: str, default: bool, *, at: str = "") -> bool:
        """True or false."""
        value = data.get(key, default)
        if not isinstance(value, bool):
            self.fail(_join(at, key), f"is {short(value)}", "true or false")
        return value

    def name(self, data: Mapping[str, Any], key: str) -> str:
        """A string that can name a folder."""
        value = self.text(data, key, "")
        if not _NAME.fullmatch(value):
            self.fail(
                key, f"is {short(value)}", "letters, digits, '-', '_', '.' and '+', since it names the run folder"
            )
        return value

    def texts(self, data: Mapping[str, Any], key: str, *, at: str = "") -> tuple[str, ...]:
        """At least one string."""
        value = data[key]
        good = isinstance(value, list | tuple) and value and all(isinstance(item, str) and item for item in value)
        if not good:
            self.fail(_join(at, key), f"is {short(value)}", f'a list of at least one name, e.g. {key} = ["..."]')
        for item in value:
            self.specs(item, _join(at, key))
        return tuple(value)

    def tasks(self, data: Mapping[str, Any]) -> tuple[str, ...]:
        """At least one task; files of one's own (``rows.csv``, ``mine.py:f``) as the tasks that they stand for."""
        given = data["tasks"]
        if isinstance(given, list | tuple) and all(isinstance(item, str) for item in given):
            given = [str(own_spec(item) or item) for item in given]
        return self.texts({"tasks": given}, "tasks")

    def specs(self, text: str, key: str) -> list[ComponentSpec]:
        """The components that a text names.

        Raises:
            SpecError: naming the key too.
        """
        try:
            return parse_spec(text)
        except SpecError as error:
            raise SpecError(f"{self.source}: {key}: {error}") from None

    def seeds(self, data: Mapping[str, Any], key: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A number of seeds, or a list of different seeds."""
        value = data.get(key, default)
        if isinstance(value, int) and value > MOST_SEEDS:
            self.fail(key, f"is {value:,}" if value < 2**63 else f"is {short(value)}", f"at most {MOST_SEEDS:,} seeds")
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return tuple(range(value))
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            self.fail(key, f"is {short(value)}", "a number of at least 1 (3 means 0, 1, 2) or a list of seeds")
        if any(isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63 for seed in value):
            self.fail(key, f"is {short(list(value))}", "non-negative integers below 2^63")
        if len(set(value)) < len(value):
            self.fail(key, f"is {short(list(value))}", "every seed once")
        return tuple(value)

    def count(self, data: Mapping[str, Any], key: str, *, at: str = "") -> int | None:
        """A number of samples, at least 2; None if absent."""
        value = data.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 2):
            self.fail(_join(at, key), f"is {short(value)}", "an integer of at least 2")
        return value

    def number(self, data: Mapping[str, Any], key: str, *, at: str = "", kind: str = "a finite number") -> float:
        """A finite number."""
        value = data[key]
        if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) < 1e300:
            self.fail(_join(at, key), f"is {short(value)}", kind)
        return float(value)

    def positive(self, data: Mapping[str, Any], key: str, *, at: str = "") -> float:
        """A positive, finite number."""
        value = self.number(data, key, at=at, kind="a positive number")
        if not value > 0:
            self.fail(_join(at, key), f"is {short(data[key])}", "a positive number")
        return value

    def not_negative(self, data: Mapping[str, Any], key: str, *, at: str = "") -> float:
        """A finite number of at least 0."""
        value = self.number(data, key, at=at, kind="a number of at least 0")
        if value < 0:
            self.fail(_join(at, key), f"is {short(data[key])}", "a number of at least 0")
        return value

    def options(self, data: Mapping[str, Any], key: str, *, at: str = "") -> dict[str, Any]:
        """Component options: scalars, strings and lists of these."""
        value = {} if data.get(key) is None else data[key]
        if not isinstance(value, Mapping):
            self.fail(_join(at, key), f"is {short(value)}", "a table, e.g. options = { steps = 1000 }")
        return {name: self._option(item, f"{_join(at, key)}.{name}") for name, item in value.items()}

    def _option(self, value: Any, key: str, depth: int = 0) -> Any:
        if isinstance(value, list | tuple) and depth < DEEPEST:
            return tuple(self._option(item, key, depth + 1) for item in value)
        if isinstance(value, int) and not abs(value) < 2**63:
            self.fail(key, f"is {short(value)}", "an integer of at most 64 bits")
        if not (value is None or isinstance(value, bool | int | float | str)):
            self.fail(key, f"is {short(value)}", "a number, a string, true, false, or a list of these")
        return value


def _join(at: str, key: str) -> str:
    return f"{at}.{key}" if at else key
