"""Chains that follow the score of a fitted model instead of a density."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from phys_langevin.nested import check_model, score_facts, score_tensors
from phys_samplers.chains import ChainModel, ChainSampler


class ModelScore:
    """The score of a fitted model, on flat particles.

    Args:
        model: anything with ``score(x, sigma=None)`` in data units.
        event_shape: of its particles.
    """

    def __init__(self, model: Any, event_shape: tuple[int, ...]) -> None:
        self.model = model
        self.event_shape = event_shape
        self.dim = int(torch.Size(event_shape).numel())
        self.evaluations = 0

    def embed(self, z: Tensor) -> Tensor:
        """Particles (B, *event_shape) of flat ones."""
        return z.unflatten(1, self.event_shape)

    def reduce(self, x: Tensor) -> Tensor:
        """Flat particles."""
        return x.flatten(1)

    def score(self, z: Tensor) -> Tensor:
        """∇log of the learned law (B, D)."""
        self.evaluations += 1
        return self.model.score(self.embed(z)).flatten(1)


class FollowingModel(ChainModel):
    """Chains in the law that ``model`` learned.

    Args:
        recipe: with the sampling options.
        model: whose score is followed.
        target_name: what the model was fitted to.
        event_shape: of the particles.
        dtype: of particles drawn from the prior.
        device: where chains run.
    """

    def __init__(
        self,
        recipe: ChainSampler,
        *,
        model: Any,
        target_name: str,
        event_shape: tuple[int, ...],
        dtype: torch.dtype,
        device: torch.device | str,
    ) -> None:
        check_model(model, event_shape, device)
        self.recipe, self.followed, self.report = recipe, model, getattr(model, "report", None)
        self.target_name, self.event_shape, self.dtype = target_name, tuple(event_shape), dtype
        self._device = torch.device(device)

    @property
    def needs_target(self) -> bool:
        """Whether the model asks its target while sampling."""
        return bool(getattr(self.followed, "needs_target", False))

    def source(self) -> ModelScore:
        """See ``ChainModel.source``."""
        return ModelScore(self.followed, self.event_shape)

    def particle_dtype(self, start: Tensor) -> torch.dtype:
        """A network has one precision."""
        return self.dtype

    @torch.no_grad()
    def score(self, x: Tensor, sigma: float | None = None) -> Tensor:
        """The model's own, at x (B, *event_shape), of the law blurred by ``sigma`` if given."""
        return self.followed.score(x, sigma=sigma)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the model."""
        return score_tensors(self.followed)

    def facts(self) -> dict[str, Any]:
        """The dtype, and the facts of the model."""
        return {**super().facts(), "score": score_facts(self.followed)}
