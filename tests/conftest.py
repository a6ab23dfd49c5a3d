"""What tests of every room share."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator

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
