"""The one registry of this process and its façade, and the kinds of components that the library has from the start."""

from __future__ import annotations

from pathlib import Path

from phys_registry import Component, Registry

KINDS = tuple(
    Component("kind", name, base, summary=summary)
    for name, base, summary in (
        ("sampler", "phys_samplers.sampler:Sampler", "a method that is fitted to a law and draws from it"),
        ("return_model", "phys_samplers.rl:ReturnModel", "a method that learns laws of returns"),
        ("field", "phys_samplers.fields:Field", "a network that a sampler learns"),
        ("loss", "phys_samplers.objective:Loss", "what a network is trained by"),
        ("schedule", "phys_samplers.schedules:NoiseSchedule", "how signal and noise mix in time"),
        ("potential", "phys_samplers.denoisers.guidance:Potential", "what pushes the particles of a set apart"),
        ("integrator", "phys_samplers.integrators:Integrator", "a scheme that solves an ODE or an SDE"),
        ("task", "phys_samplers.target:Target", "a law, or an environment, to be judged by"),
        ("metric", "phys_samplers.metric:Metric", "a score of samples, of a model or of an agent"),
        ("logger", "phys_samplers.training:Callback", "who keeps what training says"),
        ("command", "click:Command", "a command of phys-samplers that a plugin brings"),
    )
)
"""Declared as a plugin declares its own: a component of kind ``kind``, whose target is the class of its objects."""


def builtin_plugins(root: Path = Path(__file__).parents[1]) -> tuple[str, ...]:
    """The plugin modules of the distribution, the library's own first; they enter by the same door as foreign ones.

    A family is a folder with a ``declared.py``: one under ``plugins`` or ``benchmarks`` in a checkout, one that the
    record of the installed distribution names otherwise. (Others may lie beside it: foreign plugins, which have an
    entry point of their own.)

    Args:
        root: the folder that the library's package lies in.
    """
    if (root / "registry" / "phys_registry").is_dir():
        found = [path.parent.name for room in ("plugins", "benchmarks") for path in root.glob(f"{room}/*/declared.py")]
    else:
        lines = [line for path in root.glob("phys_samplers-*.dist-info/RECORD") for line in path.open(encoding="utf-8")]
        files = [line.partition(",")[0].split("/") for line in lines]
        found = [parts[0] for parts in files if parts[1:] == ["declared.py"] and parts[0] != "phys_samplers"]
    return ("phys_samplers.declared", *(f"{name}.declared" for name in sorted(found)))


registry = Registry(kinds=KINDS, builtins=builtin_plugins(), entry_point_group="phys_samplers.plugins")

kinds = registry.kinds
make = registry.make
names = registry.names
describe = registry.describe
components = registry.components
register = registry.component
plugins = registry.plugins
