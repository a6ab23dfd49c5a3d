r"""Which equations can be generative models: Eq. 9.8 of the thesis on every branch of a dispersion relation, and more.

A branch ω(k) evolves a wave by e^{−iωt}. What is asked of it (Liu et al. 2023, arXiv:2304.02637, Sec. 3; thesis 9.3):

smooth   Im ω(k) < Im ω(0) for all k > 0 (Eq. 9.8; A.143): waves fade faster than the mass. Equality for k up to
         some k_c only is told apart from equality everywhere: in a box smaller than 2π/k_c there are no such waves.
fading   Im ω(k) → −∞. The equation does not ask for it, and its proof (A.142) needs it: under a floor the waves of
         large k, of which there are infinitely many, keep a share e^{−ct}: a front or an atom at the source stays.
density  the kernel, the inverse transform of e^{−i(ω(k) − ω(0))t}, is nowhere negative, in one, two and three
         dimensions at four widths (a wave that travels, Re ω ≠ 0, in one). This is the density flow condition for
         p̂ = e^{−iωt}.

All three: yes. Smooth but for a plateau, with a floor, or positive at some widths only: conditional. Else: no. One
branch is enough, as in the thesis. The mass is e^{Im ω(0) t}: where it is not constant particles die or are born.

>>> classify("dt**2 + lap - m**2", m=0.5).verdict
'yes'
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from phys_genphys.relation import Relation, Values, read
from phys_samplers.errors import ConfigurationError

Answer = Literal["yes", "conditional", "no"]
K = 1.0123 * np.logspace(-4, 4, 1_201)
"""Wave numbers that are asked, beside 0; none is a round number, at which roots may coincide."""
WIDTHS = (0.03, 0.3, 3.0, 30.0)
"""Wave numbers whose waves fade to 1/e at the times at which kernels are made."""
NEGATIVE = 1e-4
"""Share of its maximum by which a kernel has to fall below zero."""
GROWS, EQUAL = "grows", "keeps its size"


@dataclass(frozen=True)
class Branch:
    """The verdict on one branch.

    Args:
        omega_0: ω(0).
        smooth: Eq. 9.8: ``yes``, ``conditional`` (equality up to some k only) or ``no``.
        fading: whether Im ω → −∞.
        density: whether the kernel is positive; None if it was not made.
        verdict: of all of them.
        mass: what becomes of it.
        reasons: one sentence each.
    """

    omega_0: complex
    smooth: Answer
    fading: bool
    density: Answer | None
    verdict: Answer
    mass: str
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return {**asdict(self), "omega_0": [self.omega_0.real, self.omega_0.imag], "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Classification:
    """The verdicts on all branches.

    Args:
        relation: the text, or the name of the function.
        branches: best first.
    """

    relation: str
    branches: tuple[Branch, ...]

    @property
    def verdict(self) -> Answer:
        """That of the best branch."""
        return self.branches[0].verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        branches = [branch.to_dict() for branch in self.branches]
        return {"relation": self.relation, "verdict": self.verdict, "branches": branches}


def classify(relation: str | Callable[[NDArray[np.float64]], Any], /, **parameters: float) -> Classification:
    """Judge every branch of a dispersion relation.

    Args:
        relation: a text as in ``phys_genphys.relation``, or a function of wave numbers k (K,) with values ω (K,) or, of
            several branches, (branches, K).
        parameters: values of the names in the text.

    Raises:
        ConfigurationError: if it cannot be read, or has no finite values.
    """
    if callable(relation):
        name = getattr(relation, "__name__", type(relation).__name__)

        def roots(k: NDArray[np.float64]) -> Values:
            values = np.atleast_2d(np.asarray(relation(k), dtype=np.complex128))
            if values.shape[1:] != k.shape:
                raise ConfigurationError(f"{name} gave values of shape {values.shape}; expected (branches, {len(k)})")
            return values
    else:
        found: Relation = read(relation, parameters)
        name, roots = found.text, found.roots
    tracked = _tracked(roots(np.concatenate(([0.0], K))))
    largest = np.abs(tracked[:, 1:]).max(0) if len(tracked) > 1 else np.zeros(len(K))
    branches = [_judge(values, largest, roots) for values in tracked]
    order = ("yes", "conditional", "no")
    return Classification(name, tuple(sorted(branches, key=lambda one: order.index(one.verdict))))


def _tracked(values: Values) -> Values:
    """Roots (branches, 1 + K) joined to continuous branches, each going on along its own slope, from the top down."""
    from scipy.optimize import linear_sum_assignment

    if not np.isfinite(values[:, 1:]).all():
        bad = K[~np.isfinite(values[:, 1:]).all(0)][0]
        raise ConfigurationError(f"the relation has no finite value at k = {bad:.4g}; expected one for 10⁻⁴ < k < 10⁴")
    values = values.copy()
    if not np.isfinite(values[:, 0]).all():  # as for 0/0 at k = 0; the limit is meant
        values[:, 0] = np.nan
    if len(values) > 1:
        for i in range(values.shape[1] - 2, 0, -1):
            ahead = values[:, i + 1]
            if i + 2 < values.shape[1]:
                slope = (values[:, i + 2] - ahead) / np.log(K[i + 1] / K[i])
                ahead = ahead - slope * np.log(K[i] / K[i - 1])
            _, order = linear_sum_assignment(np.abs(ahead[:, None] - values[None, :, i]))
            values[:, i] = values[order, i]
        if np.isfinite(values[:, 0]).all():
            _, order = linear_sum_assignment(np.abs(values[:, 1][:, None] - values[None, :, 0]))
            values[:, 0] = values[order, 0]
    missing = np.isnan(values[:, 0])
    values[missing, 0] = values[missing, 1]
    return values


def _judge(values: Values, scale: NDArray[np.float64], roots: Callable[[NDArray[np.float64]], Values]) -> Branch:
    """The verdict on ω (1 + K), with the size of what its rounding comes from (K,)."""
    start, omega = values[0], values[1:]
    rise = omega.imag - start.imag
    # Roots have the rounding of the largest of them; where ω itself is not told from ω(0), nothing is.
    rounding = 1e-13 * np.maximum(scale, abs(start))
    tolerance, resolved = 1e-9 * np.abs(omega - start) + rounding, np.abs(omega - start) > 10 * rounding
    resolved = resolved if resolved.any() else ~resolved
    above, equal = (rise > tolerance) & resolved, (np.abs(rise) <= tolerance) & resolved
    reasons = []
    smooth: Answer = "yes"
    if above.any():
        worst = int(rise.argmax())
        smooth = "no"
        beyond = " and beyond" if worst == len(K) - 1 else ""
        reasons.append(f"waves of k = {K[worst]:.3g}{beyond} outgrow the mass: Im ω − Im ω(0) = {rise[worst]:.3g} > 0")
    elif equal[resolved].all():
        smooth = "no"
        reasons.append("no wave fades: Im ω = Im ω(0) for all k, details are carried on for ever")
    elif equal.any():
        last = int(np.flatnonzero(equal)[-1])
        if equal[: last + 1][resolved[: last + 1]].all():
            smooth = "conditional"
            reasons.append(
                f"waves of k ≤ {K[last]:.3g} do not fade: for data and times much smaller than that wave only"
            )
        else:
            smooth = "no"
            reasons.append(f"waves of k = {K[last]:.3g} fade no faster than the mass")
    tenth = int(np.searchsorted(K, K[-1] / 10))
    fading = bool(rise[-1] < 1.02 * rise[tenth] < 0)
    density: Answer | None = None
    if smooth == "yes" and not fading:
        rest = f"a front or an atom stays until t ≫ {-1 / rise[-1]:.3g}"
        reasons.append(f"large k fade no faster than e^({rise[-1]:.3g} t): {rest}")
    elif smooth == "yes":
        density, told = _density(values, roots)
        reasons += told
    good = (smooth, "yes" if fading or smooth != "yes" else "conditional", density or "yes")
    verdict: Answer = "no" if "no" in good else "conditional" if "conditional" in good else "yes"
    if verdict == "yes":
        reasons.insert(0, "every wave fades faster than the mass, and the more the shorter it is")
    growth = start.imag if abs(start.imag) > 1e-12 * max(1.0, float(np.abs(values).min())) else 0.0
    fate = "constant" if growth == 0 else f"e^({growth:.3g} t): particles {'die' if growth < 0 else 'are born'}"
    return Branch(complex(start), smooth, fading, density, verdict, fate, tuple(reasons))


def _density(values: Values, roots: Callable[[NDArray[np.float64]], Values]) -> tuple[Answer | None, list[str]]:
    """Whether kernels are positive at the four widths."""
    rise = values[1:].imag - values[0].imag
    travels = bool((np.abs(values[1:].real - values[0].real) > 1e-9 * np.abs(values[1:])).any())
    made = 0
    negative: dict[float, tuple[int, float]] = {}
    for width in WIDTHS:
        t = -1 / float(np.interp(math.log(width), np.log(K), rise))
        enough = rise * t < -34
        if not enough.any() or (top := K[int(enough.argmax())]) > 3_000 * width:
            continue
        made += 1
        for dim in (1,) if travels else (1, 2, 3):
            least = _least(values, roots, t, width, top, dim)
            if least < -NEGATIVE:
                negative.setdefault(t, (dim, least))
    if made == 0:
        return None, ["kernels were not made: too many short waves remain at every width"]
    where = "in one dimension" if travels else "in one to three dimensions"
    if not negative:
        return "yes", [f"its kernel is positive {where}, at {made} widths from 1/30 to 30"]
    t, (dim, least) = max(negative.items())
    told = f"its kernel is negative in {dim} dimension{'s' * (dim > 1)}, down to {100 * least:.2g} % of its maximum"
    if len(negative) == made:
        return "no", [f"{told}, at every width: p is no density"]
    return "conditional", [
        f"{told}, at t = {t:.3g} and {len(negative) - 1} other of {made} widths: only at other times"
    ]


def _least(
    values: Values, roots: Callable[[NDArray[np.float64]], Values], t: float, width: float, top: float, dim: int
) -> float:
    """The least value of the kernel over its greatest, r up to ten widths: Gauss points on panels that widen with k."""
    from scipy.special import j0

    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = top * np.linspace(0, 1, 121) ** 2
    half = 0.5 * np.diff(edges)[:, None]
    k, w = (edges[:-1, None] + half * (nodes + 1)).ravel(), (half * weights).ravel()
    near = np.interp(np.log(k), np.log(K), values[1:].real) + 1j * np.interp(np.log(k), np.log(K), values[1:].imag)
    every = roots(k)
    omega = np.take_along_axis(every, np.abs(every - near).argmin(0)[None], 0)[0]
    shape = np.exp(-1j * (omega - values[0]) * t)
    r = np.linspace(0.01, 10, 80) / width
    if dim == 1:
        x = np.concatenate((-r[::-1], r))
        kernel = (np.exp(1j * np.outer(x, k)) @ (w * shape)).real
    else:
        wave = j0(np.outer(r, k)) if dim == 2 else np.sin(np.outer(r, k)) / np.outer(r, k)
        kernel = wave @ (w * shape.real * k ** (dim - 1))
    return float(kernel.min() / kernel.max())
