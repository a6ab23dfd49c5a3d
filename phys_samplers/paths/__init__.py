"""What samplers that simulate weighted paths share: densities in units of their spread, buffers of moved ends."""

from phys_samplers.paths.buffer import Replay, Ring, tempered
from phys_samplers.paths.exploring import Extent, explore
from phys_samplers.paths.resampling import resample
from phys_samplers.paths.unit import UnitDensity, UnitModel, UnitSampler, log_normal, spread

__all__ = [
    "Extent",
    "Replay",
    "Ring",
    "UnitDensity",
    "UnitModel",
    "UnitSampler",
    "explore",
    "log_normal",
    "resample",
    "spread",
    "tempered",
]
