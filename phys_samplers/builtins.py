"""The plugin modules that come with the distribution; they enter by the same door as foreign ones."""

BUILTIN_PLUGINS = (
    "phys_samplers.components",
    "phys_bellman.components",
    "phys_langevin.components",
    "phys_diffusion.components",
    "phys_electrostatic.components",
    "phys_latent.components",
    "phys_value_gradient.components",
    "phys_monte_carlo.components",
    "phys_energy.components",
    "phys_distributional.components",
    "phys_bench.components",
)
"""Module names, each with a ``phys_components`` hook. A new in-tree family adds its line here."""
