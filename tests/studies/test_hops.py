"""How many files of ours a call enters: what a reader has to open to follow it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "studies" / "hops.py"


@pytest.mark.parametrize(
    "ceilings",
    [
        {"edm": 24, "bellman": 24, "vgs": 23, "mala": 14},
        pytest.param({"agent-update": 10, "bench-run": 75}, marks=pytest.mark.slow),
    ],
    ids=", ".join,
)
def test_calls_enter_few_files(ceilings: dict[str, int]) -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--json", *ceilings], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)
    assert set(files) == set(ceilings)
    assert {name: found for name, found in files.items() if len(found) > ceilings[name]} == {}
    for found in files.values():
        assert len(found) > 4, "the script follows nothing"
