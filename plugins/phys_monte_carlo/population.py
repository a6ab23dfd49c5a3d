"""What recipes share that lead a population of particles from a Gaussian to the target."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from phys_monte_carlo.annealing import Annealed, Rules, anneal, spread_of
from phys_monte_carlo.path import Path, Reference
from phys_monte_carlo.resampling import effective_share
from phys_samplers.chains import DensityModel, DensitySampler
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError, DivergenceError
from phys_samplers.options import draw_option
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw

INFLATION = 1.2
"""By how much a fitted covariance is widened, so that tails are covered."""
PILOT = Rules(share=0.6, threshold=0.3, moves=2, leapfrog_steps=3, target_acceptance=0.8, dense=True)
"""How a pilot is led, whatever the run after it does: it needs moments, not weights."""
TRUSTED, FOUNDERS = 60, 8
"""A fit needs so many effective draws of the worst coordinate, from so many families. Where chains do not cross between
modes the draws are as few as families with a say: 5 to 30 for many wells, over 120 for posteriors with one mode."""
FEWEST, PILOTS = 256, 1024
"""A pilot run has 256 particles and four for each coordinate, 1,024 at most; 256 is the least for any adaptive run."""

SUPPORT = (256, 16_384)
"""Draws that look for a small support: few first, the rest if more than half of them have no density."""
FEWEST_INSIDE = 16
"""Draws with density that place a reference, whose deviations are SPREAD times theirs."""
SPREAD = 2.0


class Prepared(NamedTuple):
    """The path to follow, how many rows the density was asked for to find it, and the kind of reference it has."""

    path: Path
    rows: int
    reference: str


class PathModel(DensityModel):
    """A path ready to be followed; see ``DensityModel``."""

    recipe: PathSampler

    @torch.no_grad()
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` samples with their cost; see ``Model.draw``.

        Particles have the dtype of the training rows, else torch's default. ``nfe`` is gradient evaluations per
        sample, pilot runs included.

        Raises:
            ConfigurationError: on a ``start`` too: weights are those of a start with a known density.
        """
        self.check_draw(n, start)
        recipe = self.recipe.for_draw(options)
        if start is not None:
            raise ConfigurationError(
                f"start was given, but {type(recipe).__name__} weighs particles by the density they were drawn from; "
                "leave start out and set prior_std, or use a sampler that runs chains"
            )
        like = torch.empty(0, dtype=self.dtype, device=self._device)
        return recipe.simulate(self.source(), n, seed=seed, like=like)


@dataclass(frozen=True, kw_only=True)
class PathSampler(DensitySampler):
    """A recipe that leads particles from a Gaussian reference to the target, along tempered densities.

    Args:
        reference: "fitted" starts from a normal law with the moments that a pilot run found, widened a little: a few
            temperatures then suffice for a posterior. A pilot that did not mix, as with separate modes, is not trusted,
            and the broad reference taken, narrowed to the support if that is a small part of it. "broad" starts from
            N(0, prior_std² I) in any case and saves the pilot.
        prior_std: standard deviation of the broad reference; the pilot starts there. Modes that it does not reach are
            not found.
        pilot: particles of a pilot run; None takes 256 and four for each coordinate, at most
            1,024.
        moves: per temperature.
        leapfrog_steps: gradients per move; 1 is the Metropolis-adjusted Langevin algorithm, more are Hamiltonian.
        share: of the conditional effective sample size that every step in temperature keeps where steps are adaptive.
        target_acceptance: of the moves, for the step size.
    """

    model: ClassVar[type[DensityModel]] = PathModel

    reference: Literal["fitted", "broad"] = draw_option("fitted")
    prior_std: float = draw_option(5.0, above=0)
    pilot: int | None = draw_option(None, least=16)
    moves: int = draw_option(2, least=1)
    leapfrog_steps: int = draw_option(2, least=1)
    share: float = draw_option(0.9, above=0, below=1)
    target_acceptance: float = draw_option(0.8, above=0, below=1)

    @abstractmethod
    def simulate(self, density: FlatDensity, n: int, *, seed: int, like: Tensor) -> Draw:
        """Draw ``n`` samples.

        Args:
            density: of the target, freshly made.
            n: number of samples.
            seed: of every random draw.
            like: an empty tensor with the dtype and on the device of particles.

        Raises:
            DivergenceError: if no particle finds a finite density.
        """

    def pilot_size(self, density: FlatDensity) -> int:
        """Particles of a pilot run."""
        return min(FEWEST + 4 * density.dim, PILOTS) if self.pilot is None else self.pilot

    def rules(self, **changes: Any) -> Rules:
        """How particles are led, with some rules changed."""
        rules: dict[str, Any] = {
            "share": self.share,
            "threshold": 0.5,
            "moves": self.moves,
            "leapfrog_steps": self.leapfrog_steps,
            "target_acceptance": self.target_acceptance,
        }
        return Rules(**{**rules, **changes})

    def prepare(self, density: FlatDensity, *, seed: int, like: Tensor) -> Prepared:
        """The path from the reference asked for; runs the pilot if that is fitted, and does without if it failed.

        Where a pilot failed since most draws of the broad reference have no density, that is narrowed first.
        """
        mean = like.new_zeros(density.dim)
        broad = Path(density, Reference(mean, torch.full_like(mean, self.prior_std)))
        if self.reference == "broad":
            return Prepared(broad, 0, "broad")
        try:
            run, rows = self._pilot(broad, seed=seed, label="pilot")
            inside = None if run else within_support(broad, seed=seed)
        except DivergenceError:
            run, rows = None, self.pilot_size(density)
            if (inside := within_support(broad, seed=seed)) is None:
                raise
        if inside is not None:
            broad = Path(density, inside)
            run, more = self._pilot(broad, seed=seed, label="second pilot")
            rows += more
        if run is None:
            return Prepared(broad, rows, "broad")
        z = broad.place(run.particles.u)
        factor = spread_of(z, run.log_weights.exp(), dense=True) * INFLATION**0.5
        return Prepared(Path(density, Reference(z.mean(0), factor)), rows, "fitted")

    def _pilot(self, broad: Path, *, seed: int, label: str) -> tuple[Annealed | None, int]:
        """A pilot run, None if it is not to be trusted, and the rows it asked for."""
        size = self.pilot_size(broad.density)
        generator = make_generator(seed, label, device=broad.reference.mean.device)
        run = anneal(broad, size, rules=PILOT, generator=generator)
        effective = size * float(effective_share(run.particles.u, run.families).nan_to_num(0.0).min())
        trusted = effective >= TRUSTED and len(run.families.unique()) >= FOUNDERS
        return run if trusted else None, size * run.evaluations

    def rehearse(self, path: Path, *, seed: int, like: Tensor) -> tuple[Annealed, int]:
        """A small run along ``path`` that finds its own temperatures and step sizes, and the rows it asked for."""
        size = self.pilot_size(path.density)
        run = anneal(path, size, rules=self.rules(), generator=make_generator(seed, "rehearsal", device=like.device))
        return run, size * run.evaluations


def within_support(broad: Path, *, seed: int) -> Reference | None:
    """A reference over what of a small support draws of ``broad`` fell into; None where most of them have density.

    Those draws are not used again, so that weights from there stay unbiased.
    """
    generator = make_generator(seed, "support", device=broad.reference.mean.device)
    for many in SUPPORT:
        u = torch.randn(many, broad.dim, generator=generator, device=generator.device).to(broad.reference.mean)
        z = broad.place(u)
        alive = z[broad.density.log_prob(z).isfinite()]
        if 2 * len(alive) > many:
            return None
    if len(alive) < FEWEST_INSIDE:
        return None
    return Reference(alive.mean(0), SPREAD * alive.std(0).clamp(min=1e-12))


def course(run: Annealed) -> dict[str, Any]:
    """Facts of a run for the diagnostics: temperatures, their inverses β, mean and least acceptance by temperature."""
    return {
        "temperatures": len(run.plan.betas),
        "betas": run.plan.betas.tolist(),
        "acceptance": float(run.acceptance.mean()),
        "acceptance_min": float(run.acceptance.min()),
    }
