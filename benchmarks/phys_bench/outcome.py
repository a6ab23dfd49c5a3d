"""From an exception to the status of a cell."""

from __future__ import annotations

import traceback
from typing import Any

from phys_registry.errors import one_line
from phys_samplers.errors import DivergenceError, IncompatibleError, MissingCapability, TrainingDiverged

DIVERGED = (DivergenceError, TrainingDiverged, FloatingPointError, OverflowError)
INCOMPATIBLE = (MissingCapability, IncompatibleError)


def outcome_of(error: BaseException, *, during: str) -> dict[str, Any]:
    """Status, reason and traceback of a cell that ended with ``error``.

    Args:
        error: the exception.
        during: what was going on, in a word or two.
    """
    hit_limit = None
    if isinstance(error, DIVERGED):
        status = "diverged"
    elif isinstance(error, INCOMPATIBLE):
        status = "incompatible"
    else:
        status = "failed"
        hit_limit = "memory" if isinstance(error, MemoryError) else None
    trace = "" if status == "incompatible" else "".join(traceback.format_exception(error))
    return {"status": status, "reason": f"{during}: {one_line(error)}", "traceback": trace, "hit_limit": hit_limit}
