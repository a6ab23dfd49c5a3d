"""Markov chains in a density: recipes that run them, what is kept of them, and their transition kernels."""

from phys_samplers.chains.chains import ChainModel, ChainSampler, Run
from phys_samplers.chains.record import ChainRecord

__all__ = ["ChainModel", "ChainRecord", "ChainSampler", "Run"]
