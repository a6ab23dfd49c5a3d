"""The error of data that cannot be had."""

from __future__ import annotations

from phys_registry import PhysError


class DataUnavailable(PhysError, RuntimeError):  # noqa: N818 - reads as the condition it names
    """A data file or the package that ships it is missing, or is not the one that the benchmark pins.

    Not a ``ConfigurationError``: nobody asked for anything wrong, so a suite goes on with its other tasks.
    """
