from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, NewType, Optional, Union

import pytest

from phys_registry import BadOption, Component, Registry, RegistryError

if TYPE_CHECKING:
    from nowhere import Tensor

Width = NewType("Width", int)


@dataclass(frozen=True, kw_only=True)
class Base:
    """A base.

    Attributes:
        epsilon: Noise level,
            in units of the data.
    """

    epsilon: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Recipe(Base):
    """A recipe.

    Attributes:
        steps: Number of steps.
    """

    steps: int
    schedule: Literal["gaussian", "slice"] = "gaussian"
    adaptive: bool = False
    label: str | None = None
    hidden: tuple[int, ...] = (64, 64)
    bounds: tuple[float, float] = (0.0, 1.0)
    width: Width = Width(3)
    scale: Annotated[float, "positive"] = 1.0
    old: Optional[int] = None  # noqa: UP045
    mixed: Union[int, str] = 0  # noqa: UP007
    prior: Tensor = None
    network: float | Tensor = 1.0
    tags: list[str] = field(default_factory=list, metadata={"doc": "Free text."})
    anything: Any = None
    check: InitVar[bool] = False

    def __post_init__(self, check: bool) -> None:
        if self.epsilon < 0:
            raise ValueError("epsilon must not be negative")


def function(required: int, *rest: int, optional: float = 1.0) -> tuple[int, float]:
    return required, optional


def open_ended(width: int = 1, **kwargs: object) -> dict[str, object]:
    return {"width": width, **kwargs}


class Plain:
    def __init__(self, rate: float, name: str = "x", kind: str = "y") -> None:
        self.rate, self.name, self.kind = rate, name, kind


class Factory:
    def __call__(self, rate: float = 1.0) -> float:
        return rate


@pytest.fixture
def registry(empty: Registry) -> Registry:
    presets: dict[str, dict[str, Any]] = {"paper": {"epsilon": 0.5, "steps": 7}, "broken": {"epsilom": 1}}
    empty.register(Component("sampler", "recipe", Recipe, summary="", presets=presets))
    for name, target in (("function", function), ("open", open_ended), ("plain", Plain), ("factory", Factory())):
        empty.register(Component("schedule", name, target, summary=""))
    empty.register(Component("schedule", "partial", functools.partial(function, 3), summary=""))
    empty.register(Component("schedule", "builtin", dict, summary=""))
    return empty


def test_make_calls_the_target(registry: Registry) -> None:
    assert registry.make("sampler", "recipe", steps=3, epsilon=1) == Recipe(steps=3, epsilon=1)
    assert registry.make("schedule", "function", required=2) == (2, 1.0)
    assert registry.make("schedule", "partial", optional=2.0) == (3, 2.0)
    assert registry.make("schedule", "factory", rate=2) == 2
    assert registry.make("schedule", "builtin", anything=1) == {"anything": 1}


def test_options_may_be_called_kind_and_name(registry: Registry) -> None:
    plain = registry.make("schedule", "plain", rate=1.0, name="n", kind="k")
    assert (plain.name, plain.kind) == ("n", "k")


GOOD: list[dict[str, Any]] = [
    {"epsilon": 1},
    {"schedule": "slice"},
    {"adaptive": True},
    {"label": None},
    {"label": "a"},
    {"hidden": ()},
    {"hidden": (1, 2, 3)},
    {"bounds": (0, 1)},
    {"scale": 2},
    {"old": None},
    {"mixed": "a"},
    {"prior": "unchecked, since the hint cannot be resolved"},
    {"network": "unchecked too"},
    {"tags": "unchecked: not a simple hint"},
    {"anything": range(3)},
    {"check": True},
]

BAD: list[tuple[dict[str, Any], str]] = [
    ({"epsilon": "0.1"}, r"sampler 'recipe' got epsilon='0.1' \(str\); expected float; default: 0.1"),
    ({"epsilon": True}, r"epsilon=True \(bool\); expected float"),
    ({"epsilon": None}, r"epsilon=None \(NoneType\); expected float"),
    ({"steps": 1.0}, r"steps=1.0 \(float\); expected int"),
    ({"steps": True}, r"steps=True \(bool\); expected int"),
    ({"schedule": "slices"}, r"schedule='slices' \(str\); expected 'gaussian' or 'slice'"),
    ({"adaptive": 1}, r"adaptive=1 \(int\); expected bool"),
    ({"label": 3}, r"label=3 \(int\); expected str \| None"),
    ({"hidden": [64]}, r"hidden=\[64\] \(list\); expected tuple\[int, ...\]"),
    ({"hidden": (64, 1.5)}, "expected tuple"),
    ({"bounds": (0.0,)}, "expected tuple"),
    ({"width": "3"}, "expected Width"),
    ({"scale": "1"}, "scale='1'"),
    ({"old": 1.5}, r"old=1.5"),
    ({"mixed": 1.5}, r"mixed=1.5"),
    ({"check": 1}, r"check=1"),
]


@pytest.mark.parametrize("options", GOOD, ids=str)
def test_values_that_fit(registry: Registry, options: dict[str, Any]) -> None:
    assert isinstance(registry.make("sampler", "recipe", **{"steps": 1, **options}), Recipe)


@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_values_of_the_wrong_type(registry: Registry, options: dict[str, Any], message: str) -> None:
    with pytest.raises(BadOption, match=message) as caught:
        registry.make("sampler", "recipe", **{"steps": 1, **options})
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, RegistryError)


def test_plain_classes_and_functions_are_checked_too(registry: Registry) -> None:
    for name, options in (("plain", {"rate": "1"}), ("function", {"required": 1.5}), ("factory", {"rate": "1"})):
        with pytest.raises(BadOption, match="expected"):
            registry.make("schedule", name, **options)
    with pytest.raises(BadOption, match="optional='x'"):
        registry.make("schedule", "partial", optional="x")


def test_numpy_scalars_fit(registry: Registry) -> None:
    numpy = pytest.importorskip("numpy")
    registry.make("sampler", "recipe", steps=numpy.int64(3), epsilon=numpy.float32(0.1))


def test_literals_tell_true_from_one(empty: Registry) -> None:
    def order(order: Literal[1, 2]) -> int:
        return order

    empty.component("loss", "order", summary="")(order)
    assert empty.make("loss", "order", order=2) == 2
    with pytest.raises(BadOption, match="order=True"):
        empty.make("loss", "order", order=True)


def test_an_unknown_option_lists_the_options_with_the_nearest(registry: Registry) -> None:
    with pytest.raises(BadOption, match=r"no option 'epsilom'. Did you mean 'epsilon'\? Options of .*: adaptive, "):
        registry.make("sampler", "recipe", steps=1, epsilom=0.1)
    with pytest.raises(BadOption, match="no option 'rest'"):
        registry.make("schedule", "function", required=1, rest=1)


def test_factories_may_take_any_option(registry: Registry) -> None:
    assert registry.make("schedule", "open", other="x") == {"width": 1, "other": "x"}
    with pytest.raises(BadOption, match="width='x'"):
        registry.make("schedule", "open", width="x")


def test_a_missing_option_is_named(registry: Registry) -> None:
    with pytest.raises(BadOption, match=r"sampler 'recipe' needs steps=..."):
        registry.make("sampler", "recipe")


def test_presets_give_defaults_that_options_win_over(registry: Registry) -> None:
    assert registry.make("sampler", "recipe", preset="paper", epsilon=0.2) == Recipe(steps=7, epsilon=0.2)
    with pytest.raises(BadOption, match=r"no preset 'papr'. Did you mean 'paper'\? Presets: broken, paper"):
        registry.make("sampler", "recipe", preset="papr")
    with pytest.raises(BadOption, match="no option 'epsilom'"):
        registry.make("sampler", "recipe", preset="broken", steps=1)


def test_the_targets_own_errors_pass_through(registry: Registry) -> None:
    with pytest.raises(ValueError, match="epsilon must not be negative") as caught:
        registry.make("sampler", "recipe", steps=1, epsilon=-1.0)
    assert type(caught.value) is ValueError


def test_inherited_fields_are_resolved_where_they_are_declared(write, empty: Registry) -> None:
    write("base_mod", "from __future__ import annotations\n")
    path = write("parent_mod", "")
    with open(path, "w") as file:
        file.write(
            "from __future__ import annotations\nfrom dataclasses import dataclass\nimport typing as only_here\n"
            "@dataclass(frozen=True, kw_only=True)\nclass Parent:\n    mode: only_here.Literal['a', 'b'] = 'a'\n"
        )
    path = write("child_mod", "")
    with open(path, "w") as file:
        file.write(
            "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom parent_mod import Parent\n"
            "@dataclass(frozen=True, kw_only=True)\nclass Child(Parent):\n    size: int = 1\n"
        )
    empty.register(Component("loss", "child", "child_mod:Child", summary=""))
    assert empty.make("loss", "child", mode="b").mode == "b"
    with pytest.raises(BadOption, match="mode='c'"):
        empty.make("loss", "child", mode="c")


def test_making_a_part_again_costs_microseconds(empty: Registry) -> None:
    """What a target takes is read once: paired with calling the class, and bounded in processor time."""

    @empty.component("integrator", "part", summary="")
    @dataclass(frozen=True, kw_only=True)
    class Part:
        order: int = 1
        churn: float = 0.0
        kind: Literal["a", "b"] = "a"

    def spent(call: Callable[[], object]) -> float:
        rounds = []
        for _ in range(5):
            began = time.process_time()
            for _ in range(2_000):
                call()
            rounds.append((time.process_time() - began) / 2_000)
        return min(rounds)

    empty.make("integrator", "part")
    plain = spent(Part)
    assert spent(lambda: empty.make("integrator", "part")) < max(30e-6, 30 * plain)
    assert spent(lambda: empty.make("integrator", "part", churn=0.5, kind="b")) < max(60e-6, 60 * plain)
