"""What every metric does first: check its two sets of samples and bring them to float64 rows on one device."""

from __future__ import annotations

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError


def rows(samples: Tensor, reference: Tensor, *, by: str, at_least: int = 1) -> tuple[Tensor, Tensor]:
    """Both sets as detached float64 rows, each sample flattened, on the device of ``samples``.

    A device without float64 (MPS) is left for the CPU.

    Args:
        samples: generated (n, *event_shape).
        reference: exact (m, *event_shape).
        by: name of the metric, for messages.
        at_least: the smallest n and m for which the metric is defined.

    Returns:
        Tensors (n, D) and (m, D).

    Raises:
        ConfigurationError: on samples that are empty, not finite, or of another shape than the reference.
    """
    _check("samples", samples, by, at_least)
    _check("reference", reference, by, at_least)
    if samples.shape[1:] != reference.shape[1:]:
        raise ConfigurationError(
            f"{by}: samples have event shape {tuple(samples.shape[1:])} but the reference has "
            f"{tuple(reference.shape[1:])}; expected the same shape for both"
        )
    device = torch.device("cpu") if samples.device.type == "mps" else samples.device
    return _flat(samples, device), _flat(reference, device)


def row_batches(x: Tensor, size: int = 8192) -> tuple[Tensor, ...]:
    """``x`` cut along its first axis, so that a density is never asked for all rows at once."""
    return x.split(size)


def at_most(points: int | None, x: Tensor, generator: torch.Generator) -> Tensor:
    """``x``, or ``points`` of its rows chosen at random where it has more."""
    if points is None or len(x) <= points:
        return x
    return x[torch.randperm(len(x), generator=generator, device=generator.device)[:points].to(x.device)]


def _check(what: str, x: Tensor, by: str, at_least: int) -> None:
    if not isinstance(x, Tensor) or x.ndim < 2:
        shape = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
        raise ConfigurationError(f"{by}: {what} is {shape}; expected a tensor (n, *event_shape)")
    if len(x) < at_least or x[0].numel() == 0:
        raise ConfigurationError(
            f"{by}: {what} has shape {tuple(x.shape)}; expected at least {at_least} row(s) of at least one coordinate"
        )
    finite = torch.isfinite(x).flatten(1).all(1)
    if not finite.all():
        raise ConfigurationError(
            f"{by}: {int((~finite).sum())} of {len(x)} {what} rows hold NaN or infinite values; a score of the rest "
            "would flatter the sampler, so mend or report the divergence instead"
        )


def _flat(x: Tensor, device: torch.device) -> Tensor:
    return x.detach().to(device).to(torch.float64).flatten(1)
