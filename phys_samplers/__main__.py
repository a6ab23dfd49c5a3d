"""``python -m phys_samplers`` is ``phys-samplers``."""

from phys_samplers.cli import main

main()
