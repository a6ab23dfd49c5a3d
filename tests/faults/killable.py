"""A process that has everything imported and forks one run after another, each to be killed by who reads its number.

Each line of the standard input is a run: the arguments of ``phys_bench.api.run`` as JSON, and ``die_at``, the number of
the file operation before which the run kills itself (None: it does not). Each run prints two lines: the number of its
process, and how it ended, as ``os.waitstatus_to_exitcode`` says it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from typing import Any

from phys_bench import api

OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.link")


def die_before(number: int) -> None:
    """Kill this process before the file operation of that number that writes, from now on."""
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in OPERATIONS and not (event == "open" and arguments[1] in ("r", "rb")):
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


for line in sys.stdin:
    request = json.loads(line)
    die_at, suite = request.pop("die_at"), request.pop("suite")
    if (child := os.fork()) == 0:
        os.setpgid(0, 0)
        os.dup2(2, 1)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # who starts the tests may ignore it
        if die_at is not None:
            die_before(die_at)
        code = 1
        try:
            api.run(suite, device="cpu", progress=False, **request)
            code = 0
        except (KeyboardInterrupt, api.RunInterrupted):
            code = 130
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
