"""What tests of every room share."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules

import pytest


@pytest.fixture
def deaf() -> Iterator[None]:
    """This process ignores Ctrl-C meanwhile, as one does that a shell without a terminal started in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def interruptible() -> Callable[[], None]:
    """As the ``preexec_fn`` of a child: Ctrl-C reaches it even if this process ignores it, which children inherit."""

    def listen() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    return listen


SHAPED = ("phys_samplers.dynamics", "phys_samplers.integrators", "phys_samplers.laws")
"""Modules whose annotations of shapes are checked in every test."""


@pytest.fixture(scope="session", autouse=True)
def shapes() -> None:
    """Check them, in a session whose tests compute anything at all."""
    if "torch" not in sys.modules:
        return
    from phys_samplers.testing.shapes import check_shapes

    for name in SHAPED:
        package = import_module(name)
        for found in iter_modules(getattr(package, "__path__", ()), f"{name}."):
            import_module(found.name)
    for name, module in list(sys.modules.items()):
        if name.startswith(SHAPED):
            check_shapes(module)


COUNTS = pytest.StashKey[Counter[str]]()
"""Tests of faults count what they did to the project, and the session ends with the counts."""


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
