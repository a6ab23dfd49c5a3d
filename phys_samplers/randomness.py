"""Every random draw of the project comes from a generator that a seed and a label made.

Labels keep streams apart: the numbers that initialise a network do not depend on how many numbers the sampler drew.
``Streams`` holds one generator per replica, so that replica ``r`` of a stacked run of R seeds draws the very numbers
of the single run with that seed.

Generators live on a device: ``as_device`` finds it by name, refused with what there is on this machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

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

    @classmethod
    def of(cls, generator: torch.Generator) -> Streams:
        """One stream, of a generator that there is."""
        made = Streams([0], device=generator.device)
        made.generators = [generator]
        return made

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
        return self._drawn(Drawing("normal", shape, dtype))

    def uniform(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Uniform draws on [0, 1) of shape (R, *shape)."""
        return self._drawn(Drawing("uniform", shape, dtype))

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integer draws on {0, …, high − 1} of shape (R, *shape)."""
        return self._drawn(Drawing("integers", shape, torch.int64, high))

    def gamma(self, concentration: float, *shape: int) -> Tensor:
        """Draws of Gamma(concentration, 1) of shape (R, *shape), in double precision."""
        return self._drawn(Drawing("gamma", shape, torch.float64, concentration))

    def _drawn(self, drawing: Drawing) -> Tensor:
        out = torch.empty(self.replicas, *drawing.shape, dtype=drawing.dtype, device=self.device)
        for row, generator in zip(out, self.generators, strict=True):
            drawing.fill(row, generator)
        return out


class Drawing(NamedTuple):
    """What is drawn of every replica."""

    kind: Literal["normal", "uniform", "integers", "gamma"]
    shape: tuple[int, ...]
    dtype: torch.dtype
    parameter: float = 0

    def fill(self, row: Tensor, generator: torch.Generator) -> None:
        """Draw into ``row``."""
        match self.kind:
            case "normal":
                row.normal_(generator=generator)
            case "uniform":
                row.uniform_(generator=generator)
            case "integers":
                row.random_(0, int(self.parameter), generator=generator)
            case "gamma":
                row.copy_(torch._standard_gamma(torch.full_like(row, self.parameter), generator=generator))

    def continues(self, other: Drawing) -> bool:
        """Whether this and then the other are, in numbers, one drawing of both; normal ones are made by sixteens."""
        whole = self.kind != "normal" or math.prod(self.shape) % 16 == 0
        return self.kind != "gamma" and whole and self == other._replace(shape=self.shape)


class Rehearsal(Streams):
    """Streams that note what is drawn of them, and are then where they were before.

    Attributes:
        noted: the drawings, in their order.
    """

    def __init__(self, streams: Streams) -> None:
        self.generators, self.device = streams.generators, streams.device
        self.noted: list[Drawing] = []
        self._before = streams.state_dict()

    def rewind(self) -> None:
        """Bring the streams back."""
        self.load_state_dict(self._before)

    def _drawn(self, drawing: Drawing) -> Tensor:
        self.noted.append(drawing)
        return super()._drawn(drawing)


class Ahead(Streams):
    """The drawings of several steps at once, in numbers those of step after step: (steps · R, ...), step by step.

    Args:
        streams: whose numbers they are.
        steps: how many.
        step: the drawings of each step.
    """

    def __init__(self, streams: Streams, steps: int, step: Sequence[Drawing]) -> None:
        self.generators, self.device = streams.generators * steps, streams.device
        self._drawings, self._made = list(step), list(self._blocks(streams.generators, steps, step))

    def _blocks(self, generators: Sequence[torch.Generator], steps: int, step: Sequence[Drawing]) -> Iterator[Tensor]:
        if step and all(one.continues(other) for one, other in zip(step, [*step[1:], step[0]], strict=True)):
            sizes = [math.prod(one.shape) for one in step]
            whole = torch.empty(len(generators), steps * sum(sizes), dtype=step[0].dtype, device=self.device)
            for row, generator in zip(whole, generators, strict=True):
                step[0].fill(row, generator)
            for one, part in zip(step, whole.view(len(generators), steps, -1).split(sizes, 2), strict=True):
                yield part.transpose(0, 1).reshape(-1, *one.shape).contiguous()
            return
        blocks = [torch.empty(len(self.generators), *one.shape, dtype=one.dtype, device=self.device) for one in step]
        rows = [block.unflatten(0, (steps, -1)) for block in blocks]
        for number in range(steps):
            for one, block in zip(step, rows, strict=True):
                for row, generator in zip(block[number], generators, strict=True):
                    one.fill(row, generator)
        yield from blocks

    def _drawn(self, drawing: Drawing) -> Tensor:
        foreseen = self._drawings.pop(0) if self._drawings else None
        if drawing != foreseen:
            raise ConfigurationError(f"a step draws {drawing}; expected what its first one drew, {foreseen}")
        return self._made.pop(0)


Prepared = tuple[Tensor, ...]
"""What a loss needs of a batch, each (R, ...)."""
AHEAD = 2**19
"""Numbers of one replica that batches may be prepared with at once."""


def steps_at_once(logged: int, numbers: int) -> int:
    """How many batches of so many numbers are prepared at once.

    A divisor of the steps from one logged one to the next: a checkpoint, which is written there, then says where
    streams are. The number of replicas does not enter, as a replica is to have the numbers of its single run.
    """
    return max(n for n in range(1, logged + 1) if logged % n == 0 and (n == 1 or n * numbers <= AHEAD))


class Preparing:
    """Batches, prepared for several steps at once: few large operations in place of many small ones.

    Args:
        prepare: batches from streams.
        streams: that it draws from.
        count: steps at once.
    """

    def __init__(self, prepare: Callable[..., Prepared], streams: Sequence[Streams], count: int) -> None:
        self._prepare, self._streams, self._count = prepare, streams, count
        self._steps: list[Prepared] = []
        self._scripts: list[list[Drawing]] | None = None

    @torch.no_grad()
    def next(self) -> Prepared:
        """What the next step needs."""
        if self._scripts is None:
            rehearsals = [Rehearsal(stream) for stream in self._streams]
            self._prepare(*rehearsals)
            for rehearsal in rehearsals:
                rehearsal.rewind()
            self._scripts = [rehearsal.noted for rehearsal in rehearsals]
        if not self._steps:
            pairs = zip(self._streams, self._scripts, strict=True)
            made = self._prepare(*(Ahead(stream, self._count, script) for stream, script in pairs))
            self._steps = list(zip(*(part.unflatten(0, (self._count, -1)) for part in made), strict=True))[::-1]
        return self._steps.pop()


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
