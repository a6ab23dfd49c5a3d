"""Rows as people have them, and back: names, types, what is refused."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from phys_samplers import Samples, load, make
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.standardise import Standardiser
from phys_samplers.table import Column, read, to_frame


def csv(folder: Path, text: str, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "rows", "names"),
    [
        ("a,b\n1,2.5\n4,5\n", [[1, 2.5], [4, 5]], ["a", "b"]),
        ("1,2\n3,4\n", [[1, 2], [3, 4]], None),
        ("0,1\n1.5,2\n3,4\n", [[1.5, 2], [3, 4]], ["0", "1"]),  # what to_csv makes of columns without names
        (",a,b\n0,1.5,2\n1,3,4\n", [[1.5, 2], [3, 4]], ["a", "b"]),  # and of its index
        (",0,1\n0,1.5,2\n1,3,4\n", [[1.5, 2], [3, 4]], ["0", "1"]),
        ("0,1\n0,1\n0,1\n", [[0, 1]] * 3, None),  # rows that count are rows
        ("a, b\n\n1, 2\n\n3 ,4\n", [[1, 2], [3, 4]], ["a", "b"]),
        ("\ufeffa\n-1e3\n1E-2\n", [[-1000], [0.01]], ["a"]),
    ],
)
def test_what_a_file_of_values_says(tmp_path: Path, text: str, rows: Any, names: list[str] | None) -> None:
    found, columns = read(csv(tmp_path, text))
    assert found.tolist() == rows
    assert (columns and [column.name for column in columns]) == names


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,b\n2021_00,1\n2021_01,2\n", r"line 2, column 1 \(id\): '2021_00' is not a number"),
        ("a,b\n1,2\n\n3,x\n", r"line 4, column 2 \(b\): 'x' is not a number"),
        ("a,b\n1,\n", r"line 2, column 2 \(b\): an empty or missing cell is not a number"),
        ("a,b\n1,nan\n", r"line 2, column 2 \(b\): 'nan' is not a number"),
        ("a,b,c\n1,x,\n2,3,4\n", r"line 2, column 2 \(b\): .x. is not a number; likewise in 3 \(c\); drop"),
        ("a,b\n1,2\n3,4,5\n", "Expected 2 fields in line 3, saw 3"),
        ("a,b,c\n1,2,3\n4\n", r"line 3, column 2 \(b\): an empty or missing cell"),
        ("a,b\n", "no rows of numbers"),
        ("", "no rows of numbers"),
        ("\n\n", "no rows of numbers"),
    ],
)
def test_what_is_no_table_of_numbers_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = csv(tmp_path, text)
    with pytest.raises(FileError, match=message) as raised:
        read(path)
    assert str(path) in str(raised.value)


def test_the_suffix_is_read_in_either_case(tmp_path: Path) -> None:
    assert read(csv(tmp_path, "a\n1\n2\n", "A.CSV"))[0].tolist() == [[1.0], [2.0]]


@pytest.mark.parametrize("kind", [">f8", "<f4", "longdouble", "int64", "uint8", "bool", "float16"])
def test_arrays_of_any_number_type(kind: str, tmp_path: Path) -> None:
    array = np.array([[1, 0], [1, 1], [0, 1]]).astype(kind)
    assert read(array)[0].tolist() == array.astype(float).tolist()
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", rows=array)
    for name in ("a.npy", "a.npz"):
        assert read(tmp_path / name)[0].tolist() == array.astype(float).tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.array([["a"]]), "holds <U1"),
        (np.array(1.0), "holds one number"),
        (pd.DataFrame({"a": ["x", "y"]}), "column 'a' of type"),
        (pd.DataFrame({"a": [1.0, None]}), "no number in column 'a' of row 1"),
        (pd.DataFrame({"t": pd.to_datetime(["2020-01-01"])}), "column 't' of type"),
        ("rows.xlsx", "is none of .csv"),
        ({"a": 1}, "rows are dict"),
    ],
)
def test_what_is_no_rows(data: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        read(data)


def test_a_frame_comes_back_with_its_names_and_types() -> None:
    frame = pd.DataFrame(
        {
            "n": np.array([1, 2, -7]),
            "flag": [True, False, True],
            "x": [0.1, 0.2, 0.3],
            "single": np.float32([1, 2, 3]),
            "large": [10**8, 10**8 + 1, 10**8 + 2],
        }
    )
    rows, columns = read(frame)
    pd.testing.assert_frame_equal(to_frame(rows, columns), frame)
    noisy = to_frame(rows + 0.3, columns)
    assert noisy["n"].tolist() == [1, 2, -7]
    assert noisy["flag"].tolist() == [True, False, True]


def test_integers_beyond_their_type_are_clipped() -> None:
    rows = torch.tensor([[1e30, 300.0], [-1e30, -5.0]], dtype=torch.float64)
    frame = to_frame(rows, (Column("a", "int64"), Column("b", "uint8")))
    assert frame["b"].tolist() == [255, 0]
    assert frame["a"].iloc[0] > 9.2e18
    assert frame["a"].iloc[1] == -(2**63)


ROWS_LEARNERS: dict[str, dict[str, Any]] = {
    "edm": {"steps": 30},
    "ddpm": {"steps": 30},
    "pfgm": {"steps": 30},
    "pfgmpp": {"steps": 30},
    "bellman": {"steps": 30},
    "bellman-fields": {"steps": 30},
    "annealed-langevin": {"steps": 30},
    "training-rows": {},
}


@pytest.mark.parametrize("name", ROWS_LEARNERS)
def test_rows_far_from_zero_come_back_in_their_precision(name: str, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(200, 3, generator=generator, dtype=torch.float64) + 1e8
    rows[:, 2] = 0.1  # never varies
    model = make("sampler", name, **ROWS_LEARNERS[name]).fit(Samples(rows), seed=0)
    x = model.sample(100, seed=1)
    assert x.dtype == torch.float64
    assert len(x[:, 0].unique()) > 50  # in single precision numbers near 1e8 are 8 apart
    assert float((x[:, :2].median(0).values - 1e8).abs().max()) < 20
    if name != "annealed-langevin":
        assert (x[:, 2] == 0.1).all()
    model.save(tmp_path / "m")
    assert torch.equal(load(tmp_path / "m").sample(100, seed=1), x)


def test_names_and_types_survive_fitting_saving_and_loading(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"count": generator.integers(0, 9, 100), "on": generator.random(100) > 0.5, "x": 1.0})
    model = make("sampler", "edm", steps=20).fit(Samples(frame), seed=0)
    model.save(tmp_path / "m")
    for fitted in (model, load(tmp_path / "m")):
        drawn = fitted.frame(5, seed=1)
        assert dict(drawn.dtypes.astype(str)) == {"count": "int64", "on": "bool", "x": "float64"}
        assert (drawn["x"] == 1.0).all()
    assert list(make("sampler", "edm", steps=20).fit(Samples(frame.to_numpy(float)), seed=0).frame(2)) == [
        "x0",
        "x1",
        "x2",
    ]


@pytest.mark.parametrize("how", ["coordinates", "common", "none", "whiten"])
def test_the_map_in_single_precision_is_exact_where_the_data_are_double(how: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(500, 4, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 3.0, 0.5, 0.0]) - 1e9
    if how == "none":
        rows += 1e9
    standardiser = Standardiser.fit(rows, how, precision=torch.float32)
    u = standardiser.forward(rows)
    assert u.dtype == torch.float32
    back = standardiser.inverse(u, (4,))
    assert back.dtype == torch.float64
    assert float((back - rows).abs().max()) < 1e-5
    again = Standardiser.from_tensors(standardiser.tensors())
    assert torch.equal(again.inverse(u, (4,)), back)


def test_single_precision_rows_take_the_same_path_as_ever() -> None:
    rows: Callable[[], torch.Tensor] = lambda: torch.randn(50, 2, generator=torch.Generator().manual_seed(0))  # noqa: E731
    standardiser = Standardiser.fit(rows(), precision=torch.float32)
    assert standardiser.origin is None
    assert standardiser.constant is None
    assert set(standardiser.tensors()) == {"standardiser.mean", "standardiser.scale"}


def test_columns_of_another_number_are_refused(tmp_path: Path) -> None:
    model = make("sampler", "training-rows").fit(Samples(pd.DataFrame({"a\x1b[2J": range(9), "b": range(9)})), seed=0)
    assert model.columns is not None
    assert model.columns[0].name == "a [2J"
    model.columns = (*model.columns, Column("c", "int64"))
    model.save(tmp_path / "m")
    with pytest.raises(FileError, match="names 3 columns; expected 2"):
        load(tmp_path / "m")


def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for name in ("x.npy", "x"):
            stream = io.BytesIO()
            np.save(stream, np.ones((4, 2)))
            archive.writestr(name, stream.getvalue())
    with pytest.raises(FileError, match="two arrays of this name"):
        read(tmp_path / "a.npz")
