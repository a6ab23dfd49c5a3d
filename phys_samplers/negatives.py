r"""Negative samples for training an energy-based model: one face for chains and for learned samplers.

The gradient of the log-likelihood of p_θ ∝ exp(−E_θ) needs draws of p_θ itself,

    ∇_θ E_data[log p_θ] = −E_data[∇_θ E_θ] + E_{p_θ}[∇_θ E_θ],

while E_θ changes after every step. A recipe that can supply them has a method ``negatives`` that starts a supply;
whoever trains the energy alternates ``draw`` and, after its own step, ``learn``, and keeps ``model()`` at the end.

Source: Hinton 2002; Yoon et al. 2025 (arXiv:2502.13280), Sec. 5 and Algorithm 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch
from torch import Tensor

from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_samplers.sampler import Model


class Negatives(Protocol):
    """A running supply of negative samples."""

    def draw(self, n: int) -> Tensor:
        """``n`` samples (n, *event_shape), detached, of the energy as it is now, as nearly as the method can.

        Raises:
            DivergenceError: if particles leave the finite numbers.
        """
        ...

    def learn(self) -> None:
        """Follow a change of the energy: a learned sampler takes a training step, chains have nothing to do."""
        ...

    def state_dict(self) -> Mapping[str, Tensor]:
        """The numbers it is in, with those of random streams; see ``phys_samplers.training.Resumable``."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> object:
        """Go on from those numbers, in a supply that was started alike."""
        ...

    def model(self) -> Model:
        """What draws as the supply does now: a fitted model of the recipe, which saves itself and is restored by it.

        It moves in the target that the supply was started with; ``restore`` is given that target, or one like it.
        """
        ...


@runtime_checkable
class SuppliesNegatives(Protocol):
    """A recipe that can supply negative samples."""

    def negatives(self, target: Target, *, seed: int, device: torch.device | str = "cpu") -> Negatives:
        """Start a supply.

        Args:
            target: its law is the energy under training, whose parameters change in place; its training rows are the
                data, for chains that start there and for scales.
            seed: of every random draw made here.
            device: where to compute.
        """
        ...
