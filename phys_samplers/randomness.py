"""Every random draw of the project comes from a generator that a seed and a label made.

Labels keep streams apart: the numbers that initialise a network do not depend on how many numbers the sampler drew.
``Streams`` holds one generator per replica, so that replica ``r`` of a stacked run of R seeds draws the very numbers
of the single run with that seed.

Generators live on a device: ``as_device`` finds it by name, refused with what there is on this machine.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError


def derive_seed(seed: int, *labels: str | int) -> int:
    """A 63-bit seed from a base seed and labels, by BLAKE2b: equal inputs, equal seed, on every machine."""
    text = "\x1f".join([str(int(seed)), *map(str, labels)])
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def make_generator(seed: int, *labels: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator on ``device`` seeded from ``seed`` and ``labels`` (see ``derive_seed``).

    Raises:
        ConfigurationError: if ``seed`` is not a non-negative integer.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise ConfigurationError(f"seed is {seed!r}; expected a non-negative integer, e.g. seed=0")
    return torch.Generator(device=as_device(device)).manual_seed(derive_seed(seed, *labels))


class Streams:
    """One random stream per replica; every draw has the replica axis first.

    Args:
        seeds: one seed per replica.
        labels: what the stream is for; streams of different labels are independent.
        device: where draws live.
    """

    def __init__(self, seeds: Sequence[int], *labels: str | int, device: torch.device | str = "cpu") -> None:
        if not seeds:
            raise ConfigurationError("seeds is empty; expected at least one seed, e.g. seeds=[0]")
        self.seeds = tuple(seeds)
        self.labels = labels
        self.device = as_device(device)
        self.generators = [make_generator(s, *labels, device=device) for s in seeds]

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        return len(self.generators)

    def child(self, *labels: str | int) -> Streams:
        """Fresh streams of the same seeds under longer labels."""
        return Streams(self.seeds, *self.labels, *labels, device=self.device)

    def state_dict(self) -> dict[str, Tensor]:
        """Where each stream is (R, bytes)."""
        return {"generators": torch.stack([generator.get_state() for generator in self.generators])}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Go on from where streams of the same seeds were."""
        for generator, row in zip(self.generators, state["generators"].cpu(), strict=True):
            generator.set_state(row.clone())

    def normal(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Standard normal draws of shape (R, *shape)."""
        out = torch.empty(self.replicas, *shape, dtype=dtype, device=self.device)
        for row, generator in zip(out, self.generators, strict=True):
            torch.randn(shape, generator=generator, out=row, dtype=dtype, device=self.device)
        return out

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform draws on [0, 1) of shape (R, *shape)."""
        out = torch.empty(self.replicas, *shape, dtype=dtype, device=self.device)
        for row, generator in zip(out, self.generators, strict=True):
            torch.rand(shape, generator=generator, out=row, dtype=dtype, device=self.device)
        return out

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integer draws on {0, …, high − 1} of shape (R, *shape)."""
        out = torch.empty(self.replicas, *shape, dtype=torch.int64, device=self.device)
        for row, generator in zip(out, self.generators, strict=True):
            torch.randint(high, shape, generator=generator, out=row, device=self.device)
        return out


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
