"""Laws given a condition: codes, targets by class, guidance in closed form, stacks, checkpoints, mistakes."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phys_electrostatic import PoissonDenoisingLoss
from phys_samplers import Samples, load, make
from phys_samplers.conditions import ConditionCode, Conditions
from phys_samplers.denoisers import denoiser as denoisers
from phys_samplers.denoisers.conditional import denoise_given
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingLoss
from phys_samplers.denoisers.sampler import DenoiserModel, DenoiserSampler
from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.fields import MLP, FourierMLP, ResidualMLP, UNet
from phys_samplers.fields.stacked import Field
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target

TINY: dict[str, Any] = {"steps": 30, "batch_size": 32, "width": 8, "depth": 1}
CENTRES = torch.tensor([[-2.0, -2.0], [2.0, 2.0], [2.0, -2.0]])
CLASSES = torch.tensor([3, 5, 9])


def labelled(n: int = 1_200) -> tuple[Tensor, Tensor]:
    """Three Gaussians of standard deviation ½ and their classes, which are 3, 5 and 9."""
    g = make_generator(0, "labelled")
    index = torch.randint(3, (n,), generator=g)
    return CENTRES[index] + 0.5 * torch.randn(n, 2, generator=g), CLASSES[index]


@cache
def target() -> Target:
    rows, labels = labelled()
    return Samples(rows, condition=labels)


@cache
def tiny(name: str = "edm") -> Any:
    return make("sampler", name, **TINY).fit(target(), seed=0)


def test_rows_keep_their_conditions() -> None:
    rows = torch.arange(40.0).view(20, 2)
    split = Samples(rows, condition=rows[:, 0].long(), validation_fraction=0.25)
    assert split.conditions is not None
    assert split.train is not None
    assert split.validation is not None
    assert torch.equal(split.train[:, 0].long(), split.conditions.train)
    assert split.conditions.validation is not None
    assert torch.equal(split.validation[:, 0].long(), split.conditions.validation)
    assert "conditions" in split.capabilities


def test_codes_are_one_hot_or_standardised_and_never_zero() -> None:
    labels = ConditionCode.fit(Conditions(train=torch.tensor([9, 3, 5, 3])))
    assert torch.equal(labels([5, 3]), torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    assert torch.equal(labels(9), torch.tensor([[0.0, 0.0, 1.0]]))
    rows = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    covariates = ConditionCode.fit(Conditions(train=rows))
    assert covariates.width == 3
    torch.testing.assert_close(covariates(rows).mean(0), torch.tensor([0.0, 0.0, 1.0]))
    assert torch.equal(covariates([2.0, 5.0]), torch.tensor([[0.0, 0.0, 1.0]]))
    for code in (labels, covariates):
        again = ConditionCode.from_tensors({"else": torch.ones(1), **code.tensors()})
        assert again is not None
        assert all(torch.equal(again.tensors()[name], part) for name, part in code.tensors().items())
    assert ConditionCode.from_tensors({"else": torch.ones(1)}) is None


class Seen(nn.Module):
    """Keeps what it was shown; its denoiser is 0, so that a loss is the mean square of targets."""

    code_width = 3

    def forward(self, x: Tensor, sigma: Tensor, code: Tensor) -> Tensor:
        self.x, self.sigma, self.code = x, sigma, code
        return torch.zeros_like(x)

    def loss_weight(self, sigma: Tensor) -> Tensor:
        return torch.ones_like(sigma)


@pytest.mark.parametrize("chunk", [2_048, 3])
@pytest.mark.parametrize("reference", [None, 40, 1_000])
@pytest.mark.parametrize("kind", [DenoisingLoss, PoissonDenoisingLoss])
def test_stable_targets_are_means_over_the_class_or_over_all(
    kind: type[DenoisingLoss], reference: int | None, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of 3 rows, sorted by class, hold rows of other classes only for most points."""
    monkeypatch.setattr(denoisers, "_CHUNK", chunk)
    loss = kind(reference=reference, condition_dropout=0.4)
    rows, labels = labelled(60)
    order = labels.argsort()
    code = ConditionCode.fit(Conditions(train=labels))
    table = code.beside(rows[order], labels[order]).unsqueeze(0)
    batch, module = table[:, ::3], Seen()
    if loss.beside(20, 60) == 0:
        sources, value = batch, loss(module, batch, Streams([0], "noise"))
    else:
        whole = loss.beside(20, 60) is None
        others = table if whole else table[:, 1::3]
        sources = others if whole else torch.cat((batch, others), 1)
        value = loss.against(module, batch, others, Streams([0], "noise"), whole=whole)
    hidden = module.code[0].sum(1) == 0
    assert 0 < int(hidden.sum()) < 20
    assert torch.equal(module.code[0][~hidden], batch[0, ~hidden, 2:])
    expected = torch.zeros(20, 2)
    for i in range(20):
        same = sources[0] if hidden[i] else sources[0][(sources[0][:, 2:] == batch[0, i, 2:]).all(1)]
        squared = (module.x[0, i] - same[:, :2]).square().sum(1)
        w = loss.log_kernel(squared, module.sigma[0, i], 2).softmax(0)
        expected[i] = w @ same[:, :2]
    torch.testing.assert_close(value, expected.square().mean().view(1), rtol=1e-4, atol=1e-6)


def test_rows_with_their_own_covariates_are_their_own_targets() -> None:
    rows = torch.randn(1, 16, 2, generator=make_generator(1))
    table = torch.cat((rows, torch.randn(1, 16, 3, generator=make_generator(2))), 2)
    value = DenoisingLoss(condition_dropout=0.0)(Seen(), table, Streams([0], "noise"))
    torch.testing.assert_close(value, rows.square().mean().view(1))


@pytest.mark.parametrize("field", [MLP(width=8), ResidualMLP(width=8), FourierMLP(width=8), UNet(width=4, depth=2)])
def test_networks_take_codes_in_stacks_too(field: Field) -> None:
    g = make_generator(3)
    x, sigma, code = (
        torch.randn(2, 5, 16, generator=g),
        torch.rand(2, 5, generator=g) + 0.1,
        torch.eye(3)[[0, 1, 2, 0, 1]],
    )
    code = code.expand(2, -1, -1)
    both = Denoiser(field, 16, streams=Streams([4, 7], "weights"), code_width=3)(x, sigma, code)
    for r, seed in enumerate((4, 7)):
        alone = Denoiser(field, 16, streams=Streams([seed], "weights"), code_width=3)
        mine = alone(x[r : r + 1], sigma[r : r + 1], code[:1])
        torch.testing.assert_close(mine[0], both[r])
        shared = alone(x[r : r + 1], sigma[r : r + 1, :1], code[:1, :1])
        torch.testing.assert_close(shared[0, 0], alone(x[r : r + 1], sigma[r : r + 1, :1], code[:1])[0, 0])
        assert not torch.allclose(mine, alone(x[r : r + 1], sigma[r : r + 1], code[:1].roll(1, 1)))


class Linear(nn.Module):
    """The denoiser of x | c ~ N(A c, S²) with c ~ N(0, 1), codes (c, 1): E[x₀ | x, c], and E[x₀ | x] of zeros."""

    code_width = 2
    A, S = 2.0, 0.5

    def forward(self, x: Tensor, sigma: Tensor, code: Tensor) -> Tensor:
        v, mean = sigma.unsqueeze(-1).square(), self.A * code[..., :1]
        given = (x * self.S**2 + mean * v) / (self.S**2 + v)
        wide = self.A**2 + self.S**2
        return torch.where(code[..., 1:] > 0, given, x * (wide / (wide + v)))


def linear(**options: Any) -> DenoiserModel:
    schedule = {"name": "edm", "sigma_min": 0.002, "sigma_max": 500.0}
    recipe = DenoiserSampler(schedule=schedule, sampling_steps=200, **options)
    model = DenoiserModel(recipe, Linear(), Standardiser.identity(1), torch.zeros(2, 1), (1,))
    model.code = ConditionCode(None, torch.zeros(1), torch.ones(1))
    return model


@pytest.mark.parametrize("weight", [-1.0, 0.0, 0.5, 2.0])
def test_guidance_of_a_gaussian_is_that_of_the_closed_form(weight: float) -> None:
    """du/dλ = λ [(1+w)(u − Ac)/(S²+λ²) − w u/(A²+S²+λ²)] has the solutions m(λ) + h(λ) × a constant,

    with h = (S²+λ²)^{(1+w)/2} (A²+S²+λ²)^{−w/2}: the spread of draws is h(0)/h(σ_max) times that of the prior.
    """
    model, n, top = linear(guidance_weight=weight), 4_000, 500.0
    draw = model.draw(n, seed=1, condition=1.5)
    assert draw.nfe == (399 if weight in (-1, 0) else 798)

    def h(level: float) -> float:
        narrow, wide = Linear.S**2 + level**2, Linear.A**2 + Linear.S**2 + level**2
        return float(narrow ** ((1 + weight) / 2) * wide ** (-weight / 2))

    spread = h(0.0) / h(top) * math.sqrt(1 + top**2)
    assert float(draw.samples.std()) == pytest.approx(spread, rel=5 / math.sqrt(2 * n))
    if weight in (-1, 0):
        mean = 3.0 if weight == 0 else 0.0
        assert float(draw.samples.mean()) == pytest.approx(mean, abs=0.02 + 5 * spread / math.sqrt(n))


def test_all_that_a_model_says_is_of_the_law_given_the_condition() -> None:
    model = linear()
    x = torch.tensor([[0.3], [2.0], [-1.0]])
    condition = torch.tensor([1.0, 0.5, -0.2])
    law = torch.distributions.Normal(2 * condition.unsqueeze(1), 0.5)
    asked = model.given(condition)
    torch.testing.assert_close(asked.log_prob(x, steps=128), law.log_prob(x)[:, 0], atol=0.02, rtol=0)
    torch.testing.assert_close(asked.score(x, 0.1), (law.mean - x) / 0.26, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(asked.decode(asked.encode(x)), x, atol=1e-3, rtol=1e-3)
    own = model.given(0.5)
    torch.testing.assert_close(own.encode(torch.tensor([[1.5]])), torch.tensor([[1.0]]), atol=1e-2, rtol=0)


def test_a_weight_of_0_is_the_conditional_network_and_of_minus_1_the_unconditional_one() -> None:
    module = Denoiser(MLP(width=8), 2, streams=Streams([0]), code_width=3)
    x, code = torch.randn(6, 2, generator=make_generator(4)), torch.eye(3)[[0, 1, 2, 0, 1, 2]]
    level = torch.full((1, 1), 0.7)
    given = module(x.unsqueeze(0), level, code.unsqueeze(0))[0]
    alone = module(x.unsqueeze(0), level, torch.zeros(1, 6, 3))[0]
    assert torch.equal(denoise_given(module, x, 0.7, code, 0.0), given)
    torch.testing.assert_close(denoise_given(module, x, 0.7, None, -1.0), alone)
    for weight in (-0.5, 1.0, 3.0):
        expected = (1 + weight) * given - weight * alone
        torch.testing.assert_close(denoise_given(module, x, 0.7, code, weight), expected, rtol=1e-4, atol=1e-5)


def test_a_dropout_of_1_learns_the_unconditional_law() -> None:
    """The first layer sees no code, so what it does with one never changes."""
    recipe = make("sampler", "edm", **{**TINY, "loss": "denoising[condition_dropout=1.0]", "ema_decay": 0.0})
    before = recipe.denoiser_given(2, Streams([0], "weights", device="cpu"), 3).network.hidden[0].weight
    after = recipe.fit(target(), seed=0).module.network.hidden[0].weight
    assert torch.equal(before[:, 3:], after[:, 3:])
    assert not torch.equal(before[:, :3], after[:, :3])


@pytest.mark.parametrize("name", ["edm", "ddpm", "pfgmpp"])
def test_stacked_seeds_and_loaded_models_draw_the_same_bits(name: str, tmp_path: Path) -> None:
    labels = [3, 9, 9, 5]
    draws = [tiny(name).sample(4, condition=labels, guidance_weight=w) for w in (0.0, 1.0)]
    stack = make("sampler", name, **TINY).fit_replicas(target(), seeds=[1, 0])
    again = load(tiny(name).save(tmp_path / "model"))
    for w, draw in zip((0.0, 1.0), draws, strict=True):
        for other in (stack[1], again):
            assert torch.equal(other.sample(4, condition=labels, guidance_weight=w), draw)  # type: ignore[union-attr]
    assert not torch.equal(draws[0], draws[1])


@pytest.mark.slow
def test_classes_are_learned() -> None:
    """2,000 draws a class after 600 steps: means within .15 and spreads within a fifth of ½."""
    model = make("sampler", "edm", steps=600).fit(target(), seed=0)
    for label, centre in zip(CLASSES.tolist(), CENTRES, strict=True):
        x = model.sample(2_000, seed=1, condition=label, sampling_steps=18)
        torch.testing.assert_close(x.mean(0), centre, atol=0.15, rtol=0)
        torch.testing.assert_close(x.std(0), torch.full((2,), 0.5), atol=0.1, rtol=0)
    alone = model.sample(3_000, seed=1, guidance_weight=-1, sampling_steps=18)
    share = torch.bincount(torch.cdist(alone, CENTRES).argmin(1), minlength=3) / 3_000
    torch.testing.assert_close(share, torch.full((3,), 1 / 3), atol=0.06, rtol=0)


MISTAKES = [
    ({}, "condition is missing"),
    ({"condition": [3, 5]}, "condition has 2 entries for 3 samples; expected 1 or 3"),
    ({"condition": 4}, "condition holds class 4; expected one of the 3 classes of training rows, 3, 5, 9"),
    ({"condition": [3, 5, 10]}, "class 10"),
    ({"condition": 3.0}, "expected integers"),
    ({"condition": "three"}, "expected integer class labels"),
    ({"condition": 3, "guidance_weight": -2.0}, "guidance_weight"),
]


@pytest.mark.parametrize(("options", "message"), MISTAKES, ids=[message[:30] for _, message in MISTAKES])
def test_mistakes_of_a_draw_are_told(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny().sample(3, **options)


def test_other_mistakes_are_told() -> None:
    rows, labels = labelled(40)
    with pytest.raises(ConfigurationError, match="39 entries for 40 rows"):
        Samples(rows, condition=labels[1:])
    with pytest.raises(ConfigurationError, match="NaN or infinite values in 1 of 40"):
        Samples(rows, condition=torch.where(torch.arange(40) == 3, math.nan, 1.0))
    with pytest.raises(ConfigurationError, match="expected integer class labels"):
        Samples(rows, condition=labels.view(20, 2))
    with pytest.raises(ConfigurationError, match="number classes that have names"):
        Samples(rows, condition=["a"] * 40)
    with pytest.raises(ConfigurationError, match="condition of train rows of target 'samples' has 20 entries for 36"):
        dataclasses.replace(Samples(rows), conditions=Conditions(train=labels[:20]))
    plain = make("sampler", "edm", **TINY).fit(Samples(rows))
    with pytest.raises(ConfigurationError, match="fitted without"):
        plain.sample(2, condition=3)
    with pytest.raises(ConfigurationError, match="guidance_weight is 1, but the model was fitted without"):
        plain.sample(2, guidance_weight=1.0)
    with pytest.raises(MissingCapability, match="learns no laws given a condition"):
        make("sampler", "bellman", steps=2).fit(Samples(rows, condition=labels))
    covariates = make("sampler", "edm", **TINY).fit(Samples(rows, condition=rows))
    with pytest.raises(ConfigurationError, match="a row; expected 2"):
        covariates.sample(2, condition=[[1.0], [2.0]])


def test_training_goes_on_with_the_same_conditions_only(tmp_path: Path) -> None:
    recipe, rows = make("sampler", "edm", **TINY), labelled()
    folder = tmp_path / "state"
    recipe.fit(target(), seed=0, checkpoint=folder)
    with pytest.raises(CheckpointError):
        recipe.fit(Samples(rows[0], condition=rows[1].flip(0)), seed=0, checkpoint=folder)
