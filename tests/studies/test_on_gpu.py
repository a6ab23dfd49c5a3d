"""The script that measures a GPU runs to its end where there is none, and then says that it measured nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "throughput" / "on_gpu.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


@pytest.mark.slow
def test_a_dry_run_writes_every_part_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    done = run("--dry", "--out", str(page))
    assert done.returncode == 0, done.stderr[-2000:]
    text = page.read_text(encoding="utf-8")
    assert "in a dry run: no number says anything" in text
    for heading in ("Launches", "Graphs", "Sampling", "Replicas", "Memory", "Tests", "Suite"):
        assert f"## {heading}\n" in text
    assert text.count("not run: a dry run") == 2


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_one_sentence_says_so(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    done = run("--out", str(page))
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no CUDA device" in done.stderr
    assert not page.exists()
