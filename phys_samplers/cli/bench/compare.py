"""``bench compare`` and ``bench merge``: several runs together."""

from __future__ import annotations

from pathlib import Path

import click

from phys_samplers.cli.bench.reach import benchmark, run_folder, write_report
from phys_samplers.cli.documents import echo_json, json_option
from phys_samplers.cli.failure import Failure
from phys_samplers.layout import examples, table, terminal_width

_COLOURS = {"better": "green", "worse": "red"}
_HEADERS = ("task", "sampler", "metric", "first", "second", "difference", "95 % interval", "seeds", "verdict")


@click.command(
    epilog=examples(
        ("phys-samplers bench compare runs/before runs/after", "each task's first metric"),
        ("phys-samplers bench compare runs/before runs/after --metric all", "every metric"),
    ),
)
@click.argument("first", type=run_folder)
@click.argument("second", type=run_folder)
@click.option("--metric", help="This metric instead of each task's first one; 'all' for all of them.")
@json_option
def compare(first: Path, second: Path, metric: str | None, as_json: bool) -> None:
    """Say what changed from run FIRST to run SECOND, paired by seed.

    The difference is second minus first; for metrics whose best value is not the lowest or highest, that of the
    distances from it. Its 95 % interval is by bootstrap over seeds; a verdict that it cannot bear is 'unclear'.
    """
    api = benchmark()
    runs = [api.load(first), api.load(second)]
    frame = api.compare(*runs)
    primary = {task: runs[0].primary(task) for task in runs[0].tasks}
    known = sorted(set(frame["metric"]))
    if metric not in (None, "all", *known):
        raise Failure(f"no cell of both runs has the metric {metric!r}; they share {', '.join(known) or 'none'}")
    rows = [
        row
        for row in frame.to_dict("records")
        if metric == "all" or row["metric"] == (primary[row["task"]] if metric is None else metric)
    ]
    if as_json:
        echo_json(rows)
    elif not rows:
        click.echo("the runs have no scored cell in common")
    else:
        lines = [
            (
                row["task"],
                row["sampler"],
                row["metric"],
                f"{row['mean_first']:.4g}",
                f"{row['mean_second']:.4g}",
                f"{row['difference']:+.3g}",
                f"[{row['low']:.3g}, {row['high']:.3g}]",
                str(row["pairs"]),
                row["verdict"],
            )
            for row in rows
        ]
        click.echo(table(lines, _HEADERS, paint=_COLOURS))


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
