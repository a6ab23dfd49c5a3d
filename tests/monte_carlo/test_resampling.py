"""Systematic resampling by enumeration of its one uniform draw, and what families say about errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from phys_monte_carlo.resampling import effective_share, log_thinning, relative_variance, systematic
from phys_samplers.randomness import make_generator

ENUMERATED = 4_000
N = 12


def weights(label: str = "weights") -> Tensor:
    raw = torch.rand(N, generator=make_generator(0, label), dtype=torch.float64) ** 3
    raw[4] = 0.0
    return raw / raw.sum()


def all_counts(w: Tensor) -> Tensor:
    """Offspring (ENUMERATED, N) for uniform draws at the middles of as many equal intervals."""
    uniforms = (torch.arange(ENUMERATED, dtype=torch.float64) + 0.5) / ENUMERATED
    chosen = torch.stack([systematic(w, N, uniform=u) for u in uniforms])
    return torch.nn.functional.one_hot(chosen, N).sum(1).double()


def test_offspring_are_right_on_average_and_vary_less_than_multinomial_ones() -> None:
    w = weights()
    counts = all_counts(w)
    expected = N * w
    assert ((counts == expected.floor()) | (counts == expected.floor() + 1)).all()
    # the grid of uniforms is exact to one cell
    torch.testing.assert_close(counts.mean(0), expected, rtol=0, atol=2 / ENUMERATED)
    fraction = expected - expected.floor()
    variance = counts.var(0, correction=0)
    torch.testing.assert_close(variance, fraction * (1 - fraction), rtol=0, atol=3e-3)
    assert (variance <= N * w * (1 - w) + 3e-3).all()
    assert variance.sum() < 0.5 * (N * w * (1 - w)).sum()


def test_pairs_are_thinned_as_computed() -> None:
    """E Σ_{i≠j} N_i N_j = κ n² Σ_{i≠j} W_i W_j, over all uniforms."""
    w = weights()
    counts = all_counts(w)
    pairs = (counts.sum(1).square() - counts.square().sum(1)).mean()
    kappa = log_thinning(w).exp()
    assert 0.9 < kappa < 1
    torch.testing.assert_close(pairs, kappa * N**2 * (1 - w.square().sum()), rtol=1e-3, atol=0)
    assert log_thinning(torch.full((8,), 1 / 8, dtype=torch.float64)) == 0  # equal weights: nothing is drawn
    assert log_thinning(torch.tensor([0.0, 1.0, 0.0])) == 0


@pytest.mark.parametrize("uniform", [0.0, 0.3, 1 - 2**-53])
def test_weightless_particles_have_no_offspring(uniform: float) -> None:
    w = torch.tensor([0.0, 0.5, 0.0, 0.0, 0.5], dtype=torch.float64)
    chosen = systematic(w, 6, uniform=torch.tensor(uniform, dtype=torch.float64))
    assert set(chosen.tolist()) == {1, 4}
    assert torch.equal(chosen, chosen.sort().values)
    assert torch.equal(systematic(7 * w, 6, uniform=torch.tensor(uniform, dtype=torch.float64)), chosen)


def test_without_resampling_the_variance_is_that_of_importance_sampling() -> None:
    """(1/n) var(w)/mean(w)², with the unbiased variance."""
    w = weights()
    found = relative_variance(w, torch.arange(N), torch.log1p(torch.tensor(-1 / N, dtype=torch.float64)))
    torch.testing.assert_close(found, (N * w).var() / N, rtol=1e-12, atol=0)


def test_one_family_is_one_draw_and_strangers_are_independent() -> None:
    x = torch.randn(N, 3, generator=make_generator(0, "x"), dtype=torch.float64)
    torch.testing.assert_close(effective_share(x, torch.arange(N)), torch.ones(3, dtype=torch.float64))
    copies = x[:4].repeat_interleave(3, dim=0)
    families = torch.arange(4).repeat_interleave(3)
    torch.testing.assert_close(effective_share(copies, families), torch.full((3,), 4 / N, dtype=torch.float64))
    assert (effective_share(x, torch.zeros(N, dtype=torch.long)) == 1 / N).all()
    lonely = relative_variance(torch.full((N,), 1 / N), torch.zeros(N, dtype=torch.long), torch.zeros(()))
    assert lonely.item() == pytest.approx(1)
