"""A plugin package to begin with: names derived from one name, and files from templates."""

from phys_samplers.scaffold.names import PluginNames
from phys_samplers.scaffold.writing import write_plugin

__all__ = ["PluginNames", "write_plugin"]
