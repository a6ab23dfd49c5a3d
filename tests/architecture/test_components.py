"""Every registered component can be found, imported and described; listing them imports no torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from phys_samplers import catalogue

COMPONENTS = catalogue.components()


def test_every_builtin_plugin_loads() -> None:
    reports = {report.name: report for report in catalogue.plugins() if report.source == "builtin"}
    assert {name: report.error for name, report in reports.items() if report.status != "loaded"} == {}
    assert all(report.components for report in reports.values())


@pytest.mark.parametrize("component", COMPONENTS, ids=lambda component: component.key)
def test_component_resolves(component) -> None:
    assert callable(component.load())
    assert isinstance(component.target, str), "built-ins are named by a string, so that listing imports nothing"
    description = catalogue.describe(component.kind, component.name)
    text = json.dumps(description.to_dict(), allow_nan=False)
    assert json.loads(text)["name"] == component.name
    assert component.summary
    assert component.kind in catalogue.kinds()
    assert isinstance(catalogue.registry.base(component.kind), type)
    if component.reference.startswith("arXiv:"):
        assert component.bibtex.startswith("@"), "a component that comes from a paper carries its BibTeX"


@pytest.mark.parametrize(
    ("component", "preset"),
    [(component, preset) for component in COMPONENTS for preset in component.presets],
    ids=lambda value: value if isinstance(value, str) else value.key,
)
def test_preset_is_makeable(component, preset: str) -> None:
    catalogue.make(component.kind, component.name, preset=preset)


@pytest.mark.parametrize("name", catalogue.names("sampler"))
def test_a_sampler_declares_what_its_recipe_needs(name: str) -> None:
    """The registered needs, which a runner reads without importing, are those of the class."""
    component = next(c for c in COMPONENTS if (c.kind, c.name) == ("sampler", name))
    assert component.needs == catalogue.make("sampler", name).needs


def test_listing_imports_no_torch(root: Path) -> None:
    script = (
        "import sys\n"
        "from phys_samplers import catalogue\n"
        "found = [catalogue.describe(c.kind, c.name, options=False) for c in catalogue.components()]\n"
        "assert len(found) > 20\n"
        "print(sorted({'torch', 'numpy', 'scipy', 'pandas', 'matplotlib', 'ot'} & set(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
