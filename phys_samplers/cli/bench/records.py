"""What is done with finished runs: show, report, export, merge and compare them."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from phys_registry.errors import printable
from phys_samplers.cli.output import Failure, echo_json, json_option, note
from phys_samplers.layout import examples, table, terminal_width

RUNS = Path("runs")
"""Where runs are kept unless ``--out`` says otherwise."""


def benchmark(module: str = "api") -> Any:
    """A module of the benchmark.

    Raises:
        Failure: if the benchmark is not installed.
    """
    try:
        return import_module(f"phys_bench.{module}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "phys_bench":
            raise
        raise Failure(f"the benchmark is not installed ({error}); install phys-samplers with its benchmarks") from error


def newest_run() -> Path:
    """The run folder under ``runs/`` that was written to last.

    Raises:
        Failure: if there is none.
    """
    found = [head.parent for head in RUNS.glob("*/run.json")]
    if not found:
        raise Failure(
            f"there is no run in {RUNS}{os.sep}; give a run folder, or start with: phys-samplers bench run quick"
        )
    return max(found, key=lambda folder: max((folder / name).stat().st_mtime for name in _touched(folder)))


def write_report(run: Any, out: Path | None = None) -> None:
    """Write the HTML report of a run (a folder, or what was loaded from it) and say where it is.

    A run that cannot be drawn keeps its records and tables.
    """
    try:
        path = benchmark("report").write_report(run, out)
    except OSError as error:
        note(f"no report was written: {error.filename}: {error.strerror}; say where to: bench report DIR -o ELSEWHERE")
        return
    click.echo(f"\nreport: {path}")


def _touched(folder: Path) -> list[str]:
    return ["run.json", *(name for name in ("records",) if (folder / name).is_dir())]


run_folder = click.Path(exists=True, file_okay=False, path_type=Path)
"""The type of an argument that is a run folder."""


@click.command(
    epilog=examples(
        ("phys-samplers bench status", "of the run that was written to last"),
        ("phys-samplers bench status runs/quick --json", "of this one, for other programs"),
    ),
)
@click.argument("folder", metavar="[DIR]", type=run_folder, required=False)
@json_option
def status(folder: Path | None, as_json: bool) -> None:
    """Say how far a run is: how many cells it has, and what became of them.

    DIR is a run folder; the newest one under runs/ if left out.
    """
    facts = benchmark().status(folder or newest_run())
    if as_json:
        echo_json(facts)
        return
    cells = "unknown" if facts["cells"] is None else f"{facts['cells']:,}"
    rows = [("suite", str(facts["suite"])), ("folder", str(facts["folder"])), ("cells", cells)]
    rows += [(name, f"{count:,}") for name, count in sorted(facts["counts"].items())]
    rows += [("not run yet", f"{facts['missing']:,}")] if facts["missing"] else []
    if facts["seconds_left"]:
        rows.append(("time left", benchmark("plan").in_words(facts["seconds_left"])))
    rows += [("left by earlier code", f"{facts['stale']:,}")] if facts["stale"] else []
    rows += [("damaged", f"{damage['file']}: {damage['reason']}") for damage in facts["damaged"]]
    click.echo(table(rows))


@click.command(
    epilog=examples(
        ("phys-samplers bench report", "of the run that was written to last"),
        ("phys-samplers bench report runs/quick --metric all", "every metric"),
        ("phys-samplers bench report runs/quick --markdown > scores.md", "for a README"),
    ),
)
@click.argument("folder", metavar="[DIR]", type=run_folder, required=False)
@click.option("--metric", help="Show this metric instead of each task's first one; 'all' for all of them.")
@click.option("--markdown", is_flag=True, help="Print Markdown, and write no HTML.")
@click.option(
    "-o",
    "--out",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the report here instead.",
)
def report(folder: Path | None, metric: str | None, markdown: bool, out: Path | None) -> None:
    """Print the tables of a run, and write its HTML report.

    DIR is a run folder; the newest one under runs/ if left out. Everything is computed from the records alone.
    """
    chosen = folder or newest_run()
    results = benchmark().load(chosen)
    if markdown:
        click.echo(results.table(metric, fmt="github"))
        return
    click.echo(results.table(metric, width=terminal_width(otherwise=100)))
    write_report(results, out)


@click.command(
    epilog=examples(
        ("phys-samplers bench export runs/quick --csv > scores.csv", "every score of every cell"),
        ("phys-samplers bench export runs/quick --parquet -o scores.parquet", "typed, for pandas, R or DuckDB"),
    ),
)
@click.argument("folder", metavar="[DIR]", type=run_folder, required=False)
@click.option("--csv", "form", flag_value="csv", default="csv", help="Comma-separated values.  [default]")
@click.option("--json", "form", flag_value="json", help="JSON: a list of rows; what is not known is null.")
@click.option("--parquet", "form", flag_value="parquet", help="Parquet; needs -o and the package pyarrow.")
@click.option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Instead of stdout.")
def export(folder: Path | None, form: str, out: Path | None) -> None:
    """Write the scores of a run as one long table: a row per (task, sampler, seed, metric).

    DIR is a run folder; the newest one under runs/ if left out.
    """
    frame = benchmark().load(folder or newest_run()).frame
    if form == "parquet":
        if out is None:
            raise Failure("parquet is no text; say where to write it: --parquet -o scores.parquet")
        try:
            frame.to_parquet(out)
        except ImportError as error:
            raise Failure("parquet needs the package pyarrow: pip install pyarrow; or take --csv") from error
        return
    text = frame.to_csv(index=False) if form == "csv" else frame.to_json(orient="records", indent=1, force_ascii=False)
    if out is None:
        click.echo(text.rstrip("\n"))
    else:
        out.write_text(text, encoding="utf-8")


_COLOURS = {"better": "green", "worse": "red", **{f"failed in {run}": "red" for run in ("first", "second", "both")}}
_HEADERS = ("task", "sampler", "metric", "first", "second", "difference", "95 % interval", "seeds", "verdict")


def _known(value: float, form: str) -> str:
    return "–" if value != value else format(value, form)


@click.command(
    epilog=examples(
        ("phys-samplers bench compare runs/before runs/after", "each task's first metric"),
        ("phys-samplers bench compare runs/before runs/after --metric all", "every metric"),
        ("phys-samplers bench compare runs/mine --with reference", "ranked beside results that ship with the package"),
    ),
)
@click.argument("first", type=run_folder)
@click.argument("second", type=run_folder, required=False)
@click.option(
    "--with",
    "reference",
    metavar="reference|FILE",
    help="Instead of SECOND: the results of the suite that ship with the package, or a file of such.",
)
@click.option("--metric", help="This metric instead of each task's first one; 'all' for all of them.")
@json_option
def compare(first: Path, second: Path | None, reference: str | None, metric: str | None, as_json: bool) -> None:
    """Say what changed from run FIRST to run SECOND, paired by seed; or rank FIRST beside a reference.

    The difference is second minus first; for metrics whose best value is not the lowest or highest, that of the
    distances from it. 'better' and 'worse' need three seeds and a paired t test at 5 %, after Holm's correction over
    the rows of the table; else the verdict is 'unclear'.
    """
    api = benchmark()
    if (second is None) == (reference is None):
        raise click.UsageError("give a second run, or --with reference")
    if second is None:
        beside = benchmark("reference_runs").with_reference(
            api.load(first), None if reference == "reference" else reference
        )
        if as_json:
            click.echo(beside.frame.to_json(orient="records", indent=1, force_ascii=False))
        else:
            click.echo(beside.table(metric, width=terminal_width(otherwise=100)))
        return
    runs = api.load(first), api.load(second)
    rows = api.compare(*runs, metric=metric or "primary").to_dict("records")
    if as_json:
        echo_json([{key: None if value != value else value for key, value in row.items()} for row in rows])
    elif not rows:
        click.echo("the runs have no scored cell in common")
    else:
        lines = [
            (
                row["task"],
                row["sampler"],
                row["metric"],
                _known(row["mean_first"], ".4g"),
                _known(row["mean_second"], ".4g"),
                _known(row["difference"], "+.3g"),
                f"[{row['low']:.3g}, {row['high']:.3g}]" if row["pairs"] > 1 else "–",
                str(row["pairs"]),
                row["verdict"],
            )
            for row in rows
        ]
        click.echo(table(lines, _HEADERS, paint=_COLOURS))
    if not as_json:
        for which, run, other in (("first", *runs), ("second", *reversed(runs))):
            alone = [name for name in run.samplers if name not in other.samplers]
            if alone:
                failed = {name for name in alone if not any(c.status == "ok" for c in run.cells if c.sampler == name)}
                named = ", ".join(f"{name} (failed everywhere)" if name in failed else name for name in alone)
                click.echo(printable(f"\nonly in the {which} run: {named}"))


@click.command(
    epilog=examples(
        ("phys-samplers bench reference runs/quick -o quick.json", "for others: bench compare RUN --with quick.json"),
    ),
)
@click.argument("folder", metavar="DIR", type=run_folder)
@click.option(
    "-o", "--out", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False), help="Instead of the package."
)
def reference(folder: Path, out: Path | None) -> None:
    """Write the reference of a whole run: scores, floors and costs, with the machine and the versions.

    Without -o it is written to where it ships with the package.
    """
    if out is not None and out.suffix != ".json":
        raise Failure(f"-o {str(out)!r} has the suffix {out.suffix!r}; expected .json")
    path = benchmark("reference_runs").write_reference(benchmark().load(folder), out)
    click.echo(f"reference: {path} ({path.stat().st_size / 1024:.0f} KiB)")


@click.command(
    epilog=examples(
        ("phys-samplers bench merge runs/laptop runs/cluster -o runs/all", "the union of two runs"),
        ("phys-samplers bench merge runs/old runs/new -o runs/all --on-conflict last", "the newer record wins"),
    ),
)
@click.argument("runs", metavar="DIR...", nargs=-1, required=True, type=run_folder)
@click.option(
    "-o", "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder for the union."
)
@click.option(
    "--on-conflict",
    type=click.Choice(["error", "first", "last"]),
    default="error",
    show_default=True,
    help="Which run's record is kept where records of one cell differ.",
)
@click.option("--no-report", is_flag=True, help="Write no HTML report.")
def merge(runs: tuple[Path, ...], out: Path, on_conflict: str, no_report: bool) -> None:
    """Write the union of several runs to a new folder.

    The runs themselves stay as they are. Cells that differ between runs are an error unless --on-conflict says which
    one is kept.
    """
    results = benchmark().merge(*runs, out=out, on_conflict=on_conflict)
    click.echo(results.table(width=terminal_width(otherwise=100)))
    if no_report:
        click.echo(f"\nrecords: {out}")
    else:
        write_report(out)
