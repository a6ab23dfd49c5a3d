"""Who does the jobs: the contract, and the running process itself as the simplest case."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from .fits import Key, LastFit, fit_key
from .suite import Budget

Job = dict[str, Any]
Handler = Callable[[Job, dict[str, Any]], None]


class Pool(Protocol):
    """Takes jobs and tells what became of them.

    The last event of every job is ``ended`` with ``how`` (``done``, ``timeout``, ``memory`` or ``died``), ``reason``
    and ``tail``, the last lines that its worker printed.
    """

    @property
    def free(self) -> int:
        """How many jobs can be taken now."""

    @property
    def busy(self) -> int:
        """How many jobs are not ended."""

    @property
    def fits(self) -> tuple[set[Key | None], set[Key | None]]:
        """Fits that free workers keep, and fits that busy ones keep or are making; None for those without."""

    def take(self, job: Job, limit: Budget) -> None:
        """Take a job that may use ``limit`` (of the whole job); a free worker that keeps its fit does it."""

    def step(self, handle: Handler) -> None:
        """Wait a moment and pass on what happened."""

    def close(self) -> None:
        """Stop everything, at once."""


class InlinePool:
    """Does jobs in this process, one at a time; nothing can be limited or killed here."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._kept = LastFit()

    @property
    def free(self) -> int:
        """One, unless a job waits."""
        return 1 - len(self._jobs)

    @property
    def busy(self) -> int:
        """Jobs waiting."""
        return len(self._jobs)

    @property
    def fits(self) -> tuple[set[Key | None], set[Key | None]]:
        """The last fit, and that of the waiting job."""
        return {self._kept.key}, {fit_key(job) for job in self._jobs}

    def take(self, job: Job, limit: Budget) -> None:
        """Take a job; the limit is not kept."""
        self._jobs.append(job)

    def step(self, handle: Handler) -> None:
        """Do a job."""
        from .execution import execute

        job = self._jobs[0]
        how, reason = "done", ""
        try:
            execute(job, lambda event: handle(job, event), self._kept)
        except SystemExit as error:
            how, reason = "died", f"it called sys.exit({error.code!r})"
        self._jobs.popleft()
        handle(job, {"event": "ended", "how": how, "reason": reason, "tail": ""})

    def close(self) -> None:
        """Forget waiting jobs."""
        self._jobs.clear()
