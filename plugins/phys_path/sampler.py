r"""Neural samplers that align paths with the target: PIS, DDS, DIS and CMCD, each with any of the objectives.

The chains are those of ``processes``, the objectives those of ``objectives`` and ``replay``. ``replay``, the default
where the backward chain learns nothing, fits the forward chain to ends of its own paths, moved and carried back; the
others are functions of the weights of whole paths. All but ``kl`` build no graph while paths are simulated, and may
learn from paths that are noisier than the sampler's own (``exploration``) or carried back from moved ends
(``replayed``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from phys_path.objectives import WeightObjective, flows, objective_of, sub_trajectory_balance
from phys_path.particles import resampled
from phys_path.paths import Control, Paths, carried_back, given, simulated
from phys_path.processes import Grid, Name, Process, make_process
from phys_path.replay import likelihood
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.objective import Objective
from phys_samplers.options import Part, draw_option, fit_option
from phys_samplers.paths import Replay, UnitDensity, UnitModel, UnitSampler, spread
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target
from phys_samplers.training.state import Counter

PathObjective = Literal["replay", "kl", "sub-trajectory-balance"] | WeightObjective

NUMBERS_AT_ONCE = 2**24
"""Coordinates of states that a draw holds together."""


class PathModel(UnitModel[Control]):
    """A fitted path sampler: independent paths, with the weights that make their ends exact."""

    recipe: PathSampler

    @property
    def control(self) -> Control:
        """Of one replica."""
        return self.network

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` ends of independent paths, at K + 1 gradients each.

        Diagnostics: ``log_z`` with ``log_z_std`` (delta method), ``elbo``, ``ess`` of the path weights. With
        ``resample_below`` paths depend on each other, and ``resampled`` says how often: Ẑ has no standard error then.

        Raises:
            ConfigurationError: on ``start``: every path starts in the prior.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but paths start in the prior of their process; leave it out")
        recipe = self.recipe.for_draw(options)
        density, steps = UnitDensity(self._target, self.scale), self.control.process.steps
        generator = make_generator(seed, "paths", device=self.device)
        ends: list[Tensor] = []
        weights: list[Tensor] = []
        counts: list[Tensor] = []
        at_once = max(1, NUMBERS_AT_ONCE // ((steps + 1) * density.dim))
        for begin in range(0, n, at_once):
            size = min(at_once, n - begin)
            x0 = torch.randn(1, size, density.dim, generator=generator, device=self.device)
            noise = torch.randn(1, steps, size, density.dim, generator=generator, device=self.device)
            x0 = torch.zeros_like(x0) if self.control.process.point else x0
            if recipe.resample_below is None:
                paths = simulated(self.control, density, x0, noise)
                ends.append(paths.states[0, -1])
                log_target = density.log_prob(paths.states[:, -1])
                weights.append(paths.log_weights(self.control.process, log_target)[0])
                continue
            uniform = torch.rand(1, steps, generator=generator, device=self.device)
            moved = resampled(self.control, density, x0, noise, uniform, least=recipe.resample_below)
            ends.append(moved.ends[0])
            weights.append(moved.log_weights[0])
            counts.append(moved.times)
        log_weights = torch.cat(weights)
        samples = density.flat.embed(torch.cat(ends) * self.scale)
        facts = weight_diagnostics(log_weights)
        if counts:
            facts = {name: facts[name] for name in ("log_z", "ess") if name in facts}
            facts["resampled"] = float(torch.cat(counts).mean())
        return Draw(samples, float(steps + 1), facts, log_weights)

    @torch.no_grad()
    def backward_diagnostics(self, samples: Tensor, *, seed: int = 0) -> dict[str, float]:
        """What paths carried back from exact ``samples`` (n, *event_shape) say, at K + 1 gradients each.

        ``eubo``: E[log w], at least log Z; unlike the lower bound it sees modes that the sampler has lost. ``log_z``:
        from E[1/w] = 1/Z, which holds if the sampler reaches wherever they do. ``ess``: 1/(E[w] E[1/w]), the share of
        effective draws of the sampler with lost modes counted.
        """
        density, process = UnitDensity(self._target, self.scale), self.control.process
        generator = make_generator(seed, "back", device=self.device)
        rows = density.flat.reduce(samples.to(self.device, torch.float32)) / self.scale
        found: list[Tensor] = []
        for end in rows.split(max(1, NUMBERS_AT_ONCE // ((process.steps + 1) * density.dim))):
            noise = torch.randn(1, process.steps, *end.shape, generator=generator, device=self.device)
            paths = given(self.control, *carried_back(self.control, density, end.unsqueeze(0), noise))
            found.append(paths.log_weights(process, density.log_prob(paths.states[:, -1]))[0])
        weights = torch.cat(found).double()
        count = math.log(len(weights))
        inverse, direct = (-weights).logsumexp(0) - count, weights.logsumexp(0) - count
        return {"eubo": float(weights.mean()), "log_z": float(-inverse), "ess": float((-inverse - direct).exp())}


@dataclass(frozen=True, kw_only=True)
class PathSampler(UnitSampler):
    """What the path samplers share.

    Args:
        objective: how paths are aligned with the target; see the module.
        span: steps of a piece in sub-trajectory balance; 1 is detailed balance, K trajectory balance.
        field: network of the control, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        sampling_steps: K.
        grid: how long steps are; see ``make_process``.
        detail: standard deviation of the finest step, in units of the spread.
        widths: whether the standard deviations of the forward steps are learned too.
        scale: spread of the target, the unit of everything here; None finds it by importance sampling from N(0, s²I).
        gate: of the score in the control, at first.
        score_clip: largest norm of the score in the control.
        batch_size: paths per step and replica, of objectives of weights.
        exploration: η, by which every second batch of simulated paths has more noise while fitting.
        replayed: whether every second batch is carried back from moved ends of those simulated before.
        rows: of ``replay``: noised ends of a step, even; each end is seen with ε and with −ε.
        walks: of ``replay``: paths simulated together for new ends.
        refill_every: of ``replay``: steps until then.
        kept_rounds: batches of ends that are kept.
        moves: MALA steps of an end.
        resample_below: share of effective particles below which they are resampled along the path; None for
            independent paths.
    """

    model: ClassVar[type[PathModel]] = PathModel
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    process: ClassVar[Name]

    objective: PathObjective = fit_option("replay")
    span: int = fit_option(8, least=1)
    field: Part = fit_option("fourier-mlp")
    width: int | None = fit_option(None, least=1)
    depth: int | None = fit_option(None, least=1)
    sampling_steps: int = fit_option(64, least=1)
    grid: Grid = fit_option("geometric")
    detail: float = fit_option(0.03, above=0, below=1)
    widths: bool = fit_option(True)
    scale: float | None = fit_option(None, above=0)
    gate: float = fit_option(0.5)
    score_clip: float = fit_option(5.0, above=0)
    batch_size: int = fit_option(256, least=2)
    exploration: float = fit_option(1.0, least=1)
    replayed: bool = fit_option(False)
    rows: int = fit_option(2_048, least=2)
    walks: int = fit_option(2_048, least=2)
    refill_every: int = fit_option(80, least=1)
    kept_rounds: int = fit_option(12, least=1)
    moves: int = fit_option(5, least=0)
    steps: int = fit_option(2_500, least=1)
    learning_rate: float = fit_option(5e-3, above=0)
    ema_decay: float = fit_option(0.99, least=0, below=1)
    resample_below: float | None = draw_option(None, above=0, most=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows % 2:
            raise ConfigurationError(f"rows is {self.rows}; expected an even number: ends are seen with ε and with −ε")
        if self.objective == "replay" and self.process == "cmcd":
            raise ConfigurationError(
                "objective is 'replay', which needs a backward chain that learns nothing, and that of cmcd follows the "
                "control; choose 'log-variance' with replayed=True"
            )
        if self.replayed and self.objective in ("kl", "replay", "second-moment"):
            raise ConfigurationError(
                f"replayed is True and objective is {self.objective!r}, whose paths are its own; choose log-variance, "
                "trajectory-balance or sub-trajectory-balance"
            )

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``."""
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        control = self.control(density.dim, Streams(seeds, "weights", device="cpu")).to(device)
        turn, process, dim = Counter(), control.process, density.dim
        size = self.walks if self.objective == "replay" else self.batch_size
        replay = Replay(density, noise, size=size, rounds=self.kept_rounds, moves=self.moves, step=self.detail**2)

        def walk(eta: float, *, attached: bool = False) -> tuple[Paths, Tensor]:
            start = noise.normal(size, dim)
            start = torch.zeros_like(start) if process.point else start
            kicks = noise.normal(process.steps, size, dim)
            paths = simulated(control, density, start, kicks, exploration=eta, attached=attached)
            return paths, density.log_prob(paths.states[:, -1])

        @torch.no_grad()
        def refill(eta: float) -> Paths:
            paths, ends = walk(eta)
            replay.add(paths.states[:, -1], paths.log_weights(process, ends))
            return paths

        def regression() -> Tensor:
            if turn.value % self.refill_every == 0:
                refill(self.exploration if turn.value // self.refill_every % 2 else 1.0)
            turn.value += 1
            half = self.rows // 2
            (ends, slopes), kicks = replay.draw(half), noise.normal(half, dim)
            steps = torch.arange(half, device=kicks.device) * process.steps // half
            ends, slopes, kicks = (torch.cat(pair, 1) for pair in ((ends, ends), (slopes, slopes), (kicks, -kicks)))
            return likelihood(control, density, ends, slopes, torch.cat((steps, steps)), kicks)

        def of_weights() -> Tensor:
            if self.objective == "kl":
                paths, ends = walk(1.0, attached=True)
                return -paths.log_weights(process, ends).mean(1)
            odd = turn.value % 2
            turn.value += 1
            with torch.no_grad():
                if self.replayed and odd:
                    back = noise.normal(process.steps, size, dim)
                    states, scores = carried_back(control, density, replay.draw(size)[0], back)
                else:
                    eta = self.exploration if odd else 1.0
                    seen = refill(eta) if self.replayed else walk(eta)[0]
                    states, scores = seen.states, seen.scores
                ends = density.log_prob(states[:, -1])
            paths = given(control, states, scores)
            if self.objective == "sub-trajectory-balance":
                return sub_trajectory_balance(paths.forward, paths.backward, flows(control, ends, states), self.span)
            assert self.objective != "replay"
            log_weights, log_forward = paths.log_weights(process, ends), paths.forward.sum(1)
            return objective_of(self.objective, log_weights, log_forward, control.log_z)

        def finish(module: nn.Module, seed: int) -> PathModel:
            assert isinstance(module, Control)
            return PathModel(self, module, target, scale=scale, device=device)

        loss = regression if self.objective == "replay" else of_weights
        return Objective(control, loss, finish, state=(noise, turn, replay))

    def control(self, dim: int, streams: Streams) -> Control:
        """The stacked control, whose network begins at zero."""
        field = make_field(self.field, width=self.width, depth=self.depth)
        network = field.build(dim, dim, streams=streams, conditioned=True, out_gain=0.0)
        flow = None
        if self.objective == "sub-trajectory-balance":
            flow = field.build(dim, 1, streams=streams, conditioned=True, out_gain=0.0)
        process: Process = make_process(self.process, self.sampling_steps, grid=self.grid, detail=self.detail)
        return Control(
            network, streams.replicas, process, gate=self.gate, clip=self.score_clip, widths=self.widths, flow=flow
        )

    def stacked(self, target: Target, streams: Streams) -> Control:
        """See ``UnitSampler.stacked``."""
        return self.control(target.flat_dim, streams)


@dataclass(frozen=True, kw_only=True)
class PIS(PathSampler):
    """Path integral sampler: Brownian motion from 0, steered (Zhang & Chen 2022, arXiv:2111.15141)."""

    process: ClassVar[Name] = "pis"


@dataclass(frozen=True, kw_only=True)
class DDS(PathSampler):
    """Denoising diffusion sampler (Vargas et al. 2023, arXiv:2302.13834)."""

    process: ClassVar[Name] = "dds"


@dataclass(frozen=True, kw_only=True)
class DIS(PathSampler):
    """Time-reversed diffusion sampler (Berner et al. 2024, arXiv:2211.01364)."""

    process: ClassVar[Name] = "dis"


@dataclass(frozen=True, kw_only=True)
class CMCD(PathSampler):
    """Controlled Monte Carlo diffusion (Vargas et al. 2024, arXiv:2307.01050); gate and clip have nothing to act on."""

    process: ClassVar[Name] = "cmcd"

    objective: PathObjective = fit_option("log-variance")
    steps: int = fit_option(400, least=1)
    ema_decay: float = fit_option(0.9, least=0, below=1)
