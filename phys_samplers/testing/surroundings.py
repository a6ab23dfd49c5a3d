"""The state of the process that a sampler must leave as it found it, and must not depend on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def surroundings() -> dict[str, Any]:
    """Global random states and settings, each as a value that compares with ``==``."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002 - the legacy global state is what is watched
    state: dict[str, Any] = {
        "torch's global random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's global random state": (kind, np.asarray(words).tobytes(), *rest),
        "random's global state": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's inference mode": torch.is_inference_mode_enabled(),
        "torch's thread count": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["torch's global random state on CUDA"] = tuple(
            s.numpy().tobytes() for s in torch.cuda.get_rng_state_all()
        )
    return state


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what changed."""
    return [name for name, value in before.items() if after.get(name) != value]


@contextmanager
def other_random_state() -> Iterator[None]:
    """Other global random states within the block; the old ones return after it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    device_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        torch.set_rng_state(torch.Generator().manual_seed(987_654_321).get_state())
        np.random.set_state(np.random.RandomState(987_654_321).get_state())  # noqa: NPY002
        random.setstate(random.Random(987_654_321).getstate())
        for index in range(len(device_states)):
            other = torch.Generator(device=f"cuda:{index}").manual_seed(987_654_321).get_state()
            torch.cuda.set_rng_state(other, index)
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        for index, state in enumerate(device_states):
            torch.cuda.set_rng_state(state, index)
