"""A recipe's network by name, by text with options, by object; where its sizes come from."""

from __future__ import annotations

import pytest
import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import MLP, FourierMLP, UNet, make_field
from phys_samplers.randomness import Streams, make_generator


def test_a_size_is_the_fields_own_unless_given() -> None:
    assert make_field("mlp", width=None, depth=None) == MLP()
    assert make_field("unet", width=None, depth=None) == UNet()
    assert make_field("mlp", width=7, depth=None) == MLP(width=7)
    assert make_field("fourier-mlp", width=7, depth=2) == FourierMLP(width=7, depth=2)


def test_a_size_inside_the_name_wins() -> None:
    assert make_field("mlp[width=9]", width=7, depth=2) == MLP(width=9, depth=2)
    assert make_field({"name": "mlp", "depth": 1}, width=7, depth=2) == MLP(width=7, depth=1)


def test_an_object_has_its_own_sizes() -> None:
    assert make_field(MLP(width=5), width=None, depth=None) == MLP(width=5)
    with pytest.raises(ConfigurationError, match="width is 7"):
        make_field(MLP(width=5), width=7, depth=None)


@pytest.mark.parametrize(("name", "rows"), [("mlp", 2), ("fourier-mlp", 2), ("unet", 64)])
def test_many_rows_are_taken_by_pieces(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a graph, and to the accuracy of a product; where a graph is kept nothing changes."""
    field = make_field(name, width=4, depth=1)
    network = field.build(rows, rows, streams=Streams([0, 1], "test"), conditioned=True)
    generator = make_generator(0, "test")
    x, t = torch.randn(2, 11, rows, generator=generator), torch.rand(2, 11, generator=generator)
    whole = [network(x, t), network(x, t[:, :1])]
    monkeypatch.setattr(f"phys_samplers.fields.{'unet' if name == 'unet' else 'stacked'}.PIECE", 4)
    asked: list[int] = []
    network.register_forward_pre_hook(lambda _, given: asked.append(given[0].shape[1]))
    with torch.no_grad():
        pieces = [network(x, t), network(x, t[:, :1])]
    assert asked == [11, 4, 4, 3] * 2
    for one, other in zip(pieces, whole, strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(network(x, t), whole[0])
