"""Options that know their stage and bounds: what is refused, in which words, and what a draw may change."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from phys_registry.describe import option_table
from phys_registry.options import facts_of
from phys_samplers.errors import ConfigurationError
from phys_samplers.options import check_values, draw_option, fit_option, option


@dataclass(frozen=True, kw_only=True)
class Recipe:
    steps: int = fit_option(10, least=1)
    rate: float = fit_option(0.1, above=0)
    share: float = draw_option(0.5, least=0, below=1)
    clip: float | None = fit_option(None, above=0)
    widths: tuple[int, ...] = option((4, 4), least=1)
    mode: Literal["a", "b"] = "a"
    part: Any = draw_option("name")
    plain: int = 3

    def __post_init__(self) -> None:
        check_values(self)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; expected an integer of at least 1"),
        ({"steps": 2.5}, "steps is 2.5; expected an integer of at least 1"),
        ({"steps": True}, "steps is True; expected an integer of at least 1"),
        ({"rate": 0.0}, "rate is 0.0; expected a positive number"),
        ({"rate": math.nan}, "rate is nan; expected a positive number"),
        ({"rate": math.inf}, "rate is inf; expected a positive number"),
        ({"rate": None}, "rate is None; expected a positive number"),
        ({"share": 1.0}, "share is 1.0; expected a number of at least 0 and below 1"),
        ({"clip": -1.0}, "clip is -1.0; expected a positive number, or None"),
        ({"widths": (4, 0)}, r"widths is \(4, 0\); expected a number of at least 1"),
        ({"mode": "c"}, "mode is 'c'; expected one of a, b"),
        ({"plain": "x"}, "plain is 'x'; expected an integer"),
    ],
)
def test_a_bad_value_is_refused_when_the_recipe_is_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{message}$"):
        Recipe(**options)


def test_good_values_pass() -> None:
    Recipe(steps=1, rate=1, share=0, clip=2.0, widths=(1,), mode="b", part=object())


def test_what_is_unmarked_decides_the_fit() -> None:
    stages = {name: facts.stage for name, facts in facts_of(Recipe).items()}
    assert [name for name, stage in stages.items() if stage == "draw"] == ["share", "part"]


def test_listings_say_stage_and_bounds() -> None:
    rows = {row.name: row for row in option_table(Recipe)}
    assert rows["steps"].default == "10"
    assert (rows["steps"].stage, rows["steps"].allowed) == ("fit", "of at least 1")
    assert (rows["share"].stage, rows["share"].allowed) == ("draw", "of at least 0 and below 1")
    assert rows["plain"].allowed == ""
