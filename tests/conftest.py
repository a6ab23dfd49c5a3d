"""What tests of every room share."""

from __future__ import annotations

import signal
import sys
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
