"""How long a run will take, from what its other cells took."""

from __future__ import annotations

import pytest

from phys_bench.plan import in_words, seconds_left

KNOWN = [
    ("t", "a", {"fit_seconds": 10.0, "sample_seconds": 2.0}),
    ("t", "a", {"fit_seconds": 14.0, "sample_seconds": 2.0}),
    ("u", "a", {"fit_seconds": 14.0, "sample_seconds": 3.0, "shared_fit": True}),
    ("t", "b", {"sample_seconds": 1.0}),
    ("u", "b", {}),
]


@pytest.mark.parametrize(
    ("missing", "seconds"),
    [
        ([("t", "a")], 14.0),
        ([("u", "a"), ("u", "a")], 6.0),  # the fit of another sampler costs nothing
        ([("v", "a")], 31 / 3),
        ([("v", "c")], 32 / 4),  # cells without times say nothing
        ([("t", "a"), ("u", "b")], 15.0),
    ],
)
def test_the_nearest_cells_tell(missing: list[tuple[str, str]], seconds: float) -> None:
    assert seconds_left(missing, KNOWN) == pytest.approx(seconds)


def test_what_is_not_known_is_not_made_up() -> None:
    assert seconds_left([("t", "a")], [("t", "a", {})]) is None
    assert seconds_left([], KNOWN) is None
    assert [in_words(s).split(" of ")[0] for s in (5, 90, 5400)] == ["about 5 s", "about 1.5 min", "about 1.5 h"]
