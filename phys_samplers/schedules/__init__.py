"""Noise schedules: how a clean sample is scaled and noised at each time of a diffusion."""

from phys_samplers.schedules.base import NoiseSchedule
from phys_samplers.schedules.variance_exploding import EDMSchedule, VESchedule
from phys_samplers.schedules.variance_preserving import CosineSchedule, LinearSchedule, VPSchedule

__all__ = ["CosineSchedule", "EDMSchedule", "LinearSchedule", "NoiseSchedule", "VESchedule", "VPSchedule"]
