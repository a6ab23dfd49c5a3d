r"""Whether what a branch makes of a point is a density: its kernel by quadrature, in one to three dimensions.

The kernel is the inverse transform of e^{−i(ω(k) − ω(0))t}. It is made at several times, told by the wave number that
has fallen to 1/e, from a tenth of the relation's own to ten times them. Where short waves fade so slowly that more
than a thousand times that wave number remains, it is seen through a normal law of .8 % of its width, which makes no
positive kernel negative and hides no negative one that data could see.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from phys_genphys.scales import AROUND, Roots

SPREAD = 10.0
"""Factor by which widths go beyond the relation's own scales."""
MOST_WIDTHS = 12
FADED = 34.0
"""e^−FADED is nothing beside 1."""
RESOLVED = 1_000
"""Greatest wave number of a kernel over that of its width."""
FARTHEST = 10.0
"""Radius up to which a kernel is made, in widths."""
NEGATIVE = 1e-7
"""Share of its maximum by which a kernel has to fall below zero."""
MOST_HIDDEN = 1e-3
"""Share of its maximum that rounding may hide, where roots coincide; beyond, a kernel is not made."""


def widths(scales: tuple[float, float] | None) -> NDArray[np.float64]:
    """Wave numbers whose waves have faded to 1/e at the times at which kernels are made."""
    low, high = scales or (1 / AROUND, AROUND)
    low, high = low / SPREAD, high * SPREAD
    return np.geomspace(low, high, min(MOST_WIDTHS, max(4, 1 + int(np.log10(high / low)))))


def positive(
    k: NDArray[np.float64],
    omega: NDArray[np.complex128],
    start: complex,
    rounding: NDArray[np.float64],
    roots: Roots,
    at: NDArray[np.float64],
) -> tuple[str, list[str]]:
    """``yes``, ``conditional`` (at some widths), ``no`` or ``unchecked``, with what there is to say.

    Args:
        k: wave numbers.
        omega: ω of the branch there.
        start: ω(0).
        rounding: of ω, which in an exponent at t is that of the kernel.
        roots: of all branches.
        at: see ``widths``.
    """
    rise = omega.imag - start.imag
    travels = bool((np.abs(omega.real - start.real) > 1e-6 * np.abs(omega) + rounding).any())
    made, negative, known = [], [], NEGATIVE
    for width in at:
        fallen = float(np.interp(np.log(width), np.log(k), rise))
        t = -1 / fallen if fallen < 0 else np.inf
        enough = rise < FADED * fallen
        top = min(k[int(enough.argmax())] if enough.any() else k[-1], RESOLVED * width)
        found = _least(k, omega, start, roots, t, width, top, (1,) if travels else (1, 2, 3))
        # of the waves that make the kernel: those of the width, or longer ones whose roots are nearer to each other
        longer = k <= width
        mean = np.trapezoid(rounding[longer], k[longer]) / width
        hidden = 10 * t * float(max(mean, np.interp(np.log(width), np.log(k), rounding)))
        if hidden > MOST_HIDDEN or not all(np.isfinite(least) for least, _ in found):
            continue
        made.append(width)
        least, dim = min(found)
        known = max(known, hidden)
        if least < -max(NEGATIVE, hidden):
            negative.append((t, dim, least))
    if not made:
        return "unchecked", ["its kernel could not be made at any width, so that it may be negative"]
    where = "in one dimension" if travels else "in one to three dimensions"
    if not negative:
        told = [f"its kernel is positive {where}, at {len(made)} widths from {1 / made[-1]:.2g} to {1 / made[0]:.2g}"]
        if known > NEGATIVE:
            told.append(f"this is known to {100 * known:.1g} % of its maximum only: roots coincide")
        if travels:
            told.append("it travels: real, with ω(−k) = −ω(k)*, on the line only")
        return "conditional" if travels else "yes", told
    t, dim, least = max(negative)
    told = [f"its kernel is negative in {dim} dimension{'s' * (dim > 1)}, to {100 * least:.2g} % of its maximum"]
    if len(negative) == len(made):
        return "no", [f"{told[0]}, at every width: p is no density"]
    return "conditional", [
        f"{told[0]}, at t = {t:.3g} and {len(negative) - 1} other of {len(made)} widths: only at other times"
    ]


def _least(
    k: NDArray[np.float64],
    omega: NDArray[np.complex128],
    start: complex,
    roots: Roots,
    t: float,
    width: float,
    top: float,
    dims: tuple[int, ...],
) -> list[tuple[float, int]]:
    """The least value of the kernel over its greatest in each dimension, r up to ten widths.

    By Gauss points on panels that widen with k.
    """
    from scipy.special import j0

    nodes, weights = np.polynomial.legendre.leggauss(12)
    panels = max(120, int(2 * FARTHEST * top / width / len(nodes)))
    edges = top * np.linspace(0, 1, panels + 1) ** 2
    half = 0.5 * np.diff(edges)[:, None]
    q, w = (edges[:-1, None] + half * (nodes + 1)).ravel(), (half * weights).ravel()
    near = np.interp(np.log(q), np.log(k), omega.real) + 1j * np.interp(np.log(q), np.log(k), omega.imag)
    every = roots(q)
    with np.errstate(all="ignore"):
        own = np.take_along_axis(every, np.abs(every - near).argmin(0)[None], 0)[0]
        # in the frame of the waves that make the kernel, if they travel
        speed = float(np.interp(np.log(0.5 * width), np.log(k), (omega.real - start.real) / k)) if dims == (1,) else 0.0
        shape = np.exp(-1j * (own - start - speed * q) * t)
        if abs(shape[-1]) > 10 * np.exp(-FADED):
            shape = shape * np.exp(-FADED * (q / top) ** 2)
        r = np.linspace(0.01, FARTHEST, 80) / width
        found = []
        for dim in dims:
            if dim == 1:
                x = np.concatenate((-r[::-1], r))
                kernel = (np.exp(1j * np.outer(x, q)) @ (w * shape)).real
            else:
                wave = j0(np.outer(r, q)) if dim == 2 else np.sin(np.outer(r, q)) / np.outer(r, q)
                kernel = wave @ (w * shape.real * (q / width) ** (dim - 1))
            found.append((float(kernel.min() / kernel.max()), dim))
        return found
