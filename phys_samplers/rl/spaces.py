"""What an observation, an action and a reward may be: in training, evaluation, acting and loading alike.

An observation becomes a row of numbers, by its space:

    Box                       its numbers, flattened; those of bytes (images) over 255
    Discrete                  one-hot, whatever integer it starts from
    MultiDiscrete             the one-hot vectors of its parts
    MultiBinary               its bits
    Text                      for each place the number of its character over how many there are, 0 where there is none
    Tuple, Dict               the rows of their parts, of a Dict in the order of its keys

Other spaces are refused by name. Actions are Discrete, from any integer; rewards are finite numbers.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.law import ReturnScale

BYTE = 255.0


class ObservationError(ValueError):
    """An observation is not of its space; the message says what was expected."""


@dataclass(frozen=True)
class Leaf:
    """A part of an observation that has no parts.

    Args:
        path: keys and places that lead to it.
        kind: ``box``, ``bytes``, ``bits``, ``integers`` or ``text``.
        shape: of its numbers; of text, its length.
        counts: of integers, how many there are at each place.
        starts: and the first of them.
        characters: of text.
    """

    path: tuple[str | int, ...]
    kind: str
    shape: tuple[int, ...]
    counts: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()
    characters: str = ""

    @property
    def size(self) -> int:
        """Numbers in the row."""
        return sum(self.counts) if self.kind == "integers" else math.prod(self.shape)

    def __call__(self, value: Any) -> np.ndarray:
        """The row (size,) of a value.

        Raises:
            ObservationError: if it is no such value.
        """
        if self.kind == "text":
            if not isinstance(value, str) or len(value) > self.shape[0] or set(value) - set(self.characters):
                raise ObservationError(f"expected a text of at most {self.shape[0]} of {self.characters!r}")
            row = np.zeros(self.shape, np.float32)
            row[: len(value)] = [(self.characters.index(one) + 1) / len(self.characters) for one in value]
            return row
        try:
            given = np.asarray(value)
            row = given.astype(np.uint8 if self.kind == "bytes" else np.int64 if self.counts else np.float32)
        except (TypeError, ValueError):
            raise ObservationError(f"expected numbers of shape {self.shape}") from None
        if given.shape != self.shape:
            raise ObservationError(f"expected shape {self.shape}, given {given.shape}")
        if not self.counts:
            return row.reshape(-1)
        at = row.reshape(-1) - self.starts
        if (at < 0).any() or (at >= self.counts).any() or not np.array_equal(row, given):
            ends = [f"{low} to {low + count - 1}" for low, count in zip(self.starts, self.counts, strict=True)]
            raise ObservationError(f"expected integers from {', '.join(dict.fromkeys(ends))}")
        hot = np.zeros(self.size, np.float32)
        hot[at + np.cumsum((0, *self.counts[:-1]))] = 1.0
        return hot


@dataclass(frozen=True)
class Observations:
    """The rows of numbers that observations of a space become; see the module.

    Args:
        leaves: parts, in order.
    """

    leaves: tuple[Leaf, ...]

    @classmethod
    def of(cls, space: Any) -> Self:
        """Those of a gymnasium space.

        Raises:
            ConfigurationError: if it is none of those that rows are made of.
        """
        return cls(tuple(_leaves(space, ())))

    @classmethod
    def numbers(cls, count: int) -> Self:
        """Rows of ``count`` numbers."""
        return cls((Leaf((), "box", (count,)),))

    @property
    def features(self) -> int:
        """F."""
        return sum(leaf.size for leaf in self.leaves)

    @property
    def bytes(self) -> bool:
        """Whether rows are bytes, until a network sees them."""
        return [leaf.kind for leaf in self.leaves] == ["bytes"]

    def row(self, observation: Any) -> np.ndarray:
        """The row (F,) of one observation.

        Raises:
            ObservationError: if it is not of the space, or not finite.
        """
        if len(self.leaves) == 1 and not self.leaves[0].path:
            row = self.leaves[0](observation)
            if self.bytes:
                return row
        else:
            parts = []
            for leaf in self.leaves:
                part: Any = observation
                for key in leaf.path:
                    if not isinstance(part, Mapping if isinstance(key, str) else tuple | list):
                        raise ObservationError(f"expected a part {key!r}")
                    try:
                        part = part[key]  # type: ignore[index]
                    except (KeyError, IndexError):
                        raise ObservationError(f"expected a part {key!r}") from None
                parts.append(leaf(part) / BYTE if leaf.kind == "bytes" else leaf(part))
            row = np.concatenate(parts, dtype=np.float32)
        if not np.isfinite(row).all():
            raise ObservationError("expected finite numbers")
        return row

    def rows(self, observation: Any) -> Tensor:
        """Rows (B, F) of numbers of one observation as its space has it, or of several; or of rows (F,) or (B, F).

        Raises:
            ConfigurationError: if it is none of these.
        """
        try:
            return self.seen(torch.from_numpy(self.row(observation)).unsqueeze(0))
        except ObservationError as error:
            wrong = str(error)
        given = np.asarray(observation) if not isinstance(observation, Tensor) else observation.detach().cpu().numpy()
        if given.dtype.kind not in "biuf":
            raise ConfigurationError(f"observation is {short(observation)}; {wrong}")
        leaf = self.leaves[0]
        if len(self.leaves) == 1 and (given.shape[1:] == leaf.shape or given.shape == leaf.shape) and given.ndim:
            many = given if given.shape[1:] == leaf.shape else given[None]
            if leaf.kind != "integers" or given.dtype.kind in "iu":
                try:
                    return self.seen(torch.from_numpy(np.stack([self.row(one) for one in many])))
                except ObservationError as error:
                    raise ConfigurationError(f"observation is {short(observation)}; {error}") from None
        if given.shape[-1:] == (self.features,) and given.ndim <= 2:
            return torch.from_numpy(np.ascontiguousarray(given, np.float32)).reshape(-1, self.features)
        raise ConfigurationError(
            f"observation is {short(observation)}; {wrong}, or expected {self.features} numbers, or rows of as many"
        )

    def seen(self, rows: Tensor) -> Tensor:
        """What a network sees of rows (..., F)."""
        return rows.float().div_(BYTE) if rows.dtype == torch.uint8 else rows

    def facts(self) -> list[dict[str, Any]]:
        """JSON-like, for ``from_facts``."""
        return [asdict(leaf) for leaf in self.leaves]

    @classmethod
    def from_facts(cls, facts: list[dict[str, Any]]) -> Self:
        """Inverse of ``facts``."""
        rows: list[dict[str, Any]] = [
            {key: tuple(value) if isinstance(value, list) else value for key, value in leaf.items()} for leaf in facts
        ]
        leaves = tuple(Leaf(**row) for row in rows)
        for leaf in leaves:
            places = math.prod(leaf.shape) if leaf.kind == "integers" else 0
            if len(leaf.counts) != places or len(leaf.starts) != places:
                raise ConfigurationError(
                    f"an observation of {leaf.kind} of shape {leaf.shape} has {len(leaf.counts)} counts and "
                    f"{len(leaf.starts)} starts; expected {places} of each"
                )
        return cls(leaves)


def _leaves(space: Any, path: tuple[str | int, ...]) -> Iterator[Leaf]:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        for key, part in space.spaces.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(space, spaces.Tuple):
        for place, part in enumerate(space.spaces):
            yield from _leaves(part, (*path, place))
    elif isinstance(space, spaces.Discrete):
        yield Leaf(path, "integers", (), (int(space.n),), (int(space.start),))
    elif isinstance(space, spaces.MultiDiscrete):
        counts, starts = (tuple(map(int, np.ravel(some))) for some in (space.nvec, space.start))
        yield Leaf(path, "integers", tuple(space.shape), counts, starts)
    elif isinstance(space, spaces.MultiBinary):
        yield Leaf(path, "bits", tuple(space.shape))
    elif isinstance(space, spaces.Text):
        yield Leaf(path, "text", (int(space.max_length),), characters="".join(sorted(space.character_set)))
    elif isinstance(space, spaces.Box):
        yield Leaf(path, "bytes" if space.dtype == np.uint8 else "box", tuple(space.shape))
    else:
        raise ConfigurationError(
            f"observations{' at ' + repr(path) if path else ''} are {space}; expected a space of Box, Discrete, "
            "MultiDiscrete, MultiBinary, Text, Tuple or Dict (wrap the environment to offer one)"
        )


class Bounds:
    """Says once if rows leave the bounds of a Box, as those of some environments do; they are taken as they are.

    Args:
        space: of observations.
        name: of the environment.
    """

    def __init__(self, space: Any, name: str) -> None:
        self.name = name
        self.low, self.high = (
            np.ravel(getattr(space, side, np.zeros(0))).astype(np.float32) for side in ("low", "high")
        )
        self.open = bool(len(self.low)) and bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    def __call__(self, row: np.ndarray) -> None:
        """Look at a row (F,)."""
        if not self.open:
            return
        slack = 1e-4 * np.maximum(1.0, np.abs(row))
        beyond = (row < self.low - slack) | (row > self.high + slack)
        if beyond.any():
            self.open, at = False, int(np.flatnonzero(beyond)[0])
            warnings.warn(
                f"environment {self.name!r} returned {row[at]:g} at place {at} of an observation whose space goes from "
                f"{self.low[at]:g} to {self.high[at]:g}; it is taken as it is",
                stacklevel=2,
            )


class RangeWatch:
    """Says at the end of training how many episodes had discounted returns outside the range that laws live on.

    Args:
        scale: the range.
        gamma: γ.
        replicas: R.
    """

    def __init__(self, scale: ReturnScale, gamma: float, replicas: int) -> None:
        self.scale, self.gamma = scale, gamma
        self.sum, self.power = np.zeros(replicas), np.ones(replicas)
        self.met: list[float] = []

    def add(self, reward: np.ndarray, done: np.ndarray) -> None:
        """Take in a step."""
        self.sum += self.power * reward
        self.power *= self.gamma
        if done.any():
            self.met += self.sum[done].tolist()
            self.sum[done], self.power[done] = 0.0, 1.0

    def say(self) -> None:
        """Warn, if there were any; episodes that have not ended count if no other has."""
        met = np.array(self.met or self.sum.tolist())
        slack = 1e-3 * self.scale.width
        outside = (met < self.scale.low - slack) | (met > self.scale.high + slack)
        if outside.any():
            warnings.warn(
                f"{outside.mean():.0%} of the episodes in training had discounted returns outside returns="
                f"({self.scale.low:g}, {self.scale.high:g}), from {met.min():.4g} to {met.max():.4g}; laws hold them "
                "at the ends of the range: give a wider one",
                stacklevel=2,
            )


def allowed_one(allowed: Tensor, uniform: Tensor) -> Tensor:
    """One of the actions that are allowed (R, A), by uniform draws (R,)."""
    wanted = (uniform * allowed.sum(-1)).long().unsqueeze(-1)
    return (allowed.cumsum(-1) > wanted).int().argmax(-1)


def short(value: Any) -> str:
    """For messages."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
