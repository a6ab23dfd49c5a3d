from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).with_name("toy_plugin.py")


@pytest.fixture(scope="session")
def toys() -> Path:
    """The plugin file of misbehaving samplers, loaded in this process."""
    from phys_samplers.catalogue import registry

    registry.load_file(PLUGIN)
    return PLUGIN


@pytest.fixture
def toy_suite(toys: Path) -> dict[str, Any]:
    return {
        "name": "toy",
        "tasks": ["toy-normal", "toy-wide[scale=2.0]"],
        "samplers": ["exact", "toy-good[shift=0.0,1.0]", "toy-stacked"],
        "seeds": 3,
    }
