"""``bench``, with ``bench run`` and ``bench list``: start a suite or go on with it, and the suites there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from phys_samplers.cli.bench.records import (
    RUNS,
    benchmark,
    compare,
    export,
    merge,
    reference,
    report,
    status,
    write_report,
)
from phys_samplers.cli.bench.tune import tune
from phys_samplers.cli.output import Failure, echo_json, json_option, note
from phys_samplers.cli.program import INTERRUPTED
from phys_samplers.cli.targets import density_options
from phys_samplers.cli.words import ComponentText, Whole, read_seeds, split_texts
from phys_samplers.layout import examples, table, terminal_width
from phys_samplers.own_targets import own_spec


@click.command(
    "list",
    epilog=examples(
        ("phys-samplers bench list", "what can be run"),
        ("phys-samplers bench run quick --dry-run", "what a suite consists of"),
    ),
)
@json_option
def list_suites(as_json: bool) -> None:
    """List the shipped suites; a TOML file of your own is run by its path."""
    suites = benchmark("suite").list_suites()
    if as_json:
        echo_json([suite.to_dict() for suite in suites])
        return
    rows = [
        (s.name, str(len(s.tasks)), str(len(s.samplers)), str(len(s.seeds)), f"{s.budget.seconds:g} s", s.summary)
        for s in suites
    ]
    click.echo(table(rows, ("suite", "tasks", "samplers", "seeds", "limit per cell", "summary")))


class SuiteName(click.ParamType):  # type: ignore[type-arg]  # generic in later versions
    """The name of a shipped suite, or the path of a TOML file."""

    name = "suite"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The shipped suites, or files once the word looks like a path."""
        suites = benchmark("suite").list_suites()
        items = [CompletionItem(s.name, help=s.summary) for s in suites if s.name.startswith(incomplete)]
        return items or [CompletionItem(incomplete, type="file")]


@click.command(
    epilog=examples(
        ("phys-samplers bench run quick", "into runs/quick"),
        ("phys-samplers bench run quick --dry-run", "what would be done"),
        ("phys-samplers bench run quick --tasks moons --seeds 5", "a part, with more seeds"),
        ("phys-samplers bench run quick --samplers 'bellman[kernel=gaussian,sliced],mala'", "a sweep"),
        ("phys-samplers bench run quick --tasks rows.csv --out runs/rows", "your own rows, a fifth held out"),
        (
            "phys-samplers bench run quick --tasks mine.py:f --dim 2 --samplers hmc,smc --out runs/mine",
            "your own density",
        ),
        ("phys-samplers --plugin mine.py bench run quick --samplers exact,mine --out runs/mine", "your own sampler"),
    ),
)
@click.argument("suite", type=SuiteName())
@click.option(
    "--samplers",
    metavar="TEXT",
    multiple=True,
    type=ComponentText("sampler"),
    help="Instead of the suite's; repeatable, or joined by commas.",
)
@click.option(
    "--tasks",
    metavar="TEXT",
    multiple=True,
    type=ComponentText("task"),
    help="Instead of the suite's, likewise; also your own: a file of rows, or FILE.py:NAME, a density.",
)
@density_options
@click.option("--seeds", metavar="N", help="Number of seeds, or the seeds themselves: 0,3,7.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Run folder.  [default: runs/SUITE]")
@click.option("--workers", type=Whole(min=1), help="Worker processes.  [default: one per core]")
@click.option(
    "--executor",
    metavar="NAME",
    default="auto",
    show_default=True,
    help="process: killable workers with limits; inline: this process, without limits; dask, dask:ADDRESS, slurm, "
    "slurm:slurm_partition=cpu: a cluster.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@click.option("--retry-failed", is_flag=True, help="Run failed, diverged and timed-out cells again.")
@click.option("--metric", help="Show this metric instead of each task's first one; 'all' for all of them.")
@click.option("--no-report", is_flag=True, help="Write no HTML report.")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@click.pass_context
def run(
    ctx: click.Context,
    suite: str,
    samplers: tuple[str, ...],
    tasks: tuple[str, ...],
    dim: int | None,
    support: str | None,
    seeds: str | None,
    out: Path | None,
    workers: int | None,
    executor: str,
    device: str,
    dry_run: bool,
    retry_failed: bool,
    metric: str | None,
    no_report: bool,
    quiet: bool,
) -> None:
    """Run SUITE (the name of a shipped suite, or a TOML file), print its table and write its report.

    Cells that have a record already are not run again, so an interrupted run goes on where it stopped. Texts such as
    bellman[kernel=gaussian,sliced] stand for every combination of their values.
    """
    api = benchmark()
    chosen = api.load_suite(suite)
    folder = out if out is not None else RUNS / chosen.name
    selection: dict[str, Any] = {
        "samplers": split_texts(samplers) or None,
        "tasks": [str(own_spec(text, dim, support) or text) for text in split_texts(tasks)] or None,
        "seeds": read_seeds(seeds),
        "out": folder,
        "device": device,
        "retry_failed": retry_failed,
    }
    if metric not in (None, "all"):
        _check_metric(str(metric), api.plan(chosen, **selection))
    if dry_run:
        click.echo(api.plan(chosen, **selection).table())
        return
    code = 0
    try:
        results = api.run(chosen, **selection, executor=executor, workers=workers, progress=False if quiet else None)
    except api.RunInterrupted as interruption:  # what is finished is shown all the same
        results, code = interruption.results, INTERRUPTED
        if quiet:
            click.echo(str(interruption), err=True)
    click.echo(results.table(metric, width=terminal_width(otherwise=100)))
    if not no_report and results.records:
        write_report(folder)
    else:
        click.echo(f"\nrecords: {folder}")
    if not code and not any(cell.ok for cell in results.cells):
        note("no cell of this run has a score")
        code = 1
    ctx.exit(code)


def _check_metric(label: str, plan: Any) -> None:
    """Refuse before the run what could not be shown after it."""
    known = dict.fromkeys(m.label for planned in plan.cells for m in planned.cell.pair.task.metrics)
    if label not in known:
        raise Failure(f"--metric is {label!r}; expected 'all', or one that the tasks have: {', '.join(known)}")


@click.group(
    epilog=examples(
        ("phys-samplers bench list", "the suites"),
        ("phys-samplers bench run quick", "run one; finished cells are never run again"),
        ("phys-samplers bench status", "how far it is"),
        ("phys-samplers bench report", "tables here, report.html beside the records"),
        ("phys-samplers bench export --csv", "every score, for other programs"),
        ("phys-samplers bench compare runs/a runs/b", "what changed between two runs"),
    ),
)
def bench() -> None:
    """Score samplers side by side: run suites, look at runs, compare and merge them.

    A suite is tasks × samplers × seeds; each combination is a cell with a record of its own in the run folder. A cell
    that fails, hangs or runs out of memory costs itself only.
    """


for command in (run, tune, status, report, export, compare, reference, merge, list_suites):
    bench.add_command(command)
