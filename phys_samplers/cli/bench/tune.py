"""``bench tune``: a suite whose samplers are tuned first, by equally many trials."""

from __future__ import annotations

from pathlib import Path

import click

from phys_samplers.cli.bench.records import RUNS, benchmark, write_report
from phys_samplers.cli.words import ComponentText, Whole, read_seeds, seed_option, split_texts
from phys_samplers.layout import examples, table, terminal_width

HEADINGS = ("task", "sampler", "metric", "as it stands", "best", "trials", "failed", "chosen")
trials_option = click.option(
    "--trials", type=Whole(min=1), default=30, show_default=True, help="Choices tried, the recipe's own included."
)
fits_option = click.option(
    "--fits", type=Whole(min=1), default=1, show_default=True, help="Fits of a trial; their mean counts."
)


@click.command(
    "tune",
    epilog=examples(
        (
            "phys-samplers bench tune quick --tasks moons --samplers edm,ddpm --trials 10",
            "then the run",
        ),
    ),
)
@click.argument("suite")
@click.option(
    "--samplers", metavar="TEXT", multiple=True, type=ComponentText("sampler"), help="Instead of the suite's."
)
@click.option("--tasks", metavar="TEXT", multiple=True, type=ComponentText("task"), help="Instead of the suite's.")
@trials_option
@fits_option
@click.option("--seeds", metavar="N", help="Of the run: number of seeds, or the seeds themselves: 0,3,7.")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Run folder.  [default: runs/SUITE-tuned]")
@click.option("--workers", type=Whole(min=1), help="Worker processes of the run.  [default: one per core]")
@click.option("-q", "--quiet", is_flag=True, help="Show no progress.")
@seed_option
def tune(
    suite: str,
    samplers: tuple[str, ...],
    tasks: tuple[str, ...],
    trials: int,
    fits: int,
    seeds: str | None,
    out: Path | None,
    workers: int | None,
    quiet: bool,
    seed: int,
) -> None:
    """Tune every sampler of SUITE on each of its tasks by equally many trials on validation rows, then run it.

    What was searched, every trial and the choice are kept in run.json.
    """
    api = benchmark()
    chosen = api.load_suite(suite)
    folder = out if out is not None else RUNS / f"{chosen.name}-tuned"
    results = api.tune(
        chosen,
        trials=trials,
        fits=fits,
        seed=seed,
        samplers=split_texts(samplers) or None,
        tasks=split_texts(tasks) or None,
        seeds=read_seeds(seeds),
        out=folder,
        workers=workers,
        progress=False if quiet else None,
        announce=(lambda text: None) if quiet else (lambda text: click.echo(text, err=True)),
    )
    searches = [benchmark("tuning").Search.from_dict(one) for one in (results.head.get("tuning") or {})["searches"]]
    click.echo(table(benchmark("tuned_suite").describe(searches), HEADINGS, width=terminal_width(otherwise=100)))
    click.echo(f"\n{results.table(width=terminal_width(otherwise=100))}")
    write_report(folder)
