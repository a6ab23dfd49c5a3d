"""Reference draws that come with the package: of the posterior tasks, and of LJ-13, which has no exact sampler.

Those of the posteriors were made by ``benchmarks/studies/posterior_references.py``: rows in single precision beside
this module, and in a JSON file of the same name moments with their Monte Carlo errors, the evidence and the diagnostics
of the run. How those of LJ-13 were made and checked is in PROVENANCE.md.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from phys_bench.data.files import DataUnavailable

ROWS = Path(__file__).with_name("posterior_references.safetensors")
FACTS = ROWS.with_suffix(".json")
LJ13 = Path(__file__).with_name("lj13_hmc.npy")
LJ13_SHA256 = "26455cd28248b118568f500b856b277d9c93cfece42bfcb07f7b9dbb2531f5bf"


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


def lj13_rows() -> Tensor:
    """10,000 centred configurations (10000, 39), float32, of ``phys_samplers.laws.LennardJones``, in random order.

    Raises:
        DataUnavailable: if the file of the package was changed.
    """
    content = LJ13.read_bytes()
    if (found := hashlib.sha256(content).hexdigest()) != LJ13_SHA256:
        raise DataUnavailable(
            f"{LJ13} has SHA-256 {found}; expected {LJ13_SHA256}: it is not the file of the package, so install it anew"
        )
    return torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False))
