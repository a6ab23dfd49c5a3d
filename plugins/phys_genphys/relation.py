r"""Dispersion relations as text, read without evaluating any: polynomials in ω whose coefficients are functions of k.

    w = -I*k**2                          ω as a function of k (``w`` is ω, ``I`` the imaginary unit)
    w**2 + 2*I*eps*w - k**2 = 0          a polynomial in ω; its roots are the branches
    dt**2 + 2*eps*dt - lap               a PDE: ``dt`` is ∂/∂t, i.e. −iω, and ``lap`` the Laplacian, −k²
    -I*k, I*k                            several branches

The text is parsed by ``ast`` into a syntax tree of which numbers, the names above, named parameters, + − * / ** and a
few functions of k are understood, and all else is refused: nothing of it is ever run as code. Its length, the size
of its tree and the degree in ω are bounded, and numbers are floats from the first on, so that no power takes long.
"""

from __future__ import annotations

import ast
import math
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from phys_samplers.errors import ConfigurationError

LONGEST, MOST_NODES, DEEPEST, HIGHEST_DEGREE = 400, 200, 40, 6
Values: TypeAlias = NDArray[np.complex128]
FUNCTIONS: Mapping[str, Callable[[Values], Values]] = {
    "sqrt": np.sqrt,
    "exp": np.exp,
    "log": np.log,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "abs": lambda z: np.abs(z).astype(np.complex128),
}
CONSTANTS: Mapping[str, complex] = {"I": 1j, "pi": math.pi}
RESERVED = {"w", "k", "dt", "lap", *FUNCTIONS, *CONSTANTS}
MEANT = {"i": "I", "j": "I", "ω": "w", "omega": "w", "W": "w", "K": "k", "laplacian": "lap"}
ALLOWED = "numbers, w, k, dt, lap, I, pi, parameters, + - * / **, and " + ", ".join(FUNCTIONS)


@dataclass(frozen=True)
class Relation:
    """A polynomial in ω for each set of branches.

    Args:
        text: what it was read from.
        parts: syntax trees of expressions that are zero, or, without ω, that ω is equal to.
        parameters: values by name.
    """

    text: str
    parts: tuple[ast.expr, ...]
    parameters: Mapping[str, float]

    def roots(self, k: NDArray[np.float64]) -> Values:
        """ω of all branches (branches, len(k)), of each polynomial in no order.

        Raises:
            ConfigurationError: if a polynomial has no ω in it anywhere, or values are not finite.
        """
        found = []
        for part in self.parts:
            coefficients = self._polynomial(part, k)
            if len(coefficients) == 1:  # ω is given as a function of k
                found.append(coefficients[0][None])
                continue
            found.append(_roots(coefficients))
        values = np.concatenate(found)
        return np.where(np.isfinite(values), values, np.nan + 0j)

    def _polynomial(self, tree: ast.expr, k: NDArray[np.float64]) -> list[Values]:
        with np.errstate(all="ignore"):
            return _trimmed(_Evaluation(k, self.parameters).of(tree))


def read(text: str, parameters: Mapping[str, float] | None = None) -> Relation:
    """Parse a relation.

    Args:
        text: see the module.
        parameters: values of the other names in it.

    Raises:
        ConfigurationError: saying what is not understood, or which bound is exceeded.
    """
    # as Python normalises names in what it parses
    given = {unicodedata.normalize("NFKC", name): value for name, value in (parameters or {}).items()}
    for name, value in given.items():
        if name in RESERVED or not name.isidentifier():
            problem = "it is taken" if name in RESERVED else "it is no name"
            raise ConfigurationError(f"parameter {name!r} cannot be one: {problem}")
        if isinstance(value, bool) or not isinstance(value, Real) or not _finite(value):
            raise ConfigurationError(f"parameter {name} is {value!r}; expected a finite number")
    if not isinstance(text, str):
        raise ConfigurationError(
            f"the relation is a {type(text).__name__}; expected a text such as 'w = -I*k**2', or a function of k"
        )
    if not 0 < len(text.strip()) <= LONGEST:
        raise ConfigurationError(f"the relation has {len(text)} characters; expected 1 to {LONGEST}")
    parts: list[ast.expr] = []
    sides = text.split("=")
    if len(sides) > 2 or not all(side.strip() for side in sides):
        raise ConfigurationError(
            f"the relation {text!r} has {len(sides) - 1} signs '='; expected one, between two sides"
        )
    trees = [_tree(side, text) for side in sides]
    if len(trees) == 2:
        if isinstance(trees[0], ast.Tuple) or (isinstance(trees[1], ast.Tuple) and not _is_w(trees[0])):
            raise ConfigurationError(f"the relation {text!r} has a comma; write several branches as: w = first, second")
        right = trees[1].elts if isinstance(trees[1], ast.Tuple) else [trees[1]]
        parts = [ast.BinOp(trees[0], ast.Sub(), side) for side in right]
    else:
        parts = list(trees[0].elts) if isinstance(trees[0], ast.Tuple) else [trees[0]]
    if not parts:
        raise ConfigurationError(f"the relation {text!r} has no branch; expected one or more, e.g. w = -I*k**2")
    used = {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if unused := sorted(given.keys() - used):
        raise ConfigurationError(
            f"the relation {text!r} has no {', '.join(unused)}; expected values of names in it only"
        )
    relation = Relation(text.strip(), tuple(parts), given)
    trial = np.array([0.37, 1.9])
    for part in parts:
        degree = len(relation._polynomial(part, trial)) - 1
        names = {node.id for node in ast.walk(part) if isinstance(node, ast.Name)}
        if degree == 0 and (len(trees) == 2 or names & {"w", "dt", "lap"}):  # else ω as a function of k
            raise ConfigurationError(f"the relation {text!r} has no w or dt; write w = ..., or an equation with dt")
    if not np.isfinite(relation.roots(trial)).all():
        raise ConfigurationError(f"the relation {text!r} has no finite value at k = {trial[0]} and {trial[1]}")
    return relation


def _finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False


def _is_w(tree: ast.expr) -> bool:
    return isinstance(tree, ast.Name) and tree.id == "w"


def _tree(side: str, text: str) -> ast.expr:
    try:
        tree = ast.parse(side.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        told = error.msg if isinstance(error, SyntaxError) else error
        raise ConfigurationError(
            f"the relation {text!r} cannot be read ({told}); write products with *, powers with **; expected {ALLOWED}"
        ) from None
    nodes = list(ast.walk(tree))
    if len(nodes) > MOST_NODES or _depth(tree) > DEEPEST:
        raise ConfigurationError(f"the relation has {len(nodes)} parts; expected at most {MOST_NODES}, {DEEPEST} deep")
    return tree


def _depth(tree: ast.AST) -> int:
    depth, level = 0, [tree]
    while level and depth <= DEEPEST:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
    return depth


class _Evaluation:
    """A syntax tree as a polynomial in ω: coefficients, from that of ω⁰ on, over the values of k."""

    def __init__(self, k: NDArray[np.float64], parameters: Mapping[str, float]) -> None:
        self.k, self.parameters = k.astype(np.complex128), parameters
        self.one = np.ones_like(self.k)

    def of(self, node: ast.AST) -> list[Values]:
        match node:
            case ast.Constant(value=int() | float() | complex() as value) if not isinstance(value, bool):
                return [self.one * _number(value)]
            case ast.Name(id=name):
                return self._name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return [-c for c in self.of(operand)]
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self.of(operand)
            case ast.BinOp(left=left, op=ast.Pow(), right=right):
                return self._power(_trimmed(self.of(left)), _trimmed(self.of(right)))
            case ast.BinOp(left=left, op=ast.Add() | ast.Sub() | ast.Mult() | ast.Div() as op, right=right):
                return self._binary(self.of(left), op, _trimmed(self.of(right)))
            case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
                inner = _trimmed(self.of(argument))
                if len(inner) > 1:
                    raise ConfigurationError(f"{name}(...) has w or dt in it; expected a polynomial in w")
                return [FUNCTIONS[name](inner[0])]
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitXor):
            raise ConfigurationError(f"{ast.unparse(node)[:60]!r} has a ^; write powers with **, as k**2")
        shown = ast.unparse(node) if isinstance(node, ast.expr) else type(node).__name__
        raise ConfigurationError(f"{shown[:60]!r} is not understood in a dispersion relation; expected {ALLOWED}")

    def _name(self, name: str) -> list[Values]:
        zero = np.zeros_like(self.k)
        match name:
            case "w":
                return [zero, self.one]
            case "k":
                return [self.k]
            case "dt":
                return [zero, -1j * self.one]
            case "lap":
                return [-self.k * self.k]
        if name in CONSTANTS:
            return [self.one * CONSTANTS[name]]
        if name in self.parameters:
            return [self.one * float(self.parameters[name])]
        known = ", ".join(sorted(self.parameters)) or "none"
        meant = f"write {MEANT[name]}, or give" if name in MEANT else "give"
        raise ConfigurationError(f"{name!r} has no value (given: {known}); {meant} it, e.g. --set {name}=1; {ALLOWED}")

    def _binary(self, left: list[Values], op: ast.operator, right: list[Values]) -> list[Values]:
        if isinstance(op, ast.Add | ast.Sub):
            sign = 1 if isinstance(op, ast.Add) else -1
            size = max(len(left), len(right))
            pad = [np.zeros_like(self.k)]
            a, b = (side + pad * (size - len(side)) for side in (left, right))
            return [x + sign * y for x, y in zip(a, b, strict=True)]
        if isinstance(op, ast.Div):
            if len(right) > 1:
                raise ConfigurationError("there is a division by w or dt; multiply the relation by it")
            return [x / right[0] for x in left]
        if len(left) + len(right) - 2 > HIGHEST_DEGREE:
            raise ConfigurationError(f"the relation is of a higher degree in w than {HIGHEST_DEGREE}")
        product = [np.zeros_like(self.k) for _ in range(len(left) + len(right) - 1)]
        for i, x in enumerate(left):
            for j, y in enumerate(right):
                product[i + j] = product[i + j] + x * y
        return product

    def _power(self, base: list[Values], exponent: list[Values]) -> list[Values]:
        if len(exponent) > 1:
            raise ConfigurationError("w or dt stands in an exponent; expected a polynomial in w")
        if len(base) == 1:
            return [base[0] ** exponent[0]]
        power = complex(exponent[0][0]).real
        if (exponent[0] != power).any() or power != int(power) or not 0 <= power <= HIGHEST_DEGREE:
            raise ConfigurationError(f"w or dt to the power {power:g}; expected an integer from 0 to {HIGHEST_DEGREE}")
        result = [self.one]
        for _ in range(int(power)):
            result = self._binary(result, ast.Mult(), base)
        return result


def _number(value: Any) -> complex:
    try:
        return complex(value)
    except OverflowError:
        raise ConfigurationError("a number in the relation is too large") from None


def _trimmed(coefficients: list[Values]) -> list[Values]:
    """Without leading coefficients that are 0 everywhere."""
    size = len(coefficients)
    while size > 1 and not coefficients[size - 1].any():
        size -= 1
    return coefficients[:size]


def _roots(coefficients: list[Values]) -> Values:
    """Roots (degree, len(k)), as eigenvalues of companion matrices; NaN where the leading coefficient vanishes."""
    degree, points = len(coefficients) - 1, len(coefficients[0])
    with np.errstate(all="ignore"):
        monic = np.stack([-c / coefficients[-1] for c in coefficients[:-1]], 1)
    if degree == 1:
        return monic.T
    usable = np.isfinite(monic).all(1)
    companion = np.zeros((points, degree, degree), dtype=np.complex128)
    companion[:, np.arange(1, degree), np.arange(degree - 1)] = 1
    companion[usable, :, -1] = monic[usable]
    values = np.linalg.eigvals(companion)
    values[~usable] = np.nan
    return np.asarray(values.T, dtype=np.complex128)
