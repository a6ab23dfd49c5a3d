"""Errors are one line, interruptions have exit code 130, and a closed pipe is no event."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from phys_samplers.catalogue import registry
from phys_samplers.errors import DivergenceError

Launch = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["show", "sampler", "belman"], ["'belman'", "'bellman'"]),
        (["lst"], ["'lst'", "'list'"]),
        (["cite", "nobody"], ["'nobody'", "phys-samplers list"]),
        (["--plugin", "absent.py", "list"], ["absent.py"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_are_one_line(launch: Launch, words: list[str], parts: list[str]) -> None:
    done = launch("-m", "phys_samplers", *words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert all(part in done.stderr for part in parts)


def test_traceback_on_request(run: Callable[..., Result]) -> None:
    plain = run("show", "sampler", "belman", code=2).output
    full = run("--traceback", "show", "sampler", "belman", code=2).output
    assert "Traceback" not in plain
    assert full.startswith("Traceback")
    assert full.endswith(plain)


def test_missing_permission_is_an_error_line(run: Callable[..., Result], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied", "/there")

    monkeypatch.setattr("phys_samplers.scaffold.write_plugin", refuse)
    assert run("new-plugin", "mine", code=2).output == "error: /there: Permission denied\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (DivergenceError("all particles lost", lost=1, total=1, step=1), 2, "error: all particles lost\n"),
    ],
    ids=["interrupted", "diverged"],
)
def test_what_a_component_raises(run: Callable[..., Result], error: BaseException, code: int, text: str) -> None:
    @registry.component("task", "raising", summary="raises")
    def raising() -> None:
        raise error

    try:
        assert run("show", "task", "raising", code=code).output == text
    finally:
        registry.unregister("task", "raising")


def test_defects_keep_their_traceback(run: Callable[..., Result]) -> None:
    @registry.component("task", "defective", summary="has a defect")
    def defective() -> None:
        raise ZeroDivisionError

    try:
        assert isinstance(run("show", "task", "defective", code=1).exception, ZeroDivisionError)
    finally:
        registry.unregister("task", "defective")


@pytest.mark.usefixtures("deaf")
def test_interruption_of_a_process(
    tmp_path: Path, process_environment: dict[str, str], interruptible: Callable[[], None]
) -> None:
    (tmp_path / "waits.py").write_text(
        textwrap.dedent(
            """
            import pathlib, time
            from phys_registry import Component, hookimpl

            def wait():
                pathlib.Path(__file__).with_name("waiting").touch()
                time.sleep(60)

            @hookimpl
            def phys_components():
                yield Component("task", "waits", wait, summary="waits")
            """
        )
    )
    words = ["-m", "phys_samplers", "--plugin", str(tmp_path / "waits.py"), "show", "task", "waits"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, *words],
        env=process_environment,
        stdout=pipe,
        stderr=pipe,
        text=True,
        preexec_fn=interruptible,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "waiting").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip() == "interrupted"


def test_closed_pipe_is_quiet(process_environment: dict[str, str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "phys_samplers", "list"],
        env=process_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) in (0, 1)
