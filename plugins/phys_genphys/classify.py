r"""Which equations can be generative models: Eq. 9.8 of the thesis on every branch of a dispersion relation, and more.

A branch ω(k) evolves a wave by e^{−iωt}. What is asked of it (Liu et al. 2023, arXiv:2304.02637, Sec. 3; thesis 9.3):

smooth   Im ω(k) < Im ω(0) for all k > 0 (Eq. 9.8; A.143): waves fade faster than the mass. Equality for k up to
         some k_c only is told apart from equality everywhere: in a box smaller than 2π/k_c there are no such waves.
fading   Im ω(k) → −∞. The equation does not ask for it, and its proof (A.142) needs it: under a floor the waves of
         large k, of which there are infinitely many, keep a share e^{−ct}: a front or an atom at the source stays.
density  the kernel, the inverse transform of e^{−i(ω(k) − ω(0))t}, is nowhere negative, in one, two and three
         dimensions at four widths and more. This is the density flow condition for p̂ = e^{−iωt}; Eq. 9.8 does not
         imply it, see ``phys_genphys.kernels``.

All three: yes, and never without a kernel that was made; if none could be, unchecked: the criterion holds, and that is
all that is known. Smooth but for a plateau, with a floor, positive at some widths only, or on the line only as where
waves travel (Re ω ≠ 0): conditional. Else: no. One branch is enough, as in the thesis. The mass is e^{Im ω(0) t}: where
it is not constant particles die or are born, and where ω has a pole at k = 0 there is none.

Wave numbers are asked around the relation's own, see ``phys_genphys.scales``: verdicts do not depend on units.

>>> classify("dt**2 + lap - m**2", m=0.5).verdict
'yes'
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from phys_genphys.kernels import positive, widths
from phys_genphys.relation import Relation, Values, read
from phys_genphys.scales import Roots, asked, at_zero, limit_at_zero, own_scales
from phys_samplers.errors import ConfigurationError

Answer = Literal["yes", "conditional", "unchecked", "no"]
ORDER: tuple[Answer, ...] = ("yes", "conditional", "unchecked", "no")
"""From the best to the worst."""
EPSILON = 1e-13
"""Relative rounding of the coefficients of a polynomial, with room."""


@dataclass(frozen=True)
class Branch:
    """The verdict on one branch.

    Args:
        omega_0: ω(0); infinite where it has no value.
        smooth: Eq. 9.8 by itself: ``yes``, ``conditional`` (equality up to some k only) or ``no``.
        fading: whether Im ω → −∞.
        density: whether the kernel is positive; ``unchecked`` if none was made, as where Eq. 9.8 fails already.
        verdict: of all of them; ``yes`` only with a kernel that was made and is positive.
        mass: what becomes of it.
        reasons: one sentence each.
    """

    omega_0: complex
    smooth: Answer
    fading: bool
    density: Answer
    verdict: Answer
    mass: str
    reasons: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form; ``omega_0`` is null where it has no value."""
        start = [self.omega_0.real, self.omega_0.imag] if np.isfinite(self.omega_0) else None
        return {**asdict(self), "omega_0": start, "reasons": list(self.reasons)}


@dataclass(frozen=True)
class Classification:
    """The verdicts on all branches.

    Args:
        relation: the text, or the name of the function.
        branches: best first.
        scales: the least and the greatest wave number at which ω changes its power of k; None for a pure power.
        asked: the least and the greatest wave number that verdicts are about.
    """

    relation: str
    branches: tuple[Branch, ...]
    scales: tuple[float, float] | None
    asked: tuple[float, float]

    @property
    def verdict(self) -> Answer:
        """That of the best branch."""
        return self.branches[0].verdict

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return {
            "relation": self.relation,
            "verdict": self.verdict,
            "scales": None if self.scales is None else list(self.scales),
            "asked": list(self.asked),
            "branches": [branch.to_dict() for branch in self.branches],
        }


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
        if parameters:
            raise ConfigurationError(
                f"there are values of {', '.join(parameters)} for a function of k; give it those itself, by a closure"
            )
        name, roots = getattr(relation, "__name__", type(relation).__name__), _of_function(relation)
    else:
        found: Relation = read(relation, parameters)
        name, roots = found.text, found.roots
    scales = own_scales(roots)
    k = asked(roots, scales)
    values = _tracked(k, roots(k))
    starts = _starts(values, at_zero(roots))
    branches = [
        _pole(k, omega) if start is None else _judge(k, start, omega, rounding, roots, widths(scales))
        for start, omega, rounding in zip(starts, values, _rounding(values), strict=True)
    ]
    branches.sort(key=lambda one: ORDER.index(one.verdict))
    return Classification(name, tuple(branches), scales, (float(k[0]), float(k[-1])))


def _of_function(function: Callable[[NDArray[np.float64]], Any]) -> Roots:
    """A function of k with its values checked."""
    name = getattr(function, "__name__", type(function).__name__)

    def roots(k: NDArray[np.float64]) -> Values:
        with np.errstate(all="ignore"):
            given = function(k)
        try:
            values = np.atleast_2d(np.asarray(given, dtype=np.complex128))
        except (TypeError, ValueError):
            values = np.empty(0, dtype=np.complex128)
        if values.ndim != 2 or values.shape[1:] != k.shape or not len(values):
            shape = f" of shape {np.shape(given)}" if isinstance(given, np.ndarray) else ""
            raise ConfigurationError(
                f"{name} gave a {type(given).__name__}{shape} at {len(k)} wave numbers; expected (branches, {len(k)})"
            )
        return np.where(np.isfinite(values), values, np.nan + 0j)

    return roots


def _tracked(k: NDArray[np.float64], values: Values) -> Values:
    """Roots (branches, K) joined to continuous branches, each going on along its own slope, from the top down."""
    from scipy.optimize import linear_sum_assignment

    values = values.copy()
    if len(values) == 1:
        return values
    for i in range(values.shape[1] - 2, -1, -1):
        ahead = values[:, i + 1]
        if i + 2 < values.shape[1]:
            ahead = 2 * ahead - values[:, i + 2]
        _, order = linear_sum_assignment(np.abs(ahead[:, None] - values[None, :, i]))
        values[:, i] = values[order, i]
    return values


def _rounding(values: Values) -> NDArray[np.float64]:
    """What rounding does to roots (branches, K): that of the largest of them, and the more the nearer others are.

    A coefficient that is off by ε moves m equal roots by ε^{1/m}.
    """
    degree, largest = len(values), np.abs(values).max(0)
    if degree == 1:
        return np.zeros_like(largest)[None]
    gaps = np.abs(values[:, None] - values[None, :])
    gaps[np.arange(degree), np.arange(degree)] = largest
    with np.errstate(all="ignore"):
        moved = EPSILON / (np.maximum(gaps / largest, EPSILON**0.5)).prod(1)
    return np.where(largest > 0, np.minimum(moved, EPSILON ** (1 / degree)) * largest, 0.0)


def _starts(values: Values, zero: Values) -> list[complex | None]:
    """ω(0) of each branch: the roots at 0, or limits where those are not finite; None where there is none."""
    from scipy.optimize import linear_sum_assignment

    if not np.isfinite(zero).all():  # a pole, or 0/0, of which the limit is meant
        return [limit_at_zero(omega) for omega in values]
    _, order = linear_sum_assignment(np.abs(values[:, 0][:, None] - zero[None, :]))
    return [complex(value) + 0j for value in zero[order]]


def _pole(k: NDArray[np.float64], omega: Values) -> Branch:
    """The verdict where ω has no value at k = 0: there is no mass to compare waves with."""
    low = complex(omega[0]) + 0j
    at_all = abs(low.imag) > 1e-9 * abs(low)
    mass = "none: it has no phase" if not at_all else "gone at once: Im ω(0) = −∞" if low.imag < 0 else "infinite"
    told = f"ω has no value at k = 0 (it is {low:.3g} at k = {k[0]:.3g}, and grows as k falls): no mass to compare with"
    return Branch(complex(np.inf, np.inf), "no", False, "unchecked", "no", mass, (told,))


def _judge(
    k: NDArray[np.float64],
    start: complex,
    omega: Values,
    rounding: NDArray[np.float64],
    roots: Roots,
    at: NDArray[np.float64],
) -> Branch:
    """The verdict on ω (K,) that starts at ω(0), with its rounding as a root (K,)."""
    rise = omega.imag - start.imag
    # That of ω(0) is the one at the smallest k; where ω itself is not told from ω(0), nothing is.
    own, rounding = rounding, np.maximum(rounding, EPSILON * abs(start)) + rounding[0]
    tolerance, resolved = 1e-9 * np.abs(omega - start) + rounding, np.abs(omega - start) > 10 * rounding
    resolved = resolved if resolved.any() else ~resolved
    above, equal = (rise > tolerance) & resolved, (np.abs(rise) <= tolerance) & resolved
    reasons = []
    smooth: Answer = "yes"
    if above.any():
        worst = int(np.where(resolved, rise, -np.inf).argmax())
        smooth = "no"
        beyond = " and beyond" if worst == len(k) - 1 else ""
        reasons.append(f"waves of k = {k[worst]:.3g}{beyond} outgrow the mass: Im ω − Im ω(0) = {rise[worst]:.3g} > 0")
    elif equal[resolved].all():
        smooth = "no"
        reasons.append("no wave fades: Im ω = Im ω(0) for all k, details are carried on for ever")
    elif equal.any():
        end = int(np.flatnonzero(equal)[-1])
        if equal[: end + 1][resolved[: end + 1]].all():
            smooth = "conditional"
            reasons.append(
                f"waves of k ≤ {k[end]:.3g} do not fade: for data and times much smaller than that wave only"
            )
        else:
            smooth = "no"
            reasons.append(f"waves of k = {k[end]:.3g} fade no faster than the mass")
    # An ω that oscillates has no limit either.
    last = rise[int(np.searchsorted(k, k[-1] / 10)) :]
    fading = bool(last[-1] < 1.02 * last[0] < 0 and (np.diff(last) <= 1e-9 * np.abs(last[1:])).all())
    steps = np.diff(last)
    turned = np.diff(np.sign(steps[np.abs(steps) > 1e-6 * np.abs(last).max()]))
    oscillates = not fading and np.count_nonzero(turned) > 2
    slowest = _slowest(k, omega, roots) - start.imag if oscillates else float(last.max())
    density: Answer = "unchecked"
    if smooth == "yes" and not fading and slowest > -1e-6 * np.abs(rise).max():
        smooth = "no"
        reasons.append(
            "short waves do not fade: Im ω comes back to Im ω(0) for large k, details are carried on for ever"
        )
    elif smooth == "yes" and not fading:
        rest = f"a front or an atom stays until t ≫ {-1 / slowest:.3g}"
        if oscillates:
            rest = "it has no limit, and shorter waves may fade less"
        which = f"waves of k > {k[-1] / 10:.3g}, where Im ω oscillates," if oscillates else "large k"
        reasons.append(f"{which} fade no faster than e^({slowest:.3g} t): {rest}")
    elif smooth == "yes":
        answer, told = positive(k, omega, start, own, roots, at)
        density, reasons = cast(Answer, answer), reasons + told
    verdict: Answer = max(smooth, density, key=ORDER.index) if smooth == "yes" and fading else "conditional"
    verdict = "no" if smooth == "no" else verdict
    turns = abs(start.real) > 1e-9 * abs(start) + 10 * rounding[0]
    if turns and verdict == "yes":
        verdict = "conditional"
        until = f"{0.5 * np.pi / abs(start.real):.3g}"
        reasons.append(
            f"the mass turns, Re ω(0) = {start.real:.3g}: that of a real field is negative after t = {until}"
        )
    if smooth == "yes" and fading:
        holds = "every wave fades faster than the mass, and the more the shorter it is"
        enough = f"{holds}: Eq. 9.8 holds, which is not enough"
        reasons = [holds, *reasons] if verdict == "yes" else [*reasons, enough]
    growth = start.imag if abs(start.imag) > 1e-12 * float(np.abs(omega).min()) else 0.0
    fate = "constant" if growth == 0 else f"e^({growth:.3g} t): particles {'die' if growth < 0 else 'are born'}"
    fate = f"{fate}, turns by e^({-start.real:.3g}i t)" if turns else fate
    return Branch(start + 0j, smooth, fading, density, verdict, fate, tuple(reasons))


def _slowest(k: NDArray[np.float64], omega: Values, roots: Roots) -> float:
    """The greatest Im ω beside the greatest that was asked of the last decade, where an oscillation hides its own."""
    first = int(np.searchsorted(k, k[-1] / 10))
    i = first + int(omega.imag[first:].argmax())
    greatest = float(omega.imag[i])
    low, high = k[i - 1], k[min(i + 1, len(k) - 1)]
    for _ in range(10):
        q = np.linspace(low, high, 65)
        values = roots(q)
        if len(values) > 1 or not np.isfinite(values).all():  # of several branches no one knows which
            break
        j = int(values[0].imag.argmax())
        greatest = max(greatest, float(values[0, j].imag))
        low, high = q[max(j - 1, 0)], q[min(j + 1, 64)]
    return greatest
