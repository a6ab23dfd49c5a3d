"""The exact laws of a task's returns as a return model, and as well as families of laws can hold them: floors.

With ``bandwidth`` they are blurred, which is what fields on a basis of Gaussians converge to; with ``atoms`` they are
projected onto a grid over the range of returns, the best that a categorical model of as many atoms gives; with
``quantiles`` they are that many equally weighted quantiles at the midpoints, the best in W1 (Dabney et al. 2018, Lemma
2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.randomness import make_generator
from phys_samplers.rl.law import ReturnLaw, projected
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target

if TYPE_CHECKING:
    from phys_samplers.training import Callback

CENTRES = 513
"""Of the Gaussians that blurred laws are made of; their spacing is to be small beside the bandwidth."""


@dataclass(frozen=True, kw_only=True)
class ExactReturnModel(Sampler):
    """Hands out the task's exact laws; nothing is learned. At most one option may be given.

    Args:
        bandwidth: of the blur, as a share of the range of returns.
        atoms: of the grid.
        quantiles: how many.

    Raises:
        ConfigurationError: on more than one option, or a bad value.
    """

    kind: ClassVar[str] = "return_model"
    needs: ClassVar[frozenset[str]] = frozenset({"experience", "sample"})
    fixed: ClassVar[frozenset[str]] = frozenset({"bandwidth", "atoms", "quantiles"})

    bandwidth: float | None = None
    atoms: int | None = None
    quantiles: int | None = None

    def __post_init__(self) -> None:
        given = {name: value for name, value in self.options().items() if value is not None}
        if len(given) > 1:
            raise ConfigurationError(f"{given} are given; expected at most one of bandwidth, atoms and quantiles")
        if self.bandwidth is not None and not 4 / CENTRES < self.bandwidth < 1:
            raise ConfigurationError(f"bandwidth is {self.bandwidth}; expected a share between 0.008 and 1")
        if (self.atoms is not None and self.atoms < 2) or (self.quantiles is not None and self.quantiles < 1):
            raise ConfigurationError(
                f"atoms is {self.atoms} and quantiles {self.quantiles}; expected at least 2 atoms or 1 quantile"
            )

    def of(self, law: ReturnLaw) -> ReturnLaw:
        """Exact laws (Q,), returns between 0 and 1, as this recipe gives them."""
        if self.bandwidth is not None:
            nodes = torch.linspace(0, 1, CENTRES, dtype=torch.float64)
            return replace(projected(law, nodes), bandwidth=self.bandwidth)
        if self.atoms is not None:
            return projected(law, torch.linspace(0, 1, self.atoms, dtype=torch.float64))
        if self.quantiles is not None:
            levels = (torch.arange(self.quantiles, dtype=torch.float64) + 0.5) / self.quantiles
            points = law.quantiles(levels)
            return ReturnLaw(points, torch.full_like(points, 1 / self.quantiles))
        return law

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> KnownReturns:
        """The model of ``target``; ``seed`` and ``callbacks`` have nothing to act on.

        Raises:
            MissingCapability: if the target does not know the laws of its returns.
        """
        target.require(*self.needs, by="the exact return model")
        exact = getattr(target.law, "laws", None)
        if exact is None:
            raise MissingCapability(f"target {target.name!r} does not know the laws of its returns; leave exact out")
        scale = target.experience.scale  # type: ignore[attr-defined]
        law = self.of(exact.moved(1 / scale.width, -scale.low / scale.width)).moved(scale.width, scale.low)
        return KnownReturns(self, law, target, device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> KnownReturns:
        """The model of ``target``, which must be given again.

        Raises:
            CheckpointError: without it.
        """
        if target is None or target.event_shape != tuple(event_shape):
            raise CheckpointError("an exact return model hands out what its task knows; expected that task as target=")
        return self.fit(target, device=device)


class KnownReturns(Model):
    """Laws (Q,) at the queries of a task.

    Args:
        recipe: the recipe.
        law: the laws, in the unit of the rewards.
        target: the task.
        device: where draws are handed out.
    """

    def __init__(self, recipe: ExactReturnModel, law: ReturnLaw, target: Target, device: torch.device | str) -> None:
        self.recipe: ExactReturnModel = recipe
        self._law, self._device = law, torch.device(device)
        self.target_name, self.event_shape = target.name, target.event_shape

    @property
    def device(self) -> torch.device:
        """Where draws are handed out."""
        return self._device

    @property
    def needs_target(self) -> bool:
        """True: the laws are the task's."""
        return True

    def laws(self, *, seed: int = 0) -> ReturnLaw:
        """The laws (Q,)."""
        return self._law

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` draws of the returns (n, Q), with nfe 0."""
        self.check_draw(n, start)
        self.recipe.for_draw(options)
        generator = make_generator(seed, "returns")
        uniforms = torch.rand(self.event_shape[0], n, generator=generator, dtype=torch.float64)
        samples = self._law.sample(uniforms).T.to(self._device, torch.float32)
        return Draw(samples=samples.contiguous(), nfe=0.0)

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the laws are the task's."""
        return {}
