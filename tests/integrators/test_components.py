"""The component table agrees with the classes, and listing it imports no torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from phys_registry import Component
from phys_samplers.catalogue import registry
from phys_samplers.declared import INTEGRATORS
from phys_samplers.integrators import Integrator

NAMES = {
    "corrected-heun",
    "ddim",
    "dpmpp-2m",
    "predictor-corrector",
    "restart",
    "edm-heun",
    "euler-maruyama",
    "milstein",
    "stochastic-heun",
    "sra1",
    "exponential-ou",
    "euler",
    "heun",
    "rk4",
    "dopri5",
}


def test_every_integrator_is_listed() -> None:
    assert {c.name for c in INTEGRATORS} == NAMES
    assert {c.kind for c in INTEGRATORS} == {"integrator"}


@pytest.mark.parametrize("component", INTEGRATORS, ids=lambda c: c.name)
def test_traits_are_the_class_attributes(component: Component) -> None:
    kind = component.load()
    integrator = kind()
    assert isinstance(integrator, Integrator)
    assert integrator == kind()
    assert integrator.name == component.name
    for trait, value in component.traits.items():
        attribute = getattr(kind, trait)
        assert (sorted(attribute) if trait == "accepts" else attribute) == (
            sorted(value) if trait == "accepts" else value
        ), trait
    assert set(component.traits) >= {"equation", "strong_order", "weak_order", "accepts"}


@pytest.mark.parametrize("component", INTEGRATORS, ids=lambda c: c.name)
def test_every_paper_is_cited(component: Component) -> None:
    if component.name == "euler":  # 1768
        return
    text = registry.get("integrator", component.name).bibtex
    assert text.startswith("@")
    assert text.count("{") == text.count("}")


def test_listing_imports_no_torch() -> None:
    code = "import sys, phys_samplers.declared; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
