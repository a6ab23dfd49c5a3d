"""A sampler that fits a Gaussian with independent coordinates by its moments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback


class GaussianModel(Model):
    """N(mean, scale²).

    Args:
        recipe: that made it.
        mean: (*event_shape).
        scale: (*event_shape), standard deviations.
    """

    recipe: GaussianFit

    def __init__(self, recipe: GaussianFit, mean: Tensor, scale: Tensor) -> None:
        self.recipe, self.mean, self.scale = recipe, mean, scale
        self.event_shape = tuple(mean.shape)

    @property
    def device(self) -> torch.device:
        """Where draws are made."""
        return self.mean.device

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """Independent draws at no function evaluation; see ``Model.draw``."""
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but independent draws have none; leave it out")
        recipe = self.recipe.with_options(**options)
        generator = make_generator(seed, "sample-gaussian", device=self.device)
        z = torch.randn(n, *self.event_shape, generator=generator, device=self.device, dtype=self.mean.dtype)
        return Draw(torch.addcmul(self.mean, self.scale, z, value=recipe.temperature**0.5), nfe=0.0)

    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """∇log of the density, blurred by ``sigma`` if given, at x (B, *event_shape)."""
        return (self.mean - x) / (self.scale.square() + (sigma or 0.0) ** 2)

    def tensors(self) -> dict[str, Tensor]:
        """Mean and scale."""
        return {"mean": self.mean, "scale": self.scale}


@dataclass(frozen=True, kw_only=True)
class GaussianFit(Sampler):
    """Fits the moments of the training rows.

    Args:
        temperature: factor of the variances when sampling.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"samples"})

    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise ConfigurationError(f"temperature is {self.temperature}; expected a positive number")

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> GaussianModel:
        """See ``Sampler.fit``; nothing is random here."""
        target.require(*self.needs, by="sample-gaussian")
        rows = target.to(device).train
        assert rows is not None
        model = GaussianModel(self, rows.mean(0), rows.std(0))
        model.target_name = target.name
        return model

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> GaussianModel:
        """See ``Sampler.restore``."""
        return GaussianModel(self, tensors["mean"], tensors["scale"])
