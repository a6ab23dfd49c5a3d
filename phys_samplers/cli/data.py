"""Rows from files, and samples to files. Nothing is ever unpickled."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phys_samplers.atomic import write_atomically
from phys_samplers.cli.output import Failure, check_folder
from phys_samplers.reading import LARGEST_DATA, read_bytes, read_npy

READABLE = (".csv", ".npy")
WRITABLE = (".npy", ".csv", ".safetensors")


def read_rows(path: Path) -> Tensor:
    """Rows of numbers.

    Args:
        path: a ``.csv`` file, with or without a line of column names, or an ``.npy`` file with an array (N, …).

    Returns:
        (N, D), or (N, …) as the array has it, in torch's default floating-point type.

    Raises:
        Failure: naming the line and column, or the type, that is not numeric.
    """
    if path.suffix.lower() == ".csv":
        rows = _read_csv(path)
    elif path.suffix.lower() == ".npy":
        rows = _read_npy(path)
    else:
        raise Failure(f"{path} is neither of {', '.join(READABLE)}; convert it to one of these")
    return torch.as_tensor(rows, dtype=torch.get_default_dtype())


def write_samples(path: Path, samples: Tensor, facts: Mapping[str, Any]) -> None:
    """Write samples, whole or not at all.

    Args:
        path: ``.npy``, ``.csv`` (columns ``x0``, ``x1``, …) or ``.safetensors`` (a tensor ``samples``).
        samples: (n, …).
        facts: kept with the samples where the format has room for it (``.safetensors``).
    """
    check_writable(path)
    rows = samples.detach().cpu().contiguous()
    if path.suffix == ".npy":
        stream = io.BytesIO()
        np.save(stream, rows.numpy(), allow_pickle=False)
        payload = stream.getvalue()
    elif path.suffix == ".csv":
        flat = rows.flatten(1).numpy()
        lines = [",".join(f"x{i}" for i in range(flat.shape[1]))]
        lines += [",".join(map(str, row)) for row in flat]  # the shortest text that reads back the same number
        payload = ("\n".join(lines) + "\n").encode()
    else:
        from safetensors.torch import save

        payload = save({"samples": rows}, {key: str(value) for key, value in facts.items()})
    write_atomically(path, payload)


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


def _read_npy(path: Path) -> np.ndarray:
    array: np.ndarray = read_npy(path)
    if array.dtype.kind not in "fiub":
        raise Failure(f"{path} holds {array.dtype}; expected real numbers")
    if array.ndim == 0:
        raise Failure(f"{path} holds one number; expected an array (N, D) of N rows")
    return array[:, None] if array.ndim == 1 else array


def _read_csv(path: Path) -> np.ndarray:
    try:
        with io.StringIO(read_bytes(path, LARGEST_DATA).decode("utf-8-sig"), newline="") as stream:
            reader = csv.reader(stream)
            lines = [(reader.line_num, fields) for fields in reader if any(field.strip() for field in fields)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise Failure(f"{path} is not a text file of comma-separated values: {error}") from None
    names: list[str] = []
    if lines and not any(_number(field) is not None for field in lines[0][1]):
        names = [field.strip() for field in lines.pop(0)[1]]
    if not lines:
        raise Failure(f"{path} has no rows of numbers")
    width = len(names or lines[0][1])
    rows = np.empty((len(lines), width))
    for at, (line, fields) in enumerate(lines):
        if len(fields) != width:
            raise Failure(f"{path}, line {line}: {len(fields)} columns; expected {width} as in the lines before")
        for column, field in enumerate(fields):
            value = _number(field)
            if value is None:
                name = f" ({names[column]})" if names else ""
                given = repr(field) if field.strip() else "an empty cell"
                raise Failure(
                    f"{path}, line {line}, column {column + 1}{name}: {given} is not a number; drop the column or row, "
                    "or encode it"
                )
            rows[at, column] = value
    return rows


def _number(text: str) -> float | None:
    try:
        return None if "_" in text else float(text)  # 2021_00 is a label, which Python takes for 202100
    except ValueError:
        return None
