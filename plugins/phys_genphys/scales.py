r"""The wave numbers that a dispersion relation has of its own, so that verdicts do not depend on units.

Where ω(k) is a power of k no wave number stands out; what tells units apart is where one power passes into another, as
√(k² + m²) does at k = m. Those places are found on 100 decades: on each quarter of a decade log |ω| is fitted by a
parabola in log k, and the place counts if its slope turns. Quarters that no parabola fits are zeros, oscillations or
rounding, and do not count. Roots are taken in the order of their size, so that branches need not be told apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from phys_samplers.errors import ConfigurationError

Roots: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.complex128]]
"""Wave numbers (K,) to ω (branches, K), in any order."""
DECADES, PER_DECADE, PIECE = 50, 32, 8
TURN, MISFIT = 0.03, 2e-3
AROUND = 10**0.5
"""Factor around 1 where a relation has no wave number of its own."""
BEYOND = 10**3.5
"""Factor by which wave numbers are asked beyond the relation's own."""
OVERFLOW = 1e60
"""Size of ω from which on a value that is not finite has run over."""


def own_scales(roots: Roots) -> tuple[float, float] | None:
    """The least and the greatest wave number at which the powers of k change; None for a pure power.

    Args:
        roots: ω of all branches.
    """
    k = np.logspace(-DECADES, DECADES, 2 * DECADES * PER_DECADE + 1)
    values = roots(k)
    with np.errstate(all="ignore"):
        size = np.abs(values).max(0)
        start = np.sort(at_zero(roots).imag)[:, None]
        parts = [np.abs(values), np.abs(values.real), np.abs(values.imag), np.abs(np.sort(values.imag, 0) - start)]
        parts = [np.where(part > 1e-11 * size, np.sort(part, 0), np.nan) for part in parts]
        logs = np.log(np.concatenate(parts))
    pieces = np.lib.stride_tricks.sliding_window_view(logs, PIECE + 1, axis=1)[:, ::PIECE]
    s = np.linspace(-1, 1, PIECE + 1)
    powers = np.stack((np.ones_like(s), s, s * s))
    with np.errstate(invalid="ignore"):
        fit = pieces @ np.linalg.pinv(powers)
        misfit = np.abs(pieces - fit @ powers).max(-1)
        # d²log ω/d(log k)² times the length of a piece, from the units of s
        turn = 4 * np.abs(fit[..., 2]) / (PIECE * np.log(10) / PER_DECADE)
        found = np.flatnonzero(((misfit < MISFIT) & (turn > TURN)).any(0))
    if not len(found):
        return None
    return float(k[found[0] * PIECE]), float(k[(found[-1] + 1) * PIECE])


def at_zero(roots: Roots) -> NDArray[np.complex128]:
    """The roots at k = 0 (branches,), beside another k, so that none is left out where a coefficient vanishes."""
    return roots(np.array([0.0, 1.0]))[:, 0]


def asked(roots: Roots, scales: tuple[float, float] | None) -> NDArray[np.float64]:
    """Wave numbers from well below the relation's own to well above them, none of them round.

    Raises:
        ConfigurationError: if ω is not finite somewhere among them, and has not run over.
    """
    low, high = scales or (1 / AROUND, AROUND)
    decades = np.log10(high / low * BEYOND**2)
    k = 1.0123 * np.geomspace(low / BEYOND, high * BEYOND, min(6_000, int(150 * decades)) + 1)
    values = roots(k)
    finite: NDArray[np.bool_] = np.asarray(np.isfinite(values).all(0))
    if finite.all():
        return k
    good = np.flatnonzero(finite)
    first, last = (good[0], good[-1]) if len(good) else (0, 0)
    ends = [i for i, end in ((first, 0), (last, len(k) - 1)) if i != end]
    if len(good) and finite[first : last + 1].all() and all(np.abs(values[:, i]).max() > OVERFLOW for i in ends):
        return k[first : last + 1]
    bad = k[~finite][0]
    raise ConfigurationError(
        f"the relation has no finite value at k = {bad:.4g}; expected one for all {k[0]:.3g} < k < {k[-1]:.3g}"
    )


def limit_at_zero(omega: NDArray[np.complex128]) -> complex | None:
    """ω(0) of one branch by what comes before it; None where it has none, as a pole or a logarithm.

    Args:
        omega: ω at wave numbers that rise by one factor, of which the first are below all scales of the relation.
    """
    first, second, third = (complex(omega[i]) for i in (0, 20, 40))
    near, far = first - second, second - third
    if abs(near) <= 1e-12 * abs(first):
        return first
    if abs(near) > 0.9995 * abs(far):
        return None
    # what is left is a geometric sequence: A + B k^s
    value = first - near * near / (near - far)
    return value if abs(value) > 1e-6 * abs(first) else 0j
