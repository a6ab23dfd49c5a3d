"""Devices by name, refused with what there is on this machine."""

from __future__ import annotations

import torch

from phys_samplers.errors import ConfigurationError


def as_device(device: torch.device | str) -> torch.device:
    """A device that this machine has.

    Args:
        device: a name that torch knows, such as ``cpu`` or ``cuda:1``, or a device.

    Raises:
        ConfigurationError: naming the devices that there are.
    """
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise ConfigurationError(f"device is {device!r}; expected one of {_known()}") from None
    if found.type == "cuda" and (found.index or 0) >= _cuda_count():
        raise ConfigurationError(f"device is {str(device)!r}, which is not there; expected one of {_known()}")
    return found


def _cuda_count() -> int:
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def _known() -> str:
    return ", ".join(["cpu", *(f"cuda:{index}" for index in range(_cuda_count()))])
