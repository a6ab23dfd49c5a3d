"""Imported by the process that workers are copies of, and by nobody else: what every worker needs, nothing of a plugin.

That process ends with the runner: meanwhile by what is asked for here, later since nobody is left to ask it for copies.
"""

from __future__ import annotations

import atexit
import importlib
import os

from .worker import RUNNER, end_with_parent

runner = os.environ.pop(RUNNER, "")
if runner:
    end_with_parent()
    if os.getppid() != int(runner):  # it ended before this was asked for
        os._exit(1)

for name in ("phys_bench.execution", "torch._dynamo", "ot"):  # POT, which scores need, takes seconds
    importlib.import_module(name)
if runner:
    atexit.register(os._exit, 0)  # at once: there is nothing to clear up, and taking torch down takes a second
    end_with_parent(False)  # only now: the parent is a thread, and others may use this process
