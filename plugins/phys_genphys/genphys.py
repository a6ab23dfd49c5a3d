r"""GenPhys: a PDE goes in, a generative model comes out (Liu et al. 2023, arXiv:2304.02637; ch. 9 of the thesis).

Rows are point sources of the equation. Its flow is learned by regression on the sources' own: at x, drawn around rows
at the level σ with the density that ``PDE.noise`` has,

    D(x, σ) ≈ E[x − κ(r, σ) (x − y) | x]        so that        dx/dlog σ = x − D        is the velocity v,
    g(x, σ) ≈ E[R/p of the source | x]                                                   births, of a second network,

means over the rows y under p(|x − y|). Samples start from the kernel around the 2N points ±√N e_i, which have the mean
and the covariance of the standardised rows, and follow dx/dσ = (x − D)/σ down to 0. Where particles die or are born, a
path has the weight w = p/q at its start times exp(−∫ g dlog σ), and samples are resampled by it; E[w] is the mass at 0
over that at the start, 1 in the units used here. (Algorithm 4, which branches along the way. The flow is deterministic:
copies made early stay copies, and one resampling at the end is the same law with less noise.)
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_genphys.pde import PDE
from phys_samplers.denoisers.denoiser import Denoiser, DenoisingFlow, DenoisingLoss, Parametrisation
from phys_samplers.denoisers.likelihood import Likelihood
from phys_samplers.denoisers.sampler import DenoiserModel, DenoiserSampler
from phys_samplers.errors import ConfigurationError, IncompatibleError, MissingCapability
from phys_samplers.fields.stacked import Field, stacked_product
from phys_samplers.integrators.driver import integrate
from phys_samplers.metrics.densities import systematic
from phys_samplers.objective import Loss, Problem
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.sampler import Draw
from phys_samplers.standardise import Standardiser, check_level
from phys_samplers.target import Target

FEW = 0.1
"""Effective draws a sample below which there is a warning."""


class PhysicalFlow(Denoiser):
    """A stacked D(x, σ), preconditioned at the level of each point, and the births g(x, σ) if the equation has any.

    Args:
        field: the networks.
        dim: coordinates N.
        streams: one per replica.
        pde: the equation.
        parametrisation: what the network of D predicts.
    """

    def __init__(
        self, field: Field, dim: int, *, streams: Streams, pde: PDE, parametrisation: Parametrisation = "edm"
    ) -> None:
        super().__init__(field, dim, streams=streams, parametrisation=parametrisation)
        self.pde, self.dim = pde, dim
        self.births: nn.Module | None = None
        if not pde.conserves:
            self.births = field.build(dim, 1, streams=streams, conditioned=True, out_gain=0.1)

    def point_level(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The level that each point tells of: x (R, B, N), σ (R, B) or (R, 1) → (R, B).

        As in PFGM++, but that what lies beyond twice the radius of the data is known to have come from within it.
        """
        squared = x.square().sum(-1)
        beyond = (squared.sqrt() - 2 * math.sqrt(self.dim)).clamp(min=0).square()
        squared = torch.maximum(squared * (sigma.square() / (1 + sigma.square())), beyond)
        return self.pde.precision(squared, sigma.expand(squared.shape), self.dim).rsqrt()

    def growth(self, x: Tensor, sigma: Tensor) -> Tensor:
        """g(x, σ) (R, B): that of one source at 0, in the share s²/(1 + s²), and what the network adds.

        s is the level of the point; far from the data they are one source, whatever σ is.
        """
        assert self.births is not None
        level = self.point_level(x, sigma)
        raw = self.births(x * (level.square() + 1).rsqrt().unsqueeze(-1), level.log() * 0.25).squeeze(-1)
        alone = self.pde.growth(x.square().sum(-1), sigma.expand(level.shape), self.dim)
        assert alone is not None
        return alone * (level.square() / (1 + level.square())) + raw * self.growth_scale(level)

    def growth_scale(self, level: Tensor) -> Tensor:
        """Of what the network of births adds, at the level s of each point: rate · s/√(1 + s²)."""
        return self.pde.rate * level * (1 + level.square()).rsqrt()


@dataclass(frozen=True, kw_only=True)
class FieldRegression(DenoisingLoss):
    """E W w(σ_x) |D(x, σ) − ŷ|² with the sources' own flow ŷ = x − κ (x − y), and the same for births.

    W is the density p of the equation against the law q that points are drawn from, over that of a source at 0: any
    positive function of x and σ leaves the minimiser alone. Stable targets average over the rows of the batch by p, and
    W is then Σ_j p/Σ_j q: still the right mean for every number of rows, as in ``DenoisingLoss.posterior_mean``.

    Args:
        pde: the equation; None takes the sampler's.
    """

    prepares: ClassVar[bool] = False

    pde: Part | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.pde is not None:
            object.__setattr__(self, "pde", make_part("pde", self.pde))

    def __call__(self, module: nn.Module, rows: Tensor, streams: Streams) -> Tensor:
        """See ``Loss``; ``module`` is a ``PhysicalFlow``."""
        assert isinstance(module, PhysicalFlow)
        pde = self.equation
        sigma = self.sample_sigma(streams, rows.shape[1]).to(rows.dtype)
        noised = rows + pde.noise(sigma, rows.shape[-1], streams)
        groups = zip(
            *(part.split(128 if self.stable_target else 4096, 1) for part in (noised, sigma, rows)), strict=True
        )
        clean, births, weight = (
            None if parts[0] is None else torch.cat(parts, 1)
            for parts in zip(*(self.targets(*group) for group in groups), strict=True)
        )
        assert clean is not None
        error = (module(noised, sigma) - clean).square().mean(-1) * module.loss_weight(
            module.point_level(noised, sigma)
        )
        if births is not None:
            scale = module.growth_scale(module.point_level(noised, sigma))
            error = error + ((module.growth(noised, sigma) - births) / scale).square()
        return (error if weight is None else error * weight).mean(-1)

    @property
    def equation(self) -> PDE:
        """The equation as an object.

        Raises:
            ConfigurationError: if there is none.
        """
        if self.pde is None:
            raise ConfigurationError(
                "pde is None; name the equation, e.g. pde='poisson', or use a sampler that has one"
            )
        return self.pde

    def targets(self, x: Tensor, sigma: Tensor, rows: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """ŷ (R, B, N), births (R, B) and W (R, B) at x (R, B, N) drawn from rows (R, B, N)."""
        pde, dim = self.equation, x.shape[-1]
        if not (self.stable_target and pde.has_density):
            squared = (x - rows).square().sum(-1)
            pull = pde.pull(squared, sigma, dim)
            clean = rows if pull is None else x - pull.unsqueeze(-1) * (x - rows)
            importance = pde.log_importance(squared, sigma, dim)
            return clean, pde.growth(squared, sigma, dim), self._weight(importance, x, sigma)
        # Differences are taken before they are squared: far away, matrix products would lose σ beside |x|.
        squared = torch.cdist(x, rows, compute_mode="donot_use_mm_for_euclid_dist").square_()
        level = sigma.unsqueeze(-1).expand(squared.shape)
        log_p = pde.log_density(squared, level, dim)
        share = torch.softmax(log_p, -1).nan_to_num(0.0)  # where no source reaches, W is 0
        pull, growth = pde.pull(squared, level, dim), pde.growth(squared, level, dim)
        if pull is None:
            clean = stacked_product(share, rows)
        else:
            pulled = share * pull
            clean = stacked_product(pulled, rows) + x * (1 - pulled.sum(-1, keepdim=True))
        births = None if growth is None else (share * growth).sum(-1)
        if pde.conserves:
            return clean, births, None
        importance = torch.logsumexp(log_p, -1) - torch.logsumexp(pde.log_proposal(squared, level, dim), -1)
        return clean, births, self._weight(importance, x, sigma)

    def _weight(self, importance: Tensor | None, x: Tensor, sigma: Tensor) -> Tensor | None:
        if importance is None:
            return None
        alone = self.equation.log_importance(x.square().sum(-1), sigma, x.shape[-1])
        assert alone is not None
        return torch.exp(importance - torch.where(alone.isfinite(), alone, 0.0)).clamp_(max=100.0)


@dataclass(frozen=True, kw_only=True)
class GenPhys(DenoiserSampler):
    """Liu et al. 2023 (arXiv:2304.02637): the density flow of a PDE, run backwards.

    Levels σ are typical sizes of what a source has spread to, see ``phys_genphys.pde``, so that the schedule and the
    integrators of the denoisers serve every equation; only denoising integrators without noise follow its flow. The
    constants of an equation are in units of the standardised data. See ``DenoiserSampler`` for the other options.

    Args:
        pde: the equation, by name or object.
        resample: resample by the weights, where particles are born or die; else draws have ``log_weights``.
        clip: bring D into the box of the training rows where it is a mean of them (κ = 1): laws with heavy tails start
            some particles far away, whose small errors of direction would end off the data.
    """

    trained_by: ClassVar[type[Loss]] = FieldRegression

    pde: Part = "poisson"
    loss: Part = "field-regression[sigma_max=20.0,levels=log-uniform]"
    resample: bool = draw_option(True)
    clip: bool = draw_option(True)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "pde", make_part("pde", self.pde))
        if self.integrator_part.equation != "denoising" or self.integrator_part.adds_noise:
            raise IncompatibleError(
                f"integrator is {self.integrator!r}; expected a denoising one that adds no noise (edm-heun, ddim with "
                "eta=0, dpmpp-2m): the flow of an equation is an ODE in its levels"
            )

    @property
    def levels(self) -> tuple[float, float]:
        """The least and the greatest level of a draw."""
        schedule = self.schedule_part
        return schedule.ratio(schedule.end), schedule.ratio(schedule.start)

    def training_loss(self) -> Loss:
        """The loss of this recipe's equation.

        Raises:
            ConfigurationError: if it has another.
        """
        loss = super().training_loss()
        assert isinstance(loss, FieldRegression)
        if loss.pde not in (None, self.pde):
            raise ConfigurationError(
                f"pde is {self.pde!r} and that of the loss {loss.pde!r}; leave out that of the loss"
            )
        return replace(loss, pde=self.pde)

    def denoiser(self, dim: int, streams: Streams) -> nn.Module:
        """The stacked networks."""
        return PhysicalFlow(self.field_part(), dim, streams=streams, pde=self.pde, parametrisation=self.parametrisation)

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""
        loss = self.training_loss()
        assert isinstance(loss, FieldRegression)
        low, high = self.levels
        self.pde.check(rows.shape[1], (min(low, loss.sigma_min), high))
        return super().problem(target, rows, standardiser, streams=streams)

    def model(
        self, module: nn.Module, standardiser: Standardiser, bounds: Tensor, event_shape: tuple[int, ...]
    ) -> GenPhysModel:
        """The fitted model."""
        return GenPhysModel(self, module, standardiser, bounds, event_shape)


class GenPhysModel(DenoiserModel):
    """A trained density flow; see ``DenoiserModel``."""

    recipe: GenPhys
    module: PhysicalFlow
    bound = 1e15  # lines of Poisson start far away

    def sources(self, like: Tensor) -> Tensor:
        """The 2N points ±√N e_i (2N, N), of mean 0 and covariance I."""
        half = math.sqrt(self.dim) * torch.eye(self.dim, dtype=like.dtype, device=like.device)
        return torch.cat((half, -half))

    def start(self, n: int, level: float, streams: Streams) -> tuple[Tensor, Tensor | None]:
        """Starting points (n, N) at the level, and log p/q there (n,); None where that is 0."""
        pde, sigma = self.recipe.pde, torch.full((1, n), level, device=self.device)
        noise = pde.noise(sigma, self.dim, streams)[0]
        around = self.sources(noise)
        x = noise.add_(around[streams.integers(len(around), n)[0]])
        if pde.conserves:
            return x, None
        squared = torch.cdist(x, around, compute_mode="donot_use_mm_for_euclid_dist").square_()
        levels = torch.full_like(squared, level)
        log_p, log_q = (law(squared, levels, self.dim) for law in (pde.log_density, pde.log_proposal))
        return x, torch.logsumexp(log_p, -1) - torch.logsumexp(log_q, -1)

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples; see ``Model.draw``. ``start`` takes the place of the prior, with equal weights."""
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options) if options else self.recipe
        recipe.pde.check(self.dim, recipe.levels)
        schedule = recipe.schedule_part
        grid = tuple(map(schedule.ratio, recipe.times))
        streams = Streams([seed], "sample", device=self.device)
        if start is None:
            x, log_weight = self.start(n, grid[0], streams)
        else:
            x, log_weight = self.standardiser.forward(start.detach().to(self.device)), None
        denoise = self.clipped if recipe.clip and recipe.pde.straight else self.denoise
        births = not recipe.pde.conserves
        if births:
            x = torch.cat((x, (x.new_zeros(len(x)) if log_weight is None else log_weight).unsqueeze(1)), 1)

        def carried(state: Tensor, sigma: float) -> Tensor:
            # The logarithm of the weight is one more coordinate: d log w/dlog σ = g, so its "denoised" is log w − g.
            inner = state[:, :-1]
            level = torch.full((1, 1), sigma, dtype=state.dtype, device=state.device)
            growth = self.module.growth(inner.unsqueeze(0), level)[0]
            return torch.cat((denoise(inner, sigma), (state[:, -1] - growth).unsqueeze(1)), 1)

        flow = DenoisingFlow(carried if births else denoise, self.prior_of(streams), x.shape[1], start=grid[0])
        generator = make_generator(seed, "integrate", device=self.device)
        outside = None if log_weight is None else ~log_weight.isfinite()
        if outside is not None and births:
            x[:, -1] = torch.where(outside, 0.0, x[:, -1])
        solution = integrate(
            flow, x, integrator=recipe.integrator_part, grid=grid, generator=generator, bound=self.bound
        )
        facts: dict[str, Any] = {"integrator": recipe.integrator_part.name, "sampling_steps": solution.steps}
        facts |= {"lost": solution.lost}
        nfe = solution.nfe
        if not births:
            return Draw(self.standardiser.inverse(solution.x, self.event_shape), nfe, facts)
        x, log_weight = solution.x[:, :-1], solution.x[:, -1]
        log_weight = log_weight if outside is None else torch.where(outside, -math.inf, log_weight)
        share = log_weight.double().softmax(0)
        mass = torch.logsumexp(log_weight.double(), 0) - math.log(n)
        facts |= {"ess": float(1 / (n * share.square().sum())), "log_mass": float(mass)}
        if facts["ess"] < FEW and n > 1:
            warnings.warn(
                f"{n:,} samples are worth {facts['ess'] * n:.3g} independent ones: births and deaths along lines do "
                "not make up for the weights of their starts; take smaller constants of the equation, or train longer",
                stacklevel=3,  # past the decorator
            )
        if not recipe.resample:
            return Draw(self.standardiser.inverse(x, self.event_shape), nfe, facts, log_weight)
        chosen = systematic(log_weight, make_generator(seed, "resample")).to(x.device)
        return Draw(self.standardiser.inverse(x[chosen], self.event_shape), nfe, facts)

    def prior_of(self, streams: Streams) -> Any:
        """The prior as dynamics want it; draws come from ``streams``."""

        def prior(n: int, generator: torch.Generator) -> Tensor:
            schedule = self.recipe.schedule_part
            return self.start(n, schedule.ratio(schedule.start), streams)[0]

        return prior

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """(D − x)/σ² for the diffusion equation; other equations have a velocity, no score.

        Raises:
            MissingCapability: for other equations.
        """
        from phys_genphys.pde import Diffusion

        if not isinstance(self.recipe.pde, Diffusion):
            raise MissingCapability(
                f"the flow of {type(self.recipe.pde).__name__} is no score; use fields(x, sigma), or pde='diffusion'"
            )
        return super().score(x, sigma)

    def likelihood(self, x: Tensor, **options: Any) -> Likelihood:
        """Not offered.

        Raises:
            MissingCapability: always.
        """
        raise MissingCapability("genphys has no likelihood; use edm or pfgmpp, whose priors have a known density")

    @torch.no_grad()
    def fields(self, x: Tensor, sigma: float | None = None) -> dict[str, Tensor]:
        """``v``, dx/dσ (B, *event_shape), and ``births``, R/p in units of log σ (B,), in standardised units.

        Args:
            x: points.
            sigma: the level in units of the standardised data; 1, their spread, by default.

        Raises:
            ConfigurationError: if sigma is not positive and finite, or x are no points.
        """
        self.check_points(x)
        level = 1.0 if sigma is None else check_level(sigma)
        flat = self.standardiser.forward(x)
        found = {"v": ((flat - self.denoise(flat, level)) / level).unflatten(1, self.event_shape)}
        if self.module.births is not None:
            found["births"] = self.module.growth(flat.unsqueeze(0), torch.full((1, 1), level).to(flat))[0]
        return found
