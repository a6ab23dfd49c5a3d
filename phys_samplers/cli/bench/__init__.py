"""``bench``: the benchmark, reached when a command runs."""

from phys_samplers.cli.bench.run import bench

__all__ = ["bench"]
