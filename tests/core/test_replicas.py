"""R seeds trained as one stacked network are the R single runs; one code path, each replica with its own streams."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phys_samplers import make
from phys_samplers.errors import TrainingDiverged
from phys_samplers.fields import UNet, replica
from phys_samplers.objective import Loss
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target
from phys_samplers.testing import gaussian_target

SEEDS = [0, 3, 11]


def recipe(name: str, preset: str | None, **options: Any) -> Sampler:
    if (name, preset) == ("bellman", "paper"):
        name = "bellman-fields"  # the two networks of the paper
    return make("sampler", name, preset=preset, **{"steps": 100, "sampling_steps": 30} | options)


@cache
def target() -> Target:
    return gaussian_target()


@cache
def stacked(preset: str) -> list[Model]:
    models = recipe("bellman", preset).fit_replicas(target(), seeds=SEEDS)
    assert all(isinstance(model, Model) for model in models)
    return models


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_parameters_after_100_steps_agree_with_single_runs(preset: str) -> None:
    for seed, many in zip(SEEDS, stacked(preset), strict=True):
        one = recipe("bellman", preset).fit(target(), seed=seed)
        ours, theirs = many.tensors(), one.tensors()
        assert ours.keys() == theirs.keys()
        for name in ours:
            torch.testing.assert_close(ours[name], theirs[name], rtol=0, atol=1e-4, msg=f"{name} of seed {seed}")
        assert many.report is not None
        assert one.report is not None
        assert (many.report.steps, many.report.replicas, one.report.replicas) == (100, 3, 1)
        for row, other in zip(many.report.history, one.report.history, strict=True):
            assert row.keys() == other.keys()
            assert list(row.values()) == pytest.approx(list(other.values()), abs=1e-3)


def products_repeat(rows: int, inner: int) -> bool:
    """Whether this processor's library multiplies a matrix to the same bits alone and in a stack of three."""
    x = torch.randn(3, rows, inner, generator=make_generator(0, "left"))
    y = torch.randn(3, inner, 16, generator=make_generator(0, "right"))
    return all(torch.equal(torch.bmm(x[r : r + 1], y[r : r + 1])[0], torch.bmm(x, y)[r]) for r in range(3))


@pytest.mark.parametrize("task", ["moons", "spans"])
@pytest.mark.parametrize("name", ["bellman", "edm", "pfgm", "pfgmpp", "vae"])
def test_a_seed_gives_the_same_bits_alone_and_stacked(name: str, task: str) -> None:
    """Also the last of a stack, whose end a vectorised loop may not fill, and a network with one output (spans)."""
    sampler = make("sampler", name, steps=20, width=16, depth=2)
    ends = [sampler.fit_replicas(make("task", task), seeds=seeds)[-1] for seeds in ([5], [1, 5], [1, 2, 5])]
    one, *others = [end.tensors() for end in ends]  # type: ignore[union-attr]
    same = products_repeat(64, 16) and products_repeat(16, 64)
    for other in others:
        for key, value in one.items():
            if same:
                assert torch.equal(value, other[key]), key
            else:  # a library that chooses its kernel by the number of matrices: as near as 20 steps keep them
                torch.testing.assert_close(value, other[key], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [32, 7])
def test_a_network_of_images_gives_the_same_bits_alone_and_stacked(batch: int) -> None:
    """Outputs and gradients of every replica; bits only where no vectorised loop has an end (and products repeat)."""
    net = UNet(width=8, depth=2).build(64, 64, streams=Streams(SEEDS, "weights"), conditioned=True)
    x = torch.randn(3, batch, 64, generator=make_generator(0, "x"))
    t = torch.rand(3, batch, generator=make_generator(0, "t"))
    images = net(x, t)
    images.square().sum().backward()
    for r in range(3):
        alone = replica(net, r)
        image = alone(x[r : r + 1], t[r : r + 1])
        image.square().sum().backward()
        pairs = {"output": (images[r : r + 1], image)} | {
            name: (many.grad[r : r + 1], one.grad)
            for (name, many), one in zip(net.named_parameters(), alone.parameters(), strict=True)
        }
        for name, (ours, theirs) in pairs.items():
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4, msg=name)
            if products_repeat(32, 16) and batch % 16 == 0:
                assert torch.equal(ours, theirs), name


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_replicas_are_different_models(preset: str) -> None:
    first, second, third = (model.sample(5, seed=0) for model in stacked(preset))
    assert not torch.allclose(first, second, atol=1e-3)
    assert not torch.allclose(second, third, atol=1e-3)


def test_the_order_and_number_of_seeds_do_not_matter() -> None:
    turned = recipe("bellman", "default").fit_replicas(target(), seeds=[*SEEDS[::-1], SEEDS[0]])
    pairs = [(2, 0), (1, 1), (0, 2), (3, 0)]
    for here, there in pairs:
        ours, theirs = turned[here].tensors(), stacked("default")[there].tensors()  # type: ignore[union-attr]
        assert all(float((ours[name] - theirs[name]).abs().max()) < 1e-4 for name in ours)


def test_validation_does_not_depend_on_the_replicas() -> None:
    """The validation loss of a seed is the same number whoever trains beside it, and its noise at every call."""
    (one,) = recipe("bellman", "default", validate_every=50).fit_replicas(target(), seeds=[3])
    many = recipe("bellman", "default", validate_every=50).fit_replicas(target(), seeds=SEEDS)[1]
    ours, theirs = ([row["validation"] for row in model.report.history if "validation" in row] for model in (one, many))
    assert len(ours) == 2
    assert ours == pytest.approx(theirs, rel=1e-4)


def test_validation_takes_no_numbers_from_training() -> None:
    """With more validations, or none, training sees the same batches and the same noise."""
    often = recipe("bellman", "default", validate_every=10).fit(target(), seed=0)
    seldom = recipe("bellman", "default", validate_every=100).fit(target(), seed=0)
    blind = recipe("bellman", "default").fit(replace(target(), validation=None), seed=0)
    losses = [
        [row["loss"] for row in model.report.history if row["step"] in (50, 100)] for model in (often, seldom, blind)
    ]
    assert losses[0] == losses[1] == losses[2]


class _Poisoned(Loss):
    """A loss that turns NaN for one replica of a stack."""

    def __init__(self, loss: Any, index: int) -> None:
        self.loss, self.index, self.calls = loss, index, 0

    def __call__(self, module: nn.Module, rows: Tensor, streams: Any) -> Tensor:
        values = self.loss(module, rows, streams)
        self.calls += 1
        if self.calls < 40:
            return values
        spoil = torch.ones_like(values)
        spoil[self.index] = float("nan")
        return values * spoil


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_a_diverging_replica_is_reported_and_leaves_the_others_bit_equal(
    preset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = recipe("bellman", preset)
    original = type(sampler).problem

    def problem(self: Any, *arguments: Any, **options: Any) -> Any:
        stated = original(self, *arguments, **options)
        return replace(stated, loss=_Poisoned(stated.loss, 1))

    monkeypatch.setattr(type(sampler), "problem", problem)
    results = sampler.fit_replicas(replace(target(), validation=None), seeds=SEEDS)
    monkeypatch.undo()
    clean = sampler.fit_replicas(replace(target(), validation=None), seeds=SEEDS)
    assert isinstance(results[1], TrainingDiverged)
    assert " on conformance-gaussian" in str(results[1])
    assert "step 40 of 100" in str(results[1])
    for r in (0, 2):
        ours, theirs = results[r].tensors(), clean[r].tensors()  # type: ignore[union-attr]
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_single_fit_that_diverges_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler = recipe("bellman", "default", learning_rate=1e30, clip_norm=None)
    with pytest.raises(TrainingDiverged, match=r"at step \d+ of 100; try a smaller learning_rate \(now 1e\+30\)"):
        sampler.fit(target(), seed=0)


def test_no_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one seed"):
        recipe("bellman", "default").fit_replicas(target(), seeds=[])


def test_rows_in_double_precision_train_the_same_model() -> None:
    rows = target()
    double = replace(rows, train=rows.train.double(), validation=rows.validation.double())
    ours, theirs = recipe("bellman", "default").fit(double, seed=0), stacked("default")[0]
    found, wanted = ours.tensors(), theirs.tensors()
    # Centred in double precision first, so that the rest of the map's mean is what single precision leaves of zero.
    wanted["standardiser.origin"], wanted["standardiser.mean"] = (
        wanted["standardiser.mean"],
        torch.zeros_like(wanted["standardiser.mean"]),
    )
    assert found.keys() == wanted.keys()
    assert all(float((found[name] - wanted[name]).abs().max()) < 1e-4 for name in wanted)
    assert ours.sample(3).dtype == torch.float64


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_replicas_agree_on_a_gpu(preset: str) -> None:
    many = recipe("bellman", preset).fit_replicas(target(), seeds=SEEDS, device="cuda")
    for seed, model in zip(SEEDS, many, strict=True):
        one = recipe("bellman", preset).fit(target(), seed=seed, device="cuda")
        ours, theirs = model.tensors(), one.tensors()  # type: ignore[union-attr]
        assert all(ours[name].is_cuda for name in ours)
        assert all(float((ours[name] - theirs[name]).abs().max()) < 1e-4 for name in ours)
