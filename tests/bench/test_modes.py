"""What a sampler leaves on in torch, or hands over as a class of its own, does not answer for the scores."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from phys_bench.execution import _checked
from phys_bench.surroundings import Surroundings
from phys_samplers import make


class Zero(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        return result * 0 if function is torch.cdist else result


class Count(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return function(*args, **(kwargs or {})) * 0 if "cdist" in str(function) else function(*args, **(kwargs or {}))


class Liar(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return torch.zeros(())


@pytest.mark.parametrize("mode", [Zero, Count])
def test_a_mode_that_is_left_on_ends(mode: Any) -> None:
    x = torch.eye(3)
    wanted = torch.cdist(x, x)
    around = Surroundings()
    try:
        mode().__enter__()
        assert "modes of torch" in around.restore()
        assert torch.equal(torch.cdist(x, x), wanted)
        assert around.restore() == []
    finally:
        around.close()


def test_samples_of_a_class_of_their_own_are_plain_numbers() -> None:
    samples = torch.ones(4, 2).as_subclass(Liar)
    rows = _checked(samples, make("task", "moons"), 4)
    assert type(rows) is torch.Tensor
    assert rows.tolist() == torch.ones(4, 2).tolist()
