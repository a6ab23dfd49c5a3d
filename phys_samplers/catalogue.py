"""The one registry of this process and its façade: ``make``, ``names``, ``describe``, ``components``, ``register``."""

from __future__ import annotations

from phys_registry import Registry
from phys_samplers.builtins import BUILTIN_PLUGINS

registry = Registry(builtins=BUILTIN_PLUGINS, entry_point_group="phys_samplers.plugins")

make = registry.make
names = registry.names
describe = registry.describe
components = registry.components
register = registry.component
plugins = registry.plugins
