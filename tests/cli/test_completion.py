"""Shell completion: scripts, and what completes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable

import pytest
from click.shell_completion import ShellComplete
from click.testing import Result

from phys_samplers.catalogue import kinds, registry
from phys_samplers.cli import program


def complete(*words: str) -> list[str]:
    shell = ShellComplete(program, {}, "phys-samplers", "_PHYS_SAMPLERS_COMPLETE")
    return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("be",), ["bench"]),
        (("bench", "co"), ["compare"]),
        (("list", "k"), ["kernel"]),
        (("show", ""), list(kinds())),
        (("show", "task", "moo"), ["moons"]),
        (("show", "kernels", "gau"), ["gaussian"]),
        (("fit", "bell"), ["bellman", "bellman-density", "bellman-fields"]),
        (("fit", "mala["), []),
        (("fit", "edm["), ["edm[preset=default]", "edm[preset=paper]"]),
        (("fit", "bellman", "--task", "gmm"), ["gmm25", "gmm40", "gmm9"]),
        (("check", "mal"), ["mala"]),
        (("cite", "bellman", "mal"), ["mala"]),
        (("bench", "run", "qui"), ["quick"]),
    ],
    ids=" ".join,
)
def test_completes(words: tuple[str, ...], expected: list[str]) -> None:
    assert complete(*words) == expected


def test_summaries_are_shown() -> None:
    shell = ShellComplete(program, {}, "phys-samplers", "_PHYS_SAMPLERS_COMPLETE")
    (item,) = shell.get_completions(["show", "sampler"], "baoa")
    assert item.help == registry.get("sampler", "baoab").summary


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(run: Callable[..., Result], shell: str) -> None:
    script = run("completion", shell).stdout
    assert "_PHYS_SAMPLERS_COMPLETE" in script
    assert f"# To install: phys-samplers completion {shell} > ~/" in script
    if shell == "zsh":
        assert script.startswith("#compdef phys-samplers")
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script, text=True, check=True)


def test_the_variable_of_the_scripts_is_answered(launch: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    asked = {
        "_PHYS_SAMPLERS_COMPLETE": "bash_complete",
        "COMP_WORDS": "phys-samplers show sampler baoa",
        "COMP_CWORD": "3",
    }
    done = launch("-m", "phys_samplers", **asked)
    assert done.stdout == "plain,baoab\n", done.stderr
