r"""FAB: a normalising flow trained where annealed importance sampling says that it is too low.

The α = 2 divergence ∫ p²/q has the gradient −∫ p²/q ∇log q, an average over the law g ∝ p²/q, which is large where q
misses the target. Samples of q are annealed towards g by MALA moves through

    log π_β = (1 − 2β) log q + 2β log p̃,        β from 0 to 1,

with weights whose mean is an unbiased estimate of ∫ p̃²/q; they fill a buffer, from which a step draws in proportion to
weight and follows

    L = −E[ min(q_old(x)/q(x), c) log q(x) ],

the factor for flows that have changed since x was weighed; it also renews the weights of the rows that were drawn. The
paper moves by Hamiltonian Monte Carlo, of which MALA is the case of one leapfrog step. Draws of a fitted model are
those of the flow, with the weights p̃/q.

The flow is the neural spline flow of the library zuko: ``pip install 'phys-samplers[flows]'``.

Source: Midgley et al. 2023, *Flow Annealed Importance Sampling Bootstrap* (arXiv:2208.01893), Eq. 3 and 5, Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from phys_samplers.chains import mala
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.objective import Objective
from phys_samplers.options import fit_option
from phys_samplers.paths import Ring, UnitDensity, UnitModel, UnitSampler, spread
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target
from phys_samplers.training.state import Counter

ACCEPTANCE, ADAPTS = 0.65, 0.2
"""Of the moves, and how fast logarithms of their step sizes follow it."""
NUMBERS_AT_ONCE = 2**18
"""Rows that a draw asks the flow for at a time."""
LOWEST = -1e6
"""log weight at least, so that rows in the buffer are finite."""


class _Both(nn.Module):
    """A flow of zuko in both directions, for ``functional_call``, inside of which both have to happen."""

    def __init__(self, flow: nn.Module) -> None:
        super().__init__()
        self.flow = flow

    def forward(self, x: Tensor, inverse: bool) -> Tensor:
        """log q (N,) of x (N, D), or samples (N, D) of normal ones."""
        law = self.flow()
        found: Tensor = law.transform.inv(x) if inverse else law.log_prob(x)
        return found


class StackedFlow(nn.Module):
    """R flows of the same shape, their numbers stacked.

    Args:
        dim: D.
        transforms: of the flow.
        width: of the two hidden layers of each.
        bins: of a spline.
        streams: one per replica, for initial weights.

    Raises:
        ConfigurationError: if zuko is not installed.
    """

    def __init__(self, dim: int, *, transforms: int, width: int, bins: int, streams: Streams) -> None:
        super().__init__()
        try:
            from zuko.flows import NSF
        except ImportError:
            raise ConfigurationError(
                "FAB trains a flow of the library zuko, which is not installed: pip install 'phys-samplers[flows]'"
            ) from None
        self.dim = dim
        with torch.random.fork_rng(devices=[]):  # its own first weights, which are replaced, take global numbers
            template = _Both(NSF(dim, transforms=transforms, hidden_features=(width, width), bins=bins))
        self._names = [name for name, _ in template.named_parameters()]
        for index, parameter in enumerate(template.parameters()):
            bound = 1 / math.sqrt(parameter.shape[-1] if parameter.ndim > 1 else width)
            values = streams.uniform(*parameter.shape).mul_(2 * bound).sub_(bound)
            self.register_parameter(f"part{index}", nn.Parameter(values))
        self._template = [
            template.requires_grad_(False)
        ]  # in a list, so that its buffers are not taken for stacked ones

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        self._template[0]._apply(fn)  # type: ignore[no-untyped-call]
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]

    def _call(self, x: Tensor, *, inverse: bool) -> Tensor:
        parts = [getattr(self, f"part{index}") for index in range(len(self._names))]
        found = []
        for r, rows in enumerate(x.unbind(0)):
            numbers = {name: part[r] for name, part in zip(self._names, parts, strict=True)}
            found.append(functional_call(self._template[0], numbers, (rows, inverse)))
        return torch.stack(found)

    def log_prob(self, x: Tensor) -> Tensor:
        """log q (R, N) of x (R, N, D)."""
        return self._call(x, inverse=False)

    def place(self, z: Tensor) -> Tensor:
        """Samples (R, N, D) of standard normal z (R, N, D)."""
        return self._call(z, inverse=True)

    def both(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log q (R, N) and its gradient (R, N, D), without a graph."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            value = self.log_prob(x)
            (score,) = torch.autograd.grad(value.sum(), x)
        return value.detach(), score


@torch.no_grad()
def annealed(
    flow: Any, density: UnitDensity, x: Tensor, streams: Streams, log_steps: Tensor, *, moves: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Anneal samples of q towards p̃²/q; the mean of the exponentials of the log weights estimates ∫ p̃²/q.

    Args:
        flow: q, with ``both``.
        density: of the target.
        x: samples of q (R, B, D).
        streams: of all draws.
        log_steps: log h (R, M) of the moves at M intermediate β.
        moves: at each.

    Returns:
        States (R, B, D), log weights (R, B) and mean acceptance (R, M).
    """
    replicas, count, dim = x.shape
    middle = log_steps.shape[1]

    def tempered(y: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        y = y.view(replicas, count, dim)
        (q, q_score), (p, p_score) = flow.both(y), density.both(y)
        value = (1 - 2 * beta) * q + 2 * beta * torch.nan_to_num(p, nan=-math.inf)
        return value.flatten(), torch.nan_to_num((1 - 2 * beta) * q_score + 2 * beta * p_score).flatten(0, 1)

    def gain(y: Tensor) -> Tensor:
        """d log π_β/dβ."""
        return 2 * (density.log_prob(y) - flow.log_prob(y))

    log_weights, accepted = torch.zeros_like(x[..., 0]), []
    for index in range(middle + 1):
        log_weights = log_weights + torch.nan_to_num(gain(x), nan=-math.inf) / (middle + 1)
        if index == middle:
            break
        beta = (index + 1) / (middle + 1)
        law = partial(tempered, beta=beta)
        state = mala.init(x.flatten(0, 1), law)
        rates = []
        for _ in range(moves):
            noise, uniform = streams.normal(count, dim).flatten(0, 1), streams.uniform(count).flatten().log()
            step = log_steps[:, index, None].exp().expand(-1, count).reshape(-1, 1)
            state, info = mala.step(state, law, step_size=step, noise=noise, log_uniform=uniform)
            rates.append(info.acceptance.view(replicas, count).mean(1))
        accepted.append(torch.stack(rates).mean(0))
        x = state.x.view(replicas, count, dim)
    rates_of = torch.stack(accepted, 1) if accepted else log_steps
    return x, log_weights, rates_of


def bootstrap_loss(log_q: Tensor, log_old: Tensor, largest: float) -> Tensor:
    """L (R,) on rows drawn in proportion to their weights: log q (R, B) now, and when they were weighed."""
    correction = (log_old - log_q.detach()).clamp(max=math.log(largest)).exp()
    return -(correction * log_q).mean(1)


class FlowModel(UnitModel[StackedFlow]):
    """A fitted flow: independent samples, with the weights that make them exact."""

    recipe: FAB

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples of the flow with the weights p̃/q, at one evaluation each; diagnostics are those of weights.

        Raises:
            ConfigurationError: on ``start``: there is nothing to go on from.
        """
        self.check_draw(n, start)
        self.recipe.for_draw(options)
        if start is not None:
            raise ConfigurationError("start was given, but a flow makes samples from noise; leave it out")
        density, generator = UnitDensity(self._target, self.scale), make_generator(seed, "flow", device=self.device)
        samples, weights = [], []
        for begin in range(0, n, NUMBERS_AT_ONCE):
            shape = (1, min(NUMBERS_AT_ONCE, n - begin), density.dim)
            x = self.network.place(torch.randn(shape, generator=generator, device=self.device))
            samples.append(x[0])
            weights.append((density.log_prob(x) - self.network.log_prob(x))[0])
        log_weights = torch.cat(weights)
        facts = weight_diagnostics(log_weights)
        return Draw(density.flat.embed(torch.cat(samples) * self.scale), 1.0, facts, log_weights)


@dataclass(frozen=True, kw_only=True)
class FAB(UnitSampler):
    """Flow annealed importance sampling bootstrap.

    Args:
        transforms: of the flow.
        width: of the two hidden layers of each.
        bins: of a spline.
        intermediate: M, laws between q and p²/q.
        moves: MALA steps at each.
        first_step: h of the moves at first, in units of the spread squared.
        walks: samples that are annealed together.
        refill_every: steps between such.
        kept_rounds: batches that the buffer keeps.
        batch_size: rows of a step.
        largest_correction: c.
        scale: spread of the target, the unit; None finds it by importance sampling.
    """

    model: ClassVar[type[FlowModel]] = FlowModel
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})

    transforms: int = fit_option(4, least=1)
    width: int = fit_option(64, least=1)
    bins: int = fit_option(8, least=2)
    intermediate: int = fit_option(4, least=0)
    moves: int = fit_option(2, least=1)
    first_step: float = fit_option(0.02, above=0)
    walks: int = fit_option(256, least=2)
    refill_every: int = fit_option(4, least=1)
    kept_rounds: int = fit_option(64, least=1)
    batch_size: int = fit_option(256, least=2)
    largest_correction: float = fit_option(10.0, least=1)
    scale: float | None = fit_option(None, above=0)
    steps: int = fit_option(1_500, least=1)
    learning_rate: float = fit_option(2e-3, above=0)
    ema_decay: float = fit_option(0.99, least=0, below=1)

    def flow(self, dim: int, streams: Streams) -> StackedFlow:
        """The stacked flows."""
        return StackedFlow(dim, transforms=self.transforms, width=self.width, bins=self.bins, streams=streams)

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``."""
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        flow, dim = self.flow(density.dim, Streams(seeds, "weights", device="cpu")).to(device), density.dim
        turn = Counter()
        buffer = Prioritised(noise, capacity=self.kept_rounds * self.walks, dim=dim)
        tuned = Tuned(torch.full((len(seeds), self.intermediate), math.log(self.first_step), device=noise.device))

        @torch.no_grad()
        def refill() -> None:
            x = flow.place(noise.normal(self.walks, dim))
            x, log_weights, rates = annealed(flow, density, x, noise, tuned.log_steps, moves=self.moves)
            if self.intermediate:
                tuned.log_steps += ADAPTS * (rates - ACCEPTANCE)
            buffer.add(x, log_weights, flow.log_prob(x))

        def loss() -> Tensor:
            if turn.value % self.refill_every == 0:
                refill()
            turn.value += 1
            x, log_old, index = buffer.draw(self.batch_size)
            log_q = flow.log_prob(x)
            buffer.renew(index, log_q.detach())
            return bootstrap_loss(log_q, log_old, self.largest_correction)

        def finish(module: nn.Module, seed: int) -> FlowModel:
            assert isinstance(module, StackedFlow)
            return FlowModel(self, module, target, scale=scale, device=device)

        return Objective(flow, loss, finish, state=(noise, turn, buffer.ring, tuned))

    def stacked(self, target: Target, streams: Streams) -> StackedFlow:
        """See ``UnitSampler.stacked``."""
        return self.flow(target.flat_dim, streams)


class Prioritised:
    """A ring of rows x, log w and log q as it was when they were weighed, drawn in proportion to w.

    Args:
        streams: of all draws.
        capacity: rows.
        dim: of x.
    """

    def __init__(self, streams: Streams, *, capacity: int, dim: int) -> None:
        self.ring, self.dim = Ring(streams, capacity=capacity, columns=dim + 2), dim

    def add(self, x: Tensor, log_weights: Tensor, log_q: Tensor) -> None:
        """Rows (R, B, D) with log w and log q (R, B); what is not finite has no weight."""
        good = torch.isfinite(x).all(-1) & torch.isfinite(log_weights) & torch.isfinite(log_q)
        weights = torch.where(good, log_weights, LOWEST).clamp(min=LOWEST)
        rows = torch.cat((x, weights.unsqueeze(-1), log_q.unsqueeze(-1)), -1)
        self.ring.add(torch.where(good.unsqueeze(-1), rows, torch.nan_to_num(rows, 0.0, 0.0, 0.0)))

    def draw(self, n: int) -> tuple[Tensor, Tensor, Tensor]:
        """x (R, n, D), log q as it was (R, n), and where they stand (R, n)."""
        rows = self.ring.rows[:, : self.ring.filled]
        cumulative = rows[..., self.dim].double().softmax(1).cumsum(1)
        points = self.ring.streams.uniform(n).double() * cumulative[:, -1:]
        index = torch.searchsorted(cumulative, points, right=True).clamp_(max=self.ring.filled - 1)
        chosen = rows.gather(1, index[..., None].expand(-1, -1, rows.shape[-1]))
        return chosen[..., : self.dim], chosen[..., self.dim + 1], index

    def renew(self, index: Tensor, log_q: Tensor) -> None:
        """Of rows that were drawn, w becomes w q_old/q, since they are weighed for p²/q."""
        rows = self.ring.rows
        old_w, old_q = (rows[..., self.dim + i].gather(1, index) for i in range(2))
        rows[..., self.dim] = rows[..., self.dim].scatter(1, index, old_w + old_q - log_q)
        rows[..., self.dim + 1] = rows[..., self.dim + 1].scatter(1, index, log_q)


class Tuned:
    """log h (R, M), as part of a training's state."""

    def __init__(self, log_steps: Tensor) -> None:
        self.log_steps = log_steps

    def state_dict(self) -> dict[str, Tensor]:
        """See ``Resumable``."""
        return {"log_steps": self.log_steps}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Resumable``."""
        self.log_steps.copy_(state["log_steps"])
