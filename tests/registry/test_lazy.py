"""Packages whose names are imported when first used."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = '''
"""A package."""
from typing import TYPE_CHECKING
from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from lazy_pack import part as part
    from lazy_pack.part import Thing as Thing
    from lazy_pack.part import thing as other

__getattr__, __dir__ = lazy(__name__)
'''


@pytest.fixture
def package(folder: Path) -> Path:
    (folder / "lazy_pack").mkdir()
    (folder / "lazy_pack" / "__init__.py").write_text(PACKAGE)
    (folder / "lazy_pack" / "part.py").write_text("class Thing: ...\nthing = 3\n")
    importlib.invalidate_caches()
    return folder


def test_a_name_is_imported_when_it_is_used(package: Path) -> None:
    pack = importlib.import_module("lazy_pack")
    assert "lazy_pack.part" not in sys.modules
    assert dir(pack) == ["Thing", "other", "part"]
    assert pack.Thing is importlib.import_module("lazy_pack.part").Thing
    assert "Thing" in vars(pack), "found without a search the next time"
    assert pack.other == 3
    assert pack.part.thing == 3
    with pytest.raises(AttributeError, match="module 'lazy_pack' has no attribute 'missing'"):
        _ = pack.missing


def test_all_names_at_once(package: Path) -> None:
    code = "from lazy_pack import *; print(Thing.__name__, other)"
    environment = {"PYTHONPATH": ":".join([str(package), *sys.path])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "Thing 3\n", done.stderr


@pytest.mark.parametrize(
    "name",
    ["phys_registry", "phys_samplers", "phys_samplers.integrators", "phys_samplers.rl", "phys_samplers.testing"]
    + [f"phys_{family}" for family in ("bellman", "diffusion", "electrostatic", "energy", "langevin", "latent")]
    + ["phys_monte_carlo", "phys_value_gradient"],
)
def test_every_name_that_a_package_offers_is_there(name: str) -> None:
    module = importlib.import_module(name)
    assert dir(module)
    for each in dir(module):
        assert getattr(module, each) is not None, each
