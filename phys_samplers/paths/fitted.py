"""Models that sample a density in units of its spread by one trained network, which is all that they have learned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from phys_samplers.density import DensityModel, same_target
from phys_samplers.sampler import Sampler
from phys_samplers.target import Target

N = TypeVar("N", bound=nn.Module)
M = TypeVar("M")


class UnitModel(DensityModel, Generic[N]):
    """A network that samples a density, whose unit is the spread of the target.

    Args:
        recipe: the recipe.
        network: of one replica.
        target: on ``device``.
        scale: spread of the target.
        device: where to compute.
    """

    def __init__(
        self, recipe: Sampler, network: N, target: Target, *, scale: float, device: torch.device | str
    ) -> None:
        super().__init__(recipe, target=target, device=device)
        self.network, self.scale = network, scale

    def tensors(self) -> dict[str, Tensor]:
        """The numbers of the network."""
        return dict(self.network.state_dict())

    def facts(self) -> dict[str, Any]:
        """The spread that was found."""
        return {**super().facts(), "scale": self.scale}


def restored(
    model: Callable[..., M],
    recipe: Sampler,
    blank: Callable[[Target], nn.Module],
    tensors: Mapping[str, Tensor],
    facts: Mapping[str, Any],
    *,
    event_shape: tuple[int, ...],
    target: Target | None,
    device: torch.device | str,
) -> M:
    """A ``UnitModel`` from what it stored; see ``Sampler.restore``.

    Args:
        model: its class.
        recipe: that fitted it.
        blank: makes the network of one replica for a target, to be filled.
        tensors: see ``Sampler.restore``, as what follows.
        facts: ``scale``, and what a ``DensityModel`` has.
        event_shape: of samples.
        target: whose density it samples.
        device: where to compute.
    """
    target = same_target(target, event_shape, by=type(recipe).__name__)
    network = blank(target).requires_grad_(False)
    network.load_state_dict(dict(tensors))
    return model(recipe, network.to(device), target.to(device), scale=facts["scale"], device=device)
