"""DisCo-Diff: relaxed draws, both stages, centres, dropped latents, checkpoints, mistakes, modes told apart."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from phys_samplers import Samples, load, make
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingLoss
from phys_samplers.denoisers.discrete import Centred, LatentCode, LatentLoss, LatentPrior, LatentStack, fit_prior
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.fields import MLP
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.target import Target

TINY: dict[str, Any] = {"steps": 30, "batch_size": 32, "width": 8, "depth": 1, "sampling_steps": 5, "prior_steps": 10}
SMALL = MLP(width=8, depth=1)


@cache
def target() -> Target:
    """Two narrow modes in the plane, of weights 2/3 and 1/3."""
    g = make_generator(0, "two")
    side = torch.rand(900, 1, generator=g).lt(1 / 3).float()
    return Samples(torch.randn(900, 2, generator=g) * 0.2 + torch.cat((4 * side, -4 * side), 1))


@cache
def tiny(**options: Any) -> Any:
    return make("sampler", "disco", **{**TINY, **options}).fit(target(), seed=0)


def stack(replicas: int = 1, latents: int = 2, codes: int = 3) -> LatentStack:
    streams, width = Streams(range(replicas), "weights"), latents * codes
    denoiser = Centred(Denoiser(SMALL, 2, streams=streams, code_width=width), 2, width, replicas)
    return LatentStack(denoiser, SMALL.build(2, width, streams=streams), codes, replicas)


def loss(**options: Any) -> LatentLoss:
    inner = DenoisingLoss(**{"condition_dropout": 0.0, **options})
    return LatentLoss(inner=inner, steps=100, temperature=1.0, final_temperature=0.01, usage_weight=0.0)


@pytest.mark.parametrize("step", [0.0, 50.0, 200.0])
def test_relaxed_draws_have_the_chances_of_the_encoder_at_every_temperature(step: float) -> None:
    """Their largest entry is an exact draw; ten thousand of them are within five standard errors in every entry."""
    n, chances = 10_000, torch.tensor([[0.5, 0.3, 0.2], [0.05, 0.05, 0.9]])
    rows, logits = torch.zeros(1, n, 2), chances.log().expand(1, n, 2, 3)
    drawn = loss().coded(logits, rows, torch.tensor([step]), Streams([0], "noise"))[..., 2:].view(n, 2, 3)
    torch.testing.assert_close(drawn.sum(-1), torch.ones(n, 2))
    share = torch.nn.functional.one_hot(drawn.argmax(-1), 3).float().mean(0)
    assert ((share - chances).abs() < 5 * (chances * (1 - chances) / n).sqrt()).all()
    sharp = float(drawn.amax(-1).mean())
    assert {0.0: 0.6, 50.0: 0.9, 200.0: 0.99}[step] < sharp < {0.0: 0.85, 50.0: 0.99, 200.0: 1.0}[step]


def test_the_temperature_falls_geometrically_with_the_steps_taken() -> None:
    """Log-odds of two codes are (difference of logits and noise)/τ: half-way τ is 1/10, at the end 1/100."""
    logits = torch.zeros(1, 4, 1, 2)
    odds = []
    for step in (0.0, 50.0, 100.0):
        z = loss().coded(logits * 0 + torch.tensor([0.0, 1e-3]), torch.zeros(1, 4, 2), torch.tensor([step]), Fixed())
        odds.append((z[0, 0, 3] / z[0, 0, 2]).log())
    torch.testing.assert_close(torch.stack(odds), 1e-3 * torch.tensor([1.0, 10.0, 100.0]), rtol=1e-2, atol=1e-6)


class Fixed(Streams):
    """The same number for all."""

    def __init__(self) -> None:
        super().__init__([0])

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.full((1, *shape), 0.5, dtype=dtype)


def test_the_loss_is_the_denoisers_at_the_codes_drawn() -> None:
    """And its gradient reaches the encoder, but for rows whose latents are dropped."""
    module, rows = stack(), torch.randn(1, 16, 2, generator=make_generator(1))
    value = loss()(module, rows, Streams([0], "noise"))
    streams = Streams([0], "noise")
    table = loss().coded(module.logits(rows), rows, torch.zeros(1), streams)
    torch.testing.assert_close(value, DenoisingLoss(condition_dropout=0.0)(module.denoiser, table, streams))
    assert float(module.step) == 1
    for dropout, reaches in ((0.0, True), (1.0, False)):
        module = stack()
        module.denoiser.centres.data.normal_(generator=make_generator(2))
        loss(condition_dropout=dropout)(module, rows, Streams([0], "noise")).sum().backward()
        gradients = [p.grad for p in module.encoder.parameters()]
        assert any(g is not None and bool(g.abs().sum() > 0) for g in gradients) is reaches


def test_unused_codes_cost_what_their_law_lacks_of_entropy() -> None:
    module, rows = stack(codes=3), torch.randn(1, 64, 2, generator=make_generator(3))
    weighted = LatentLoss(inner=DenoisingLoss(), steps=9, temperature=1.0, final_temperature=1.0, usage_weight=2.0)
    plain = LatentLoss(inner=DenoisingLoss(), steps=9, temperature=1.0, final_temperature=1.0, usage_weight=0.0)
    values = [one(stack(codes=3), rows, Streams([0], "noise")) for one in (weighted, plain)]
    used = module.chances(rows)[0].mean(0)
    lacks = sum(math.log(3) - float(torch.distributions.Categorical(row).entropy()) for row in used)
    torch.testing.assert_close(values[0] - values[1], torch.tensor([2 * lacks]), rtol=1e-3, atol=1e-5)


def test_a_centre_moves_the_denoiser_and_none_leaves_it() -> None:
    inner = Denoiser(SMALL, 2, streams=Streams([0]), code_width=3)
    module = Centred(inner, 2, 3, 1)
    module.centres.data = torch.tensor([[[1.0, 2.0], [0.0, -1.0], [3.0, 0.0]]])
    x, level = torch.randn(1, 3, 2, generator=make_generator(4)), torch.tensor([[0.5]])
    code = torch.eye(3).unsqueeze(0)
    torch.testing.assert_close(module(x, level, code), inner(x - module.centres, level, code) + module.centres)
    none = torch.zeros(1, 3, 3)
    assert torch.equal(module(x, level, none), inner(x, level, none))


def test_the_law_of_one_latent_is_that_of_the_encoders_codes() -> None:
    """Exactly the mean chances of the training rows; 20,000 draws of it within five standard errors."""
    model, rows = tiny(), target().train
    chances = model.code.chances(model.standardiser.forward(rows))[:, 0].mean(0)
    torch.testing.assert_close(model.code.prior.first[0].softmax(-1), chances, rtol=1e-5, atol=1e-6)
    n = 20_000
    share = torch.bincount(model.code.draw(n, make_generator(1))[:, 0], minlength=8) / n
    assert ((share - chances).abs() < 5 * (chances * (1 - chances) / n).sqrt() + 1e-6).all()


def test_the_second_stage_learns_how_latents_hang_together() -> None:
    """z₂ = z₁ + 1 mod 3 of rows with the shares .5, .3 and .2, and z₃ free: total variation below .02."""
    first = torch.multinomial(torch.tensor([0.5, 0.3, 0.2]), 2_000, replacement=True, generator=make_generator(2))
    hot = torch.nn.functional.one_hot
    chances = torch.stack((hot(first, 3), hot((first + 1) % 3, 3), torch.full((2_000, 3), 1 / 3)), 1).float()
    prior = LatentPrior(3, 3, streams=Streams([0], "prior"))
    fit_prior(prior, chances, steps=300, seed=0)
    place = torch.tensor([9, 3, 1])
    law = torch.zeros(27)
    for k, share in enumerate((torch.bincount(first, minlength=3) / 2_000).tolist()):
        for free in range(3):
            law[9 * k + 3 * ((k + 1) % 3) + free] = share / 3
    z = prior.draw(40_000, make_generator(3))
    drawn = torch.bincount((z * place).sum(1), minlength=27) / 40_000
    assert float((drawn - law).abs().sum() / 2) < 0.02


@pytest.mark.parametrize("latents", [1, 2])
def test_stacked_seeds_and_loaded_models_draw_the_same_bits(latents: int, tmp_path: Path) -> None:
    model = tiny(latents=latents, codes=3)
    draw = model.draw(4, seed=1)
    assert draw.nfe == 9
    again = load(model.save(tmp_path / "model"))
    other = make("sampler", "disco", **TINY, latents=latents, codes=3).fit_replicas(target(), seeds=[1, 0])[1]
    for twin in (again, other):
        assert torch.equal(twin.sample(4, seed=1), draw.samples)  # type: ignore[union-attr]
        assert torch.equal(twin.sample(2, condition=[0] * latents), model.sample(2, condition=[0] * latents))


def test_latents_are_drawn_or_given_or_left_out() -> None:
    model = tiny()
    z = model.code.draw(6, make_generator(3, "conditions"))
    assert torch.equal(model.sample(6, seed=3), model.sample(6, seed=3, condition=z))
    alone = model.sample(6, seed=3, guidance_weight=-1)
    assert not torch.equal(alone, model.sample(6, seed=3))
    assert model.draw(6, guidance_weight=1.0).nfe == 18
    x = torch.zeros(2, 2)
    level = 0.3
    assert torch.equal(model.denoise(x, level), model.with_options(guidance_weight=-1).denoise(x, level))
    assert torch.isfinite(model.log_prob(target().train[:3])).all()


@pytest.mark.parametrize("bad", [8, -1, [0, 1, 2], 0.5, "a", [[0, 1]] * 2])
def test_latents_that_are_none_are_told(bad: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"expected latents|condition has 3 entries"):
        tiny().sample(2, condition=bad)


def test_conditions_of_rows_are_refused() -> None:
    rows = torch.randn(40, 2, generator=make_generator(5))
    with pytest.raises(MissingCapability, match="learns no laws given a condition"):
        make("sampler", "disco", **TINY).fit(Samples(rows, condition=[0, 1] * 20))


def test_codes_tell_modes_apart() -> None:
    """Two codes, two modes: every row's code is that of its mode, and their shares are those of the rows."""
    model = make("sampler", "disco", codes=2, steps=300, width=32, encoder="mlp[width=16,depth=1]").fit(
        target(), seed=0
    )
    rows = target().train
    assert rows is not None
    assert isinstance(model.code, LatentCode)
    side = (rows[:, 0] > 2).long()
    code = model.code.chances(model.standardiser.forward(rows))[:, 0]
    own = code[torch.arange(len(rows)), side if code[side == 1, 1].mean() > 0.5 else 1 - side]
    assert float(own.mean()) > 0.97
    for z in (0, 1):
        x = model.sample(200, condition=z, sampling_steps=5)[:, 0]
        assert float(((x > 2) == (x.mean() > 2)).double().mean()) > 0.97
