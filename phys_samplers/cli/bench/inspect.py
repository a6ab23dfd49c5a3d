"""``bench status`` and ``bench report``: look at a run."""

from __future__ import annotations

from pathlib import Path

import click

from phys_samplers.cli.bench.reach import benchmark, newest_run, run_folder, write_report
from phys_samplers.cli.documents import echo_json, json_option
from phys_samplers.layout import examples, table, terminal_width


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
def report(folder: Path | None, metric: str | None, markdown: bool) -> None:
    """Print the tables of a run, and write its HTML report.

    DIR is a run folder; the newest one under runs/ if left out. Everything is computed from the records alone.
    """
    chosen = folder or newest_run()
    results = benchmark().load(chosen)
    if markdown:
        click.echo(results.table(metric, fmt="github"))
        return
    click.echo(results.table(metric, width=terminal_width(otherwise=100)))
    write_report(chosen)
