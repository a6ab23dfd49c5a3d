from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

PLUGIN = Path(__file__).with_name("toy_plugin.py")

DATA_FOLDERS = (os.environ.get("PHYS_SAMPLERS_DATA"), Path(__file__).parents[3] / "shared" / "data")
"""Where the published tables may be: what the user names, or a folder beside the repository."""


@pytest.fixture
def uci_data(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the tables of the UCI repository, which tasks read while a test has this fixture."""
    for folder in filter(None, DATA_FOLDERS):
        if (Path(folder) / "abalone.csv").is_file() or (Path(folder) / "abalone.data").is_file():
            monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(folder))
            return Path(folder)
    pytest.skip("the tables of the UCI repository are not here; name their folder in PHYS_SAMPLERS_DATA")


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
