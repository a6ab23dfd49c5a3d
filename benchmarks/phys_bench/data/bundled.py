"""What scikit-learn ships with its package: no network, no files. Imported only when a task asks for it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from phys_bench.data.files import DataUnavailable, Table


def bundled_table(name: str, **options: Any) -> Table:
    """A table of scikit-learn with its class or response as the last column, ``target``.

    Args:
        name: of the set: ``sklearn.datasets.load_<name>``.
        options: of that function.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    found = _load(name, **options)
    names = (*(str(column) for column in found.feature_names), "target")
    rows = zip(found.data.tolist(), found.target.tolist(), strict=True)
    return Table(names, tuple((*row, float(target)) for row, target in rows))


def digit_images() -> tuple[Tensor, Tensor]:
    """Grey levels 0 … 16 (1797, 8, 8), float64, and the digits (1797,) they show.

    Raises:
        DataUnavailable: if scikit-learn is not installed.
    """
    found = _load("digits")
    return torch.tensor(found.images, dtype=torch.float64), torch.tensor(found.target, dtype=torch.int64)


def _load(name: str, **options: Any) -> Any:
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DataUnavailable(
            f"the {name} data come with scikit-learn, which is not installed; pip install 'phys-samplers[data]'"
        ) from error
    return getattr(datasets, f"load_{name}")(**options)
