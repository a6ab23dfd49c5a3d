"""What rows are given: class labels or covariates; and the code of them that networks see.

Labels are integers, one a row; covariates are real numbers, one or several a row. A network sees a code of K numbers:
labels are one-hot, covariates have zero mean and unit variance and a 1 after them. All zeros stand for no condition, so
that one network learns the conditional and the unconditional law (Ho & Salimans 2022, arXiv:2207.12598).
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from phys_registry.errors import brief
from phys_samplers.errors import ConfigurationError

MOST_NAMED = 20
"""Classes that an error names."""


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions of the rows of a target, each in the order of its rows.

    Args:
        train: labels (N,) of integers, or covariates (N, C).
        validation: likewise, of the validation rows.
        heldout: likewise, of the held-out rows.

    Raises:
        ConfigurationError: on what is neither, or not the same for all rows.
    """

    train: Tensor
    validation: Tensor | None = None
    heldout: Tensor | None = None

    def __post_init__(self) -> None:
        for split in ("train", "validation", "heldout"):
            if (given := getattr(self, split)) is None:
                continue
            given = as_condition(given)
            object.__setattr__(self, split, given)
            if (
                given.shape[1:] != self.train.shape[1:]
                or given.dtype.is_floating_point != self.train.is_floating_point()
            ):
                raise ConfigurationError(
                    f"condition of {split} rows is {given.dtype} {tuple(given.shape)} and that of training rows "
                    f"{self.train.dtype} {tuple(self.train.shape)}; expected labels or covariates for both"
                )

    def check(self, rows: Mapping[str, Tensor | None], name: str) -> None:
        """Refuse conditions that are not one a row.

        Raises:
            ConfigurationError: naming the split and both counts.
        """
        for split, part in rows.items():
            given = getattr(self, split)
            if given is not None and (part is None or len(part) != len(given)):
                count = "no" if part is None else f"{len(part):,}"
                raise ConfigurationError(
                    f"condition of {split} rows of target {name!r} has {len(given):,} entries for {count} rows; "
                    "expected one a row"
                )

    @property
    def labels(self) -> Tensor | None:
        """The classes of training rows (K,), rising; None if the conditions are covariates."""
        return None if self.train.is_floating_point() else self.train.unique()

    @property
    def seen(self) -> Self:
        """The same without those of held-out rows, as a target without such rows has them."""
        return dataclasses.replace(self, heldout=None)

    def to(self, device: torch.device | str) -> Self:
        """The same on ``device``."""
        return dataclasses.replace(
            self,
            **{
                f.name: part.to(device) for f in dataclasses.fields(self) if (part := getattr(self, f.name)) is not None
            },
        )


def as_condition(given: Any, covariates: int = 1) -> Tensor:
    """Labels (N,) int64 or covariates (N, C) in single precision, of one or more of them.

    Args:
        given: integers (also booleans) as labels, real numbers as covariates: a tensor, array, sequence, or one number.
        covariates: C, where it is known: a sequence of C numbers is then one row.

    Raises:
        ConfigurationError: on anything else, or numbers that are not finite.
    """
    try:
        found = torch.as_tensor(getattr(given, "values", given) if not isinstance(given, Tensor) else given).detach()
    except (TypeError, ValueError, RuntimeError):
        raise ConfigurationError(
            f"condition is {brief(given)}; expected integer class labels (N,), or real covariates (N,) or (N, C); "
            "number classes that have names"
        ) from None
    if found.is_complex() or found.ndim > 2 or (found.ndim == 2 and not found.is_floating_point()):
        raise ConfigurationError(
            f"condition has dtype {found.dtype} and shape {tuple(found.shape)}; expected integer class labels (N,), or "
            "real covariates (N,) or (N, C)"
        )
    if not found.is_floating_point():
        return found.to(torch.int64).reshape(-1)
    if found.ndim < 2:
        found = found.reshape(-1, covariates if found.numel() == covariates else 1)
    found = found.to(torch.float32)
    if not torch.isfinite(found).all():
        raise ConfigurationError(
            f"condition holds NaN or infinite values in {int((~torch.isfinite(found)).any(1).sum())} of {len(found)} "
            "rows; drop or impute them"
        )
    return found


class Code(ABC):
    """What turns a condition into numbers that a network sees.

    Attributes:
        has_law: whether conditions have a law of their own, ``draw(n, generator)``, that samples take them from.
    """

    has_law: ClassVar[bool] = False

    @property
    @abstractmethod
    def width(self) -> int:
        """K, numbers of a code."""

    @abstractmethod
    def __call__(self, condition: Any) -> Tensor:
        """Codes (B, K) of conditions, one or more.

        Raises:
            ConfigurationError: on what is none.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Its numbers, by the names that they have in a checkpoint."""

    def draw(self, n: int, generator: torch.Generator) -> Any:
        """``n`` conditions of their law."""
        raise TypeError(f"conditions of {type(self).__name__} have no law of their own")


@dataclass(frozen=True)
class ConditionCode(Code):
    """Class labels or covariates as what networks see; see the module.

    Args:
        labels: the known classes (K,), rising; None for covariates.
        mean: of the covariates (C,).
        scale: of the covariates (C,).
    """

    labels: Tensor | None = None
    mean: Tensor | None = None
    scale: Tensor | None = None

    @classmethod
    def fit(cls, conditions: Conditions) -> Self:
        """That of the training rows."""
        if (labels := conditions.labels) is not None:
            return cls(labels)
        spread = conditions.train.std(0)
        return cls(None, conditions.train.mean(0), torch.where(spread > 0, spread, torch.ones_like(spread)))

    @property
    def width(self) -> int:
        """See ``Code.width``."""
        if self.labels is not None:
            return len(self.labels)
        assert self.mean is not None
        return len(self.mean) + 1

    def __call__(self, condition: Any) -> Tensor:
        """See ``Code.__call__``.

        Raises:
            ConfigurationError: on covariates for labels or the other way round, or on a class that is not known.
        """
        given = as_condition(condition, 1 if self.mean is None else len(self.mean))
        if self.labels is not None:
            if given.is_floating_point():
                raise ConfigurationError(f"condition is {brief(condition)}; expected integers: {self._known()}")
            given = given.to(self.labels.device)
            index = torch.searchsorted(self.labels, given).clamp_(max=len(self.labels) - 1)
            if (strange := given[self.labels[index] != given]).numel():
                raise ConfigurationError(f"condition holds class {int(strange[0])}; expected {self._known()}")
            return torch.nn.functional.one_hot(index, len(self.labels)).to(torch.float32)
        assert self.mean is not None
        assert self.scale is not None
        given = given.to(self.mean).reshape(len(given), -1)
        if given.shape[1] != len(self.mean):
            raise ConfigurationError(
                f"condition has {given.shape[1]} covariate(s) a row; expected {len(self.mean)}, as in training"
            )
        return torch.nn.functional.pad((given - self.mean) / self.scale, (0, 1), value=1.0)

    def _known(self) -> str:
        assert self.labels is not None
        shown = ", ".join(map(str, self.labels[:MOST_NAMED].tolist()))
        return f"one of the {len(self.labels)} classes of training rows, {shown}" + (
            ", …" if len(self.labels) > MOST_NAMED else ""
        )

    def beside(self, rows: Tensor, condition: Tensor) -> Tensor:
        """Rows (N, D) with their codes after them (N, D + K), as losses take them."""
        return torch.cat((rows, self(condition).to(rows)), 1)

    def tensors(self) -> dict[str, Tensor]:
        """What ``from_tensors`` needs, by the names it has in a checkpoint."""
        parts = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {f"condition.{name}": part for name, part in parts.items() if part is not None}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> Self | None:
        """The code that gave ``tensors``, which may hold others too; None if none did."""
        parts = [tensors.get(f"condition.{f.name}") for f in dataclasses.fields(cls)]
        return None if all(part is None for part in parts) else cls(*parts)


def apart(rows: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Rows, which are data and have no gradient, and the codes of ``width`` numbers that are their last coordinates."""
    return rows[..., :-width].detach(), rows[..., -width:]


@torch.no_grad()
def strangers_of(code: Tensor, sources: Tensor, shown: Tensor) -> Tensor:
    """Which sources (R, M, K) have another code than a row (R, B, K) whose own is ``shown`` (R, B, 1): (R, B, M)."""
    return torch.cdist(code, sources, compute_mode="donot_use_mm_for_euclid_dist").gt(0) & shown
