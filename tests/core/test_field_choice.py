"""A recipe's network by name, by text with options, by object; where its sizes come from."""

from __future__ import annotations

import pytest

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import MLP, FourierMLP, UNet, make_field


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
