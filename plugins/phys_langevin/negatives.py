"""Langevin chains as a supply of negative samples: short ones from noise or from data, or persistent ones.

Contrastive divergence (Hinton 2002) starts T steps at the data; short-run chains (Nijkamp et al. 2019) start them at
noise; persistent ones (Tieleman 2008) go on where they stopped, and follow an energy that changes slowly, with a share
of them started anew each time (Du & Mordatch 2019). T steps from a fixed start do not reach the law of the energy:
training then fits what T steps make of the start, and the energy is not that of the data (Nijkamp et al. 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from phys_samplers.chains import ChainModel, ChainRecord, ChainSampler, DensityModel
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.sampler import Draw
from phys_samplers.target import Target

Starts = Literal["noise", "data"]


class ChainNegatives:
    """A running supply; see ``phys_samplers.negatives.Negatives``.

    Args:
        recipe: of the chains, with T.
        target: its law is the energy under training.
        starts: where chains start.
        buffer_size: chains that persist; 0 for none.
        restart_rate: share of them that starts anew each time.
        seed: of every random draw.
        device: where chains run.

    Raises:
        ConfigurationError: if chains start at the data and the target has none.
    """

    def __init__(
        self,
        recipe: ChainSampler,
        target: Target,
        *,
        starts: Starts,
        buffer_size: int,
        restart_rate: float,
        seed: int,
        device: torch.device | str,
    ) -> None:
        if starts == "data":
            target.require("samples", by="negative samples that start at the data")
        self.recipe, self.target, self.device = recipe, target.to(device), torch.device(device)
        self.restart_rate = restart_rate
        self.source = FlatDensity(self.target)
        self.dtype = torch.get_default_dtype() if target.train is None else target.train.dtype
        self.generator = make_generator(seed, "negatives", device=device)
        rows = self.target.train if starts == "data" else None
        self._rows = None if rows is None else self.source.reduce(rows.detach())
        self.buffer = self._fresh(buffer_size) if buffer_size else None
        """States (N, K) of the persistent chains, if there are any."""

    def draw(self, n: int) -> Tensor:
        """States (n, *event_shape) after T more steps; see ``Negatives.draw``.

        Of persistent chains, ``n`` different ones are moved on, each started anew before with the probability
        ``restart_rate``.

        Raises:
            ConfigurationError: if there are fewer than ``n`` persistent chains.
            DivergenceError: if chains leave the finite numbers.
        """
        if self.buffer is None:
            return self.source.embed(self._moved(self._fresh(n)))
        if n > len(self.buffer):
            raise ConfigurationError(
                f"buffer_size is {len(self.buffer)}, but {n} negative samples were asked for at once; expected at "
                "least as many persistent chains"
            )
        index = torch.randperm(len(self.buffer), generator=self.generator, device=self.device)[:n]
        anew = torch.rand(n, 1, generator=self.generator, device=self.device) < self.restart_rate
        x = self._moved(torch.where(anew, self._fresh(n), self.buffer[index]))
        self.buffer[index] = x
        return self.source.embed(x)

    def learn(self) -> None:
        """Nothing: chains follow the energy as it is."""

    def state_dict(self) -> dict[str, Tensor]:
        """Where the random stream and persistent chains are."""
        chains = {} if self.buffer is None else {"buffer": self.buffer}
        return {"generator": self.generator.get_state(), **chains}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Negatives.load_state_dict``."""
        self.generator.set_state(state["generator"].cpu())
        if self.buffer is not None:
            self.buffer.copy_(state["buffer"])

    def model(self) -> DensityModel:
        """Chains of T steps that start where those of the supply do; see ``Negatives.model``."""
        states = self._rows if self.buffer is None else self.buffer
        if states is None:
            return self.recipe.fit(self.target, device=self.device)
        return ContinuedModel(self.recipe, target=self.target, device=self.device, states=states.clone())

    def _fresh(self, n: int) -> Tensor:
        """Starting points (n, K)."""
        if self._rows is not None:
            return self._rows[torch.randint(len(self._rows), (n,), generator=self.generator, device=self.device)]
        noise = torch.randn(n, self.source.dim, generator=self.generator, device=self.device, dtype=self.dtype)
        return noise.mul_(self.recipe.prior_std)

    def _moved(self, x: Tensor) -> Tensor:
        record = ChainRecord(self.recipe.sampling_steps)
        self.recipe.run(self.source, x, generator=self.generator, record=record)
        return record.samples(len(x))


class ContinuedModel(ChainModel):
    """Chains that start at stored states: those of persistent chains, or data.

    Args:
        recipe: with the sampling options.
        target: whose density is followed, on ``device``.
        device: where chains run.
        states: (N, K), flat. A draw of at most N takes different ones, one of more takes them with replacement.
    """

    def __init__(self, recipe: ChainSampler, *, target: Target, device: torch.device | str, states: Tensor) -> None:
        super().__init__(recipe, target=target, device=device)
        self.states, self.dtype = states, states.dtype

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """See ``ChainModel.draw``; without ``start`` chains start at the stored states."""
        self.check_draw(n, start)
        if start is None:
            generator, size = make_generator(seed, "states", device=self.device), len(self.states)
            few = n <= size
            index = (
                torch.randperm(size, generator=generator, device=self.device)[:n]
                if few
                else torch.randint(size, (n,), generator=generator, device=self.device)
            )
            start = self.source().embed(self.states[index])
        return super().draw(n, seed=seed, start=start, **options)

    def tensors(self) -> dict[str, Tensor]:
        """The states."""
        return {"states": self.states}
