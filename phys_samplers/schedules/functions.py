"""Elementary functions of Python floats and tensors alike.

Sampling loops ask schedules for single times, as floats in double precision and without a trip through torch; training
asks for a batch of them.
"""

from __future__ import annotations

import math
from typing import TypeVar

from torch import Tensor

Scalar = TypeVar("Scalar", float, Tensor)


def exp(x: Scalar) -> Scalar:
    """e^x."""
    return x.exp() if isinstance(x, Tensor) else math.exp(x)


def expm1(x: Scalar) -> Scalar:
    """e^x − 1."""
    return x.expm1() if isinstance(x, Tensor) else math.expm1(x)


def log(x: Scalar) -> Scalar:
    """Natural logarithm; −∞ at 0."""
    if isinstance(x, Tensor):
        return x.log()
    return math.log(x) if x > 0 else -math.inf
