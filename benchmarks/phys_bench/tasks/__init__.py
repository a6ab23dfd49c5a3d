"""Task factories: each returns a ``phys_samplers.target.Task`` with an exact law, fixed splits, modes and metrics."""
