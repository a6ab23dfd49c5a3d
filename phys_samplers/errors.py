"""The errors users meet; every message names the value, what was expected and what to do."""

from __future__ import annotations

from typing import Self

from phys_registry import PhysError


class ConfigurationError(PhysError, ValueError):
    """An option has a value that cannot work."""


class DensityError(ConfigurationError):
    """A log-density or a score that was given does not do what one must; the message says what it did."""


class MissingCapability(PhysError, TypeError):  # noqa: N818 - reads as the condition it names
    """A target does not offer what a sampler or metric asked for."""


class IncompatibleError(PhysError, TypeError):
    """Two parts do not fit together, an ODE integrator and an SDE for example."""


class DivergenceError(PhysError, ArithmeticError):
    """Particles left the finite numbers while integrating.

    Attributes:
        lost: number of particles that are not finite (or are out of bounds).
        total: number of particles.
        step: integration step after which the loss was seen.
    """

    def __init__(self, message: str, *, lost: int, total: int, step: int) -> None:
        super().__init__(message)
        self.lost, self.total, self.step = lost, total, step

    def __reduce__(self) -> tuple[object, ...]:
        return _divergence, (str(self), self.lost, self.total, self.step)


def _divergence(message: str, lost: int, total: int, step: int) -> DivergenceError:
    return DivergenceError(message, lost=lost, total=total, step=step)


class TrainingDiverged(PhysError, ArithmeticError):  # noqa: N818 - reads as the condition it names
    """Training met a loss or parameter that is not finite; the message says at which step."""


class EnvironmentFailure(PhysError, RuntimeError):  # noqa: N818 - reads as the condition it names
    """An environment raised, or returned what its spaces do not admit; the message names it and the step."""


class FileError(ConfigurationError):
    """A file is missing, damaged, too large, or does not hold what it must; the message names it and the field.

    Attributes:
        problem: what is wrong, without the file's name.
    """

    problem: str = ""

    @classmethod
    def about(cls, path: object, problem: str) -> Self:
        """The error about a file.

        Args:
            path: of the file.
            problem: what goes on after its name, ``is truncated``.
        """
        made = cls(f"{path} {problem}")
        made.problem = f"it {problem}"
        return made


class CheckpointError(FileError):
    """A checkpoint is missing, truncated, of another format or of an unknown sampler."""
