"""``fit``: train a sampler on a task or on data, and keep the model."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phys_samplers.cli.failure import Failure
from phys_samplers.cli.making import choose_device, device_option, make, seed_option, settings_option
from phys_samplers.cli.words import ComponentText
from phys_samplers.layout import examples, table

if TYPE_CHECKING:
    from phys_samplers.sampler import Model, Sampler
    from phys_samplers.target import Target


@click.command(
    epilog=examples(
        ("phys-samplers fit bellman --task moons -o moons", "train on a task"),
        ("phys-samplers fit 'bellman-fields[preset=paper]' --task gmm9 -o gmm9", "with a preset"),
        ("phys-samplers fit bellman --data rows.csv --set steps=500 -o mine", "on your own rows"),
        ("phys-samplers show sampler bellman", "which options there are"),
    ),
)
@click.argument("sampler", type=ComponentText("sampler"))
@click.option("--task", metavar="TASK", type=ComponentText("task"), help="The task to fit to; see: list task.")
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows to fit to instead: .csv with numeric columns, or .npy.",
)
@click.option(
    "-o", "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to save the model to."
)
@seed_option
@device_option
@settings_option
@click.option("--overwrite", is_flag=True, help="Replace a model that the folder holds.")
def fit(
    sampler: str,
    task: str | None,
    data: Path | None,
    out: Path,
    seed: int,
    device: str,
    settings: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Fit SAMPLER to a task or to data, and save the model to a folder.

    SAMPLER is a name with options, such as bellman[kernel=gaussian,preset=paper]. Where a person watches, a bar shows
    the progress; PHYS_SAMPLERS_PROGRESS=0 switches it off.
    """
    if (task is None) == (data is None):
        raise click.UsageError("give either --task TASK or --data FILE")
    _check_folder(out, overwrite)
    recipe: Sampler = make("sampler", sampler, settings)
    target = _target(task, data)
    model = recipe.fit(target, seed=seed, device=choose_device(device))
    folder = model.save(out)
    click.echo(table(_facts(sampler, model)))
    again = f" --task {shlex.quote(task or '...')}" if model.needs_target else ""
    click.echo(f"\nsaved to {folder}; draw from it with:")
    click.echo(f"  phys-samplers sample {shlex.quote(str(folder))}{again} -n 1000 -o samples.npy")


def _check_folder(out: Path, overwrite: bool) -> None:
    """Refuse before the work what would fail, or destroy something, after it."""
    if out.is_file():
        raise Failure(f"-o {str(out)!r} is a file; expected a folder for the model")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / "model.json").exists():
        raise Failure(f"-o {str(out)!r} holds other files; give a new or empty folder for the model")
    if not overwrite:
        raise Failure(f"-o {str(out)!r} holds a model already; give another folder, or --overwrite")


def _target(task: str | None, data: Path | None) -> Target:
    if data is not None:
        from phys_samplers.cli.data import read_rows
        from phys_samplers.target import Samples

        return Samples(read_rows(data), name=data.stem)
    assert task is not None
    target: Target = make("task", task)
    return target


def _facts(text: str, model: Model) -> list[tuple[str, str]]:
    shape = "×".join(map(str, model.event_shape))
    facts = [("sampler", text), ("target", f"{model.target_name} ({shape})"), ("device", str(model.device))]
    report = model.report
    if report is None:
        return [*facts, ("training", "none needed")]
    last = report.history[-1] if report.history else {}
    facts += [
        ("steps", f"{report.steps:,}"),
        ("time", f"{report.seconds:.1f} s"),
        ("parameters", f"{report.parameters:,}"),
    ]
    if "loss" in last:
        facts.append(("last loss", f"{last['loss']:.5g}"))
    if report.best_validation is not None:
        facts.append(
            ("validation", f"{report.best_validation:.5g} at step {report.best_step:,}, whose weights are kept")
        )
    return facts
