"""The checks, one function each: it returns what it measured, or raises with the reason."""

from __future__ import annotations

from typing import Protocol

from phys_samplers.testing.checks import drawing, fitting, recipes, storage
from phys_samplers.testing.subject import Subject


class Check(Protocol):
    """A named check."""

    __name__: str

    def __call__(self, subject: Subject) -> str | None:
        """What was measured, for the report.

        Raises:
            ConformanceError: if the contract is broken.
            NotApplicableError: if the check has nothing to say about this sampler.
        """
        ...


# Those on global state and on the caller's tensors look at everything that ran before them, so they come last.
CHECKS: tuple[Check, ...] = (
    *recipes.CHECKS,
    *fitting.CHECKS,
    *drawing.CHECKS,
    *recipes.ARGUMENT_CHECKS,
    *storage.CHECKS,
    *drawing.LAW_CHECKS,
    *recipes.MANNERS_CHECKS,
)
"""Every check, in the order in which they run."""
