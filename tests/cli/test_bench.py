"""bench: run a small suite, look at it, compare and merge."""

from __future__ import annotations

import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path

import pandas
import pytest
from click.testing import Result

from phys_samplers import bench
from phys_samplers.cli.output import Failure
from phys_samplers.cli.words import read_seeds, split_texts

Run = Callable[..., Result]
SUITE = """
name = "tiny"
tasks = ["normal"]
samplers = ["exact"]
seeds = 2
metrics = ["sliced-w2", "variance-ratio"]
eval_size = 50
"""


@pytest.fixture
def suite(run: Run) -> tuple[str, ...]:
    Path("tiny.toml").write_text(SUITE)
    return "bench", "run", "tiny.toml", "--executor", "inline", "--device", "cpu"


def test_a_run_from_plan_to_merge(run: Run, suite: tuple[str, ...]) -> None:
    assert "2 to run on cpu" in run(*suite, "--dry-run").output
    assert not Path("runs").exists()

    first = run(*suite)
    assert bench.load("runs/tiny").table() in first.stdout
    assert "[2/2]" in first.output
    assert Path("runs/tiny/report.html").is_file()
    assert "report: runs/tiny/report.html" in first.stdout
    again = run(*suite, "-q", "--no-report")
    assert "[1/2]" not in again.output
    assert "report:" not in again.output

    assert json.loads(run("bench", "status", "--json").stdout) == bench.status("runs/tiny")
    assert "ok" in run("bench", "status", "runs/tiny").output
    assert run("bench", "report", "--markdown").stdout.strip() == bench.load("runs/tiny").table(fmt="github").strip()
    Path("runs/tiny/report.html").unlink()
    assert "variance-ratio" in run("bench", "report", "runs/tiny", "--metric", "all").output
    assert Path("runs/tiny/report.html").is_file()

    run(*suite, "-q", "--no-report", "--out", "other", "--seeds", "0,5")
    rows = json.loads(run("bench", "compare", "runs/tiny", "other", "--metric", "all", "--json").stdout)
    assert [(row["metric"], row["pairs"], row["verdict"]) for row in rows] == [
        ("sliced-w2", 1, "equal"),
        ("variance-ratio", 1, "equal"),
    ]
    assert "variance-ratio" not in run("bench", "compare", "runs/tiny", "other").output
    Path("lone.toml").write_text(SUITE.replace('"exact"', '"training-rows"'))
    run("bench", "run", "lone.toml", "--executor", "inline", "-q", "--no-report", "--out", "lone")
    told = run("bench", "compare", "lone", "other").output
    assert "only in the first run: training-rows\n" in told
    assert "only in the second run: exact\n" in told
    assert "share sliced-w2" in run("bench", "compare", "runs/tiny", "other", "--metric", "w9", code=2).output
    run("bench", "merge", "runs/tiny", "other", "-o", "all", "--no-report")
    assert {record["identity"]["seed"] for record in bench.load("all").records} == {0, 1, 5}
    assert "holds a run already" in run("bench", "merge", "runs/tiny", "-o", "all", code=2).output


def test_what_a_paper_reports_is_printed_by_run_and_report(run: Run, suite: tuple[str, ...]) -> None:
    row = 'task = "normal"\nsampler = "exact"\nmetric = "sliced-w2"\nvalue = 0.0\nsource = "Table 7"\n'
    Path("tiny.toml").write_text(f"{SUITE}[[published]]\n{row}")
    for words in ((*suite, "-q", "--seeds", "3"), ("bench", "report", "runs/tiny")):
        output = run(*words).stdout
        assert "Published and measured" in output
        assert "Table 7" in output
        assert "worse" in output  # than nought
    assert "Paper and measurement" in Path("runs/tiny/report.md").read_text(encoding="utf-8")
    Path("tiny.toml").write_text(f"{SUITE}[[published]]\n{row.replace('exact', 'exakt')}")
    assert "published[0].sampler is 'exakt'" in run(*suite, "-q", code=2).output


def test_scores_are_exported_as_a_long_table(run: Run, suite: tuple[str, ...]) -> None:
    run(*suite, "-q", "--no-report")
    frame = bench.load("runs/tiny").frame
    text = run("bench", "export", "runs/tiny").stdout
    assert pandas.read_csv(io.StringIO(text)).score.tolist() == pytest.approx(frame.score.tolist())
    assert text.splitlines()[0] == ",".join(frame.columns)
    run("bench", "export", "runs/tiny", "--json", "-o", "scores.json")
    rows = json.loads(Path("scores.json").read_text(encoding="utf-8"))
    assert [(row["seed"], row["metric"]) for row in rows] == list(zip(frame.seed, frame.metric, strict=True))
    assert "say where to write it" in run("bench", "export", "runs/tiny", "--parquet", code=2).output
    if importlib.util.find_spec("pyarrow") is None:
        assert "pip install pyarrow" in run("bench", "export", "--parquet", "-o", "scores.parquet", code=2).output
    else:
        run("bench", "export", "--parquet", "-o", "scores.parquet")
        assert pandas.read_parquet("scores.parquet").equals(frame)


def test_interrupted_run(run: Run, suite: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise bench.RunInterrupted("interrupted: 0 of 2 cells are done", bench.load("runs/tiny"))

    run(*suite, "-q", "--no-report")
    monkeypatch.setattr("phys_bench.api.run", interrupt)
    output = run(*suite, "-q", "--no-report", code=130).output
    assert "interrupted: 0 of 2" in output
    assert "sliced-w2" in output


def test_suites_are_listed(run: Run) -> None:
    names = [suite.name for suite in bench.list_suites()]
    assert [suite["name"] for suite in json.loads(run("bench", "list", "--json").stdout)] == names
    assert all(name in run("bench", "list").output for name in names)


def test_unknown_suite(run: Run) -> None:
    output = run("bench", "run", "quik", code=2).output
    assert output.startswith("error: ")
    assert "'quick'" in output


def test_where_there_is_no_run(run: Run) -> None:
    assert "bench run quick" in run("bench", "status", code=2).output
    Path("empty").mkdir()
    assert "not a run folder" in run("bench", "status", "empty", code=2).output


def test_seeds() -> None:
    assert [read_seeds(text) for text in (None, "5", "0,3, 7", "4,")] == [None, 5, [0, 3, 7], [4]]
    for text in ("", "x", "-1", "1.5", "0,x"):
        with pytest.raises(Failure, match="--seeds"):
            read_seeds(text)


def test_texts_are_split_outside_brackets() -> None:
    assert split_texts(["a[x=1,2, y=[3,4]],b c", "d"]) == ["a[x=1,2, y=[3,4]]", "b", "c", "d"]
    assert split_texts(["a[x=\"],\", y='['],b"]) == ["a[x=\"],\", y='[']", "b"]
    assert split_texts(["", " , "]) == []
