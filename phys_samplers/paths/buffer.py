"""A buffer of ends of simulated paths, chosen by weight and moved by a Markov chain in the density itself.

A sampler that follows a wrong control ends beside the law, and learning from its own states never shows it what it
misses. Ends are therefore chosen in proportion to w^τ, τ ≤ 1 the largest that leaves a tenth of them effective, and
moved by a few MALA steps in the density, which keep the law of the ends if they have it.

Sources: Sendera et al. 2024 (arXiv:2402.05098), local search from a buffer; Akhound-Sadegh et al. 2024
(arXiv:2402.06121), regression on noised states of a buffer that the sampler refills.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from phys_samplers.chains import mala
from phys_samplers.paths.unit import UnitDensity
from phys_samplers.randomness import Streams

ACCEPTANCE = 0.574
"""Of MALA; optimal in high dimension (Roberts & Rosenthal 1998)."""
ADAPTS = 0.5
"""How fast logarithms of MALA's step sizes follow its acceptance."""
POWERS = torch.logspace(0, -4, 41)
"""τ that are tried."""
EFFECTIVE = 0.1
"""Share of the chosen ends that is to be effective."""


class Replay:
    """Moved ends of earlier paths, the newest ``rounds`` batches of them; part of a training's state.

    Args:
        density: of the target.
        streams: one per replica.
        size: ends B of a batch.
        rounds: batches kept.
        moves: MALA steps of a batch.
        step: MALA's first step size h.
    """

    def __init__(
        self, density: UnitDensity, streams: Streams, *, size: int, rounds: int, moves: int, step: float
    ) -> None:
        self.density, self.streams, self.size, self.rounds, self.moves = density, streams, size, rounds, moves
        self.ends = torch.zeros(streams.replicas, rounds * size, density.dim, device=streams.device)
        self.scores = torch.zeros_like(self.ends)
        self.log_step = torch.full((streams.replicas, 1, 1), math.log(step), device=streams.device)
        self.batches = 0

    @torch.no_grad()
    def add(self, ends: Tensor, log_weights: Tensor) -> None:
        """Choose among ``ends`` (R, B, D) of paths with log w (R, B), move them, and put them in place of the oldest.

        Ends that are not finite have no weight.
        """
        replicas, size, dim = ends.shape
        lost = ~torch.isfinite(log_weights) | ~torch.isfinite(ends).all(-1)
        weights = tempered(log_weights.masked_fill(lost, -math.inf))
        points = (torch.arange(size, device=ends.device) + self.streams.uniform(1)) / size
        cumulative = weights.cumsum(1)
        chosen = torch.searchsorted(cumulative, points * cumulative[:, -1:], right=True).clamp_(max=size - 1)
        x = ends.gather(1, chosen[..., None].expand(-1, -1, dim)).flatten(0, 1)
        state = mala.init(x, self.density.both)
        for _ in range(self.moves):
            step = self.log_step.exp().expand(-1, size, 1).flatten(0, 1)
            noise, uniform = self.streams.normal(size, dim).flatten(0, 1), self.streams.uniform(size).flatten().log()
            state, info = mala.step(state, self.density.both, step_size=step, noise=noise, log_uniform=uniform)
            acceptance = info.acceptance.view(replicas, size, 1).mean(1, keepdim=True)
            self.log_step += ADAPTS * (acceptance - ACCEPTANCE)
        place = self.batches % self.rounds * size
        self.ends[:, place : place + size] = state.x.view(replicas, size, dim)
        self.scores[:, place : place + size] = state.score.view(replicas, size, dim)
        self.batches += 1

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Ends (R, n, D), drawn with replacement, and the target's scores there."""
        index = self.streams.integers(min(self.batches, self.rounds) * self.size, n)
        index = index[..., None].expand(-1, -1, self.ends.shape[-1])
        return self.ends.gather(1, index), self.scores.gather(1, index)

    def state_dict(self) -> dict[str, Tensor]:
        """See ``Resumable``."""
        return {
            "ends": self.ends,
            "scores": self.scores,
            "log_step": self.log_step,
            "batches": torch.tensor(self.batches),
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Resumable``."""
        self.ends.copy_(state["ends"])
        self.scores.copy_(state["scores"])
        self.log_step.copy_(state["log_step"])
        self.batches = int(state["batches"])


def tempered(log_weights: Tensor) -> Tensor:
    """Normalised w^τ (R, B), with the largest τ ≤ 1 of a grid that leaves ``EFFECTIVE`` of the paths effective.

    Args:
        log_weights: (R, B); −∞ for paths that do not count.
    """
    powers = POWERS.to(log_weights)
    # −∞ · τ stays −∞; where nothing counts, all do.
    nothing = torch.isinf(log_weights).all(1, keepdim=True)
    kept = torch.where(nothing, torch.zeros_like(log_weights), log_weights)
    weights = torch.softmax(powers[:, None, None] * kept, -1)
    effective = 1 / weights.square().sum(-1)
    enough = effective >= EFFECTIVE * log_weights.shape[1]
    enough[-1] = True
    first = enough.int().argmax(0)
    return weights.gather(0, first[None, :, None].expand(1, -1, weights.shape[-1]))[0]


class Ring:
    """Rows of R replicas, the newest ``capacity`` of them; part of a training's state.

    Args:
        streams: one per replica, for draws.
        capacity: rows kept of a replica.
        columns: of a row.
    """

    def __init__(self, streams: Streams, *, capacity: int, columns: int) -> None:
        self.streams = streams
        self.rows = torch.zeros(streams.replicas, capacity, columns, device=streams.device)
        self.place, self.filled = 0, 0

    def add(self, rows: Tensor) -> None:
        """Put ``rows`` (R, B, columns) in place of the oldest."""
        capacity = self.rows.shape[1]
        index = (self.place + torch.arange(rows.shape[1], device=rows.device)) % capacity
        self.rows[:, index] = rows.to(self.rows)
        self.place = (self.place + rows.shape[1]) % capacity
        self.filled = min(capacity, self.filled + rows.shape[1])

    def draw(self, n: int) -> Tensor:
        """Rows (R, n, columns), with replacement."""
        index = self.streams.integers(self.filled, n)[..., None]
        return self.rows.gather(1, index.expand(-1, -1, self.rows.shape[-1]))

    def state_dict(self) -> dict[str, Tensor]:
        """See ``Resumable``."""
        return {"rows": self.rows, "place": torch.tensor([self.place, self.filled])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Resumable``."""
        self.rows.copy_(state["rows"])
        self.place, self.filled = (int(number) for number in state["place"])
