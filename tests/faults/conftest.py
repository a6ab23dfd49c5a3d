"""What tests of faults share: they count what they did to the project, and the session ends with the counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

COUNTS = pytest.StashKey[Counter[str]]()


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Callable[..., None]:
    """``count(kind, n=1)`` adds to what the summary says of a kind of fault, or of what came of it."""
    counts = request.config.stash.setdefault(COUNTS, Counter())

    def add(kind: str, n: int = 1) -> None:
        counts[kind] += n

    return add


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say what was counted."""
    if counts := config.stash.get(COUNTS, None):
        terminalreporter.section("faults")
        for kind, number in sorted(counts.items()):
            terminalreporter.write_line(f"{number:7,d} {kind}")
