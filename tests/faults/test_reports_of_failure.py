"""What cannot work is refused in one sentence, before the work; what failed is in every table and comparison."""

from __future__ import annotations

import errno
import io
import math
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from click.testing import CliRunner

from phys_bench import api
from phys_bench.data import files
from phys_bench.tables import markdown_text
from phys_samplers import load, make
from phys_samplers.atomic import write_atomically
from phys_samplers.cli import program
from phys_samplers.errors import ConfigurationError
from phys_samplers.sampler import Draw

TOYS = Path(__file__).parents[1] / "bench" / "toy_plugin.py"


def cli(*words: object) -> Any:
    return CliRunner().invoke(program, ["--plugin", str(TOYS), *map(str, words)], prog_name="phys-samplers")


def run(sampler: str, out: Path, **options: Any) -> api.Results:
    suite = {"name": "toy", "tasks": ["toy-normal"], "samplers": [sampler], "seeds": 3}
    return api.run(suite, out=out, executor="inline", device="cpu", progress=False, plugins=[TOYS], **options)


def words(sampler: str, out: Path) -> list[object]:
    chosen = ["--tasks", "toy-normal", "--samplers", sampler, "--seeds", 2, "--executor", "inline", "-q", "--no-report"]
    return ["bench", "run", "quick", *chosen, "--out", out]


def test_a_metric_is_refused_before_the_run(tmp_path: Path) -> None:
    result = cli(*words("toy-good", tmp_path / "run"), "--metric", "nope")
    assert result.exit_code == 2
    assert "--metric is 'nope'; expected 'all', or one that the tasks have: toy-mean, toy-spread" in result.output
    assert not (tmp_path / "run").exists()


def test_a_run_in_which_everything_failed_says_so(tmp_path: Path) -> None:
    assert cli(*words("toy-bad", tmp_path / "bad")).exit_code == 1
    assert cli(*words("toy-good", tmp_path / "good")).exit_code == 0


def test_a_sampler_that_failed_stays_in_the_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # so that no cell of the table is folded
    good, bad = run("toy-bad[how=nan,second_only=true]", tmp_path / "a"), run("toy-bad", tmp_path / "b")
    same = run("toy-bad", tmp_path / "c")
    (row,) = api.compare(bad, same, "primary").to_dict("records")
    assert (row["verdict"], row["failed_first"], row["failed_second"], row["pairs"]) == ("failed in both", 3, 3, 0)
    assert math.isnan(row["difference"])
    assert api.compare(good, good, "primary")["failed_first"].tolist() == [1]
    shown = cli("bench", "compare", tmp_path / "b", tmp_path / "c")
    assert shown.exit_code == 0
    assert "failed in both" in shown.output


def test_a_merge_says_which_cells_differ_and_how(tmp_path: Path) -> None:
    first, second = run("toy-good", tmp_path / "a"), run("toy-good", tmp_path / "b")
    record = dict(second.records[1])
    record["scores"] = {**record["scores"], "toy-mean": 0.25}
    api.RunFolder(tmp_path / "b").write_record(record)
    with pytest.raises(ConfigurationError, match=r"toy-normal / toy-good / seed 1: .* gave toy-mean .* and 0\.25"):
        api.merge(tmp_path / "a", tmp_path / "b")
    notes = api.merge(tmp_path / "a", tmp_path / "b", on_conflict="first").notes
    assert any("toy-normal / toy-good / seed 1" in note for note in notes)
    assert first.cells


def test_a_finished_run_on_a_read_only_disk_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "run"
    before = run("toy-good", out)
    times = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    usual = os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **k: mode != os.W_OK and usual(path, mode, **k))
    again = run("toy-good", out)
    assert [r["scores"] for r in again.records] == [r["scores"] for r in before.records]
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == times
    assert any("cannot be written to" in note for note in again.notes)
    shown = cli("bench", "report", out, "-o", tmp_path / "elsewhere")
    assert shown.exit_code == 0
    assert (tmp_path / "elsewhere" / "report.html").is_file()


def test_a_full_disk_is_named_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "record.json", b"x")
    assert caught.value.filename == str(tmp_path / "record.json")
    with pytest.raises(OSError, match="No space left"):
        make("sampler", "langevin").fit(make("task", "gmm9")).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("redirection", [">&-", ">/dev/full"])
@pytest.mark.parametrize("words", ["list sampler", "--help"])
def test_an_output_that_cannot_be_written_gives_no_traceback(redirection: str, words: str) -> None:
    command = f"{sys.executable} -c 'from phys_samplers.cli import main; main()' {words} {redirection}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, env=environment)
    assert "Traceback" not in done.stderr
    assert done.returncode == (0 if redirection == ">&-" else 2)


class Gone(io.TextIOBase):
    """A terminal whose connection broke."""

    def write(self, text: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [None, Gone()], ids=["closed", "gone"])
@pytest.mark.parametrize("terminal", [True, False])
def test_a_run_goes_on_where_nobody_sees_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: Gone | None, terminal: bool
) -> None:
    """A run of days must not end with the connection of who started it; nor a fit."""
    monkeypatch.setattr(Gone, "isatty", lambda self: terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("PHYS_SAMPLERS_PROGRESS", "1" if terminal else "0")
    suite = {"name": "toy", "tasks": ["toy-normal"], "samplers": ["toy-good", "toy-bad"], "seeds": 2}
    results = api.run(suite, out=tmp_path / "run", executor="inline", device="cpu", plugins=[TOYS])
    assert [cell.status for cell in results.cells] == ["ok", "ok", "failed", "failed"]
    make("sampler", "edm", steps=60, width=8, depth=1).fit(make("task", "moons"))


def test_a_full_disk_says_nothing_about_a_sampler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cell is run again when the run goes on, as one that was killed is."""

    def full(path: Path, *_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("phys_bench.execution.write_arrays", full)
        (first, *_) = run("toy-good", tmp_path / "run").records
    assert (first["status"], first["hit_limit"], first["scores"]) == ("failed", "outside", {})
    assert "safetensors: No space left on device" in first["reason"]
    assert [cell.status for cell in run("toy-good", tmp_path / "run").cells] == ["ok"] * 3


def test_a_clock_that_is_set_takes_no_folder_from_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time at which a process began, as the system tells it, moves with the clock."""
    folder = api.RunFolder(tmp_path)
    with folder.owned():
        usual = psutil.Process.create_time
        monkeypatch.setattr(psutil.Process, "create_time", lambda process: usual(process) + 3600)
        with pytest.raises(ConfigurationError, match="is in use by process"), folder.owned():
            pass


def test_a_lock_that_is_a_link_to_nowhere_is_taken_over(tmp_path: Path) -> None:
    (tmp_path / "run.lock").symlink_to("nowhere")
    with api.RunFolder(tmp_path).owned():
        assert not (tmp_path / "run.lock").is_symlink()


@pytest.mark.parametrize("name", ["x" * 251 + ".npy", "é" * 125 + ".npy"])
def test_a_long_name_that_a_file_may_have_can_be_written(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, b"x")
    assert [path.name for path in tmp_path.iterdir()] == [name]


class Drip(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "100")
        self.end_headers()
        stop = self.server.stop  # type: ignore[attr-defined]
        while not stop.wait(0.1):
            self.wfile.write(b"x")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_a_download_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    server = HTTPServer(("127.0.0.1", 0), Drip)
    server.stop = threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(files, "LONGEST", 0.5, raising=False)
    try:
        with pytest.raises(files.DataUnavailable, match=r"it was not whole after 0\.5 s"):
            files.fetch([f"http://127.0.0.1:{server.server_port}/x"], "0" * 64, advice="look elsewhere")
    finally:
        server.stop.set()  # type: ignore[attr-defined]
        server.shutdown()


@pytest.mark.parametrize("text", ["[x](javascript:alert(1))", "![x](http://a.b/c)", "[x]: javascript:alert(1)"])
def test_markdown_has_no_links_of_a_plugin(text: str) -> None:
    shown = markdown_text(text)
    assert "](" not in shown
    assert "]:" not in shown
    assert "\x1b" not in markdown_text("\x1b[31mred")


def test_escape_codes_of_a_plugin_do_not_reach_the_terminal(tmp_path: Path) -> None:
    plugin = tmp_path / "loud.py"
    plugin.write_text("raise ValueError('\\x1b[2J gone')\n")
    shown = CliRunner().invoke(program, ["--plugin", str(plugin), "plugins"], color=True)
    assert "\x1b[2J" not in shown.output
    assert "\\x1b[2J gone" in shown.output


def test_what_a_plugin_says_of_itself_can_be_shown(tmp_path: Path) -> None:
    """Escape codes, and halves of surrogate pairs, which no file and no terminal can take."""
    plugin = tmp_path / "loud_summary.py"
    plugin.write_text(
        "from phys_registry import Component, hookimpl\n\n@hookimpl\ndef phys_components():\n"
        "    yield Component('sampler', 'loud', 'nowhere:x', summary='a\\x1b[2J\\ud800b', citation='@x{\\x1b[2J}')\n"
    )
    for words in (
        ("show", "sampler", "loud", "--no-options"),
        ("show", "sampler", "loud", "--no-options", "--json"),
        ("list", "sampler"),
        ("list", "sampler", "--json"),
        ("cite", "loud"),
    ):
        shown = CliRunner().invoke(program, ["--plugin", str(plugin), *words], color=True)
        assert shown.exception is None, words
        assert "\x1b[2J" not in shown.output
        assert "\\ud800b" in shown.output or words[0] == "cite"


@pytest.mark.parametrize("device", ["banana", "cuda:99", 3.5])
def test_a_device_that_is_not_there(device: Any, tmp_path: Path) -> None:
    task = make("task", "moons")
    with pytest.raises(ConfigurationError, match=r"device is .*expected one of cpu"):
        make("sampler", "edm", steps=2).fit(task, device=device)
    folder = make("sampler", "exact").fit(task).save(tmp_path)
    with pytest.raises(ConfigurationError, match=r"device is .*expected one of cpu"):
        load(folder, target=task, device=device)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"nfe": -1.0}, "nfe is -1.0"),
        ({"nfe": math.nan}, "nfe is nan"),
        ({"nfe": "many"}, "nfe is 'many'"),
        ({"samples": torch.zeros(3, 2, dtype=torch.complex64)}, "samples are torch.complex64"),
        ({"samples": [[0.0]]}, "samples are list"),
        ({"log_weights": torch.zeros(4)}, r"log_weights have shape \(4,\); expected \(3,\)"),
        ({"log_weights": torch.zeros(3, 1)}, r"log_weights have shape \(3, 1\)"),
    ],
)
def test_a_draw_that_no_sampler_can_mean(facts: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Draw(**{"samples": torch.zeros(3, 2), "nfe": 1.0, **facts})


def test_a_model_of_another_task(tmp_path: Path) -> None:
    assert cli("fit", "exact", "--task", "moons", "-o", tmp_path / "m").exit_code == 0
    result = cli("sample", tmp_path / "m", "-n", 5, "-o", tmp_path / "s.npy", "--task", "gmm9")
    assert result.exit_code == 2
    assert "--task is 'gmm9'" in result.output
    assert not (tmp_path / "s.npy").exists()


@pytest.mark.parametrize("source", ["1/0", "def (", "raise SystemExit(3)", "import nowhere"])
def test_a_density_file_that_cannot_be_run(source: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(source + "\n")
    result = cli("judge", f"{tmp_path / 'mine.py'}:f", "--dim", 2)
    assert result.exit_code == 2
    assert "cannot be run" in result.output


def test_a_folder_that_cannot_be_made_is_refused_before_the_fit() -> None:
    result = cli("fit", "edm", "--task", "moons", "-o", "/proc/nowhere/model", "--set", "steps=1000000")
    assert result.exit_code == 2
    assert "nothing can be written there" in result.output
