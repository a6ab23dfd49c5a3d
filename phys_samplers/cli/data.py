"""Samples to files. Nothing is ever pickled."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from phys_samplers.atomic import write_atomically
from phys_samplers.cli.output import Failure, check_folder

if TYPE_CHECKING:
    from phys_samplers.table import Column

WRITABLE = (".npy", ".csv", ".parquet", ".safetensors")


def write_samples(path: Path, samples: Tensor, columns: Sequence[Column] | None, facts: Mapping[str, Any]) -> None:
    """Write samples, whole or not at all.

    Args:
        path: ``.csv`` or ``.parquet`` with columns as in ``phys_samplers.table.to_frame``, ``.npy``, or
            ``.safetensors`` (a tensor ``samples``).
        samples: (n, …).
        columns: names and types of the coordinates, if known.
        facts: kept with the samples where the format has room for it (``.safetensors``).
    """
    check_writable(path)
    rows = samples.detach().cpu().contiguous()
    stream = io.BytesIO()
    if path.suffix == ".npy":
        np.save(stream, rows.numpy(), allow_pickle=False)
    elif path.suffix in (".csv", ".parquet"):
        from phys_samplers.table import to_frame

        frame = to_frame(rows, columns)
        if path.suffix == ".csv":
            frame.to_csv(stream, index=False)
        else:
            try:
                frame.to_parquet(stream, index=False)
            except ImportError:
                raise Failure(f"-o {str(path)!r} needs pyarrow: pip install pyarrow") from None
    else:
        from safetensors.torch import save

        stream.write(save({"samples": rows}, {key: str(value) for key, value in facts.items()}))
    write_atomically(path, stream.getvalue())


def check_writable(path: Path) -> None:
    """Refuse a file that samples cannot be written to.

    Raises:
        Failure: for an unknown format or a missing folder.
    """
    if path.suffix not in WRITABLE:
        raise Failure(f"-o {str(path)!r} has the suffix {path.suffix!r}; expected one of {', '.join(WRITABLE)}")
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "is in a folder that does not exist"
        raise Failure(f"-o {str(path)!r} {problem}; give a file in an existing folder")
    check_folder(path.parent)
