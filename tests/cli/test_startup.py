"""Listings and help pages answer at once: nothing heavy is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable

import pytest

LIGHT = [
    ["--help"],
    ["--version"],
    ["list"],
    ["list", "task", "--json"],
    ["plugins"],
    ["cite", "bellman"],
    ["show", "sampler", "bellman", "--no-options"],
    ["fit", "--help"],
    ["bench", "run", "--help"],
    ["bench", "list"],
    ["completion", "fish"],
    ["new-plugin", "mine"],
]
PROBE = """
import json, sys
import phys_samplers.cli
heavy = {"torch", "numpy", "rich", "pandas", "matplotlib"}
found = {"import": sorted(heavy & set(sys.modules))}
for words in json.loads(sys.argv[1]):
    try:
        phys_samplers.cli.main(words)
    except SystemExit as end:
        assert not end.code, (words, end.code)
    found[" ".join(words)] = sorted(heavy & set(sys.modules))
print("FOUND" + json.dumps(found))
"""


def test_light_commands_import_nothing_heavy(launch: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = launch("-c", PROBE, json.dumps(LIGHT))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.rpartition("FOUND")[2])
    assert found == {"import": [], **{" ".join(words): [] for words in LIGHT}}


def spent() -> float:
    """CPU seconds of the children that have ended."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize("words", [["--help"], ["list"]], ids=" ".join)
def test_answers_within_half_a_second_of_computing(words: list[str], process_environment: dict[str, str]) -> None:
    seconds = []
    for _ in range(8):  # the best of several: the first one compiles, and busy cores compute slower
        before = spent()
        subprocess.run(
            [sys.executable, "-m", "phys_samplers", *words],
            env=process_environment,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        seconds.append(spent() - before)
        if seconds[-1] < 0.5:
            return
    pytest.fail(f"phys-samplers {' '.join(words)} took {min(seconds):.2f} s at best; expected less than 0.5 s")
