"""What signatures say of their tensors' shapes is checked in every call that tests make."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor

from phys_samplers.integrators.euler_maruyama import EulerMaruyama
from phys_samplers.laws import GaussianMixture
from phys_samplers.shapes import Coefficient, Points, State, Values
from phys_samplers.testing.shapes import ShapeError, check_shapes


class Motion:
    """Answers what it is told to."""

    def __init__(self, drift: Tensor, diffusion: Tensor | None = None) -> None:
        self.answers = drift, diffusion

    def drift(self, x: State, t: float) -> State:
        return self.answers[0]

    def both(self, x: State) -> tuple[State, Coefficient]:
        return self.answers  # type: ignore[return-value]

    def log_prob(self, x: Points) -> Values:
        return self.answers[0]

    def unsaid(self, x: Tensor) -> Tensor:
        return self.answers[0]


@pytest.fixture(scope="module", autouse=True)
def checked() -> None:
    module = ModuleType(Motion.__module__)
    module.Motion = Motion  # type: ignore[attr-defined]
    assert check_shapes(module) == 3
    assert check_shapes(module) == 0, "checked twice"


def test_what_fits_passes() -> None:
    x = torch.zeros(4, 3)
    assert Motion(x).drift(x, 0.0) is x
    assert Motion(x).drift(x=x.double(), t=0.0) is x
    for coefficient in (torch.ones(()), torch.ones(4, 1), torch.ones(1, 3), torch.ones(3)):
        Motion(x, coefficient).both(x)
    Motion(torch.zeros(4)).log_prob(x)
    Motion(torch.zeros(2, 4)).log_prob(torch.zeros(2, 4, 3))
    Motion(torch.zeros(7)).unsaid(x)


@pytest.mark.parametrize("answer", [torch.zeros(4, 2), torch.zeros(3), torch.zeros(4, 3, dtype=torch.int64)], ids=str)
def test_a_drift_of_another_shape_or_of_integers_is_an_error(answer: Tensor) -> None:
    with pytest.raises(ShapeError, match=r"answer of Motion\.drift is .*expected Float\[Tensor, '\*state'\]"):
        Motion(answer).drift(torch.zeros(4, 3), 0.0)


def test_a_coefficient_that_does_not_broadcast_is_an_error() -> None:
    x = torch.zeros(4, 3)
    with pytest.raises(ShapeError, match=r"Motion\.both"):
        Motion(x, torch.ones(4)).both(x)


def test_one_number_a_point() -> None:
    with pytest.raises(ShapeError, match=r"Motion\.log_prob"):
        Motion(torch.zeros(4, 1)).log_prob(torch.zeros(4, 3))


def test_an_argument_is_named() -> None:
    with pytest.raises(ShapeError, match=r"x of Motion\.drift"):
        Motion(torch.zeros(3)).drift(torch.zeros(3, dtype=torch.int64), 0.0)


def test_an_error_is_seen_again() -> None:
    for _ in range(2):
        with pytest.raises(ShapeError):
            Motion(torch.zeros(3)).drift(torch.zeros(4), 0.0)


def test_integrators_and_laws_are_checked_in_this_session() -> None:
    assert hasattr(EulerMaruyama.step, "__checked__")
    assert hasattr(GaussianMixture.log_prob, "__checked__")
