from __future__ import annotations

import pytest
import torch

from phys_samplers.randomness import make_generator
from phys_samplers.standardise import Standardiser

SCALES = torch.tensor([1e-3, 1.0, 1e4, 2.0])


def rows(n: int = 500) -> torch.Tensor:
    return torch.randn(n, 4, generator=make_generator(0)) * SCALES + 3 * SCALES


def test_fitted_rows_have_zero_mean_and_unit_variance() -> None:
    flat = Standardiser.fit(rows()).forward(rows())
    assert float(flat.mean(0).abs().max()) < 1e-5
    torch.testing.assert_close(flat.std(0), torch.ones(4), rtol=1e-5, atol=0)


@pytest.mark.parametrize("event_shape", [(4,), (2, 2), (1, 4, 1)])
def test_round_trip_in_any_event_shape(event_shape: tuple[int, ...]) -> None:
    x = rows().unflatten(1, event_shape)
    standardiser = Standardiser.fit(x)
    flat = standardiser.forward(x)
    assert flat.shape == (500, 4)
    back = standardiser.inverse(flat, event_shape)
    assert back.shape == x.shape
    # errors are those of float32 relative to the scale of each coordinate
    assert float(((back - x).flatten(1) / SCALES).abs().max()) < 5e-6


@pytest.mark.parametrize("value", [0.0, 3.0, 0.1, -1234.5678])
def test_a_constant_coordinate_keeps_scale_one(value: float) -> None:
    x = rows(1_000)
    x[:, 2] = value
    standardiser = Standardiser.fit(x)
    assert float(standardiser.scale[2]) == 1.0
    assert standardiser.forward(x).isfinite().all()
    assert float((standardiser.inverse(standardiser.forward(x), (4,))[:, 2] - value).abs().max()) <= 1e-6 * abs(value)


def test_a_small_spread_around_a_large_mean_is_no_constant() -> None:
    x = 1_000.0 + 0.05 * torch.randn(1_000, 1, generator=make_generator(1))
    assert float(Standardiser.fit(x).scale) == pytest.approx(0.05, rel=0.1)


def test_identity_changes_nothing() -> None:
    x = rows()
    identity = Standardiser.identity(4)
    assert torch.equal(identity.forward(x), x)
    assert torch.equal(identity.inverse(x, (4,)), x)


def test_forward_gives_the_dtype_of_the_map() -> None:
    standardiser = Standardiser.fit(rows())
    assert standardiser.forward(rows().double()).dtype == torch.float32
    assert Standardiser.fit(rows().double()).forward(rows()).dtype == torch.float64
