r"""DisCo-Diff: a denoiser beside an encoder whose discrete latents tell it which part of the data a row is from.

    E_{y, z ~ E_φ(y), σ, n}  w(σ) |D_θ(y + σn, σ | z) − y|²                       first stage, θ and φ together
    max_ψ  E_{y, z ~ E_φ(y)} Σ_i log p_ψ(z_i | z_{<i})                            second stage

with m latents z_i of k codes each (Xu et al. 2024, arXiv:2407.03300, Eq. 4.1 and 4.2 of the thesis). In the first stage
z is a relaxed draw, softmax((logits + Gumbel noise)/τ) (Jang, Gu & Poole 2017, arXiv:1611.01144), with τ falling
geometrically; samples take z from p_ψ, then come down with D_θ(·, · | z). Latents are conditions that have a law of
their own: they are dropped in training and guided by in draws as classes are (see ``conditional``).

A code has a learned centre μ(z) = Σ_i C_i[z_i] in the space of standardised rows, and around it stands the denoiser F
of the family, D(x, σ | z) = μ(z) + F(x − μ(z), σ | z), as the thesis has it for its toy (App. B.2.2). At high noise,
where D is near μ(z), the first stage is k-means.

Rows with unlike codes do not share stable targets: a relaxed code is its row's alone, so that its target is the row
itself, and a row whose latents are dropped has the mean over the batch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from phys_registry.errors import brief
from phys_samplers.conditions import Code
from phys_samplers.denoisers.sampler import DenoiserModel, DenoiserSampler
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import Field
from phys_samplers.objective import Loss, Problem
from phys_samplers.options import Part, fit_option, make_part
from phys_samplers.randomness import Streams
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target
from phys_samplers.training import TrainingPlan, train

PREFIX = "latents."
TINY = 1e-20
"""Least uniform number that a Gumbel draw is made of."""


@dataclass(frozen=True, kw_only=True)
class DiscreteLatents(DenoiserSampler):
    """A denoiser family with discrete latents; see the module. Derive from it and from the family, in this order.

    As a dataclass it brings the base's defaults, so that the class must say the family's own again, such as ``loss``.

    Args:
        latents: m.
        codes: k, of each latent.
        encoder: network from rows to the logits of all codes, by name or object.
        temperature: τ at the first step.
        final_temperature: τ at the last.
        usage_weight: of log k − H(mean of E_φ(z_i | y) over the batch), added for each latent: codes that no row
            has are seldom found again without it (the thesis has none).
        prior_steps: of the second stage; one latent needs none, as its law has a closed form.
    """

    takes_conditions: ClassVar[bool] = False

    latents: int = fit_option(1, least=1)
    codes: int = fit_option(8, least=2)
    encoder: Part = fit_option("mlp[width=64,depth=2]")
    temperature: float = fit_option(1.0, above=0)
    final_temperature: float = fit_option(0.1, above=0)
    usage_weight: float = fit_option(0.1, least=0)
    prior_steps: int = fit_option(500, least=1)

    def stack(self, dim: int, streams: Streams) -> LatentStack:
        """The stacked denoiser and encoder."""
        width = self.latents * self.codes
        encoder: Field = make_part("field", self.encoder)
        return LatentStack(
            self.denoiser_given(dim, streams, width),
            encoder.build(dim, width, streams=streams),
            self.codes,
            streams.replicas,
        )

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``; the second stage is part of what ``finish`` does."""
        bounds = torch.stack(rows.aminmax(dim=0))
        loss = LatentLoss(
            inner=self.training_loss(),
            steps=self.steps,
            temperature=self.temperature,
            final_temperature=self.final_temperature,
            usage_weight=self.usage_weight,
        )

        def finish(module: nn.Module, seed: int) -> DenoiserModel:
            assert isinstance(module, LatentStack)
            chances = torch.cat([module.chances(some.unsqueeze(0))[0] for some in rows.split(4_096)])
            prior = LatentPrior(self.latents, self.codes, streams=Streams([seed], "prior", device="cpu")).to(
                rows.device
            )
            fit_prior(prior, chances, steps=self.prior_steps, seed=seed)
            model = self.model(module.denoiser, standardiser, bounds, target.event_shape)
            model.code = LatentCode(module.encoder, prior)
            return model

        return Problem(self.stack(rows.shape[1], streams), loss, finish)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> DenoiserModel:
        """See ``Sampler.restore``."""
        standardiser, fresh = Standardiser.from_tensors(tensors), Streams([0], "restore")
        stack = self.stack(len(standardiser.mean), fresh)
        code = LatentCode(stack.encoder, LatentPrior(self.latents, self.codes, streams=fresh))
        for prefix, module in (("module.", stack.denoiser), *code.parts()):
            own = {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}
            module.load_state_dict(own)
            module.to(device).requires_grad_(False)
        model = self.model(stack.denoiser, standardiser, tensors["bounds"], event_shape)
        model.code = code
        return model


class Centred(nn.Module):
    """μ(z) + F(x − μ(z), σ | z) with μ linear in the code and 0 for no condition.

    Args:
        denoiser: F, stacked.
        dim: coordinates D.
        width: numbers K of a code.
        replicas: R.
    """

    def __init__(self, denoiser: nn.Module, dim: int, width: int, replicas: int) -> None:
        super().__init__()
        self.denoiser, self.code_width = denoiser, width
        self.centres = nn.Parameter(torch.zeros(replicas, width, dim))

    def forward(self, x: Tensor, sigma: Tensor, code: Tensor) -> Tensor:
        """(R, B, D), (R, B) or (R, 1), (R, B, K) or (R, 1, K) → (R, B, D)."""
        centre = code @ self.centres
        found: Tensor = self.denoiser(x - centre, sigma, code) + centre
        return found

    def loss_weight(self, sigma: Tensor) -> Tensor:
        """That of F."""
        found: Tensor = self.denoiser.loss_weight(sigma)  # type: ignore[operator]
        return found


class LatentStack(nn.Module):
    """Denoisers with their encoders.

    Args:
        denoiser: D(x, σ | z), stacked.
        encoder: x (R, B, D) → logits (R, B, m k), stacked.
        codes: k.
        replicas: R.
    """

    step: Tensor

    def __init__(self, denoiser: nn.Module, encoder: nn.Module, codes: int, replicas: int) -> None:
        super().__init__()
        self.denoiser, self.encoder, self.codes = denoiser, encoder, codes
        self.register_buffer("step", torch.zeros(replicas))

    def logits(self, rows: Tensor) -> Tensor:
        """(R, B, D) → (R, B, m, k)."""
        found: Tensor = self.encoder(rows).unflatten(-1, (-1, self.codes))
        return found

    @torch.no_grad()
    def chances(self, rows: Tensor) -> Tensor:
        """E_φ(z | y), (R, B, m, k)."""
        return self.logits(rows).softmax(-1)


@dataclass(frozen=True, kw_only=True)
class LatentLoss(Loss):
    """The family's loss with relaxed draws of the latents as codes of the rows.

    Args:
        inner: the loss of the denoiser.
        steps: after which τ is at its end.
        temperature: τ at the first step.
        final_temperature: τ at the last.
    """

    inner: Any
    steps: int
    temperature: float
    final_temperature: float
    usage_weight: float

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is a ``LatentStack``."""
        assert isinstance(module, LatentStack)
        logits = module.logits(rows)
        value: Tensor = self.inner(module.denoiser, self.coded(logits, rows, module.step, streams), streams)
        if not torch.is_grad_enabled():  # a validation loss is of the denoiser alone, and no step
            return value
        module.step += 1
        used = logits.softmax(-1).mean(1)
        unused = math.log(used.shape[-1]) + (used * used.clamp(min=TINY).log()).sum(-1)
        return value + self.usage_weight * unused.sum(-1)

    def coded(self, logits: Tensor, rows: Tensor, step: Tensor, streams: Streams) -> Tensor:
        """Rows with a relaxed draw of their latents after them, (R, B, D + m k), from logits (R, B, m, k)."""
        uniform = streams.uniform(*logits.shape[1:]).clamp_(min=TINY)
        gumbel = uniform.log_().neg_().clamp_(min=TINY).log_().neg_()
        share = (step / self.steps).clamp(max=1)
        tau = self.temperature * (self.final_temperature / self.temperature) ** share
        z = ((logits + gumbel) / tau.view(-1, 1, 1, 1)).softmax(-1)
        return torch.cat((rows, z.flatten(2)), 2)


class LatentPrior(nn.Module):
    """p_ψ(z) = Π p_ψ(z_i | z_{<i}), stacked: free logits for the first latent, one network for the others.

    Args:
        latents: m.
        codes: k.
        streams: one per replica.
    """

    def __init__(self, latents: int, codes: int, *, streams: Streams) -> None:
        super().__init__()
        self.latents, self.codes = latents, codes
        self.first = nn.Parameter(torch.zeros(streams.replicas, codes))
        self.rest: nn.Module | None = None
        if latents > 1:
            network: Field = make_part("field", "mlp[width=64,depth=2,input_gain=1.0]")
            self.rest = network.build(latents * (codes + 1), codes, streams=streams)

    def logits(self, z: Tensor, at: int) -> Tensor:
        """Of latent ``at`` given those before it in one-hot z (R, B, m, k): (R, B, k)."""
        if at == 0 or self.rest is None:
            return self.first.unsqueeze(1).expand(-1, z.shape[1], -1)
        before = z.clone()
        before[:, :, at:] = 0
        place = functional.one_hot(torch.tensor(at), self.latents).to(z).expand(*z.shape[:2], -1)
        found: Tensor = self.rest(torch.cat((before.flatten(2), place), 2))
        return found

    @torch.no_grad()
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` draws (n, m) of a prior of one replica, integers below k."""
        z = self.first.new_zeros(1, n, self.latents, self.codes)
        for at in range(self.latents):
            chances = self.logits(z, at)[0].softmax(-1)
            picked = torch.multinomial(chances, 1, generator=generator)
            z[0, :, at].scatter_(1, picked, 1.0)
        return z[0].argmax(-1)


def fit_prior(prior: LatentPrior, chances: Tensor, *, steps: int, seed: int) -> None:
    """The second stage, in place: maximum likelihood of latents of all rows, given by their chances (N, m, k).

    The first latent has the mean of its chances, exactly. The others are fitted to their chances given draws of those
    before them, which has the gradient of the likelihood of draws in expectation.
    """
    with torch.no_grad():
        prior.first.copy_(chances[:, 0].double().mean(0).clamp(min=1e-12).log().unsqueeze(0))
    if prior.rest is not None:
        streams = Streams([seed], "latents", device=chances.device)
        batch = min(256, len(chances))

        def loss() -> Tensor:
            seen = chances[streams.integers(len(chances), batch)]
            uniform = streams.uniform(*seen.shape[1:3], 1)
            picked = seen.cumsum(-1).lt(uniform).sum(-1).clamp_(max=prior.codes - 1)
            z = functional.one_hot(picked, prior.codes).to(seen)
            terms = [(seen[:, :, at] * prior.logits(z, at).log_softmax(-1)).sum(-1) for at in range(1, prior.latents)]
            return -torch.stack(terms).sum(0).mean(1)

        plan = TrainingPlan(steps=steps, learning_rate=4e-3, ema_decay=0.98)
        (report,) = train(prior.rest, loss, plan, description="prior of latents")
        if isinstance(report, Exception):
            raise report
    prior.requires_grad_(False)


class LatentCode(Code):
    """Latents as codes, with the law that they are drawn from.

    Args:
        encoder: of standardised rows.
        prior: of latents.
    """

    has_law: ClassVar[bool] = True

    def __init__(self, encoder: nn.Module, prior: LatentPrior) -> None:
        self.encoder, self.prior = encoder, prior

    @property
    def width(self) -> int:
        """m k."""
        return int(self.prior.latents * self.prior.codes)

    def __call__(self, condition: Any) -> Tensor:
        """Codes (B, m k) of latents (B, m), or of one (m,), integers below k.

        Raises:
            ConfigurationError: on anything else.
        """
        m, k = self.prior.latents, self.prior.codes
        try:
            z = torch.as_tensor(condition, device=self.prior.first.device)
            z = z.reshape(-1, m) if z.ndim < 2 else z
        except (TypeError, ValueError, RuntimeError):
            z = torch.zeros(0)
        if z.is_floating_point() or z.ndim != 2 or z.shape[1] != m or not ((z >= 0) & (z < k)).all():
            raise ConfigurationError(
                f"condition is {brief(condition)}; expected latents (n, {m}), integers from 0 to {k - 1}"
            )
        return (z.unsqueeze(-1) == torch.arange(k, device=z.device)).flatten(1).to(torch.float32)

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` latents (n, m) of their law."""
        found: Tensor = self.prior.draw(n, generator)
        return found

    def chances(self, rows: Tensor) -> Tensor:
        """E_φ(z | y) of standardised rows (B, D): (B, m, k)."""
        with torch.no_grad():
            logits: Tensor = self.encoder(rows.unsqueeze(0))[0]
        return logits.unflatten(-1, (-1, self.prior.codes)).softmax(-1)

    def parts(self) -> Sequence[tuple[str, nn.Module]]:
        """Its networks with the prefixes of their tensors."""
        return ((PREFIX + "encoder.", self.encoder), (PREFIX + "prior.", self.prior))

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of encoder and prior."""
        return {prefix + name: part for prefix, module in self.parts() for name, part in module.state_dict().items()}
