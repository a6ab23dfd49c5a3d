"""A report takes time and memory in proportion to the cells of its run."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from phys_bench.canonical import digest
from phys_bench.report import write_report
from phys_bench.store import FORMAT, seal

METRICS = {"w2": "low", "mmd2": "zero", "1nn": "half"}


def write(folder: Path, tasks: int, samplers: int, seeds: int) -> Path:
    """A run folder of that many cells, without arrays."""
    (folder / "records").mkdir(parents=True)
    cells = []
    for i in range(tasks * samplers * seeds):
        task, sampler, seed = i // (samplers * seeds), i // seeds % samplers, i % seeds
        label = f"bellman[kernel=k{sampler}]" if sampler else "exact"
        identity = {"task": f"t{task}", "sampler": label, "seed": seed, "component": label.partition("[")[0]}
        identity |= {"parts": {}, "options": {"kernel": f"k{sampler}"}, "library": "l", "device": "cpu"}
        record = {
            "format": FORMAT, "id": digest(identity), "identity": identity, "status": "ok", "reason": "",
            "traceback": "", "primary": "w2", "best": METRICS, "score_errors": {}, "diagnostics": {"steps": 4},
            "scores": {name: 1.0 + sampler / 50 + 0.01 * (i * 7919 % 101) for name in METRICS},
            "floors": {name: {"mean": 0.9, "std": 0.05, "source": "exact"} for name in METRICS},
            "costs": {"nfe": 40.0 + sampler, "fit_seconds": 1.0, "sample_seconds": 0.5, "parameters": 5.0},
            "history": [{"step": s, "loss": 1.0 / (1 + s)} for s in range(20)], "arrays": None, "environment": {},
        }  # fmt: skip
        (folder / "records" / f"{record['id']}.json").write_bytes(seal(record))
        cells.append({"task": identity["task"], "sampler": label, "seed": seed, "id": record["id"]})
    (folder / "run.json").write_bytes(seal({"suite": {"name": "big"}, "cells": cells}))
    return folder


def test_four_times_the_cells_take_at_most_six_times_the_time(tmp_path: Path) -> None:
    """More seeds, so that tables and pictures stay as large as they are; what grows is reading and statistics."""
    sizes = [write(tmp_path / str(seeds), 1, 20, seeds) for seeds in (10, 40)]
    write_report(sizes[0])  # fonts and templates are loaded once
    taken = []
    for folder in sizes:
        start = time.process_time()
        write_report(folder)
        taken.append(time.process_time() - start)
    assert taken[1] <= 6 * taken[0], taken


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="reads the peak of a process from /proc")
def test_a_thousand_cells_stay_small(tmp_path: Path) -> None:
    """10,000 cells, as a user may have, take 180 MiB; here a tenth of them, in a process of its own."""
    folder = write(tmp_path / "run", 1, 20, 50)
    # the peak that getrusage tells begins with that of the parent process
    code = (
        "import pathlib, re, sys; from phys_bench.report import write_report; write_report(sys.argv[1]);"
        "status = pathlib.Path('/proc/self/status').read_text();"
        "print(int(re.search('VmHWM: *([0-9]+) kB', status.replace(chr(9), ' '))[1]) // 1024, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True)
    mib, torch = done.stdout.split()
    assert int(mib) < 250
    assert torch == "False"
