"""Kernels and the mobilities they give."""

from phys_samplers.kernels.base import Kernel, median_squared_distance
from phys_samplers.kernels.kernels import ConstantKernel, GaussianKernel, SliceAverageKernel, SlicedGaussianKernel
from phys_samplers.kernels.mobility import KernelMean

__all__ = [
    "ConstantKernel",
    "GaussianKernel",
    "Kernel",
    "KernelMean",
    "SliceAverageKernel",
    "SlicedGaussianKernel",
    "median_squared_distance",
]
