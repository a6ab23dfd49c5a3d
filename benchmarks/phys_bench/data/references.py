"""Reference draws and moments of the posterior tasks, made by ``benchmarks/studies/posterior_references.py``.

The rows are stored in single precision beside this module, the moments with their Monte Carlo errors, the evidence and
the diagnostics of the run in a JSON file of the same name.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from torch import Tensor

ROWS = Path(__file__).with_name("posterior_references.safetensors")
FACTS = ROWS.with_suffix(".json")


def reference_rows(name: str) -> Tensor:
    """Independent draws (n, D), float32, of the posterior of task ``name``."""
    with safe_open(ROWS, "pt") as file:
        rows: Tensor = file.get_tensor(name)
    return rows


def reference_facts(name: str) -> dict[str, Any]:
    """Of the posterior of task ``name``: what ``benchmarks/studies/posterior_references.py`` wrote.

    ``log_z`` and ``log_z_error``; ``mean``, ``mean_error`` and ``std``, one number per coordinate; ``diagnostics``.
    """
    facts: dict[str, Any] = json.loads(FACTS.read_text())["tasks"][name]
    return facts
