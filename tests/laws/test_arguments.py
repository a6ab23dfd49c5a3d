"""Bad arguments of laws are refused, naming the value and what was expected."""

from __future__ import annotations

import math

import pytest

from phys_samplers.errors import ConfigurationError
from phys_samplers.laws import (
    Funnel,
    GaussianMixture,
    LennardJones,
    ManyWell,
    StandardNormal,
    TwoMoons,
    UniformBoxes,
    checkerboard,
    uniform_spans,
    zero_mean_basis,
)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StandardNormal(0), "dim is 0"),
        (lambda: StandardNormal(True), "dim is True"),
        (lambda: Funnel(dim=1), "at least 2"),
        (lambda: Funnel(scale=-1.0), "scale is -1.0"),
        (lambda: TwoMoons(noise=0.0), "noise is 0.0"),
        (lambda: TwoMoons(nodes=1), "nodes is 1"),
        (lambda: GaussianMixture([0.0, 1.0], [1.0, 1.0], [0.5, 0.5]), r"expected \(K, D\)"),
        (lambda: GaussianMixture([[0.0], [math.nan]], [1.0, 1.0], [0.5, 0.5]), "means holds NaN"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1.0], [0.5, 0.5]), "variances have shape"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1.0, 0.0], [0.5, 0.5]), "positive variances"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1.0, 1.0], [0.5, 0.6]), "sum to one"),
        (lambda: GaussianMixture([[0.0], [1.0]], [1.0, 1.0], [1.0, 0.0]), "positive weights"),
        (lambda: GaussianMixture([[0.0], [1.0, 2.0]], [1.0, 1.0], [0.5, 0.5]), "nested lists"),
        (lambda: StandardNormal(2).blurred(0.0), "variance is 0.0"),
        (lambda: uniform_spans([(0.0, 1.0, 2.0)]), "expected pairs"),  # type: ignore[list-item]
        (lambda: uniform_spans([(0.0, 1.0), (3.0, 2.0)]), "box 1 is empty"),
        (lambda: uniform_spans([(0.0, 1.0), (0.5, 2.0)]), r"boxes \[0, 1\] overlap"),
        (lambda: UniformBoxes([[0.0]], [[1.0, 1.0]]), "low and high have shapes"),
        (lambda: checkerboard(cells=0), "cells is 0"),
        (lambda: ManyWell(0), "pairs is 0"),
        (lambda: LennardJones(1), "particles is 1"),
        (lambda: zero_mean_basis(3, 0), "space is 0"),
        (lambda: checkerboard(half_width=math.inf), "half_width is inf"),
    ],
)
def test_refused(make, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_boxes_may_touch() -> None:
    assert uniform_spans([(0.0, 1.0), (1.0, 2.0)]).weights.tolist() == [0.5, 0.5]
