"""The report of small run folders written here: what is in it, and what damage costs."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from phys_bench.canonical import digest
from phys_bench.report import leaderboard_figure, leaderboard_markdown, write_report
from phys_bench.report.interactive import embedded
from phys_bench.store import FORMAT, seal
from phys_samplers.errors import ConfigurationError

EVIL = "<script>alert('x')</script> & \"quoted\" | pipe"
PNG = b"\x89PNG\r\n\x1a\n"


class Folder:
    """Writes a run folder record by record, as the runner does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cells: list[dict[str, Any]] = []
        for name in ("records", "arrays"):
            (path / name).mkdir(parents=True)

    def add(
        self,
        task: str,
        sampler: str,
        seed: int = 0,
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        options: Mapping[str, Any] | None = None,
        event_shape: tuple[int, ...] = (),
        **fields: Any,
    ) -> str:
        """Write a record, and the arrays that belong to it; returns its id."""
        identity = {
            "task": task, "sampler": sampler, "seed": seed, "component": sampler.partition("[")[0], "parts": {},
            "options": {"steps": 100, "kernel": "gaussian", **(options or {})}, "library": "1", "device": "cpu",
        }  # fmt: skip
        record: dict[str, Any] = {
            "format": FORMAT, "id": digest(identity), "identity": identity, "status": "ok", "reason": "",
            "traceback": "", "primary": "w2", "best": {"w2": "low", "mmd2": "zero"}, "scores": {}, "score_errors": {},
            "floors": {}, "costs": {}, "diagnostics": {}, "history": [], "arrays": None, "environment": {},
        }  # fmt: skip
        if arrays is not None:
            payload = save({name: np.ascontiguousarray(value, dtype=np.float32) for name, value in arrays.items()})
            (self.path / "arrays" / f"{record['id']}.safetensors").write_bytes(payload)
            record["arrays"] = {"checksum": digest(payload), "event_shape": list(event_shape)}
        record |= fields
        (self.path / "records" / f"{record['id']}.json").write_bytes(seal(record))
        self.cells.append({"id": record["id"], "task": task, "sampler": sampler, "seed": seed})
        return str(record["id"])

    def close(self, **head: Any) -> Path:
        """Write ``run.json``."""
        suite = {"name": "tiny", "summary": "Two tasks."}
        (self.path / "run.json").write_bytes(seal({"suite": suite, "cells": self.cells, **head}))
        return self.path


def scored(w2: float, **costs: float) -> dict[str, Any]:
    """Scores, floors and costs of a finished cell."""
    floors = {
        "w2": {"mean": 0.25, "std": 0.01, "source": "exact"},
        "mmd2": {"mean": 0.0, "std": 1e-3, "source": "exact"},
    }
    return {
        "scores": {"w2": w2, "mmd2": 0.004},
        "floors": floors,
        "costs": {"nfe": 30, "fit_seconds": 2.0, "sample_seconds": 0.5, "parameters": 12345, **costs},
    }


def planar(offset: float = 0.0) -> dict[str, np.ndarray]:
    """Samples, reference and fields of a two-dimensional cell."""
    rows = np.random.default_rng(0).normal(size=(100, 2))
    grid = np.stack(np.meshgrid(*[np.linspace(-3, 3, 6)] * 2, indexing="ij"), -1).reshape(-1, 2)
    density = np.exp(-0.5 * (grid**2).sum(1))
    return {"samples": rows + offset, "reference": rows, "grid": grid, "s": density, "g": -grid * density[:, None]}


class Page(HTMLParser):
    """What a page loads, shows and describes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[str] = []
        self.alts: list[str] = []
        self.ids: list[str] = []
        self.targets: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in ("src", "srcset", "data", "action")]
        self.loads += [found.get("href") or ""] if tag in ("link", "use", "image") else []
        self.alts += [found.get("alt") or ""] if tag == "img" else []
        self.ids += [found["id"] or ""] if "id" in found else []
        self.targets += [found["href"] or ""] if tag == "a" and "href" in found else []

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks; an exact, a good and a worse sampler, one that breaks in every way, and one that fits one task."""
    run = Folder(tmp_path_factory.mktemp("run") / "tiny")
    history = [{"step": s, "loss": 1 / (1 + s), "validation": 2 / (1 + s)} for s in range(5)]
    for seed in (0, 1):
        arrays = planar() if seed == 0 else None
        run.add("plane", "exact", seed, arrays, **scored(0.25, nfe=0))
        run.add("plane", "good[a=1,b=2]", seed, arrays, history=history, **scored(0.30 + 0.02 * seed, parameters=777))
        run.add("plane", "worse", seed, arrays, diagnostics={"acceptance_rate": 0.625}, **scored(2.5))
    run.add("plane", "broken", 0, status="failed", reason=EVIL, traceback=f"Traceback: {EVIL}")
    run.add("plane", "broken", 1, status="timeout", reason="stopped after 60 s")
    run.add("line", "good[a=1,b=2]", 0, {"samples": np.ones((9, 1)), "reference": np.zeros((9, 1))}, **scored(0.5))
    run.add("line", "broken", 0, status="diverged", reason="loss is NaN at step 312", traceback="Traceback: NaN")
    run.add("line", "worse", 0, status="incompatible", reason="worse needs log_prob, which 'line' lacks")
    return run.close(started="2025-01-02T03:04:05.678", environment={"versions": {"torch": "9.9.9"}})


@pytest.fixture(scope="module")
def report(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(folder, tmp_path_factory.mktemp("report") / "new")


@pytest.fixture(scope="module")
def html(report: Path) -> str:
    return report.read_text(encoding="utf-8")


def scripts_that_run(html: str) -> int:
    """How many scripts are not data of charts: our own, inline, should be the only one."""
    kinds = re.findall("<script([^>]*)>", html.lower())
    assert set(kinds) <= {"", ' type="application/json"', ' type="text/plain" id="vega"'}
    return kinds.count("")


def test_no_text_ends_a_chart() -> None:
    pytest.importorskip("vl_convert")
    chart = embedded({"title": f"</script>{EVIL}"})
    assert chart is not None
    assert "<" not in chart
    assert json.loads(chart)["title"] == f"</script>{EVIL}"


def test_a_chart_of_numbers_that_are_none_stays_a_picture() -> None:
    pytest.importorskip("vl_convert")
    assert embedded({"data": {"values": [{"low": -math.inf}]}}) is None


def test_two_files_and_nothing_half_written(report: Path) -> None:
    assert report.name == "report.html"
    assert sorted(file.name for file in report.parent.iterdir()) == ["report.html", "report.md"]


def test_page_holds_every_task_sampler_and_reason(html: str) -> None:
    text = Page(html).text
    for expected in (
        "tiny", "2025-01-02 03:04 UTC", "9.9.9", "plane", "line", "exact", "good[a=1,b=2]", "worse", "broken",
        EVIL, "stopped after 60 s", "loss is NaN at step 312", "worse needs log_prob, which 'line' lacks",
        f"Traceback: {EVIL}", "acceptance_rate 0.625", "777", "0.250 ± 0.0100", "1.24×", "10×", "How to read this page",
    ):  # fmt: skip
        assert expected in text, expected


def test_page_is_self_contained_and_valid(html: str) -> None:
    page = Page(html)
    assert page.loads
    assert all(load.startswith(("data:image/webp;base64,", "data:image/svg+xml;base64,")) for load in page.loads)
    assert not re.findall(r"url\(|@import", html)
    assert scripts_that_run(html) == 1
    assert "link" not in page.tags
    assert page.targets
    assert {target.removeprefix("#") for target in page.targets} <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_every_picture_is_described_and_fields_are_drawn(html: str) -> None:
    alts = Page(html).alts
    assert all(alts)
    expected = "plane, worse. Panels from left to right: scalar field s(x); gradient field g(x); generated"
    assert any(alt.startswith(expected) for alt in alts)
    assert "line, good[a=1,b=2]. Panels from left to right: generated samples." in alts
    assert [alt for alt in alts if "true samples" in alt] == [
        "plane. Panel: true samples.",
        "line. Panel: true samples.",
    ]
    # leaderboard, two cost charts, training curves of one task, the truth of two, four sample pictures
    assert len(alts) == 1 + 2 + 1 + 2 + 4


def test_text_of_records_is_escaped(html: str) -> None:
    assert scripts_that_run(html) == 1
    assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;quoted&#34;" in html


def test_markdown_has_rectangular_tables(report: Path) -> None:
    text = report.with_suffix(".md").read_text(encoding="utf-8")
    for expected in ("# Benchmark: tiny", "## plane", "good[a=1,b=2]", "loss is NaN at step 312", "1.24×", "12,345"):
        assert expected in text
    assert "<script" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        columns = {len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}
        assert len(columns) == 1, block


def test_leaderboard_ranks_and_keeps_the_oracle_apart(folder: Path) -> None:
    lines = [line for line in leaderboard_markdown(folder).splitlines()[2:] if line.startswith("|")]
    rows = [[re.split(r" [\[(]", cell.strip(" `"))[0] for cell in line.split("|")[1:3]] for line in lines]
    # plane: good, worse, broken; line: good, broken; worse is incompatible there
    assert rows == [["floor", ""], ["exact", "–"], ["good[a=1,b=2]", "0.00"], ["worse", "0.50"], ["broken", "1.00"]]


def test_leaderboard_figure_is_a_reproducible_png(folder: Path) -> None:
    image = leaderboard_figure(folder)
    assert image.startswith(PNG)
    assert len(image) > 5_000
    assert leaderboard_figure(folder) == image


@pytest.mark.parametrize("damage", ["missing", "truncated", "garbage"])
def test_bad_arrays_cost_their_picture_only(tmp_path: Path, damage: str) -> None:
    run = Folder(tmp_path / "run")
    bad = run.add("plane", "bad", 0, planar(), **scored(0.3))
    run.add("plane", "fine", 0, planar(), **scored(0.4))
    file = run.path / "arrays" / f"{bad}.safetensors"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:100] if damage == "truncated" else b"not tensors")
    page = Page(write_report(run.close()).read_text(encoding="utf-8"))
    assert "bad: no picture" in page.text
    assert f"arrays/{bad}.safetensors" in page.text
    assert sum("Panels" in alt for alt in page.alts) == 1  # of the other sampler
    assert "0.300" in page.text


def test_odd_arrays_are_said_not_raised(tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    rows = np.zeros((5, 2))
    run.add("t", "empty", 0, {"samples": rows[:0], "reference": rows}, **scored(0.3))
    run.add("t", "other", 0, {"samples": rows[:, :1], "reference": rows}, **scored(0.3))
    run.add("t", "halffield", 0, {**planar(), "s": np.zeros(7)}, **scored(0.3))
    run.add("t", "nan", 0, {"samples": rows * np.nan, "reference": rows}, **scored(0.3))
    text = write_report(run.close()).read_text(encoding="utf-8")
    assert "holds no samples" in text
    assert "of different dimension" in text
    assert "t, halffield. Panels from left to right: gradient field g(x); generated samples." in text
    assert "t, nan. Panels" in text


def test_images_of_another_shape_cost_their_picture_only(tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    arrays = {name: np.random.default_rng(0).uniform(size=(9, 6)) for name in ("samples", "reference")}
    run.add("t", "fine", 0, arrays, event_shape=(1, 2, 3), **scored(0.3))
    run.add("t", "odd", 0, arrays, event_shape=(1, 4, 4), **scored(0.4))
    page = Page(write_report(run.close()).read_text(encoding="utf-8"))
    assert "t, fine. Image grids from left to right: generated images." in page.alts
    assert "odd: the picture could not be drawn" in page.text


def test_nothing_finished(tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    run.add("plane", "broken", 0, status="failed", reason="no luck")
    page = Page(write_report(run.close()).read_text(encoding="utf-8"))
    assert "no luck" in page.text
    assert "No cell of this task has a score" in page.text
    assert leaderboard_figure(run.path).startswith(PNG)


def test_no_cells_at_all(tmp_path: Path) -> None:
    path = Folder(tmp_path / "run").close()
    assert "The run has no cells yet" in write_report(path).read_text(encoding="utf-8")
    assert leaderboard_figure(path).startswith(PNG)


def test_damaged_record_and_missing_head_are_named(tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    run.add("plane", "fine", 0, **scored(0.4))
    bad = run.add("plane", "cut", 0, **scored(0.3))
    file = run.path / "records" / f"{bad}.json"
    file.write_bytes(file.read_bytes()[:200])
    text = Page(write_report(run.path).read_text(encoding="utf-8")).text
    assert f"records/{bad}.json" in text
    assert "run.json is" in text
    assert "0.400" in text
    text = Page(write_report(run.close()).read_text(encoding="utf-8")).text
    assert "1 of 2 cells have no record yet" in text


def test_metric_without_a_number_is_named(tmp_path: Path) -> None:
    run = Folder(tmp_path / "run")
    for sampler, tasks in {"fine": ("plane", "line"), "good": ("plane", "line"), "odd": ("line",)}.items():
        for task in tasks:
            run.add(task, sampler, 0, **{**scored(0.4), "score_errors": {"nll": "needs log_prob"}})
    run.add("line", "odd", 1, **scored(0.4))
    text = write_report(run.close()).read_text(encoding="utf-8")
    assert "nll: needs log_prob: fine, good on plane, line; odd on line (seed 0)<" in text


def test_not_a_run_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not a run folder"):
        write_report(tmp_path)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One task, three sweeps of five."""
    run = Folder(tmp_path_factory.mktemp("wide") / "run")
    for kernel in "abc":
        for n in (5, 10, 20, 40, 80):
            facts = scored(0.3 + 1 / n, nfe=n, shared_fit=n > 5)
            options = {"kernel": kernel, "sampling_steps": n}
            run.add("plane", f"bell[kernel={kernel},sampling_steps={n}]", 0, planar(), options=options, **facts)
    return write_report(run.close())


def test_a_page_of_many_samplers_shows_the_ends_of_each_sweep(wide: Path) -> None:
    page = Page(wide.read_text(encoding="utf-8"))
    pictures = [alt for alt in page.alts if "Panels" in alt]
    assert len(pictures) == 6
    assert all("sampling_steps=5]" in alt or "sampling_steps=80]" in alt for alt in pictures)
    assert "those with the fewest and most are shown" in page.text
    assert "bell[kernel=c,sampling_steps=20]" in page.text


def test_a_shared_fit_is_said_beside_its_costs(wide: Path) -> None:
    note = "Samplers that differ in sampling options alone share one fit; each lists its time."
    assert note in Page(wide.read_text(encoding="utf-8")).text
    assert note in wide.with_suffix(".md").read_text(encoding="utf-8")
