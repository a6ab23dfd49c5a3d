"""The one registry of this process and its façade: ``make``, ``names``, ``describe``, ``components``, ``register``."""

from __future__ import annotations

from pathlib import Path

from phys_registry import Registry


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


registry = Registry(builtins=builtin_plugins(), entry_point_group="phys_samplers.plugins")

make = registry.make
names = registry.names
describe = registry.describe
components = registry.components
register = registry.component
plugins = registry.plugins
