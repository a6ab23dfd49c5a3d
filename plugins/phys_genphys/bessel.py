"""Bessel functions K and Y of the orders ν that N dimensions bring, integers and halves, by stable recurrences."""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError


def log_k(order: float, z: Tensor) -> tuple[Tensor, Tensor]:
    """log K_ν(z) and the quotient K_{ν+1}(z)/K_ν(z), for z > 0; see ``log_scaled_k``."""
    value, ratio = log_scaled_k(order, z)
    return value - z, ratio


def log_scaled_k(order: float, z: Tensor) -> tuple[Tensor, Tensor]:
    """log e^z K_ν(z), which large z does not round away, and the quotient K_{ν+1}(z)/K_ν(z), for z > 0.

    K_{ν+1}/K_ν = 2ν/z + K_{ν−1}/K_ν is a sum of positive terms: nothing cancels, and nothing overflows in logarithms.

    Args:
        order: ν, a multiple of ½ of at least 0.
        z: any shape.
    """
    _check(order)
    if order % 1:
        nu, value, ratio = 0.5, 0.5 * (math.pi / (2 * z)).log(), 1 + 1 / z
    else:
        k0 = torch.special.scaled_modified_bessel_k0(z)
        nu, value, ratio = 0.0, k0.log(), torch.special.scaled_modified_bessel_k1(z) / k0
    while nu < order:
        value, nu = value + ratio.log(), nu + 1
        ratio = 2 * nu / z + 1 / ratio
    return value, ratio


def bessel_y(order: float, z: Tensor) -> tuple[Tensor, Tensor]:
    """Y_ν(z) and Y_{ν+1}(z), for z > 0, by Y_{ν+1} = (2ν/z) Y_ν − Y_{ν−1}, which is stable upwards.

    Args:
        order: ν, a multiple of ½ of at least 0.
        z: any shape.
    """
    _check(order)
    if order % 1:
        scale = (2 / (math.pi * z)).sqrt()
        nu, low, high = 0.5, -scale * z.cos(), -scale * (z.cos() / z + z.sin())
    else:
        nu, low, high = 0.0, torch.special.bessel_y0(z), torch.special.bessel_y1(z)
    while nu < order:
        nu += 1
        low, high = high, 2 * nu / z * high - low
    return low, high


@lru_cache(maxsize=64)
def first_zero(order: float) -> float:
    """The first zero of Y_ν on the positive half line."""
    from scipy.optimize import brentq
    from scipy.special import yv

    low = 0.5 * (order + 0.5)
    while yv(order, low) < 0 > yv(order, 1.05 * low):
        low *= 1.05
    return float(brentq(lambda z: yv(order, z), low, 1.05 * low, xtol=1e-14))


def _check(order: float) -> None:
    if order < 0 or (2 * order) % 1:
        raise ConfigurationError(f"order is {order}; expected 0, ½, 1, 1½, …")
