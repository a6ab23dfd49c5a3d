r"""A target's density on flat coordinates z ∈ R^K: of x itself, of a linear subspace, or without the borders of x.

A law on a subspace (n particles whose centre of mass stays at the origin, say) names it by orthonormal rows
``subspace`` S (K, D), and x = Sᵀz. The map is an isometry, so that standard normal noise in z is standard normal noise
within the subspace, densities need no Jacobian, and ∇_z log p = S ∇_x log p. A sampler that works in z respects the
subspace without knowing of it. A law with a ``support`` (``phys_samplers.supports``) has borders, circles or a simplex
in x, and none in z: its density there has the Jacobian, and what is sampled is x.

Recipes that train nothing move in such a density as it is given, and ask it while they sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import CheckpointError, ConfigurationError, DivergenceError
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target, require
from phys_samplers.training import Callback

LogDensity = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Unnormalised log-density (B,) and its gradient (B, D) at x (B, D)."""
Score = Callable[[Tensor], Tensor]
"""Its gradient (B, D) alone."""


class FlatDensity:
    """The density of a target on flat coordinates, with its calls counted.

    Args:
        target: with ``log_prob`` and ``score``.

    Attributes:
        dim: number of flat coordinates K.
        evaluations: gradient calls per chain so far.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.evaluations = 0
        self._subspace, self._support = target.subspace, target.support
        self.dim = target.flat_dim

    @property
    def has_values(self) -> bool:
        """Whether log p is known, beside its gradient."""
        return "log_prob" in self.target.capabilities

    @property
    def score_alone(self) -> Score | None:
        """``score``, if the law knows it by itself; by autograd it comes with log p, and costs the same."""
        return self.score if callable(getattr(self.target.law, "score", None)) else None

    def embed(self, z: Tensor) -> Tensor:
        """x (B, *event_shape) of z (B, K)."""
        if self._support is not None:
            return self._support.place(z)[0]
        flat = z if self._subspace is None else z @ self._subspace.to(z)
        return flat.unflatten(1, self.target.event_shape)

    def reduce(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """z (B, K) of x (B, *event_shape), orthogonally projected onto the subspace.

        Args:
            x: points.
            generator: of what z has beside x: the radii of angles; all have the likeliest one without it.
        """
        if self._support is not None:
            return self._support.reduce(x, generator)
        flat = x.flatten(1)
        return flat if self._subspace is None else flat @ self._subspace.to(flat).T

    def log_prob(self, z: Tensor) -> Tensor:
        """log p (B,), unnormalised."""
        if self._support is None:
            return self.target.log_prob(self.embed(z))
        x, volume = self._support.place(z)
        return self.target.log_prob(x) + volume

    def score(self, z: Tensor) -> Tensor:
        """∇_z log p (B, K).

        Raises:
            DivergenceError: when asked first, if no point has a finite log-density (and the value is at hand).
        """
        self.evaluations += 1
        x = self.embed(z)
        if self.evaluations > 1 or callable(getattr(self.target.law, "score", None)):
            return self._pulled(z, self.target.score(x))
        log_prob, score = self.target.log_prob_and_score(x)  # by autograd: the value comes with the gradient
        self._refuse_nowhere(log_prob)
        return self._pulled(z, score)

    def log_prob_and_score(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """log p (B,) and its gradient (B, K), counted as one evaluation."""
        self.evaluations += 1
        x, volume = (self.embed(z), 0.0) if self._support is None else self._support.place(z)
        log_prob, score = self.target.log_prob_and_score(x)
        if self.evaluations == 1:
            self._refuse_nowhere(log_prob)
        return log_prob + volume, self._pulled(z, score)

    def _pulled(self, z: Tensor, score: Tensor) -> Tensor:
        """∇_z log p (B, K) of ∇_x log p."""
        if self._support is not None:
            return self._support.pull(z, score)
        flat = score.flatten(1)
        return flat if self._subspace is None else flat @ self._subspace.to(flat).T

    def _refuse_nowhere(self, log_prob: Tensor) -> None:
        if not torch.isfinite(log_prob).any():
            n = len(log_prob)
            raise DivergenceError(
                f"{n} of {n} particles are lost: the log-density of target {self.target.name!r} is not finite at any "
                "of the points where they start; set prior_std to the scale of its support, or give start= inside it",
                lost=n,
                total=n,
                step=0,
            )


BOUND = 1e6
"""A particle with a coordinate beyond it is lost, as for the integrators."""


class DensityModel(Model):
    """A density ready to be sampled from; a subclass draws. ``dtype`` is that of particles drawn from the prior.

    Args:
        recipe: with the sampling options.
        target: whose density is followed, on ``device``; also names the model.
        device: where sampling runs.
    """

    def __init__(self, recipe: Sampler, *, target: Target, device: torch.device | str) -> None:
        self.recipe = recipe
        self.target_name, self.event_shape = target.name, tuple(target.event_shape)
        self._target = target
        self._device = torch.device(device)
        known = getattr(target.law, "dtype", None) if target.train is None else target.train.dtype
        self.dtype = known or torch.get_default_dtype()

    @property
    def device(self) -> torch.device:
        """Where sampling runs."""
        return self._device

    @property
    def needs_target(self) -> bool:
        """The density of the target is asked while sampling."""
        return True

    def source(self) -> Any:
        """A fresh source of scores on flat particles, with nothing counted yet."""
        return FlatDensity(self._target)

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """The score of the target, at x (B, *event_shape).

        Raises:
            ConfigurationError: if ``sigma`` is given: there is no blurred law.
        """
        if sigma is not None:
            raise ConfigurationError(
                f"sigma is {sigma!r}, but target {self.target_name!r} gives the score of its own law only; leave sigma "
                "out, or follow a fitted model that knows blurred laws"
            )
        return self._target.score(x)

    def tensors(self) -> dict[str, Tensor]:
        """None: nothing was learned."""
        return {}

    def facts(self) -> dict[str, Any]:
        """The dtype."""
        return {"dtype": str(self.dtype).removeprefix("torch.")}


@dataclass(frozen=True, kw_only=True)
class DensitySampler(Sampler):
    """A recipe that moves in a density as it is given; fitting it trains nothing.

    Attributes:
        model: class of its models.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    model: ClassVar[type[DensityModel]]

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> DensityModel:
        """See ``Sampler.fit``; ``seed`` and ``callbacks`` have nothing to act on."""
        require(target, *self.needs, by=type(self).__name__)
        return self.model(self, target=target.to(device), device=device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> DensityModel:
        """The model in the density of ``target``; see ``Sampler.restore``.

        Raises:
            CheckpointError: without a target, or with one of another event shape.
            MissingCapability: if the target has no density or no score.
        """
        target = same_target(target, event_shape, by=type(self).__name__)
        model = self.fit(target, device=device)
        model.dtype = dtype_named(facts["dtype"])
        return model


def dtype_named(name: str) -> torch.dtype:
    """The floating-point type that a checkpoint names.

    Raises:
        CheckpointError: if it is none of those that chains compute in.
    """
    known = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}
    if not isinstance(name, str) or name not in known:
        raise CheckpointError(f"facts.dtype is {name!r}; expected one of {', '.join(known)}")
    return known[name]


def refuse_lost(
    x: Tensor,
    *,
    alive: Tensor | None = None,
    steps: int,
    done: int | None = None,
    by: str,
    advice: str,
    bound: float = BOUND,
) -> None:
    """Raise if particles left the finite numbers; waits for the device once.

    Args:
        x: particles (B, D).
        alive: a further condition (B,) that particles must meet.
        steps: in all.
        done: steps done, if not all.
        by: name of the sampler.
        advice: what the user can do.
        bound: coordinate beyond which a particle is lost; heavier tails than those of data need a larger one.

    Raises:
        DivergenceError: with the count of lost particles.
    """
    kept = (x.abs() <= bound).all(1)  # False for NaN
    if alive is not None:
        kept = kept & alive
    if lost := int(torch.count_nonzero(~kept)):
        step = steps if done is None else done
        raise DivergenceError(
            f"{lost} of {len(x)} particles are lost (not finite, or beyond ±{bound:g}) after step {step} of {steps} of "
            f"{by}: {advice}",
            lost=lost,
            total=len(x),
            step=step,
        )


def refuse_without_density(source: Any, z: Tensor, *, by: str) -> None:
    """Raise if samples of a method that tests no move are where there is no density; waits for the device once.

    Args:
        source: of scores; one that is no ``FlatDensity``, or knows no values, cannot tell.
        z: flat samples (n, K).
        by: name of the sampler.

    Raises:
        DivergenceError: with their count.
    """
    if not isinstance(source, FlatDensity) or not source.has_values:
        return
    if lost := int(torch.count_nonzero(source.log_prob(z) == -torch.inf)):
        raise DivergenceError(
            f"{lost} of {len(z)} samples of {by} are where the density of target {source.target.name!r} is zero: it "
            "follows the gradient, which knows no borders; give the density its support (Density(..., support=...)), "
            "or take a sampler that tests its moves, such as mala, hmc or nuts",
            lost=lost,
            total=len(z),
            step=0,
        )


def same_target(target: Target | None, event_shape: tuple[int, ...], *, by: str) -> Target:
    """The target given to restore a model that asks it while sampling.

    Raises:
        CheckpointError: if there is none, or it has another event shape.
    """
    if target is None or tuple(target.event_shape) != tuple(event_shape):
        given = "none" if target is None else f"{target.name!r} with event shape {tuple(target.event_shape)}"
        raise CheckpointError(
            f"{by} moves in the density of its target: expected target= with event shape {tuple(event_shape)}, got "
            f"{given}"
        )
    return target
