"""Cells that differ in sampling options alone share a fit, and nobody can tell from their results."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from phys_bench import api
from phys_bench.events import Job
from phys_bench.plan import LastFit, fit_key, jobs_of, next_job
from phys_bench.resolve import Resolver
from phys_bench.store import RunFolder
from phys_bench.suite import expand, load_suite
from phys_samplers import catalogue
from phys_samplers.errors import ConfigurationError, MissingCapability, PhysError
from phys_samplers.objective import RowsSampler
from phys_samplers.sampler import Model, Sampler

SWEEP: dict[str, Any] = {
    "name": "sweep",
    "tasks": ["toy-normal"],
    # The sampler in the middle must not part the others, and has a fit of its own.
    "samplers": ["bellman[sampling_steps=5]", "annealed-langevin[levels=2,3]", "bellman[sampling_steps=9,12]"],
    "seeds": 2,
    "eval_size": 50,
    "overrides": [{"options": {"steps": 10, "width": 8}}],
}


@pytest.fixture(scope="module")
def plugin(toys: Path) -> Path:
    path = Path(__file__).with_name("toy_trained.py")
    catalogue.registry.load_file(path)
    return path


def run(suite: dict[str, Any], out: Path, **options: Any) -> api.Results:
    return api.run(suite, out=out, **{"executor": "inline", "progress": False, "device": "cpu", **options})


def outcomes(results: api.Results) -> dict[tuple[str, int], Any]:
    """What records say of results; arrays by the hash of their bytes."""
    kept = ("status", "scores", "diagnostics", "history", "arrays")
    return {(r["identity"]["sampler"], r["identity"]["seed"]): {key: r[key] for key in kept} for r in results.records}


def shared(results: api.Results) -> dict[str, set[bool]]:
    return {s: {cell.shared_fit for cell in results.select(sampler=s)} for s in results.samplers}


@pytest.fixture(scope="module")
def alone(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], Any]:
    """Every cell of SWEEP, its sampler fitted by itself."""
    found: dict[tuple[str, int], Any] = {}
    for sampler in map(str, expand(SWEEP["samplers"])):
        results = run({**SWEEP, "samplers": [sampler]}, tmp_path_factory.mktemp("alone"))
        assert shared(results) == {sampler: {False}}
        found |= outcomes(results)
    assert len(found) == 10
    return found


def test_shared_fits_change_costs_and_nothing_else(alone: dict[Any, Any], tmp_path: Path) -> None:
    results = run(SWEEP, tmp_path)
    assert outcomes(results) == alone
    assert list(shared(results).values()) == [{flag} for flag in (False, False, True, True, True)]
    for seed in (0, 1):
        for name in ("bellman", "annealed-langevin"):
            records = [
                r for r in results.records if r["identity"]["component"] == name and r["identity"]["seed"] == seed
            ]
            assert len({r["costs"]["fit_seconds"] for r in records}) == 1
            assert len({r["costs"]["sample_seconds"] for r in records}) == len(records)


def test_worker_processes_share_fits_with_the_same_results(alone: dict[Any, Any], tmp_path: Path) -> None:
    results = run(SWEEP, tmp_path, executor="process", workers=1)
    assert outcomes(results) == alone
    assert len(list((tmp_path / "logs").iterdir())) == 1  # training alone is no reason to replace a worker
    assert list(shared(results).values()) == [{flag} for flag in (False, False, True, True, True)]


def test_a_resumed_sweep_repeats_the_unbroken_one(alone: dict[Any, Any], tmp_path: Path) -> None:
    whole = run(SWEEP, tmp_path)
    lost = [r["id"] for r in whole.records if r["identity"]["sampler"] != "bellman[sampling_steps=5]"][1:]
    for name in lost:
        (tmp_path / "records" / f"{name}.json").unlink()
    again = run(SWEEP, tmp_path)
    assert outcomes(again) == alone
    assert shared(again)["bellman[sampling_steps=9]"] == {False}
    assert shared(again)["bellman[sampling_steps=12]"] == {True}


def fit_ids(samplers: list[str]) -> list[str | None]:
    cells = Resolver(load_suite({**SWEEP, "samplers": samplers, "seeds": 1, "overrides": []}), "cpu").cells()
    return [cell.pair.fit for cell in cells]


def test_only_recipes_that_train_alike_share(plugin: Path) -> None:
    first, *others = fit_ids(["bellman", "bellman[integrator=euler-maruyama,sigma_min=0.05]", "bellman[depth=2]"])
    assert others[0] == first
    assert others[1] != first
    assert fit_ids(["exact", "langevin", "toy-stacked"]) == [None] * 3  # there is nothing to share
    plain, other = fit_ids(["toy-undeclared[extra=0,1]"])  # an option that does not say when it acts decides the fit
    assert None not in (plain, other)
    assert plain != other
    slow, shifted, renamed = fit_ids(["toy-slow[shift=1,2]", "toy-renamed"])
    assert slow == shifted
    assert renamed not in (slow, None)
    # An option that does not say when it acts is taken to decide the fit; one for draws is not.
    plain, other, late = fit_ids(["toy-undeclared", "toy-undeclared[extra=1]", "toy-undeclared[draw_pause=1.0]"])
    assert plain not in (slow, None)
    assert other not in (plain, slow, None)
    assert late == plain


def test_a_shared_fit_counts_against_the_limit_of_each(plugin: Path, tmp_path: Path) -> None:
    """The second sampler would be late if it fitted itself (2 s of 1 s), and so it is."""
    late = "toy-slow[draw_pause=1.0,fit_pause=2.0]"
    suite = {
        **SWEEP,
        "samplers": ["toy-slow[fit_pause=2.0]", late],
        "seeds": 1,
        "overrides": [{"sampler": "toy-slow[fit_pause=2.0]", "seconds": 60}],
        "budget": {"seconds": 1.0},
    }
    results = run(suite, tmp_path, executor="process", workers=1)
    assert [r["status"] for r in results.records] == ["ok", "timeout"]
    assert results.records[1]["reason"] == "stopped at the limit of 1 s"


def test_seeds_of_a_broken_stack_are_tried_one_by_one(plugin: Path, tmp_path: Path) -> None:
    suite = {**SWEEP, "samplers": ["toy-slow[bad=true,shift=1,2]"], "seeds": 3, "overrides": []}
    results = run(suite, tmp_path)
    for sampler in results.samplers:
        assert [cell.status for cell in results.select(sampler=sampler)] == ["ok", "failed", "ok"]
    good = run({**suite, "samplers": ["toy-slow[shift=1,2]"], "seeds": [0, 2]}, tmp_path / "good")
    assert [r["scores"] for r in good.records] == [r["scores"] for r in results.records if r["status"] == "ok"]


def test_jobs_with_the_same_fit_are_neighbours(plugin: Path, tmp_path: Path) -> None:
    plan = api.plan(SWEEP, out=tmp_path, device="cpu")
    cells = [job for job in jobs_of(plan, RunFolder(tmp_path)) if job["kind"] == "cells"]
    assert [job["sampler"].partition("[")[0] for job in cells] == ["bellman"] * 3 + ["annealed-langevin"] * 2
    assert [job["seeds"] for job in cells] == [[0, 1]] * 5


def test_a_worker_goes_on_with_the_fit_it_has() -> None:
    floor: Job = {"kind": "floors"}
    single: Job = {"fit": None, "seeds": [0]}
    a, b = ({"fit": name, "seeds": [0, 1]} for name in "ab")
    one = {**a, "seeds": [1]}  # one seed alone is another fit
    key = fit_key
    assert next_job([floor, a, b], {None}, set()) is floor
    assert next_job([b, a, single], {key(a)}, set()) is a
    assert next_job([b, one, single], {key(a)}, set()) is b
    assert next_job([a, b, single], {None}, {key(a)}) is b
    assert next_job([a, single], {None}, {key(a), None}) is single
    assert next_job([a], {None}, {key(a)}) is a  # rather than leave a worker idle
    assert next_job([], {None}, set()) is None


def test_one_fit_is_kept_and_forgotten_before_the_next() -> None:
    fits = LastFit()
    one, other = ("a", (0,)), ("b", (0,))
    assert fits.take(one) is None
    fit: Any = object()
    fits.keep(one, fit)
    assert fits.take(one) is fit
    assert fits.take(other) is None
    assert fits.take(one) is None
    fits.keep(None, fit)
    assert fits.take(None) is None


def variants(recipe: RowsSampler) -> dict[str, dict[str, Any]]:
    """Every numeric or boolean sampling option, changed."""
    found = {}
    for field in dataclasses.fields(recipe):
        value = getattr(recipe, field.name)
        if field.name in recipe.fit_options() or not isinstance(value, bool | int | float):
            continue
        change = {field.name: not value if isinstance(value, bool) else value + 1 if value in (0, 1) else value * 0.5}
        if isinstance(value, int) and not isinstance(value, bool):
            change = {field.name: max(1, value // 2) if value > 1 else 2}
        try:
            recipe.with_options(**change)
        except PhysError:
            continue
        found[field.name] = change
    return found


@pytest.mark.parametrize("name", [name for name in catalogue.names("sampler") if not name.startswith("toy-")])
def test_every_trained_model_takes_sampling_options_as_if_fitted_with_them(name: str, plugin: Path) -> None:
    """What makes sharing right: no option for draws touches a fit, no model computes from one when made."""
    recipe = catalogue.make("sampler", name)
    if not isinstance(recipe, RowsSampler):
        pytest.skip("trains nothing")
    task = catalogue.make("task", "toy-normal")
    few: dict[str, Any] = {"steps": 3, "width": 8, "sampling_steps": 4, "levels": 4, "steps_per_level": 1}
    if name == "latent":
        few["sampler"] = "bellman[steps=3,width=8,sampling_steps=4]"
    recipe = recipe.with_options(**{key: v for key, v in few.items() if key in recipe.options()})
    model, point = recipe.fit(task, seed=3), torch.tensor([[0.3, -0.4]])

    def seen(model: Model) -> list[Any]:
        found: list[Any] = [model.sample(6, seed=4)]
        for ask in (getattr(model, "score", None), getattr(model, "fields", None)):
            with suppress(MissingCapability, TypeError):  # one that is not there, or not for this recipe
                answer = ask(point)  # type: ignore[misc]
                found += answer.values() if isinstance(answer, dict) else [answer]
        return [tensor.tolist() for tensor in found]

    before = seen(model)
    changed = variants(recipe)
    changed.pop("guidance_weight", None)  # it wants conditions, which these rows have not
    assert changed
    for change in changed.values():
        twin = model.with_options(**change)
        assert twin.recipe == recipe.with_options(**change)
        assert seen(twin) == seen(recipe.with_options(**change).fit(task, seed=3)), change
    assert seen(model) == before
    with pytest.raises(ConfigurationError, match="cannot change after fitting"):
        model.with_options(steps=5)


def test_runs_of_one_seed_and_of_three_can_be_merged(plugin: Path, tmp_path: Path) -> None:
    """The cell they share has one identity, and so one result, whoever was fitted beside it."""
    samplers = ["bellman[sampling_steps=5,width=16,steps=10]", "toy-slow", "langevin[sampling_steps=20]"]
    suite = {**SWEEP, "samplers": samplers, "overrides": []}
    one, three = run({**suite, "seeds": [2]}, tmp_path / "one"), run({**suite, "seeds": 3}, tmp_path / "three")
    assert {(r["status"], r["costs"]["stacked_seeds"]) for r in one.records} == {("ok", 1)}, [
        r["reason"] for r in one.records
    ]
    union = api.merge(tmp_path / "one", tmp_path / "three")
    assert len(union.records) == 9
    assert {r["id"] for r in one.records} < {r["id"] for r in three.records}
    assert outcomes(union) == outcomes(three)


def others_of(recipe: Sampler, name: str) -> list[Any]:
    """Values of a part that differ from the recipe's."""
    kinds = {"schedule": ["linear", "cosine", "vp", "ve", "edm"], "integrator": ["euler", "heun", "euler-maruyama"]}
    return [text for text in kinds.get(name, []) if text != getattr(recipe, name)]


@pytest.mark.parametrize(
    "text",
    [
        *(name for name in catalogue.names("sampler") if not name.startswith(("toy-", "hostile"))),
        "edm[loss=denoising[levels=schedule]]",
        "pfgmpp[loss=poisson-denoising[levels=schedule]]",
    ],
)
def test_an_option_that_does_not_decide_the_fit_leaves_it_as_it_is_to_the_bit(text: str, plugin: Path) -> None:
    """The schedule of a loss over the schedule's levels once passed for an option of draws, and a fit was shared."""
    (spec,) = expand([text])
    recipe: Any = catalogue.make("sampler", spec.name, **spec.options)
    if not isinstance(recipe, RowsSampler):
        pytest.skip("trains on no rows")
    few: dict[str, Any] = {"steps": 3, "width": 16, "levels": 4}
    if spec.name == "latent":
        few["sampler"] = "bellman[steps=3,width=16]"
    recipe = recipe.with_options(**{key: v for key, v in few.items() if key in recipe.options()})
    task = catalogue.make("task", "toy-normal")
    fitted = recipe.fit(task, seed=3).tensors()
    changes = list(variants(recipe).values())
    for name in (f.name for f in dataclasses.fields(recipe) if f.name not in recipe.fit_options()):
        changes += [{name: other} for other in others_of(recipe, name)]
    tried = 0
    for change in changes:
        with suppress(PhysError):  # a value that does not go with the others
            twin = recipe.with_options(**change).fit(task, seed=3).tensors()
            tried += 1
            assert twin.keys() == fitted.keys()
            assert all(torch.equal(twin[key], fitted[key]) for key in fitted), change
    assert tried
