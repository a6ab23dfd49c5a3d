"""The kit itself: a correct sampler passes every check, each way of being wrong fails the checks about it."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from phys_samplers import catalogue
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target
from phys_samplers.testing import CheckResult, SamplerConformance, check_names, check_sampler
from phys_samplers.testing.checks import CHECKS
from phys_samplers.training import TrainingReport


class MomentsModel(Model):
    """A Gaussian with given moments."""

    def __init__(self, recipe: Moments, mean: Tensor, scale: Tensor) -> None:
        self.recipe, self.mean, self.scale = recipe, mean, scale

    @property
    def device(self) -> torch.device:
        return self.mean.device

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        self.check_draw(n, start)
        self.recipe.with_options(**options)
        z = self.noise(n, seed) if start is None else start.detach() * 0 + self.noise(n, seed)
        return self.drawn(self.mean + self.scale * self.recipe.inflation * z)

    def noise(self, n: int, seed: int) -> Tensor:
        generator = make_generator(seed, "draw", device=self.device)
        return torch.randn(n, *self.event_shape, generator=generator, dtype=self.mean.dtype, device=self.device)

    def drawn(self, x: Tensor) -> Draw:
        return Draw(x, 0.0, {"inflation": self.recipe.inflation})

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        return (self.mean - x) / self.scale**2

    def tensors(self) -> dict[str, Tensor]:
        return {"mean": self.mean, "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class Moments(Sampler):
    """Learns mean and variance of a bootstrap sample of the rows."""

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})
    model: ClassVar[type[MomentsModel]] = MomentsModel

    inflation: float = 1.0

    def rows(self, target: Target, seed: int) -> Tensor:
        target.require(*self.needs, by="moments")
        assert target.train is not None
        chosen = torch.randint(len(target.train), (len(target.train),), generator=make_generator(seed, "bootstrap"))
        return target.train[chosen]

    def fit(
        self,
        target: Target,
        *,
        seed: int = 0,
        device: torch.device | str = "cpu",
        callbacks: Sequence[Any] = (),
    ) -> MomentsModel:
        rows = self.rows(target, seed).to(device)
        for callback in callbacks:
            callback.started("moments", 1)
            callback.logged(1, {"loss": [0.0]})
            callback.finished()
        model = self.model(self, rows.mean(0), rows.std(0))
        model.target_name, model.event_shape = target.name, target.event_shape
        model.report = TrainingReport(steps=1, seconds=0.0, replicas=1, parameters=2 * target.dim, best_step=1)
        return model

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> MomentsModel:
        return self.model(self, tensors["mean"], tensors["scale"])


def failures(recipe: Sampler) -> set[str]:
    """The checks that the recipe fails while it is registered."""
    catalogue.register("sampler", "moments-in-test", summary="toy")(type(recipe))
    try:
        return {result.name for result in check_sampler(recipe) if not result.passed}
    finally:
        catalogue.registry.unregister("sampler", "moments-in-test")


def with_model(**methods: Any) -> Moments:
    """The toy with methods of its model replaced."""
    model = type("Wrong", (MomentsModel,), methods)
    return dataclass(frozen=True, kw_only=True)(type("WrongMoments", (Moments,), {"model": model}))()


def with_recipe(**methods: Any) -> Moments:
    """The toy with methods of its recipe replaced."""
    return dataclass(frozen=True, kw_only=True)(type("WrongMoments", (Moments,), methods))()


def test_a_correct_sampler_passes_every_check() -> None:
    catalogue.register("sampler", "moments-in-test", summary="toy")(Moments)
    try:
        results = check_sampler(Moments())
    finally:
        catalogue.registry.unregister("sampler", "moments-in-test")
    assert [result.name for result in results] == check_names() == [check.__name__ for check in CHECKS]
    assert [str(result) for result in results if result.status == "failed"] == []
    # it keeps no density, so that a checkpoint has no target to ask for
    assert [result.name for result in results if result.skipped] == ["checkpoint_asks_for_target"]


def test_an_unregistered_sampler_is_told_why_storage_is_not_checked() -> None:
    results = {result.name: result for result in check_sampler(Moments())}
    assert all(result.passed for result in results.values())
    assert results["loaded_model_draws_equal_samples"].skipped
    assert "not registered" in results["loaded_model_draws_equal_samples"].detail


# --- wrong recipes ----------------------------------------------------------------------------------------------------


class Undecorated(Moments):
    """Adds an option without being a dataclass."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Incomparable(Moments):
    """Is compared by the options of its parent only."""

    width: int = 3


@dataclass(frozen=True)
class Positional(Moments):
    """Takes its own option by position."""

    width: int = 3


@dataclass(frozen=True, kw_only=True)
class Forgetful(Moments):
    """Leaves an option out of its JSON form."""

    inflation: float = 1.0
    hidden: float = 0.0

    def options(self) -> dict[str, Any]:
        return {"inflation": self.inflation}


WRONG_RECIPES: dict[str, tuple[Callable[[], Sampler], set[str]]] = {
    "undecorated": (Undecorated, {"recipe_is_frozen_dataclass"}),
    "incomparable": (Incomparable, {"recipe_is_frozen_dataclass"}),
    "positional": (Positional, {"recipe_is_frozen_dataclass"}),
    "forgetful": (lambda: Forgetful(hidden=1.0), {"options_survive_json"}),
    "options of the wrong type": (
        lambda: with_recipe(options=lambda self: {"inflation": {1.0}}),
        {"options_survive_json", "loaded_model_draws_equal_samples", "damaged_checkpoint_is_refused"},
    ),
    "accepts any option": (
        lambda: with_recipe(with_options=lambda self, **changes: self),
        {"unknown_options_are_refused", "unknown_draw_options_are_refused"},
    ),
}


def no_requirement(self: Moments, target: Target, seed: int) -> Tensor:
    rows = target.heldout if target.train is None else target.train
    assert rows is not None
    return rows[torch.randperm(len(rows), generator=make_generator(seed, "half"))[: len(rows) // 2]]


def global_bootstrap(self: Moments, target: Target, seed: int) -> Tensor:
    target.require(*self.needs, by="moments")
    assert target.train is not None
    return target.train[torch.randint(len(target.train), (len(target.train),))]


def all_rows(self: Moments, target: Target, seed: int) -> Tensor:
    target.require(*self.needs, by="moments")
    assert target.train is not None
    return target.train


def single_precision(self: Moments, target: Target, seed: int) -> Tensor:
    rows = Moments.rows(self, target, seed)
    return (rows.flatten(1) @ torch.eye(target.dim)).reshape(rows.shape)


def centred_in_place(self: Moments, target: Target, seed: int) -> Tensor:
    rows = Moments.rows(self, target, seed)
    assert target.train is not None
    target.train.mul_(1.0 + 1e-3)
    return rows


def fits(change: Callable[[Any], Any]) -> Callable[..., Any]:
    """``fit`` with its model changed."""

    def fit(self: Moments, target: Target, **options: Any) -> Any:
        model = Moments.fit(self, target, **options)
        return change(model) or model

    return fit


WRONG_FITS: dict[str, tuple[Callable[[], Sampler], set[str]]] = {
    "asks for nothing": (lambda: with_recipe(rows=no_requirement), {"fit_refuses_missing_capabilities"}),
    "draws globally": (
        lambda: with_recipe(rows=global_bootstrap),
        {"equal_seeds_give_equal_fits", "replicas_equal_single_fits", "global_state_is_untouched"},
    ),
    "ignores the seed": (lambda: with_recipe(rows=all_rows), {"other_seeds_give_other_fits"}),
    "single precision only": (lambda: with_recipe(rows=single_precision), {"double_precision_works"}),
    "writes into the rows": (
        lambda: with_recipe(rows=centred_in_place),
        {"inputs_are_untouched", "equal_seeds_give_equal_fits", "replicas_equal_single_fits"},
    ),
    "forgets the target": (
        lambda: with_recipe(fit=fits(lambda model: setattr(model, "target_name", "?"))),
        {"fit_gives_complete_model"},
    ),
    "silent training": (
        lambda: with_recipe(
            fit=lambda self, target, **options: Moments.fit(self, target, **options | {"callbacks": ()})
        ),
        {"callbacks_hear_of_training"},
    ),
    "other seeds for replicas": (
        lambda: with_recipe(
            fit_replicas=lambda self, target, *, seeds, **options: [
                self.fit(target, seed=seed + 1, **options) for seed in seeds
            ]
        ),
        {"replicas_equal_single_fits"},
    ),
    "threads": (
        lambda: with_recipe(fit=fits(lambda model: torch.set_num_threads(torch.get_num_threads() + 1))),
        {"global_state_is_untouched"},
    ),
    "no grad mode": (
        lambda: with_recipe(fit=fits(lambda model: torch.set_grad_enabled(False) and None)),
        {"global_state_is_untouched"},
    ),
    "default dtype": (
        lambda: with_recipe(fit=fits(lambda model: torch.set_default_dtype(torch.float64))),
        {"global_state_is_untouched"},
    ),
    "numpy": (
        lambda: with_recipe(fit=fits(lambda model: np.random.rand() and None)),  # noqa: NPY002 - the crime itself
        {"global_state_is_untouched"},
    ),
    "random": (
        lambda: with_recipe(fit=fits(lambda model: random.random() and None)),
        {"global_state_is_untouched"},
    ),
}

# --- wrong models -----------------------------------------------------------------------------------------------------

good = MomentsModel.draw


def altered(draw: Draw, **facts: Any) -> Draw:
    """A draw with what its making would refuse."""
    for name, value in facts.items():
        object.__setattr__(draw, name, value)
    return draw


def redraw(change: Callable[[Tensor], Tensor]) -> Callable[..., Any]:
    return lambda self, x: MomentsModel.drawn(self, change(x))


def unchecked(self: MomentsModel, n: Any, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
    z = torch.zeros(max(1, int(n or 0)), *self.event_shape) + self.noise(max(1, int(n or 0)), seed)
    self.recipe.with_options(**options)
    return self.drawn(self.mean + self.scale * z)


def kept_generator(self: MomentsModel, n: int, seed: int) -> Tensor:
    if not hasattr(self, "generator"):
        self.generator = make_generator(seed, "draw")
    return torch.randn(n, *self.event_shape, generator=self.generator, dtype=self.mean.dtype)


def global_noise(self: MomentsModel, n: int, seed: int) -> Tensor:
    make_generator(seed)
    with torch.random.fork_rng(devices=[]):
        return torch.randn(n, *self.event_shape, dtype=self.mean.dtype)


def in_place(self: MomentsModel, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
    drawn = good(self, n, seed=seed, start=start, **options)
    if start is not None:
        start.detach().add_(1.0)
    return drawn


def attached(self: MomentsModel, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
    drawn = good(self, n, seed=seed, start=start, **options)
    return drawn if start is None else self.drawn(drawn.samples + start)


WRONG_MODELS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "one too many": (
        {"drawn": redraw(lambda x: torch.cat((x, x[:1])))},
        {"samples_have_promised_form", "any_event_shape_works", "start_is_followed_or_refused"}
        | {"score_and_density_have_promised_form"},
    ),
    "flat": ({"drawn": redraw(lambda x: x.flatten(1))}, {"any_event_shape_works"}),
    "NaN": (
        {"drawn": redraw(lambda x: x.index_fill(0, torch.tensor([len(x) - 1]), float("nan")))},
        {"samples_have_promised_form", "any_event_shape_works", "double_precision_works", "gaussian_is_reproduced"}
        | {"equal_seeds_give_equal_fits", "equal_seeds_give_equal_draws", "start_is_followed_or_refused"}
        | {"loaded_model_draws_equal_samples", "score_and_density_have_promised_form"},
    ),
    "double": ({"drawn": redraw(lambda x: x.double())}, {"samples_have_promised_form"}),
    "with a graph": (
        {"drawn": redraw(lambda x: x.requires_grad_())},
        {"samples_have_promised_form", "start_is_followed_or_refused", "score_and_density_have_promised_form"},
    ),
    "negative cost": ({"drawn": lambda self, x: altered(Draw(x, 0.0), nfe=-1.0)}, {"draw_reports_its_cost"}),
    "cost as a tensor": ({"drawn": lambda self, x: Draw(x, torch.tensor(1.0))}, {"draw_reports_its_cost"}),
    "diagnostics with a tensor": (
        {"drawn": lambda self, x: Draw(x, 0.0, {"mean": x.mean()})},
        {"draw_reports_its_cost"},
    ),
    "draws globally": (
        {"noise": global_noise},
        {"equal_seeds_give_equal_fits", "equal_seeds_give_equal_draws"},
    ),
    "keeps its generator": (
        {"noise": kept_generator},
        {"equal_seeds_give_equal_draws", "start_is_followed_or_refused"}
        | {"bad_seeds_are_refused", "loaded_model_draws_equal_samples"},
    ),
    "writes into the start": ({"draw": in_place}, {"inputs_are_untouched"}),
    "keeps the start's graph": ({"draw": attached}, {"start_is_followed_or_refused"}),
    "checks nothing": ({"draw": unchecked}, {"bad_sizes_are_refused", "bad_starts_are_refused"}),
    "swallows options": (
        {"draw": lambda self, n, *, seed=0, start=None, **options: good(self, n, seed=seed, start=start)},
        {"unknown_draw_options_are_refused"},
    ),
    "score of a row": (
        {"score": lambda self, x, sigma=None: (self.mean - x).sum(1)},
        {"score_and_density_have_promised_form"},
    ),
    "rounded checkpoint": (
        {"tensors": lambda self: {"mean": self.mean.half().float(), "scale": self.scale}},
        {"loaded_model_draws_equal_samples"},
    ),
    "too narrow": ({"drawn": redraw(lambda x: x * 0.7)}, {"gaussian_is_reproduced"}),
    "shifted": ({"drawn": redraw(lambda x: x + 0.2)}, {"gaussian_is_reproduced"}),
}

WRONG = {
    **{f"recipe: {name}": case for name, case in WRONG_RECIPES.items()},
    **{f"fit: {name}": case for name, case in WRONG_FITS.items()},
    **{
        f"model: {name}": ((lambda methods=methods: with_model(**methods)), expected)
        for name, (methods, expected) in WRONG_MODELS.items()
    },
}


@pytest.fixture
def modes_restored() -> Iterator[None]:
    """The wrong samplers of these tests change torch's modes for good."""
    before = torch.get_num_threads(), torch.get_default_dtype()
    yield
    torch.set_num_threads(before[0])
    torch.set_default_dtype(before[1])
    torch.set_grad_enabled(True)


@pytest.mark.usefixtures("modes_restored")
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_sampler_fails_the_checks_about_its_fault(case: str) -> None:
    make, expected = WRONG[case]
    assert failures(make()) == expected


def test_every_check_that_can_fail_on_a_toy_was_seen_to_fail() -> None:
    # these two look at phys_samplers.load, which tests/core covers
    rest = {"checkpoint_asks_for_target", "damaged_checkpoint_is_refused"}
    assert set().union(*(expected for _, expected in WRONG.values())) | rest == set(check_names())


def test_a_sampler_that_cannot_be_fitted_fails_without_raising() -> None:
    def fit(self: Moments, target: Target, **options: Any) -> Any:
        target.require(*self.needs, by="moments")
        raise RuntimeError("boom")

    results = {result.name: result for result in check_sampler(with_recipe(fit=fit))}
    assert results["samples_have_promised_form"] == CheckResult(
        "samples_have_promised_form", False, "RuntimeError: boom"
    )
    assert results["recipe_is_frozen_dataclass"].passed


def test_needs_that_the_target_does_not_offer_are_a_skip_with_the_reason() -> None:
    recipe = with_recipe(needs=frozenset({"samples", "log_prob"}))
    target = Target(event_shape=(2,), name="rows", train=torch.randn(9, 2, generator=make_generator(0)))
    results = {result.name: result for result in check_sampler(recipe, target=target)}
    assert results["samples_have_promised_form"].skipped
    assert results["samples_have_promised_form"].detail == "target 'rows' does not offer log_prob"


def test_options_are_reduced_only_when_quick() -> None:
    steps: list[int] = []

    @dataclass(frozen=True, kw_only=True)
    class Recorded(Moments):
        steps: int = 5_000

        def rows(self, target: Target, seed: int) -> Tensor:
            steps.append(self.steps)
            return Moments.rows(self, target, seed)

    check_sampler(Recorded())
    assert set(steps) == {20, 300}
    steps.clear()
    check_sampler(Recorded(), quick_options={"steps": 7}, small_options={})
    assert set(steps) == {7}
    steps.clear()
    check_sampler(Recorded(), quick=False)
    assert set(steps) == {5_000}


def test_results_read_as_lines() -> None:
    assert str(CheckResult("a", True)) == "passed  a"
    assert str(CheckResult("a", False, "why")) == "failed  a: why"
    assert str(CheckResult("a", True, "why", skipped=True)) == "skipped a: why"


class TestMoments(SamplerConformance):
    """The pytest class, used as a plugin author uses it."""

    recipe = Moments()


def test_the_pytest_class_fails_with_the_checks_own_words() -> None:
    class Narrow(SamplerConformance):
        recipe = with_model(drawn=redraw(lambda x: x * 0.7))

    (check,) = (check for check in CHECKS if check.__name__ == "gaussian_is_reproduced")
    with pytest.raises(pytest.fail.Exception, match=r"gaussian_is_reproduced: .* variance ratios 0\.4"):
        Narrow().test_contract(check)
    (storage,) = (check for check in CHECKS if check.__name__ == "loaded_model_draws_equal_samples")
    with pytest.raises(pytest.skip.Exception, match="not registered"):
        Narrow().test_contract(storage)


def test_the_pytest_class_asks_for_a_recipe() -> None:
    class Empty(SamplerConformance):
        pass

    with pytest.raises(pytest.fail.Exception, match="recipe = Mine"):
        Empty().test_contract(CHECKS[0])


def test_the_kit_works_without_pytest() -> None:
    script = (
        "import sys; sys.modules['pytest'] = None\n"
        "from phys_samplers import make\n"
        "from phys_samplers.testing import check_sampler\n"
        "assert all(result.passed for result in check_sampler(make('sampler', 'exact')))\n"
        "try:\n"
        "    from phys_samplers.testing import SamplerConformance\n"
        "except ImportError:\n"
        "    print('fine')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr
