"""The page in a browser: no complaint, sorting works, print shows everything, and a phone scrolls one way only."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from phys_bench.canonical import digest
from phys_bench.report import write_report
from phys_bench.store import FORMAT, seal

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium or Chrome on the path")

PROBE = """<script>
const say = (key, value) => document.body.setAttribute("data-" + key, value);
window.addEventListener("error", (event) => say("error", event.message));
window.addEventListener("load", () => {
  const table = document.querySelector("#leaderboard table");
  const name = (row) => row.cells[0].textContent.trim().split(/\\s/)[0];
  const names = () => [...table.tBodies[0].rows].map(name).join(",");
  const column = [...table.tHead.rows[0].cells].findIndex((head) => head.textContent.includes("line"));
  const button = table.tHead.rows[0].cells[column].querySelector("button");
  button.click(); say("up", names());
  button.click(); say("down", names());
  const box = document.querySelector('#samplers input[value="b"]');
  box.click(); say("hidden", [...document.querySelectorAll('[data-sampler="b"]')].every((part) => part.hidden));
  say("overflow", document.documentElement.scrollWidth - window.innerWidth);
});
</script>"""


def browse(page: Path, out: Path, *options: str) -> str:
    """What the browser prints."""
    command = [str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={out}", *options]
    done = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two tasks and three samplers, one of which failed once, with a script that tries the page."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    (folder / "records").mkdir(parents=True)
    scores = {"plane": {"exact": 1.0, "a": 1.2, "b": 3.0}, "line": {"exact": 1.0, "a": 5.0, "b": 2.0}}
    for task, row in scores.items():
        for sampler, value in row.items():
            for seed in range(3):
                lost = (task, sampler, seed) == ("line", "a", 1)
                identity = {"task": task, "sampler": sampler, "seed": seed, "component": sampler, "parts": {}}
                identity |= {"options": {"steps": 1}, "library": "l", "device": "cpu"}
                record = {
                    "format": FORMAT, "id": digest(identity), "identity": identity, "reason": "NaN" if lost else "",
                    "status": "diverged" if lost else "ok", "traceback": "Trace" if lost else "", "primary": "w2",
                    "best": {"w2": "low"}, "scores": {} if lost else {"w2": value + 0.1 * seed}, "score_errors": {},
                    "floors": {"w2": {"mean": 1.0, "std": 0.1, "source": "exact"}}, "costs": {"nfe": 10.0 + value},
                    "diagnostics": {"acceptance": 0.5}, "history": [], "arrays": None, "environment": {"cpu": "x"},
                }  # fmt: skip
                (folder / "records" / f"{record['id']}.json").write_bytes(seal(record))
    report = write_report(folder)
    tried = report.with_name("tried.html")
    tried.write_text(report.read_text(encoding="utf-8").replace("<head>", "<head>" + PROBE, 1), encoding="utf-8")
    return tried


@pytest.mark.parametrize("size", ["1300,900", "390,844"])
def test_nothing_complains_tables_sort_samplers_hide_and_no_size_scrolls_sideways(
    page: Path, tmp_path: Path, size: str
) -> None:
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', browse(page, tmp_path, f"--window-size={size}", "--dump-dom")))
    assert "error" not in found
    assert found["up"] == "floor,exact,b,a"
    assert found["down"] == "floor,a,b,exact"
    assert found["hidden"] == "true"
    assert int(found["overflow"]) <= 0


CHARTS = """<script>
const tell = (key, value) => document.body.setAttribute("data-" + key, value);
const drawn = new MutationObserver(() => {
  drawn.disconnect();
  const marks = () => document.querySelectorAll(".chart svg [aria-roledescription='point']").length;
  const labels = [...document.querySelectorAll(".chart svg [aria-label]")].map((one) => one.getAttribute("aria-label"));
  const pictures = [...document.querySelectorAll(".drawn img")].map((one) => getComputedStyle(one).display);
  tell("count", document.documentElement.dataset.charts);
  tell("value", labels.some((one) => one.includes("sampler: b") && one.includes("95 % interval: [")));
  tell("pictures", pictures.join());
  tell("shown", marks());
  document.querySelector('#samplers input[value="b"]').click();
  setTimeout(() => tell("left", marks()), 300);
});
drawn.observe(document.documentElement, { attributeFilter: ["data-charts"] });
</script>"""


@pytest.mark.skipif(importlib.util.find_spec("vl_convert") is None, reason="needs vl-convert: the extra report")
def test_charts_are_drawn_in_place_of_pictures_with_values_and_follow_the_boxes(page: Path, tmp_path: Path) -> None:
    tried = tmp_path / "charts.html"
    tried.write_text(page.read_text(encoding="utf-8").replace(PROBE, CHARTS), encoding="utf-8")
    options = ("--window-size=1300,900", "--virtual-time-budget=20000", "--dump-dom")
    printed = browse(tried, tmp_path / "profile", *options)
    found = dict(re.findall(r'data-(\w+)="([^"]*)"', " ".join(re.findall("<body data[^>]*>", printed))))
    assert found["count"] == "3"  # the leaderboard, and costs of two tasks
    assert found["value"] == "true"
    assert found["pictures"] == "none,none,none"
    assert 0 < int(found["left"]) < int(found["shown"])


@pytest.mark.skipif(shutil.which("pdftotext") is None, reason="needs pdftotext of poppler-utils")
def test_print_shows_every_task_and_what_is_folded(page: Path, tmp_path: Path) -> None:
    pdf = tmp_path / "page.pdf"
    browse(page, tmp_path, f"--print-to-pdf={pdf}")
    text = subprocess.run(["pdftotext", "-layout", str(pdf), "-"], capture_output=True, text=True, check=True).stdout
    for expected in (
        "plane",
        "line",
        "Diagnostics",
        "acceptance 0.500",
        "Trace",
        '"steps": 1',
        "cpu",
        "Without a score",
    ):
        assert expected in text, expected
    assert "show or hide samplers" not in text
