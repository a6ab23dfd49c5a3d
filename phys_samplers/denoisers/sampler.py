"""What all samplers with a denoiser share: recipe and model; a family states loss, schedule and parametrisation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_samplers.conditions import ConditionCode
from phys_samplers.denoisers.conditional import Conditional
from phys_samplers.denoisers.denoiser import (
    Denoise,
    Denoiser,
    DenoisingFlow,
    DenoisingLoss,
    Parametrisation,
    Perturb,
    broad_normal,
)
from phys_samplers.denoisers.guidance import check_sets, guided, weigh
from phys_samplers.denoisers.inversion import Inverted
from phys_samplers.denoisers.likelihood import Divergence, Likelihood, log_likelihood
from phys_samplers.denoisers.reverse import ProbabilityFlow, ReverseProcess, ReverseSDE
from phys_samplers.dynamics import Dynamics
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.fields.stacked import Field, load_weights, make_field, weights
from phys_samplers.integrators.base import Integrator
from phys_samplers.integrators.driver import integrate
from phys_samplers.objective import Loss, Problem, RowsSampler
from phys_samplers.options import Part, fit_option, make_part
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw, Model
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class DenoiserSampler(ReverseProcess, RowsSampler):
    """Learns D(x, σ) ≈ E[x₀ | x₀ + σn = x] in standardised coordinates and runs a noising process backwards.

    See ``ReverseProcess`` for the options of a draw.

    Args:
        loss: that trains the denoiser, by name or object.
        field: its network, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own (64 for perceptrons).
        depth: hidden layers, likewise.
        parametrisation: what the network predicts: ``edm``, ``v``, ``epsilon`` or ``x0``.

    Attributes:
        trained_by: the losses that train what the family follows.
    """

    trained_by: ClassVar[type[Loss]] = Loss  # type: ignore[type-abstract]

    loss: Part = "denoising"
    field: Part = "mlp"
    width: int | None = fit_option(None, least=1)
    depth: int | None = fit_option(None, least=1)
    parametrisation: Parametrisation = "edm"

    @property
    def trained_over_schedule(self) -> bool:
        """Whether the levels of training are those of the recipe's schedule, which a draw then cannot change."""
        loss = make_part("loss", self.loss)
        return isinstance(loss, DenoisingLoss) and loss.levels == "schedule" and loss.schedule is None

    def fit_options(self) -> frozenset[str]:
        """See ``Sampler.fit_options``; the schedule is one of them if it says what is trained."""
        return super().fit_options() | ({"schedule"} if self.trained_over_schedule else frozenset())

    def training_loss(self) -> Loss:
        """The loss as an object; one over the levels of a schedule that names none gets the recipe's.

        Raises:
            ConfigurationError: if it does not train what this sampler follows.
        """
        loss: Loss = make_part("loss", self.loss)
        if not isinstance(loss, self.trained_by):
            raise ConfigurationError(
                f"loss is {self.loss!r}, which does not train the denoiser of {type(self).__name__}; expected one that "
                f"derives from {self.trained_by.__name__}, such as {type(self).loss!r}"
            )
        if isinstance(loss, DenoisingLoss) and loss.levels == "schedule" and loss.schedule is None:
            return replace(loss, schedule=self.schedule_part)
        return loss

    def field_part(self) -> Field:
        """The network's specification as an object."""
        return make_field(self.field, width=self.width, depth=self.depth)

    def denoiser(self, dim: int, streams: Streams) -> nn.Module:
        """The stacked network D(x, σ)."""
        return self.denoiser_given(dim, streams, 0)

    def denoiser_given(self, dim: int, streams: Streams, code_width: int) -> nn.Module:
        """The stacked network D(x, σ | c) with codes of ``code_width`` numbers, of families that take conditions."""
        return Denoiser(
            self.field_part(), dim, streams=streams, parametrisation=self.parametrisation, code_width=code_width
        )

    def model(
        self, module: nn.Module, standardiser: Standardiser, bounds: Tensor, event_shape: tuple[int, ...]
    ) -> DenoiserModel:
        """The fitted model; families with another prior or likelihood return their own."""
        return DenoiserModel(self, module, standardiser, bounds, event_shape)

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""
        bounds = torch.stack(rows.aminmax(dim=0))
        code = None if target.conditions is None else ConditionCode.fit(target.conditions)

        def finish(module: nn.Module, seed: int) -> DenoiserModel:
            model = self.model(module, standardiser, bounds, target.event_shape)
            model.code = code
            return model

        return Problem(self._network(rows.shape[1], streams, code), self.training_loss(), finish, code)

    def _network(self, dim: int, streams: Streams, code: ConditionCode | None) -> nn.Module:
        return self.denoiser(dim, streams) if code is None else self.denoiser_given(dim, streams, code.width)

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
        standardiser, code = Standardiser.from_tensors(tensors), ConditionCode.from_tensors(tensors)
        module = load_weights(self._network(len(standardiser.mean), Streams([0], "restore"), code), tensors, device)
        model = self.model(module, standardiser, tensors["bounds"], event_shape)
        model.code = code
        return model


class DenoiserModel(Conditional, Inverted, Model):
    """A trained denoiser with its schedule.

    A family with another law at the largest level overrides both ``prior`` and ``prior_log_prob``.

    Args:
        recipe: with the sampling options.
        module: D(x, σ), a stack of one replica.
        standardiser: between data units and the network's.
        bounds: least and greatest value of the standardised training rows, (2, D).
        event_shape: of a sample.

    Attributes:
        bound: a particle with a standardised coordinate beyond it counts as lost while sampling.
        forward_kernel: the noise between two levels, for integrators that go back up; None for Gaussian noise.
    """

    recipe: ReverseProcess
    bound: float = 1e6
    forward_kernel: Perturb | None = None

    def __init__(
        self,
        recipe: ReverseProcess,
        module: nn.Module,
        standardiser: Standardiser,
        bounds: Tensor,
        event_shape: tuple[int, ...],
    ) -> None:
        self.recipe = recipe
        self.module = module
        self.standardiser = standardiser
        self.bounds = bounds
        self.event_shape = tuple(event_shape)

    @property
    def dim(self) -> int:
        """Number of coordinates."""
        return len(self.standardiser.mean)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.standardiser.mean.device

    def clipped(self, x: Tensor, sigma: float) -> Tensor:
        """D(x, σ) brought into the box of the training rows."""
        return self.denoise(x, sigma).clamp_(self.bounds[0], self.bounds[1])

    def prior(self, n: int, generator: torch.Generator, ratio: float) -> Tensor:
        """N(0, (1 + λ²) I): the moments of standardised data with noise of level λ."""
        return broad_normal(n, self.dim, ratio, generator)

    def prior_log_prob(self, u: Tensor, ratio: float) -> Tensor:
        """log-density (B,) of ``prior`` at u (B, D), normalised.

        Raises:
            MissingCapability: if the family has another prior and does not say its density.
        """
        if type(self).prior is not DenoiserModel.prior:
            raise MissingCapability(
                f"{type(self).__name__} has a prior of its own but no density of it, and so no likelihood; "
                "override prior_log_prob too"
            )
        variance = 1 + ratio**2
        return -0.5 * (u.square().sum(1) / variance + self.dim * math.log(2 * math.pi * variance))

    def dynamics(self, recipe: ReverseProcess, integrator: Integrator) -> Dynamics:
        """The process that ``integrator`` runs backwards: the ODE, the SDE or, by denoising, either."""
        schedule = recipe.schedule_part
        top = schedule.ratio(schedule.start)
        denoise: Denoise = self.clipped if recipe.clip else self.denoise
        if recipe.potential is not None:
            denoise = guided(denoise, recipe.potential, self.standardiser, self.event_shape)

        def prior(n: int, generator: torch.Generator) -> Tensor:
            return self.prior(n, generator, top)

        if integrator.equation == "denoising":
            return DenoisingFlow(denoise, prior, self.dim, start=top, perturb=self.forward_kernel)
        kind = ProbabilityFlow if integrator.equation == "ode" else ReverseSDE
        return kind(denoise, prior, self.dim, schedule=schedule)

    @torch.no_grad()
    def draw(
        self, n: int, *, seed: int = 0, start: Tensor | None = None, condition: Any = None, **options: Any
    ) -> Draw:
        """``n`` samples: from the prior down the schedule; see ``Model.draw``.

        ``start`` takes the place of the prior, at the largest level (in the variable u = x/α). ``condition`` is one for
        all samples, or one each (see ``given``).
        """
        if condition is not None or options:
            model = self if condition is None else self.given(condition)
            return (model.with_options(**options) if options else model).draw(n, seed=seed, start=start)
        self.check_draw(n, start)
        self.check_condition(n)
        if (asked := self.drawn_for(n, seed)) is not self:
            return asked.draw(n, seed=seed, start=start)
        recipe = self.recipe
        integrator, schedule, times = recipe.integrator_part, recipe.schedule_part, recipe.times
        if (potential := recipe.potential) is not None:
            check_sets(potential, n)
        dynamics = self.dynamics(recipe, integrator)
        generator = make_generator(seed, "sample", device=self.device)
        by_denoising = integrator.equation == "denoising"
        grid = tuple(map(schedule.ratio, times)) if by_denoising else times
        if start is None:
            x = dynamics.prior(n, generator)
        else:
            x = self.standardiser.forward(start.detach().to(self.device))
            x = x if by_denoising else x * schedule.level(schedule.start)[0]
        solution = integrate(dynamics, x, integrator=integrator, grid=grid, generator=generator, bound=self.bound)
        x, nfe = solution.x, solution.nfe
        if not by_denoising:
            # The network is not asked below the last level; its noise is taken out in one call.
            alpha = schedule.level(times[-1])[0]
            clean = self.clipped if recipe.clip else self.denoise
            x, nfe = clean(x / alpha, schedule.ratio(times[-1])), nfe + 1
        nfe *= self.evaluations_each
        facts = {"integrator": integrator.name, "sampling_steps": solution.steps, "lost": solution.lost}
        if recipe.potential is not None:
            facts["set_size"] = recipe.potential.set_size
        return Draw(self.standardiser.inverse(x, self.event_shape), nfe, facts)

    @torch.no_grad()
    def weighted_sets(self, n: int, *, seed: int = 0, **options: Any) -> Draw:
        """``n`` samples in guided sets with the weights that make the sets independent draws, by ancestral steps.

        Both are draws of ``ddim[eta=1]`` on this grid, whatever the recipe's integrator; see ``weigh``.

        Args:
            n: number of samples, a multiple of the set size.
            seed: of every random draw.
            options: sampling options to change.

        Returns:
            The samples, with the log weight of its set for each.

        Raises:
            ConfigurationError: without a guidance, or on a bad ``n`` or option.
        """
        model = self.with_options(**{**options, "integrator": "ddim[eta=1]"}).drawn_for(n, seed)
        model.check_draw(n, None)
        model.check_condition(n)
        recipe = model.recipe
        potential = recipe.potential
        if potential is None:
            raise ConfigurationError("guidance is None; expected a potential whose sets are weighed")
        check_sets(potential, n)
        generator = make_generator(seed, "sample", device=self.device)
        levels = tuple(map(recipe.schedule_part.ratio, recipe.times))
        denoise = model.clipped if recipe.clip else model.denoise
        start = self.prior(n, generator, levels[0])
        u, log_w = weigh(denoise, potential, self.standardiser, self.event_shape, start, levels, generator)
        facts = {"set_size": potential.set_size, "ess": float(log_w.logsumexp(0) * 2 - (2 * log_w).logsumexp(0))}
        facts["ess"] = math.exp(facts["ess"]) / len(log_w)
        weights_each = log_w.repeat_interleave(potential.set_size)
        nfe = (len(levels) - 1) * model.evaluations_each
        return Draw(self.standardiser.inverse(u, self.event_shape), nfe, facts, weights_each)

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """(D − x)/σ², ∇log of the blurred law at x (B, *event_shape), in data units.

        Args:
            x: points.
            sigma: blur in data units; the schedule's smallest by default. The network knows isotropic blur of
                standardised data, of the size sigma over the ``width`` of the standardiser.

        Raises:
            ConfigurationError: if sigma is not positive and finite, or x are no points.
        """
        self.check_points(x)
        schedule = self.recipe.schedule_part
        blur = schedule.ratio(schedule.end) if sigma is None else self.standardiser.blur(sigma)
        flat = self.standardiser.forward(x)
        score = (self.denoise(flat, blur) - flat) / blur**2
        return self.standardiser.pull_back(score).unflatten(1, self.event_shape)

    @torch.no_grad()
    def likelihood(
        self,
        x: Tensor,
        *,
        seed: int = 0,
        integrator: Part = "rk4",
        steps: int = 32,
        divergence: Divergence = "auto",
        probes: int = 1,
    ) -> Likelihood:
        """log p at x (B, *event_shape) in nats and data units, by the probability-flow ODE (see ``log_likelihood``).

        The points are taken to have noise of the schedule's smallest level: it is the density of the law blurred by
        that much. It is normalised whatever was learned. ``clip`` does not enter: a clipped denoiser is flat at the
        box, where its ODE is another one.

        Args:
            x: points.
            seed: of the random vectors of the trace, if it is not exact.
            integrator: any scheme for ODEs, by name or object.
            steps: of it. 32 steps of ``rk4`` leave less than 10⁻³ nats in the mean over points of the mixtures here.
            divergence: ``exact``, ``hutchinson``, or ``auto``: exact up to 32 coordinates.
            probes: random vectors a point, if the trace is not exact; two or more give a standard error.

        Raises:
            ConfigurationError: on points of another shape, or not finite, or a bad option.
            IncompatibleError: if the integrator is not one for ODEs.
        """
        if x.ndim == 0 or tuple(x.shape[1:]) != self.event_shape or not torch.isfinite(x).all():
            raise ConfigurationError(
                f"x has shape {tuple(x.shape)}; expected finite points (B, {', '.join(map(str, self.event_shape))})"
            )
        schedule = self.recipe.schedule_part
        result = log_likelihood(
            self.denoise,
            self.prior_log_prob,
            self.standardiser.forward(x.detach().to(self.device)),
            levels=(schedule.ratio(schedule.end), schedule.ratio(schedule.start)),
            integrator=make_part("integrator", integrator),
            steps=steps,
            divergence=divergence,
            probes=probes,
            generator=make_generator(seed, "likelihood", device=self.device),
        )
        return replace(result, log_prob=result.log_prob - self.standardiser.log_volume)

    def log_prob(self, x: Tensor, **options: Any) -> Tensor:
        """log p (B,) at x (B, *event_shape); see ``likelihood`` for what it is and for the options."""
        return self.likelihood(x, **options).log_prob

    def tensors(self) -> dict[str, Tensor]:
        """Network, standardisation, the box of the data, and the code of conditions."""
        own = {**weights(self.module), **self.standardiser.tensors(), "bounds": self.bounds}
        return own if self.code is None else {**own, **self.code.tensors()}
