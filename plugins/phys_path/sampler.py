r"""Neural samplers that align paths with the target: PIS, DDS, DIS and CMCD, each with any of the objectives.

An objective is a function of the vector log w of a batch of paths (``processes``):

    kl                   −E[log w], gradients along the paths (reparametrised)
    log-variance         Var[log w] over any paths; on its own paths, with a fixed B, half its gradient is that of KL
    trajectory-balance   E[(log w − log Ẑ)²] with a learned log Ẑ, whose optimum gives the log-variance
    sub-trajectory-balance   the same for pieces of a path, with a learned law of the states between
    second-moment        log E[w²], whose optimum has the least variance of weights (2-Rényi)

Paths of all but ``kl`` are simulated without a graph and may be noisier than the sampler's own (``exploration``).
Richter & Berner 2024 (arXiv:2307.01198); Malkin et al. 2022 (arXiv:2201.13259); Sendera et al. 2024 (arXiv:2402.05098).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from phys_path.paths import Control, UnitDensity, carried_back, factors, flows, walk, weighed
from phys_path.processes import DenoisingDiffusion, MonteCarloDiffusion, PathIntegral, Process, TimeReversed, log_normal
from phys_samplers.density import DensityModel, same_target
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.objective import Objective, TrainedSampler
from phys_samplers.options import Part, fit_option
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target

PathObjective = Literal["kl", "log-variance", "trajectory-balance", "sub-trajectory-balance", "second-moment"]

LOWEST = -1e4
"""log w below it counts as this much."""
SCALES = torch.logspace(2, -2, 25, dtype=torch.float64)
SCALE_DRAWS, ENOUGH = 10_000, 25.0
"""Of the search for the target's spread: widths tried, widest first; draws at each; effective draws that decide."""
ROWS_AT_ONCE = 2**15
"""Paths that a draw simulates together."""


class PathModel(DensityModel):
    """A fitted path sampler: independent paths, with the weights that make their ends exact.

    Args:
        recipe: the recipe.
        control: of one replica.
        target: on ``device``.
        scale: spread of the target.
        device: where to compute.
    """

    recipe: PathSampler

    def __init__(
        self, recipe: PathSampler, control: Control, target: Target, *, scale: float, device: torch.device | str
    ) -> None:
        super().__init__(recipe, target=target, device=device)
        self.control, self.scale = control, scale

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` ends of independent paths, at K + 1 gradients each.

        Diagnostics: ``log_z`` with ``log_z_std`` (delta method), ``elbo``, ``ess`` of the path weights.

        Raises:
            ConfigurationError: on ``start``: every path starts in the prior.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but paths start in the prior of their process; leave it out")
        recipe = self.recipe.for_draw(options)
        density = UnitDensity(self._target, self.scale)
        generator = make_generator(seed, "paths", device=self.device)
        ends: list[Tensor] = []
        weights: list[Tensor] = []
        for begin in range(0, n, ROWS_AT_ONCE):
            shape = (1, min(ROWS_AT_ONCE, n - begin), density.dim)

            def noise(shape: tuple[int, ...] = shape) -> Tensor:
                return torch.randn(shape, generator=generator, device=self.device)

            x0 = torch.zeros(shape, device=self.device) if self.control.process.point else noise()
            paths = walk(self.control, density, x0, noise, keep=False)
            ends.append(paths.states[0, -1])
            weights.append(paths.log_weights[0])
        log_weights = torch.cat(weights)
        samples = density.flat.embed(torch.cat(ends) * self.scale)
        return Draw(samples, float(recipe.sampling_steps + 1), weight_diagnostics(log_weights), log_weights)

    @torch.no_grad()
    def upper_bound(self, samples: Tensor, *, seed: int = 0) -> float:
        """EUBO: E[log w] over paths carried back from exact ``samples`` (n, *event_shape), at least log Z.

        Unlike the lower bound it sees modes that the sampler has lost.
        """
        density = UnitDensity(self._target, self.scale)
        generator = make_generator(seed, "back", device=self.device)
        end = density.flat.reduce(samples.to(self.device, torch.float32)).unsqueeze(0) / self.scale

        def noise() -> Tensor:
            return torch.randn(end.shape, generator=generator, device=self.device)

        return float(carried_back(self.control, density, end, noise).log_weights.double().mean())

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the control."""
        return dict(self.control.state_dict())

    def facts(self) -> dict[str, Any]:
        """The spread that was found."""
        return {**super().facts(), "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class PathSampler(TrainedSampler):
    """What the path samplers share.

    Args:
        objective: how paths are objective_of with the target; see the module.
        span: steps of a piece in sub-trajectory balance; 1 is detailed balance, K trajectory balance.
        field: network of the control, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        sampling_steps: K.
        batch_size: paths per step and replica.
        scale: spread of the target, the unit of everything here; None finds it by importance sampling from N(0, s²I).
        detail: standard deviation of the finest step, in that unit.
        gate: of the score in the control, at first.
        score_clip: largest norm of the score in the control.
        exploration: η, by which every second batch of detached paths has more noise.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    process: ClassVar[type[Process]]

    objective: PathObjective = fit_option("log-variance")
    span: int = fit_option(8, least=1)
    field: Part = fit_option("fourier-mlp")
    width: int | None = fit_option(None, least=1)
    depth: int | None = fit_option(None, least=1)
    sampling_steps: int = fit_option(64, least=1)
    batch_size: int = fit_option(256, least=2)
    scale: float | None = fit_option(None, above=0)
    detail: float = fit_option(0.02, above=0, below=1)
    gate: float = fit_option(0.5)
    score_clip: float = fit_option(5.0, above=0)
    exploration: float = fit_option(1.0, least=1)
    steps: int = fit_option(1_000, least=1)
    learning_rate: float = fit_option(5e-3, above=0)
    ema_decay: float = fit_option(0.9, least=0, below=1)

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``."""
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        control = self.control(density.dim, Streams(seeds, "weights", device="cpu")).to(device)
        shape = (self.batch_size, density.dim)
        turn = _Turn()

        def start() -> Tensor:
            origin = torch.zeros(len(seeds), *shape, device=device)
            return origin if control.process.point else noise.normal(*shape)

        def loss() -> Tensor:
            if self.objective == "kl":
                return -walk(control, density, start(), lambda: noise.normal(*shape), attached=True).log_weights.mean(1)
            turn.count += 1
            eta = self.exploration if turn.count % 2 == 0 else 1.0
            with torch.no_grad():
                paths = walk(control, density, start(), lambda: noise.normal(*shape), exploration=eta)
                log_target = density.log_prob(paths.states[:, -1])
            if self.objective == "sub-trajectory-balance":
                flow = flows(control, log_target, paths.states)
                return sub_trajectory_balance(*factors(control, paths.states, paths.scores), flow, self.span)
            log_weights, log_forward = weighed(control, log_target, paths.states, paths.scores)
            return objective_of(self.objective, log_weights, log_forward, control.log_z)

        def finish(module: nn.Module, seed: int) -> PathModel:
            assert isinstance(module, Control)
            return PathModel(self, module, target, scale=scale, device=device)

        return Objective(control, loss, finish, state=(noise, turn))

    def control(self, dim: int, streams: Streams) -> Control:
        """The stacked control, whose network begins at zero."""
        field = make_field(self.field, width=self.width, depth=self.depth)
        network = field.build(dim, dim, streams=streams, conditioned=True, out_gain=0.0)
        process = self.process(self.sampling_steps, self.detail)
        flow = None
        if self.objective == "sub-trajectory-balance":
            flow = field.build(dim, 1, streams=streams, conditioned=True, out_gain=0.0)
        return Control(network, streams.replicas, process, gate=self.gate, clip=self.score_clip, flow=flow)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> PathModel:
        """See ``Sampler.restore``."""
        target = same_target(target, event_shape, by=type(self).__name__)
        density = UnitDensity(target, facts["scale"])
        control = self.control(density.dim, Streams([0], "restore")).requires_grad_(False)
        control.load_state_dict(dict(tensors))
        return PathModel(self, control.to(device), target.to(device), scale=facts["scale"], device=device)


class _Turn:
    """Which batch it is, so that a resumed fit explores where the other would have."""

    def __init__(self) -> None:
        self.count = 0

    def state_dict(self) -> dict[str, Tensor]:
        return {"count": torch.tensor(self.count)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        self.count = int(state["count"])


def objective_of(name: PathObjective, log_weights: Tensor, log_forward: Tensor, log_z: Tensor) -> Tensor:
    """The objective (R,) of detached paths, from log w and log F (R, B) and log Ẑ (R, 1)."""
    kept = log_weights.clamp(min=LOWEST)
    if name == "log-variance":
        return kept.var(1)
    if name == "trajectory-balance":
        return (kept - log_z).square().mean(1)
    # ∇E[w²] = E[w²(2∇log w + ∇log F)] on the sampler's own paths, divided by E[w²].
    share = torch.softmax(2 * kept.detach(), 1)
    return (share * (2 * kept + log_forward)).sum(1)


def sub_trajectory_balance(forward: Tensor, backward: Tensor, flow: Tensor, span: int) -> Tensor:
    """Mean over pieces of ``span`` steps of (log flow_end B − log flow_start F)², (R,).

    One step a piece is detailed balance, all of them trajectory balance (Madan et al. 2023, arXiv:2209.12782).

    Args:
        forward: log F (R, K, B) of each step.
        backward: log B, likewise.
        flow: of the states (R, K + 1, B).
        span: steps of a piece; the last piece is shorter where it has to be.
    """
    steps = forward.shape[1]
    marks = [*range(0, steps, span), steps]
    through = torch.cat((torch.zeros_like(flow[:, :1]), (backward - forward).cumsum(1)), 1)
    pieces = (flow + through)[:, marks].diff(dim=1)
    return pieces.clamp(min=LOWEST).square().mean((1, 2))


@torch.no_grad()
def spread(target: Target) -> float:
    """Root mean square of a coordinate under the target, by importance sampling from N(0, s²I).

    The widest s of a grid counts whose draws have ``ENOUGH`` effective ones: a narrow proposal looks best from within
    the one mode that it covers. Weights are raised to min(1, 4/D), so that they tell widths apart in many dimensions.
    """
    density = UnitDensity(target, 1.0)
    z = torch.randn(SCALE_DRAWS, density.dim, generator=make_generator(0, "spread"))
    z = z.to(torch.empty(0) if target.train is None else target.train)
    for scale in SCALES.tolist():
        log_weights = density.log_prob(z * scale).double() - log_normal(z * scale, scale**2).double()
        weights = torch.softmax(min(1.0, 4 / density.dim) * torch.nan_to_num(log_weights, nan=-math.inf), 0)
        if float(1 / weights.square().sum()) >= ENOUGH:
            return scale * float((weights[:, None] * z.double().square()).sum(0).mean().sqrt())
    return 1.0


@dataclass(frozen=True, kw_only=True)
class PIS(PathSampler):
    """Path integral sampler: Brownian motion from 0, steered (Zhang & Chen 2022, arXiv:2111.15141)."""

    process: ClassVar[type[Process]] = PathIntegral


@dataclass(frozen=True, kw_only=True)
class DDS(PathSampler):
    """Denoising diffusion sampler (Vargas et al. 2023, arXiv:2302.13834)."""

    process: ClassVar[type[Process]] = DenoisingDiffusion


@dataclass(frozen=True, kw_only=True)
class DIS(PathSampler):
    """Time-reversed diffusion sampler (Berner et al. 2024, arXiv:2211.01364)."""

    process: ClassVar[type[Process]] = TimeReversed


@dataclass(frozen=True, kw_only=True)
class CMCD(PathSampler):
    """Controlled Monte Carlo diffusion (Vargas et al. 2024, arXiv:2307.01050); gate and clip have nothing to act on."""

    process: ClassVar[type[Process]] = MonteCarloDiffusion
