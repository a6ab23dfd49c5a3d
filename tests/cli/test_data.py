"""Tables as they are found in the world."""

from __future__ import annotations

from pathlib import Path

import pytest

from phys_samplers.cli.data import read_rows
from phys_samplers.cli.output import Failure


def test_a_label_with_an_underscore_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,b\n2021_00,1\n2021_01,2\n")
    with pytest.raises(Failure, match=r"line 2, column 1 \(id\): '2021_00' is not a number"):
        read_rows(path)


def test_the_suffix_is_read_in_either_case(tmp_path: Path) -> None:
    path = tmp_path / "A.CSV"
    path.write_text("a,b\n1,2\n3,4\n")
    assert read_rows(path).tolist() == [[1.0, 2.0], [3.0, 4.0]]
