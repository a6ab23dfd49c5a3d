"""Sampling from a density without training: chains, what is kept of them, their transition kernels."""

from phys_samplers.chains.chains import ChainModel, ChainRecord, ChainSampler, Run, UntestedChainSampler
from phys_samplers.density import DensityModel, DensitySampler

__all__ = ["ChainModel", "ChainRecord", "ChainSampler", "DensityModel", "DensitySampler", "Run", "UntestedChainSampler"]
