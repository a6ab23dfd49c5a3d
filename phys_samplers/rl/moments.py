r"""What the linear solve for laws of returns needs of data, accumulated in one pass: its size does not depend on N.

Of rows (φ, r, φ') with weights ω, φ ∈ R^d with a constant first:

    A₀ = Σ ωφφᵀ,     A_r = Σ_{r_i = r, going on} ωφφ'ᵀ,     b_r = Σ_{r_i = r, terminal} ωφ.

Up to ``LIMIT`` distinct rewards are told apart; more of them are each shared by two neighbouring nodes of a lattice,
which keeps their mean and adds at most a quarter of its spacing squared to their variance. A reward beyond the lattice
doubles its spacing. Rows may be kept apart in groups, which a jackknife leaves out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator

LIMIT = 64
"""Nodes of the reward of a step that others follow."""
ENDS = 1024
"""Nodes of the reward of a last step."""
KEPT = 1024
"""Rows that are kept, drawn evenly from all, for choosing a ridge."""
CHUNK = 2**16
"""Rows taken at a time."""
BLOCK = 2**13
"""Rows of numbers multiplied at a time: what stays near the processor, and what rounding in single precision bears."""
SINGLE = 1e-5
"""The least ridge beside which rounding in single precision is nothing."""


class Nodes:
    """Sums of weighted arrays by reward: (G, R, *shape) for G groups and R rewards.

    Args:
        groups: G.
        shape: of what is summed.
        limit: R at most.
    """

    def __init__(self, groups: int, shape: tuple[int, ...], limit: int) -> None:
        self.limit = limit
        self.values = torch.zeros(0, dtype=torch.float64)
        self.sums = torch.zeros(groups, 0, *shape, dtype=torch.float64)
        self.lattice = False

    def prepare(self, reward: Tensor) -> None:
        """Make room for ``reward`` (N,)."""
        if not len(reward):
            return
        if not self.lattice:
            known = torch.cat((self.values, reward)).unique()
            if len(known) <= self.limit:
                self._move(known)
                return
            self._move(torch.linspace(float(known[0]), float(known[-1]), self.limit, dtype=torch.float64))
            self.lattice = True
        low, high = float(reward.min()), float(reward.max())
        while low < self.values[0] or high > self.values[-1]:
            span = float(self.values[-1] - self.values[0])
            ends = (-span, 0.0) if low < self.values[0] else (0.0, span)
            first, last = float(self.values[0]) + ends[0], float(self.values[-1]) + ends[1]
            self._move(torch.linspace(first, last, self.limit, dtype=torch.float64))

    def shares(self, reward: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """(node, share) of ``reward`` (N,), one pair where rewards are told apart, else two; None is all of it."""
        if not self.lattice:
            return [(torch.searchsorted(self.values, reward), None)]
        left, upper = _between(self.values, reward)
        return [(left, 1 - upper), (left + 1, upper)]

    def _move(self, values: Tensor) -> None:
        sums = self.sums.new_zeros(self.sums.shape[0], len(values), *self.sums.shape[2:])
        if len(self.values):
            left, upper = _between(values, self.values) if len(values) > 1 else (torch.zeros(1).long(), torch.zeros(1))
            shape = (1, -1) + (1,) * (self.sums.ndim - 2)
            sums.index_add_(1, left, self.sums * (1 - upper).view(shape).to(sums))
            if len(values) > 1:
                sums.index_add_(1, left + 1, self.sums * upper.view(shape).to(sums))
        self.values, self.sums = values, sums


def _between(nodes: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """The node to the left of each value and the share of the one to its right."""
    left = torch.searchsorted(nodes, values, right=True).sub_(1).clamp_(0, len(nodes) - 2)
    upper = ((values - nodes[left]) / (nodes[left + 1] - nodes[left])).clamp_(0, 1)
    return left, upper


@dataclass(frozen=True)
class Rows:
    """Rows (N, …) of features: numbers (N, d), or the places (N,) of the ones of one-hot features.

    Args:
        features: φ, without the constant.
        reward: r (N,).
        terminal: (N,), booleans.
        following: φ'.
        weight: ω (N,).
    """

    features: Tensor
    reward: Tensor
    terminal: Tensor
    following: Tensor
    weight: Tensor

    def __len__(self) -> int:
        return len(self.reward)

    def part(self, first: int, end: int) -> Rows:
        """Rows that lie together."""
        return Rows(*(value[first:end] for value in vars(self).values()))

    def pick(self, index: Tensor) -> Rows:
        """Some of the rows."""
        return Rows(*(value[index] for value in vars(self).values()))


class Moments:
    """See the module.

    Args:
        features: d − 1, the constant not counted.
        groups: G, that rows are kept apart in.
        seed: of the draw of the rows that are kept.
    """

    def __init__(self, features: int, *, groups: int = 1, seed: int = 0) -> None:
        size = features + 1
        if groups * size**2 * 8 > 2**32:
            raise ConfigurationError(
                f"{features} features in {groups} groups need {groups * size**2 * 8 / 2**30:.0f} GiB; expected fewer"
            )
        self.features, self.groups, self.count = features, groups, 0
        self.square = torch.zeros(groups, size, size, dtype=torch.float64)
        self.going = Nodes(groups, (size, size), LIMIT)
        self.ended = Nodes(groups, (size,), ENDS)
        self.kept: Rows | None = None
        self.unit: float | None = None
        self.least = 0.0
        self._keys = torch.zeros(0)
        self._generator = make_generator(seed, "kept-rows")

    def add(self, rows: Rows, group: Tensor | None = None) -> None:
        """Take in ``rows``; ``group`` (N,) says which group each is of, None puts row i of all into i mod G."""
        if group is None:
            group = torch.arange(self.count, self.count + len(rows)) % self.groups
        for part, some in zip(range(0, len(rows), CHUNK), group.split(CHUNK), strict=True):
            self._add(rows.part(part, part + CHUNK), some)

    def _add(self, rows: Rows, group: Tensor) -> None:
        if not bool(torch.isfinite(rows.reward).all() and torch.isfinite(rows.weight).all()):
            raise ConfigurationError("rewards or weights hold NaN or infinite values; expected finite numbers")
        self.count += len(rows)
        self.least = max(self.least, SINGLE if rows.features.dtype == torch.float32 else 0.0)
        self._keep(rows)
        ended = rows.terminal
        reward, weight = rows.reward.double(), rows.weight.double()
        self.ended.prepare(reward[ended])
        self.going.prepare(reward[~ended])
        self._outer(self.square, rows.features, rows.features, weight, group)
        last = rows.pick(ended.nonzero().squeeze(1))
        for node, share in self.ended.shares(reward[ended]):
            part = weight[ended] if share is None else weight[ended] * share
            key = group[ended] * len(self.ended.values) + node
            total = self.ended.sums.flatten(0, 1)
            total[:, 0].index_add_(0, key, part)
            if last.features.ndim == 1:
                total.view(-1).index_add_(0, key * total.shape[1] + 1 + last.features, part)
            else:
                total[:, 1:].index_add_(0, key, last.features.double() * part.unsqueeze(1))
        some = rows.pick((~ended).nonzero().squeeze(1))
        for node, share in self.going.shares(reward[~ended]):
            part = weight[~ended] if share is None else weight[~ended] * share
            key = group[~ended] * len(self.going.values) + node
            self._outer(self.going.sums.flatten(0, 1), some.features, some.following, part, key)

    @staticmethod
    def _outer(sums: Tensor, left: Tensor, right: Tensor, weight: Tensor, key: Tensor) -> None:
        """Add ω [1, φ] [1, φ']ᵀ to ``sums[key]``, row by row."""
        if left.ndim == 1:
            size = sums.shape[-1]
            start, flat = key * size**2, sums.view(-1)
            for index in (start, start + (left + 1) * size, start + right + 1, start + (left + 1) * size + right + 1):
                flat.index_add_(0, index, weight)
            return
        if len(left) > BLOCK:
            for part in zip(*(some.split(BLOCK) for some in (left, right, weight, key)), strict=True):
                Moments._outer(sums, *part)
            return
        places, counts = key.unique(return_counts=True)
        if len(places) > 1:
            order = key.argsort()
            left, right, weight = left[order], right[order], weight[order]
        scaled = left * weight.to(left).unsqueeze(1)
        sizes = counts.tolist()
        parts = (some.split(sizes) for some in (scaled, right, weight))
        for place, a, b, w in zip(places.tolist(), *parts, strict=True):
            total = sums[place]
            total[1:, 1:] += a.T @ b
            total[1:, 0] += a.sum(0)
            total[0, 1:] += w.to(b) @ b
            total[0, 0] += w.sum()

    def _keep(self, rows: Rows) -> None:
        keys = torch.rand(len(rows), generator=self._generator)
        best = torch.cat((self._keys, keys)).topk(min(KEPT, len(self._keys) + len(rows)), largest=False).indices
        old, new = best[best < len(self._keys)], best[best >= len(self._keys)] - len(self._keys)
        fresh = rows.pick(new)
        self.kept = fresh if self.kept is None else _joined(self.kept.pick(old), fresh)
        self._keys = torch.cat((self._keys[old], keys[new]))

    def along(self, directions: Tensor) -> Moments:
        """The moments of fewer features (1, φ)V, V (d, k) with a constant first."""
        fewer = Moments(directions.shape[1] - 1, groups=self.groups)
        fewer.unit, fewer.least = self.total().unit, self.least
        fewer.count, fewer.square = self.count, directions.T @ self.square @ directions
        for name in ("going", "ended"):
            old, new = getattr(self, name), getattr(fewer, name)
            new.values, new.lattice, new.sums = old.values, old.lattice, old.sums @ directions
        fewer.going.sums = directions.T @ fewer.going.sums
        if self.kept is not None:
            now, following = (
                dense(phi, len(directions)) @ directions[:, 1:] for phi in (self.kept.features, self.kept.following)
            )
            fewer.kept = replace(self.kept, features=now, following=following)
        return fewer

    def total(self, times: Tensor | None = None) -> Total:
        """The sums over all groups, each of them counted ``times`` (G,)."""
        one = torch.ones(self.groups, dtype=torch.float64) if times is None else times.double()
        weight = float((one * self.square[:, 0, 0]).sum())
        if not weight > 0:
            raise ConfigurationError("there are no rows of positive weight; expected some to learn from")
        square, going, ended = (
            torch.tensordot(one, some, 1) / weight for some in (self.square, self.going.sums, self.ended.sums)
        )
        shrunk = square.diagonal()[1:]
        unit = self.unit if self.unit is not None else float(shrunk.mean()) if len(shrunk) else 0.0
        return Total(square, going, ended, self.going.values, self.ended.values, self.count, unit, self.least)


@dataclass(frozen=True)
class Total:
    """Averages over rows; see the module for the symbols.

    Args:
        square: A₀ (d, d).
        going: A_r (R, d, d).
        ended: b_r (E, d).
        rewards: r of ``going`` (R,).
        last_rewards: r of ``ended`` (E,).
        rows: N.
        unit: the mean square of a feature, of all features if some were left out since.
        least: ridge that the rounding of the sums allows.
    """

    square: Tensor
    going: Tensor
    ended: Tensor
    rewards: Tensor
    last_rewards: Tensor
    rows: int
    unit: float
    least: float = 0.0

    def of_rewards(self, rewards: Tensor, last_rewards: Tensor) -> Total:
        """The same data under other rewards, if these depend on a step through its old reward alone.

        Args:
            rewards: that stand in for ``self.rewards`` (R,).
            last_rewards: for ``self.last_rewards`` (E,).
        """
        return replace(self, rewards=rewards.double(), last_rewards=last_rewards.double())


def _joined(first: Rows, second: Rows) -> Rows:  # of one type, or the later ones in single precision
    return Rows(*(torch.cat(pair) for pair in zip(vars(first).values(), vars(second).values(), strict=True)))


def dense(features: Tensor, size: int) -> Tensor:
    """(N, d), the constant first, of features (N, d − 1) or of places of ones (N,)."""
    if features.ndim == 1:
        features = torch.nn.functional.one_hot(features, size - 1)
    return torch.cat((features.new_ones(len(features), 1), features), 1).double()
