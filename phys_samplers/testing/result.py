"""What a check can say: passed, failed with the reason, or not applicable with the reason."""

from __future__ import annotations

from dataclasses import dataclass


class ConformanceError(AssertionError):
    """A sampler breaks the contract; the message says what was expected and what came."""


class NotApplicableError(Exception):
    """A check has nothing to say about this sampler; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Args:
        name: of the check.
        passed: whether the contract is kept; True for a check that does not apply.
        detail: why it failed or was skipped, or what was measured.
        skipped: whether the check does not apply.
    """

    name: str
    passed: bool
    detail: str = ""
    skipped: bool = False

    @property
    def status(self) -> str:
        """``"passed"``, ``"failed"`` or ``"skipped"``."""
        return "skipped" if self.skipped else "passed" if self.passed else "failed"

    def __str__(self) -> str:
        return f"{self.status:8}{self.name}" + (f": {self.detail}" if self.detail else "")


def expect(condition: bool, message: str) -> None:
    """Raise ``ConformanceError(message)`` unless ``condition``."""
    if not condition:
        raise ConformanceError(message)
