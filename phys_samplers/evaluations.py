"""What was asked of a density, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Evaluations:
    """A counter that a ``Target`` feeds; one evaluation is one row, whatever the batch.

    Attributes:
        densities: rows whose log-density alone was asked.
        gradients: rows whose score was asked, with or without the log-density beside it.
    """

    densities: int = 0
    gradients: int = 0

    def since(self, before: Evaluations) -> Evaluations:
        """What was added after ``before``, an earlier ``copy``."""
        return Evaluations(self.densities - before.densities, self.gradients - before.gradients)

    def copy(self) -> Evaluations:
        """The counts as they are now."""
        return Evaluations(self.densities, self.gradients)
