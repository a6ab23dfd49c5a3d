"""``tune``: a sampler's options, chosen by trials on a task's validation rows."""

from __future__ import annotations

import shlex
from typing import Any

import click

from phys_samplers.cli.bench.records import benchmark
from phys_samplers.cli.bench.tune import HEADINGS, fits_option, trials_option
from phys_samplers.cli.output import Failure, echo_json, json_option
from phys_samplers.cli.targets import density_options
from phys_samplers.cli.words import ComponentText, read_spec, seed_option, settings_option
from phys_samplers.cli.words import make as make_component
from phys_samplers.layout import examples, table, terminal_width
from phys_samplers.own_targets import own_spec


@click.command(
    epilog=examples(
        ("phys-samplers tune edm --task moons --trials 30", "all numbers and words of the recipe"),
        ("phys-samplers tune edm --task rows.csv --vary lr=1e-4:1e-2", "one option, from where to where"),
        ("phys-samplers tune bellman-fields --task moons --vary kernel=gaussian,sliced", "a choice"),
    ),
)
@click.argument("sampler", type=ComponentText("sampler"))
@click.option(
    "--task", metavar="TASK", required=True, type=ComponentText("task"), help="A task, a file of rows, or FILE.py:NAME."
)
@density_options
@trials_option
@fits_option
@click.option("--vary", metavar="OPTION", multiple=True, help="Search this: lr, lr=1e-4:1e-2, kernel=a,b; repeatable.")
@click.option("--metric", help="Instead of the task's first one.")
@seed_option
@settings_option
@json_option
def tune(
    sampler: str,
    task: str,
    dim: int | None,
    support: str | None,
    trials: int,
    fits: int,
    vary: tuple[str, ...],
    metric: str | None,
    seed: int,
    settings: tuple[str, ...],
    as_json: bool,
) -> None:
    """Choose options of SAMPLER for a task, by trials that its validation rows judge; held-out rows are not looked at.

    Without --vary every number, switch and word of the recipe is searched but those that decide what a fit costs. Needs
    optuna: pip install 'phys-samplers[tune]'.
    """
    tuning = benchmark("tuning")
    text = str(own_spec(task, dim, support) or task)
    recipe = make_component("sampler", sampler, settings)
    made = make_component("task", text)
    if not hasattr(made, "metrics"):
        raise Failure(f"{text} is no task of the benchmark")
    search = tuning.tune(
        recipe,
        made,
        trials=trials,
        vary=vary,
        metric=metric,
        seeds=fits,
        seed=seed,
        labels=(text, sampler),
        announce=lambda number, trial: click.echo(_line(number, trials, trial), err=True),
    )
    if as_json:
        echo_json(search.to_dict())
        return
    click.echo(table(benchmark("tuned_suite").describe([search]), HEADINGS, width=terminal_width(otherwise=100)))
    if search.chosen.options:
        chosen = tuning.tuned_spec(read_spec(sampler, "sampler"), search)
        click.echo(
            f"\nfit it with:\n  phys-samplers fit {shlex.quote(str(chosen))} --task {shlex.quote(task)} -o model"
        )


def _line(number: int, trials: int, trial: Any) -> str:
    score = f"{trial.score:.4g}" if trial.score is not None else trial.reason
    options = ", ".join(f"{name}={value}" for name, value in trial.options.items()) or "as it stands"
    return f"trial {number + 1} of {trials}: {score} ({options})"
