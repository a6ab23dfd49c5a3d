"""What a training leaves: the report of every replica, and the state from which it goes on after it was killed.

The state is one file, replaced as a whole at logged steps. It holds every number that the next step depends on, the
states of random streams included, so that a resumed training ends with the same bits. It is safetensors with JSON in
its header; nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, Self

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from phys_samplers.atomic import write_atomically
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.reading import MIB, as_path, parse_json, read_bytes, said
from phys_samplers.schema import Malformed, Shape, mapping, short, table, text

FILE = "training.safetensors"
FORMAT = "2"
LARGEST_TENSORS = 16 * 1024 * MIB
ANEW = "remove it to train from the start"
SAVE_EVERY = 30.0
"""Seconds between two savings at least; the end is always saved."""


@dataclass(frozen=True, kw_only=True)
class TrainingReport:
    """The cost and course of one replica's training.

    Args:
        steps: optimiser steps taken.
        seconds: wall time, shared with ``replicas`` − 1 others if stacked.
        replicas: how many replicas trained at once.
        parameters: trainable numbers of one replica.
        best_step: step of the returned weights.
        best_validation: validation loss there, None without validation.
        history: one mapping per logged step: ``step``, ``loss`` and, where taken, ``validation``.
    """

    steps: int
    seconds: float
    replicas: int
    parameters: int
    best_step: int
    best_validation: float | None = None
    history: list[dict[str, float]] = field(default_factory=list, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Inverse of ``to_dict``; what later versions add is let be."""
        return cls(**{one.name: data[one.name] for one in fields(cls) if one.name in data})


class Resumable(Protocol):
    """What changes while training beside the trained weights: random streams, buffers, chains, lagged networks.

    Numbers come back laid out by rows; where their layout may matter, copy them into the tensors that are there.
    """

    def state_dict(self) -> Mapping[str, Tensor]:
        """The numbers it is in."""

    def load_state_dict(self, state: Mapping[str, Tensor], /) -> object:
        """Be in those numbers again."""


def gather(parts: Mapping[str, Resumable]) -> dict[str, Tensor]:
    """The numbers of all parts, each under its own name; ``scatter`` is the inverse."""
    return {f"{name}.{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}


def scatter(parts: Mapping[str, Resumable], tensors: Mapping[str, Tensor]) -> None:
    """Set every part to its share of what ``gather`` gave; other tensors are left alone."""
    for name, part in parts.items():
        prefix = f"{name}."
        part.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})


class Counter:
    """A number of calls as a part of a training's state."""

    def __init__(self) -> None:
        self.value = 0

    def state_dict(self) -> dict[str, Tensor]:
        """See ``Resumable``."""
        return {"value": torch.tensor(self.value)}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Resumable``."""
        self.value = int(state["value"])


class OptimiserMemory:
    """What an optimiser remembers of its parameters, as a part of a training's state."""

    def __init__(self, optimiser: torch.optim.Optimizer) -> None:
        self._optimiser = optimiser
        self._parameters = [p for group in optimiser.param_groups for p in group["params"]]

    def state_dict(self) -> dict[str, Tensor]:
        """See ``Resumable``; nothing before the first step."""
        memories = enumerate(self._optimiser.state.get(p, {}) for p in self._parameters)
        return {f"{index}.{name}": tensor for index, memory in memories for name, tensor in memory.items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """See ``Resumable``.

        Raises:
            Malformed: unless all of it is of the parameters' shapes: a fused step goes by them, and looks at nothing.
        """
        names = ("step", "exp_avg", "exp_avg_sq")
        count = torch.zeros(())
        like = {f"{i}.{n}": count if n == "step" else p for i, p in enumerate(self._parameters) for n in names}
        if state:
            check_tensors(state, like)
        for key, tensor in state.items():
            index, _, name = key.partition(".")
            self._optimiser.state[self._parameters[int(index)]][name] = tensor.clone()


def check_tensors(found: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> None:
    """Refuse tensors that do not have the names, shapes and types of others.

    Raises:
        Malformed: naming the tensor.
    """
    for name in sorted({*found, *like}):
        if name not in found or name not in like:
            raise Malformed(f"has {'a' if name in found else 'no'} tensor {short(name)}, unlike this training")
        given, wanted = found[name], like[name]
        if (given.shape, given.dtype) != (wanted.shape, wanted.dtype):
            raise Malformed(
                f"has a tensor {short(name)} of {given.dtype} {tuple(given.shape)}; expected {wanted.dtype} "
                f"{tuple(wanted.shape)}"
            )


class TrainingState:
    """The file of one training.

    Args:
        folder: where the file lies; made if absent.
        identity: JSON-like facts of the fit, which a file must agree with.
        parts: what changes while training, in an order that is always the same.
        named: further parts.
    """

    def __init__(
        self,
        folder: str | Path,
        identity: Mapping[str, Any],
        parts: Sequence[Resumable] | None,
        **named: Resumable,
    ) -> None:
        if parts is None:
            raise ConfigurationError(
                f"checkpoint is {str(folder)!r}, but this method's objective does not say what changes while it "
                "trains (Objective.state), so its fit cannot be resumed; leave checkpoint out"
            )
        self.path = as_path(folder, "the folder checkpoint=") / FILE
        self.identity = json.loads(json.dumps(identity))
        self.parts = {f"part.{number}": part for number, part in enumerate(parts)} | named

    def save(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Replace the file.

        Raises:
            CheckpointError: if it cannot be written; training itself is not at fault.
        """
        everything = {**tensors, **gather(self.parts)}
        header = {"format": FORMAT, "identity": json.dumps(self.identity), "progress": json.dumps(progress)}
        numbers = {name: t.detach().cpu().contiguous() for name, t in everything.items()}
        header["sha256"] = _digest(save_tensors(numbers, header))
        payload = save_tensors(numbers, header)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.path, payload)
        except OSError as error:
            raise CheckpointError(f"the state of training cannot be written to {self.path}: {error}") from error

    def load(
        self, device: torch.device, like: Mapping[str, Tensor], shape: Shape
    ) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        """Tensors and progress of the file, the parts being set to what it says; None if there is no file.

        Args:
            device: where to.
            like: tensors of the names, shapes and types that it must hold beside those of the parts.
            shape: of the progress.

        Raises:
            CheckpointError: if it is damaged, or of another fit.
        """
        try:
            payload = read_bytes(self.path, LARGEST_TENSORS, CheckpointError)
        except FileNotFoundError:
            return None
        try:
            tensors = load_tensors(payload)
            header = _header(payload).get("__metadata__") or {}
            if header.get("format") != FORMAT:
                raise CheckpointError(
                    f"{self.path} has format {short(header.get('format'))}; this version reads {FORMAT!r}; {ANEW}"
                )
            if header.get("sha256") != _digest(payload):
                raise Malformed("is edited: its SHA-256 is not that of its content")
            table({"identity": text(longest=2**26), "progress": text(longest=2**26)})(header, "header")
            found, progress = parse_json(header["identity"]), parse_json(header["progress"])
            mapping()(found, "identity")
            shape(progress, "progress")
        except CheckpointError:
            raise
        except Malformed as error:
            raise CheckpointError(f"{self.path} {said(error)}; {ANEW}") from None
        except Exception as error:  # safetensors raises several kinds
            raise CheckpointError(f"{self.path} is damaged ({error}); {ANEW}") from error
        if found != self.identity:
            differing = sorted(key for key in {*found, *self.identity} if found.get(key) != self.identity.get(key))
            raise CheckpointError(
                f"{self.path} holds the training of another fit ({', '.join(differing)} differ); name another folder, "
                "or remove it"
            )
        moved = {name: tensor.to(device) for name, tensor in tensors.items()}
        own = {name: t for name, t in moved.items() if not any(name.startswith(f"{part}.") for part in self.parts)}
        try:
            check_tensors(own, like)
            scatter(self.parts, moved)
        except Malformed as error:
            raise CheckpointError(f"{self.path} {said(error)}; {ANEW}") from None
        except Exception as error:
            raise CheckpointError(
                f"{self.path} does not hold the state of this training ({type(error).__name__}: {error}); {ANEW}"
            ) from error
        return own, progress


def _header(payload: bytes) -> dict[str, Any]:
    """The header of safetensors.

    Raises:
        Malformed: if there is none.
    """
    length = int.from_bytes(payload[:8], "little")
    if not 0 < length <= len(payload) - 8:
        raise Malformed("is truncated")
    header = parse_json(payload[8 : 8 + length])
    mapping()(header, "header")
    return header


def _digest(payload: bytes) -> str:
    """SHA-256 of a file's content, but for the place in its header that the digest itself has."""
    header, length = _header(payload), int.from_bytes(payload[:8], "little")
    facts = {k: v for k, v in (header.get("__metadata__") or {}).items() if k != "sha256"}
    told = json.dumps({**header, "__metadata__": facts}, sort_keys=True).encode()
    found = hashlib.sha256(told)
    found.update(memoryview(payload)[8 + length :])
    return found.hexdigest()
