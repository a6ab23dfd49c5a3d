"""A denoiser that is there already: of a law that can blur itself, of a network trained elsewhere, of any function.

What a trained model of the denoiser families can do, these can: every integrator, Restart, guidance, likelihood and
scores.

>>> model = from_denoiser(lambda x, sigma: x / (1 + sigma**2), (2,), sigma_range=(0.01, 20.0))  # of N(0, I)
>>> x = model.sample(1_000, seed=0, integrator="dpmpp-2m", sampling_steps=20)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from phys_samplers.denoisers.reverse import ReverseProcess
from phys_samplers.denoisers.sampler import DenoiserModel
from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.options import fit_option
from phys_samplers.randomness import as_device
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_samplers.training import Callback

DataDenoise = Callable[[Tensor, float], Tensor]
"""x (B, *event_shape) with noise of size σ, in data units → E[x₀ | x], of the same shape."""


class DenoiserLaw:
    """A law of which no more is known than its denoiser.

    Args:
        denoise: E[x₀ | x₀ + σn = x].
        event_shape: of a sample.
    """

    def __init__(self, denoise: DataDenoise, event_shape: tuple[int, ...]) -> None:
        self.denoise, self.event_shape = denoise, event_shape


@dataclass(frozen=True, kw_only=True)
class GivenDenoiser(ReverseProcess):
    """Comes down from noise with the denoiser of the target's law; nothing is fitted.

    The law has a method ``denoise(x, sigma)``, or ``blurred(variance)``, the law of x + noise, with a ``score``. The
    same network in data units and in units of (x − mean)/scale differs in the levels of ``schedule`` alone.

    Args:
        mean: of the data, about.
        scale: standard deviation of the data, about: the schedule's levels are in units of it, and the prior is
            N(mean, scale² (1 + λ²) I).
        bounds: least and greatest value of a coordinate, for ``clip``.
    """

    needs: ClassVar[frozenset[str]] = frozenset()

    mean: float = fit_option(0.0)
    scale: float = fit_option(1.0, above=0)
    bounds: tuple[float, float] | None = fit_option(None)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.clip and self.bounds is None:
            raise ConfigurationError("clip is True and bounds is None; expected the least and the greatest value")
        if self.bounds is not None and not self.bounds[0] < self.bounds[1]:
            raise ConfigurationError(f"bounds is {self.bounds}; expected (least, greatest)")

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> GivenModel:
        """The model of ``target``; ``seed`` and ``callbacks`` have nothing to act on.

        Raises:
            MissingCapability: if the law has no denoiser and cannot blur itself.
        """
        return GivenModel(self, target.to(device), as_device(device))

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> GivenModel:
        """See ``Sampler.restore``."""
        if target is None:
            raise CheckpointError("the model asks the denoiser of its target; load it with target=")
        return self.fit(target, device=device)


class GivenModel(DenoiserModel):
    """``DenoiserModel`` of a denoiser that is there already; it asks it while sampling, and does not store it.

    Args:
        recipe: the recipe.
        target: whose law has the denoiser, on ``device``.
        device: where samples are made.
    """

    recipe: GivenDenoiser

    def __init__(self, recipe: GivenDenoiser, target: Target, device: torch.device) -> None:
        dim = target.dim
        constant = torch.ones(dim, device=device)
        limits = torch.tensor(recipe.bounds or (-torch.inf, torch.inf), device=device)
        bounds = ((limits - recipe.mean) / recipe.scale).unsqueeze(1).expand(2, dim)
        standardiser = Standardiser(recipe.mean * constant, recipe.scale * constant)
        super().__init__(recipe, nn.Module(), standardiser, bounds, target.event_shape)
        self.target_name, self.columns = target.name, target.columns
        self._denoise = denoiser_of(target)

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """D(x, σ) at standardised x (B, D)."""
        noisy = self.standardiser.inverse(x, self.event_shape)
        clean = self._denoise(noisy, sigma * self.recipe.scale)
        if not isinstance(clean, Tensor) or clean.shape != noisy.shape:
            given = tuple(clean.shape) if isinstance(clean, Tensor) else type(clean).__name__
            raise ConfigurationError(
                f"the denoiser of {self.target_name!r} gives {given} for points of shape {tuple(noisy.shape)}; "
                "expected a tensor of the same shape"
            )
        return self.standardiser.forward(clean)

    @property
    def needs_target(self) -> bool:
        """True: the denoiser is the target's."""
        return True

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the denoiser is the target's."""
        return {}


def denoiser_of(target: Target) -> DataDenoise:
    """E[x₀ | x₀ + σn = x] of a target's law.

    Raises:
        MissingCapability: if the law has no denoiser and cannot blur itself.
    """
    law = target.law
    if callable(getattr(law, "denoise", None)):
        denoise: DataDenoise = law.denoise
        return denoise
    if not callable(getattr(law, "blurred", None)):
        raise MissingCapability(
            f"target {target.name!r} has no exact denoiser: its law has neither denoise(x, sigma) nor "
            "blurred(variance); use a trained one, such as edm"
        )
    known: dict[float, Any] = {}

    def by_tweedie(x: Tensor, sigma: float) -> Tensor:
        if sigma not in known:
            if len(known) >= _LEVELS:
                known.clear()
            known[sigma] = law.blurred(sigma**2)
        moved: Tensor = x + sigma**2 * known[sigma].score(x)
        return moved

    return by_tweedie


_LEVELS = 1_024
"""Blurred laws that are kept."""


def denoiser_target(denoise: DataDenoise, event_shape: tuple[int, ...], *, name: str = "denoiser") -> Target:
    """What a saved model of ``from_denoiser`` is loaded with: ``load(path, target=denoiser_target(…))``."""
    return Target(event_shape=event_shape, law=DenoiserLaw(denoise, event_shape), name=name)


def from_denoiser(
    denoise: DataDenoise,
    event_shape: tuple[int, ...],
    sigma_range: tuple[float, float],
    *,
    mean: float = 0.0,
    scale: float = 1.0,
    device: torch.device | str = "cpu",
    name: str = "denoiser",
    **options: Any,
) -> GivenModel:
    """A model of a denoiser trained elsewhere.

    Args:
        denoise: x (B, *event_shape) and σ, both in data units → E[x₀ | x₀ + σn = x]. Differentiable where likelihoods
            are asked; rows must not see each other.
        event_shape: of a sample.
        sigma_range: the least and the largest σ that it knows, in data units.
        mean: of the data, about.
        scale: standard deviation of the data, about.
        device: where samples are made and the function computes.
        name: for messages and records.
        options: of ``GivenDenoiser``: ``integrator``, ``sampling_steps``, ``guidance``, ``clip``, ``bounds``, …; a
            ``schedule`` with levels in units of ``scale``, if that of EDM over the range is not wanted.

    Raises:
        ConfigurationError: on a bad range or option, or if it is no function; in a draw, if it gives another shape.
    """
    if not callable(denoise):
        raise ConfigurationError(f"denoise is {denoise!r}; expected a function of x (B, *event_shape) and sigma")
    low, high = sigma_range
    schedule = {"name": "edm", "sigma_min": low / scale, "sigma_max": high / scale}
    recipe = GivenDenoiser(**{"schedule": schedule, **options, "mean": mean, "scale": scale})
    return recipe.fit(denoiser_target(denoise, tuple(event_shape), name=name), device=device)
