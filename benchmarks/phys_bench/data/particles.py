"""Reference configurations of LJ-13, which has no exact sampler; how they were made and checked is in PROVENANCE.md."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phys_bench.data.errors import DataUnavailable

LJ13 = Path(__file__).with_name("lj13_hmc.npy")
LJ13_SHA256 = "26455cd28248b118568f500b856b277d9c93cfece42bfcb07f7b9dbb2531f5bf"


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
