"""The command line ``phys-samplers``; nothing here imports torch before a command needs it."""

from phys_samplers.cli.program import main, program

__all__ = ["main", "program"]
