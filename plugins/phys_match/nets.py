r"""NETS and PINN: one drift for all times, fitted to the equation that carries an interpolant along.

The residual of the equation of ``interpolant`` at a state x and a step k,

    R = ∇·b + b·∇log π_t + β̇ U − F_k,        L = E[R²],

is zero everywhere if b carries the interpolant, whatever the law of the states is, so that they are kept and used
again. F_k, learned beside the network, starts from the pilot's estimate and is then d log Z_t/dt. ``nets`` takes states
of its own walks with noise ε, ``pinn`` those of its flow and points of a box, which count by a tempered density ratio:
far points would rule the loss. With ``horizon`` the steps that are trained reach the target only after that share of
the training, as the paper advises.

A draw walks with any ε, by the flow of b where it is 0 (``diffusion``), on a grid that may be finer (``refine``), with
the weights by kernels or Jacobians, which are exact at every grid; ``resample_below`` resamples on the way.

Sources: Albergo & Vanden-Eijnden 2024 (arXiv:2410.02711), Eq. 20 and Algorithm 1; Máté & Fleuret 2023
(arXiv:2301.07388), Eq. 6; Sun et al. 2024 (arXiv:2407.07873) for residuals as losses of samplers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from phys_match.interpolant import Interpolant, Walk, piloted, walk
from phys_match.tangents import basis, divergence, with_tangents
from phys_samplers.density import DensityModel, same_target
from phys_samplers.diagnostics import weight_diagnostics
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.objective import Objective, TrainedSampler
from phys_samplers.options import Part, draw_option, fit_option
from phys_samplers.paths import Ring, UnitDensity, spread
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw, Sampler
from phys_samplers.target import Target
from phys_samplers.training.state import Counter

LEVER = 25.0
"""F is this times its parameter, so that the rate of the networks moves it fast enough."""
NUMBERS_AT_ONCE = 2**22
"""Coordinates of states that a draw holds together."""
LOWEST, FLOOR = -4.0, 1e-3
"""Points of the box count e^{min(0, log ratio − LOWEST)} and this more."""


class TimedDrift(nn.Module):
    """One network of states and time, with what the equation has beside it.

    Args:
        network: (R, N, D) and times (R, N) or (R, 1) to (R, N, D).
        rates: first values (K,) of F.
        replicas: R.
    """

    def __init__(self, network: nn.Module, rates: Tensor, replicas: int) -> None:
        super().__init__()
        self.network = network
        self.parts = nn.Parameter((rates.float() / LEVER).repeat(replicas, 1))

    @property
    def rates(self) -> Tensor:
        """F (R, K)."""
        return LEVER * self.parts

    def displacement(self, k: float, x: Tensor, steps: int) -> Tensor:
        """See ``Drift``."""
        moved: Tensor = self.network(x, x.new_full((1, 1), k / steps)) / steps
        return moved

    def with_log_det(self, k: float, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """See ``Drift``."""
        return log_det_step(self.network, x, x.new_full((1, 1), k / steps), 1 / steps)


def log_det_step(network: nn.Module, x: Tensor, t: Tensor, length: float) -> tuple[Tensor, Tensor]:
    """A step (R, N, D) of ``length`` along the network, and log |det| (R, N) of the map; D passes in forward mode."""
    values, along = with_tangents(network, x, t, basis(x))
    jacobian = torch.eye(x.shape[-1], device=x.device, dtype=x.dtype) + length * along.permute(1, 2, 0, 3)
    return length * values, torch.linalg.slogdet(jacobian)[1]


def residual(
    drift: TimedDrift, course: Interpolant, x: Tensor, value: Tensor, score: Tensor, k: Tensor, probes: Tensor | None
) -> Tensor:
    """R (R, N) at states (R, N, D) in the middle of steps ``k`` (R, N), with log p̃ and its gradient there."""
    middle, rate = (values[k] for values in course.halves_and_gaps(x))
    moved, spreading = divergence(drift.network, x, k.to(x) / course.steps, probes)
    along = (moved * course.slope(x, score, middle.unsqueeze(-1))).sum(-1)
    return spreading + along + course.steps * rate * (value - course.prior(x)) - drift.rates.gather(1, k)


class InterpolantModel(DensityModel):
    """A fitted drift: walks along its interpolant, with the weights that make their ends exact.

    Args:
        recipe: the recipe.
        drift: of one replica.
        target: on ``device``.
        scale: spread of the target.
        course: the interpolant.
        device: where to compute.
    """

    recipe: Any

    def __init__(
        self, recipe: Sampler, drift: Any, target: Target, *, scale: float, course: Interpolant, device: Any
    ) -> None:
        super().__init__(recipe, target=target, device=device)
        self.drift, self.scale, self.course = drift, scale, course

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` ends of walks, at one gradient a step, and calls of the network beside.

        Diagnostics: ``log_z`` with ``log_z_std``, ``elbo``, ``ess``. With ``resample_below`` paths depend on each
        other, and ``resampled`` says how often: there is no standard error then.

        Raises:
            ConfigurationError: on ``start``: walks start in their prior.
        """
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but walks start in the prior of their interpolant; leave it out")
        recipe = self.recipe.for_draw(options)
        course, density = self.course.finer(recipe.refine), self.course.density
        generator = make_generator(seed, "walks", device=self.device)
        steps, dim = course.steps, density.dim
        walks: list[Walk] = []
        at_once = max(1, NUMBERS_AT_ONCE // ((steps + 1) * dim))
        for begin in range(0, n, at_once):
            size = min(at_once, n - begin)
            first = torch.randn(1, size, dim, generator=generator, device=self.device)
            noise = None
            if recipe.diffusion:
                noise = torch.randn(1, steps, size, dim, generator=generator, device=self.device)
            uniform = torch.rand(1, steps, generator=generator, device=self.device)
            least = recipe.resample_below
            walks.append(
                walk(course, self.drift, first, noise, diffusion=recipe.diffusion, uniform=uniform, least=least).last()
            )
        log_weights = torch.cat([one.log_weights[0] for one in walks])
        samples = density.flat.embed(torch.cat([one.states[0, -1] for one in walks]) * self.scale)
        facts = weight_diagnostics(log_weights)
        if recipe.resample_below is not None:
            facts = {name: facts[name] for name in ("log_z", "ess") if name in facts}
            facts["resampled"] = float(torch.cat([one.times for one in walks]).mean())
        return Draw(samples, float(steps + 1), facts, log_weights)

    def tensors(self) -> dict[str, Tensor]:
        """The drift, and the course of the interpolant."""
        course = {name: getattr(self.course, name) for name in ("betas", "lengths", "energies")}
        return {**{f"drift.{name}": value for name, value in self.drift.state_dict().items()}, **course}

    def facts(self) -> dict[str, Any]:
        """The spread that was found."""
        return {**super().facts(), "scale": self.scale}


def walks_of(
    recipe: Any,
    blank: Callable[[int, int], nn.Module],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    event_shape: tuple[int, ...],
    target: Target | None,
    device: torch.device | str,
) -> InterpolantModel:
    """A model of walks from what it stored; see ``Sampler.restore``.

    Args:
        recipe: that fitted it.
        blank: makes the drift of one replica for D coordinates and K steps, to be filled.
        tensors: see ``Sampler.restore``, as what follows.
        facts: with ``scale``.
        event_shape: of samples.
        target: whose density it samples.
        device: where to compute.
    """
    target = same_target(target, event_shape, by=type(recipe).__name__).to(device)
    density = UnitDensity(target, facts["scale"])
    course = Interpolant(density, recipe.prior_std, *(tensors[name].cpu() for name in ("betas", "lengths", "energies")))
    drift = blank(density.dim, course.steps)
    drift.load_state_dict({k.removeprefix("drift."): v for k, v in tensors.items() if k.startswith("drift.")})
    drift = drift.requires_grad_(False).to(device)
    return InterpolantModel(recipe, drift, target, scale=facts["scale"], course=course, device=device)


@dataclass(frozen=True, kw_only=True)
class Interpolated(TrainedSampler):
    """What recipes of a drift along an interpolant share.

    Args:
        states: where the residual is asked: ``walks``, of walks with noise, or ``flow-and-box``.
        field: network, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        interpolation_steps: K.
        prior_std: s₀, in units of the spread.
        schedule: of β: found by a pilot run, or in equal steps (with the pilot's lengths of Langevin moves).
        batch_size: states of a step.
        walks: paths that refill the memory.
        refill_every: steps until then.
        kept_rounds: refills that are kept.
        exploration: ε of the walks of training.
        box: half the side of the box, in units of the spread; without effect on ``walks``.
        probes: random directions of an estimated divergence (Hutchinson); None takes the exact one.
        horizon: share of training after which all steps are trained; 0 trains all from the start.
        scale: spread of the target, the unit; None finds it by importance sampling.
        diffusion: ε of draws; 0 follows the flow, whose weights take a Jacobian of D passes a step.
        refine: steps of a draw for each step that was trained.
        resample_below: share of effective paths below which they are resampled on the way; None for independent ones.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})

    states: Literal["walks", "flow-and-box"] = fit_option("walks")
    field: Part = fit_option("fourier-mlp")
    width: int | None = fit_option(64, least=1)
    depth: int | None = fit_option(None, least=1)
    interpolation_steps: int = fit_option(32, least=1)
    prior_std: float = fit_option(1.2, above=0)
    schedule: Literal["piloted", "linear"] = fit_option("piloted")
    batch_size: int = fit_option(1_024, least=2)
    walks: int = fit_option(256, least=2)
    refill_every: int = fit_option(100, least=1)
    kept_rounds: int = fit_option(4, least=1)
    exploration: float = fit_option(0.2, above=0)
    box: float = fit_option(2.2, above=0)
    probes: int | None = fit_option(None, least=1)
    horizon: float = fit_option(0.0, least=0, most=1)
    scale: float | None = fit_option(None, above=0)
    steps: int = fit_option(2_500, least=1)
    learning_rate: float = fit_option(5e-3, above=0)
    ema_decay: float = fit_option(0.99, least=0, below=1)
    diffusion: float = draw_option(0.0, least=0)
    refine: int = draw_option(2, least=1)
    resample_below: float | None = draw_option(None, above=0, most=1)

    def network(self, dim: int, streams: Streams) -> nn.Module:
        """The stacked network, which begins at zero."""
        field = make_field(self.field, width=self.width, depth=self.depth)
        return field.build(dim, dim, streams=streams, conditioned=True, out_gain=0.0)

    def course(self, density: UnitDensity, device: torch.device | str) -> Interpolant:
        """The interpolant, from a pilot run."""
        found = piloted(density, self.interpolation_steps, std=self.prior_std, device=device)
        return found if self.schedule == "piloted" else found.evenly()

    def training_objective(self, target: Target, *, seeds: Sequence[int], device: torch.device | str) -> Objective:
        """See ``TrainedSampler.training_objective``."""
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        course, dim = self.course(density, device), density.dim
        rates = course.steps * course.betas.diff() * (course.energies[1:] + course.energies[:-1]) / 2
        network = self.network(dim, Streams(seeds, "weights", device="cpu"))
        drift, turn = TimedDrift(network, rates.clamp(-1e4, 1e4), len(seeds)).to(device), Counter()
        each = 2 if self.states == "walks" else 3
        memory = Ring(noise, capacity=self.kept_rounds * each * self.walks * course.steps, columns=2 * dim + 2)

        def refill() -> None:
            progress = 1.0 if not self.horizon else turn.value / (self.horizon * self.steps)
            until = max(1, math.ceil(min(1.0, progress) * course.steps))
            eps = self.exploration if self.states == "walks" else 0.0
            kicks = noise.normal(course.steps, self.walks, dim) if eps else None
            seen = walk(course, drift, noise.normal(self.walks, dim), kicks, diffusion=eps, until=until)
            parts = [(seen.states, seen.values, seen.scores)]
            if self.states == "flow-and-box":
                points = self.box * (2 * noise.uniform(until, self.walks, dim) - 1)
                parts.append((points, *density.both(points)))
            for states, values, scores in parts:
                first = torch.arange(states.shape[1], device=states.device)
                for k in (first.clamp(max=until - 1), (first - 1).clamp(min=0)):
                    index = k.to(states).view(1, -1, 1, 1).expand(*states.shape[:3], 1)
                    memory.add(torch.cat((states, scores, values.unsqueeze(-1), index), -1).flatten(1, 2))

        def loss() -> Tensor:
            if turn.value % self.refill_every == 0:
                refill()
            turn.value += 1
            x, score, value, k = memory.draw(self.batch_size).split((dim, dim, 1, 1), -1)
            steps, value = k.squeeze(-1).long(), value.squeeze(-1)
            probes = None
            if self.probes is not None:
                probes = noise.uniform(self.probes, self.batch_size, dim).sub_(0.5).sign_().transpose(0, 1)
            found = residual(drift, course, x, value, score, steps, probes).square()
            if self.states == "walks":
                return found.mean(1)
            with torch.no_grad():
                middle = course.halves_and_gaps(x)[0][steps]
                reached = drift.rates.cumsum(1) - drift.rates / 2
                ratio = torch.lerp(course.prior(x), value, middle) - reached.gather(1, steps) / course.steps
                weights = (ratio - LOWEST).clamp(max=0).exp() + FLOOR
            return (weights * found).mean(1)

        def finish(module: nn.Module, seed: int) -> InterpolantModel:
            return InterpolantModel(self, module, target, scale=scale, course=course, device=device)

        return Objective(drift, loss, finish, state=(noise, turn, memory))

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> InterpolantModel:
        """See ``Sampler.restore``."""
        return walks_of(self, self.restored, tensors, facts, event_shape=event_shape, target=target, device=device)

    def restored(self, dim: int, steps: int) -> nn.Module:
        """A drift of one replica, to be filled."""
        return TimedDrift(self.network(dim, Streams([0], "restore")), torch.zeros(steps), 1)


@dataclass(frozen=True, kw_only=True)
class NETS(Interpolated):
    """Non-equilibrium transport sampler (Albergo & Vanden-Eijnden 2024, arXiv:2410.02711)."""


@dataclass(frozen=True, kw_only=True)
class PINN(Interpolated):
    """The same equation as a physics-informed network: residuals at points of a box and of the flow."""

    states: Literal["walks", "flow-and-box"] = fit_option("flow-and-box")
