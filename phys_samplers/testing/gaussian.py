"""A Gaussian target that offers all capabilities but ``particles`` and ``sets``, in any shape; copies that lack one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.target import Modes, Target

MEAN, VARIANCE = (0.5, -0.3), (0.25, 0.5)
"""Of the built-in target; scales below one, so that untuned chains forget their start within a default run."""


class DiagonalNormal(nn.Module):
    """N(mean, diag variance) on events of any shape.

    Args:
        mean: (*event_shape), floating point.
        variance: the same shape, positive.
    """

    mean: Tensor
    variance: Tensor
    log_z = 0.0

    def __init__(self, mean: Tensor, variance: Tensor) -> None:
        super().__init__()
        if mean.shape != variance.shape or not (variance > 0).all():
            raise ConfigurationError(
                f"mean has shape {tuple(mean.shape)} and variance is {variance.tolist()}; "
                "expected equal shapes and positive variances"
            )
        self.event_shape: tuple[int, ...] = tuple(mean.shape)
        self.register_buffer("mean", mean)
        self.register_buffer("variance", variance)

    def log_prob(self, x: Tensor) -> Tensor:
        """Normalised log-density (B,) at ``x`` (B, *event_shape)."""
        squares = (x - self.mean).square() / self.variance + (2 * math.pi * self.variance).log()
        return -0.5 * squares.flatten(1).sum(1)

    def score(self, x: Tensor) -> Tensor:
        """∇ log p at ``x`` (B, *event_shape)."""
        return (self.mean - x) / self.variance

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """``n`` draws (n, *event_shape) on the generator's device."""
        z = torch.randn(n, *self.event_shape, generator=generator, device=generator.device, dtype=self.mean.dtype)
        return torch.addcmul(self.mean.to(z.device), z, self.variance.sqrt().to(z.device))

    def blurred(self, variance: float) -> DiagonalNormal:
        """The law of x + √variance · N(0, I)."""
        return DiagonalNormal(self.mean, self.variance + variance)


def gaussian_target(
    event_shape: Sequence[int] = (2,), *, dtype: torch.dtype = torch.float32, rows: int = 2_000
) -> Target:
    """A Gaussian that offers samples, log-density, score, exact draws, log Z and its one mode.

    Args:
        event_shape: of a sample; means and variances ``MEAN`` and ``VARIANCE`` repeat over its coordinates.
        dtype: of rows and law.
        rows: training rows; validation and held-out rows are a quarter of it each.
    """
    shape = tuple(event_shape)
    size = math.prod(shape)
    mean = torch.tensor([MEAN[i % 2] for i in range(size)], dtype=dtype).reshape(shape)
    variance = torch.tensor([VARIANCE[i % 2] for i in range(size)], dtype=dtype).reshape(shape)
    law = DiagonalNormal(mean, variance)
    splits: dict[str, Any] = {
        name: law.sample(count, make_generator(0, "conformance", name))
        for name, count in (("train", rows), ("validation", rows // 4), ("heldout", rows // 4))
    }
    return Target(
        event_shape=shape,
        name="conformance-gaussian",
        law=law,
        modes=Modes(mean.reshape(1, size), torch.ones(1, dtype=dtype)),
        **splits,
    )


class _Veiled:
    """A law of which some methods cannot be seen."""

    def __init__(self, law: Any, hidden: frozenset[str]) -> None:
        self._law, self._hidden = law, hidden
        self.differentiable = "score" not in hidden and getattr(law, "differentiable", True)

    def __getattr__(self, name: str) -> Any:
        if name in self.__dict__["_hidden"]:
            raise AttributeError(name)
        return getattr(self.__dict__["_law"], name)


def without(target: Target, capability: str) -> Target:
    """``target`` without one of its capabilities (and without the score, if it is the log-density that goes)."""
    name = f"{target.name} without {capability}"
    if capability == "samples":
        return replace(target, train=None, name=name)
    if capability == "modes":
        return replace(target, modes=None, name=name)
    return replace(target, law=_Veiled(target.law, frozenset({capability})), name=name)
