"""What the family registers, and that listing it waits for no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import phys_langevin
from phys_langevin.declared import phys_components
from phys_samplers import make, registry

NAMES = {component.name: component for component in phys_components() if component.kind == "sampler"}


def test_every_component_is_made_by_its_name_and_needs_what_it_declares() -> None:
    assert set(NAMES) == {"langevin", "mala", "baoab", "annealed-langevin"}
    for name, component in NAMES.items():
        recipe = make("sampler", name)
        assert recipe.needs == component.needs
        assert component.load() is type(recipe)
        assert registry.get("sampler", name).bibtex.count("@") >= 1
        assert component.reference


def test_listing_and_importing_the_package_imports_no_torch() -> None:
    program = (
        "import sys, phys_langevin, phys_langevin.declared as c; assert len(list(c.phys_components())) == 5; "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0


def test_exports_are_found_and_others_are_not() -> None:
    for name in phys_langevin.__all__:
        assert getattr(phys_langevin, name).__name__ == name
    assert dir(phys_langevin) == sorted(phys_langevin.__all__)
    with pytest.raises(AttributeError, match="Ula"):
        _ = phys_langevin.Ula
