"""Rows as people have them, as tensors and back: arrays, data frames, CSV, npy, npz and parquet, with names and types.

pandas reads and writes; what is decided here is what counts as a header, an index or a number, and what is refused.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.reading import LARGEST_DATA, ROWS, read_bytes, read_npy, read_npz

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "drop the column or row, or encode it"
OTHER_SEPARATORS = r"[;|\t ]"
"""Between the fields of files that are no comma-separated values."""
LARGEST_WHOLE = 2**24
"""Integers up to here are exact in single precision; a table with larger ones is read in double."""

MOST_NAMED = 6
"""Columns of a file that a message names."""

Rows: TypeAlias = "Tensor | np.ndarray | pd.DataFrame | str | Path"


@dataclass(frozen=True)
class Column:
    """A column of a table that was learned from.

    Args:
        name: its header.
        dtype: NumPy's name of its type: samples of ``int64`` are rounded, those of ``bool`` are 0 or 1.
    """

    name: str
    dtype: str


def read(data: Rows) -> tuple[Tensor, tuple[Column, ...] | None]:
    """Rows of numbers, and the columns if they have names.

    Args:
        data: a tensor or array (N, …) of real numbers, a data frame, or a file: ``.csv`` with or without a line of
            names, ``.parquet``, ``.npy``, or ``.npz`` with one array.

    Returns:
        Rows (N, D), or (N, …) as an array has them: double precision where the data are, single for others.

    Raises:
        FileError: naming the file, and the line and column that is not a number.
        ConfigurationError: likewise for what is no file.
    """
    if isinstance(data, Tensor):
        return data.detach(), None
    if isinstance(data, np.ndarray):
        return _tensor(data, "the array"), None
    if isinstance(data, str | Path):
        return _read_file(Path(data))
    if hasattr(data, "columns") and hasattr(data, "dtypes"):
        return _from_frame(data, "the data frame")
    if isinstance(data, list | tuple):
        return torch.as_tensor(data), None
    raise ConfigurationError(
        f"rows are {type(data).__name__}; expected a tensor, an array, a pandas DataFrame, or the path of a "
        f"{', '.join(ROWS)} file"
    )


def to_frame(samples: Tensor, columns: Sequence[Column] | None = None) -> pd.DataFrame:
    """Samples (n, …) as a data frame, with the names and types of ``columns``; ``x0``, ``x1``, … without them."""
    import pandas as pd

    flat = samples.detach().cpu().flatten(1).numpy()
    if columns is None or len(columns) != flat.shape[1]:
        return pd.DataFrame(flat, columns=[f"x{i}" for i in range(flat.shape[1])])
    parts = [_as_type(flat[:, i], column.dtype) for i, column in enumerate(columns)]
    frame = pd.DataFrame(dict(enumerate(parts)))
    frame.columns = pd.Index([column.name for column in columns])
    return frame


def _as_type(values: np.ndarray, dtype: str) -> np.ndarray:
    """Values of one column in the type that it was read in."""
    kind = np.dtype(dtype)
    if kind.kind == "b":
        return values > 0.5
    if kind.kind in "iu":
        limits = np.iinfo(kind)
        whole = np.clip(np.rint(values.astype(np.float64)), limits.min, limits.max)
        return np.clip(whole, -(2.0**63), np.nextafter(2.0**63, 0)).astype(kind)  # the last double below 2⁶³
    return values.astype(kind)


def _read_file(path: Path) -> tuple[Tensor, tuple[Column, ...] | None]:
    try:
        return _content(path)
    except FileNotFoundError:
        raise FileError.about(path, "does not exist") from None


def _content(path: Path) -> tuple[Tensor, tuple[Column, ...] | None]:
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return _from_frame(_read_csv(path), str(path))
    if suffix == ".parquet":
        return _from_frame(_read_parquet(path), str(path))
    if suffix == ".npy":
        return _tensor(read_npy(path), str(path)), None
    if suffix == ".npz":
        arrays = read_npz(path)
        if len(arrays) != 1:
            raise FileError.about(path, f"holds {len(arrays)} arrays ({', '.join(arrays)}); expected one, of rows")
        return _tensor(next(iter(arrays.values())), str(path)), None
    raise FileError.about(path, f"is none of {', '.join(ROWS)}; convert it to one of these")


def _tensor(array: np.ndarray, what: str) -> Tensor:
    """An array in a type that torch has."""
    if array.dtype.kind not in "fiub":
        raise FileError.about(what, f"holds {array.dtype}; expected real numbers")
    if array.ndim == 0:
        raise FileError.about(what, "holds one number; expected an array (N, D) of N rows")
    single = array.dtype.kind == "b" or (array.dtype.kind == "f" and array.dtype.itemsize <= 4)
    if array.dtype.kind in "iu" and array.size:
        single = max(abs(int(array.min())), abs(int(array.max()))) <= LARGEST_WHOLE
    rows = torch.from_numpy(
        np.array(array, dtype=np.float32 if single else np.float64, order="C")
    )  # native, own memory
    return rows.unsqueeze(1) if rows.ndim == 1 else rows


def _from_frame(frame: pd.DataFrame, what: str) -> tuple[Tensor, tuple[Column, ...] | None]:
    """Numbers of a data frame; an index that somebody wrote as its first column is left out."""
    for at, (name, dtype) in enumerate(zip(frame.columns, frame.dtypes, strict=True)):
        values = frame.iloc[:, at]
        if getattr(dtype, "kind", "O") not in "fiub":
            raise FileError.about(what, f"has a column {str(name)!r} of type {dtype}, which is no number; {REMEDY}")
        if values.isna().any():
            row = int(values.isna().to_numpy().argmax())
            raise FileError.about(what, f"has no number in column {str(name)!r} of row {row} (from 0); {REMEDY}")
    if _is_index(frame):
        frame = frame.iloc[:, 1:]
    if not frame.shape[1] or not len(frame):
        raise FileError.about(what, "has no rows of numbers")
    types = [np.dtype(getattr(dtype, "numpy_dtype", dtype)).newbyteorder("=") for dtype in frame.dtypes]
    types = [np.dtype(np.float64) if kind.itemsize > 8 else kind for kind in types]
    parts = [_tensor(frame.iloc[:, i].to_numpy(dtype=kind), what) for i, kind in enumerate(types)]
    named = any(isinstance(name, str) for name in frame.columns) or list(frame.columns) != list(range(frame.shape[1]))
    columns = tuple(Column(_plain(str(name)), kind.name) for name, kind in zip(frame.columns, types, strict=True))
    return torch.cat(parts, 1), columns if named else None


def _plain(name: str) -> str:
    """A name that a terminal and a checkpoint can show."""
    return "".join(letter if letter.isprintable() else " " for letter in name)[:1_000]


def _is_index(frame: pd.DataFrame) -> bool:
    """Whether the first column has no name and counts the rows, as ``to_csv`` writes an index."""
    if frame.shape[1] < 2 or str(frame.columns[0]).strip() not in ("", "Unnamed: 0"):
        return False
    first = frame.iloc[:, 0].to_numpy()
    return bool(first.dtype.kind in "iu" and (first == first[0] + np.arange(len(first))).all())


def _read_parquet(path: Path) -> pd.DataFrame:
    import pandas as pd

    payload = read_bytes(path, LARGEST_DATA)
    try:
        return pd.read_parquet(io.BytesIO(payload))
    except ImportError:
        raise FileError.about(path, "is parquet, which needs pyarrow: pip install pyarrow") from None
    except Exception as error:
        raise FileError.about(path, f"cannot be read as parquet: {' '.join(str(error).split())[:200]}") from None


def _read_csv(path: Path) -> pd.DataFrame:
    """Columns of numbers, integers where all of a column are.

    The first line is a header if it has a name that is no number, or counts from 0 above lines that do not, as
    ``DataFrame.to_csv`` writes columns without names.
    """
    import pandas as pd

    try:
        text = read_bytes(path, LARGEST_DATA).decode("utf-8-sig")
        cells = pd.read_csv(
            io.StringIO(text, newline=""),
            header=None,
            dtype=str,
            keep_default_na=False,
            na_values=[],
            skip_blank_lines=False,
            skipinitialspace=True,
        )
    except pd.errors.EmptyDataError:
        raise FileError.about(path, "has no rows of numbers") from None
    except (UnicodeDecodeError, ValueError) as error:
        words = " ".join(str(error).split())[:200]
        raise FileError.about(path, f"is not a text file of comma-separated values: {words}") from None
    cells.index = pd.RangeIndex(1, len(cells) + 1)  # numbers of lines
    cells = cells[cells.fillna("").map(str.strip).ne("").any(axis=1)]
    if not len(cells):
        raise FileError.about(path, "has no rows of numbers")
    names = [str(field).strip() for field in cells.iloc[0]]
    if _is_header(names, cells):
        cells = cells.iloc[1:]
    else:
        names = []
    if not len(cells):
        raise FileError.about(path, "has no rows of numbers")
    frame = pd.DataFrame(index=cells.index)
    refused: list[tuple[int, str]] = []
    for at in range(cells.shape[1]):
        column = cells.iloc[:, at].fillna("").str.strip()
        values = pd.to_numeric(column, errors="coerce")
        bad = values.isna() | column.str.contains("_", regex=False)  # 2021_00 is a label
        if bad.any():
            line = int(bad.idxmax())
            given = repr(column[line]) if column[line] else "an empty or missing cell"
            refused.append((at, f", line {line}, column {_called(at, names)}: {given} is not a number"))
        frame[at] = values
    if refused:
        only = cells.shape[1] == 1 and bool(cells.iloc[:, 0].fillna("").str.contains(OTHER_SEPARATORS).all())
        remedy = "separate the columns by commas" if only else REMEDY
        others = ", ".join(_called(at, names) for at, _ in refused[1:MOST_NAMED])
        more = f"; likewise in {others}{', …' if len(refused) > MOST_NAMED else ''}" if others else ""
        raise FileError(f"{path}{refused[0][1]}{more}; {remedy}")
    if names:
        frame.columns = pd.Index(names)
    return frame


def _called(at: int, names: Sequence[str]) -> str:
    """The number of a column, and its name if it has one."""
    return f"{at + 1} ({names[at]})" if names and names[at] else str(at + 1)


def _is_header(names: Sequence[str], cells: pd.DataFrame) -> bool:
    import pandas as pd

    numbers = [name for name in names if name and "_" not in name and not pd.isna(pd.to_numeric(name, errors="coerce"))]
    if not numbers:
        return True
    counted = [str(i) for i in range(len(numbers))]
    if numbers != counted or names[-len(counted) :] != counted or len(names) - len(counted) > 1:
        return False
    return len(cells) > 2 and cells.iloc[1:, -len(counted) :].ne(counted, axis=1).any(axis=None)
