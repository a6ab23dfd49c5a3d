"""``fit`` and ``sample``: train a sampler on a task, and draw from what was trained."""

from __future__ import annotations

import inspect
import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phys_samplers.cli.output import Failure, check_folder
from phys_samplers.cli.targets import density_options, find_target
from phys_samplers.cli.words import (
    ComponentText,
    Whole,
    choose_device,
    device_option,
    log_option,
    make,
    read_loggers,
    read_settings,
    seed_option,
    settings_option,
)
from phys_samplers.layout import examples, table
from phys_samplers.own_targets import rows_of

if TYPE_CHECKING:
    from phys_samplers.sampler import Model, Sampler
    from phys_samplers.target import Target


@click.command(
    epilog=examples(
        ("phys-samplers fit bellman --task moons -o moons", "train on a task"),
        ("phys-samplers fit 'bellman-fields[preset=paper]' --task gmm9 -o gmm9", "with a preset"),
        ("phys-samplers fit bellman --task rows.csv --set steps=500 -o mine", "on your own rows"),
        ("phys-samplers fit vgs --task mine.py:log_density --dim 2 -o mine", "on your own density"),
        ("phys-samplers fit edm --task moons -o moons --checkpoint state", "again after a kill: it goes on"),
        ("phys-samplers fit edm --task moons -o moons --log run.jsonl --log wandb", "keep the curves of training"),
        ("phys-samplers show sampler bellman", "which options there are"),
    ),
)
@click.argument("sampler", type=ComponentText("sampler"))
@click.option(
    "--task",
    metavar="TASK",
    type=ComponentText("task"),
    help="What to fit to: a task (see: list task), a file of rows, or FILE.py:NAME, a density.",
)
@density_options
@click.option(
    "--data",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Rows to fit to: .csv with numeric columns, .npy, .npz or .parquet; --task takes them too.",
)
@click.option(
    "-o", "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to save the model to."
)
@seed_option
@device_option
@settings_option
@log_option
@click.option("--overwrite", is_flag=True, help="Replace a model that the folder holds.")
@click.option(
    "--checkpoint",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the state of training; the same command goes on from there after it was killed.",
)
def fit(
    sampler: str,
    task: str | None,
    data: Path | None,
    dim: int | None,
    support: str | None,
    out: Path,
    seed: int,
    device: str,
    settings: tuple[str, ...],
    logs: tuple[str, ...],
    overwrite: bool,
    checkpoint: Path | None,
) -> None:
    """Fit SAMPLER to a task or to data, and save the model to a folder.

    SAMPLER is a name with options, such as bellman[kernel=gaussian,preset=paper]. Where a person watches, a bar shows
    the progress; PHYS_SAMPLERS_PROGRESS=0 switches it off.
    """
    if (task is None) == (data is None):
        raise click.UsageError("give either --task TASK or --data FILE")
    _check_folder(out, overwrite)
    for folder in (out, *([checkpoint] if checkpoint else [])):
        check_folder(folder)
    recipe: Sampler = make("sampler", sampler, settings)
    kept: dict[str, Any] = {} if checkpoint is None else {"checkpoint": checkpoint}
    if kept and "checkpoint" not in inspect.signature(recipe.fit).parameters:
        raise Failure(f"--checkpoint is given, but {sampler!r} trains nothing that could go on; leave it out")
    target = rows_of(data) if data is not None else find_target(str(task), dim, support)
    callbacks = read_loggers(logs)
    model = recipe.fit(target, seed=seed, device=choose_device(device), callbacks=callbacks, **kept)
    folder = model.save(out)
    click.echo(table(_facts(sampler, model)))
    again = f" --task {shlex.quote(task or '...')}" if model.needs_target else ""
    form = "csv" if model.columns else "npy"  # an array has no names of columns
    click.echo(f"\nsaved to {folder}; draw from it with:")
    click.echo(f"  phys-samplers sample {shlex.quote(str(folder))}{again} -n 1000 -o samples.{form}")


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


@click.command(
    epilog=examples(
        ("phys-samplers sample moons -n 10000 -o samples.npy", "an array (10000, 2)"),
        ("phys-samplers sample moons -n 500 --seed 1 -o samples.csv", "other draws, as text"),
        ("phys-samplers sample moons -n 500 --set sampling_steps=50 -o fast.npy", "fewer steps"),
        ("phys-samplers sample chain --task moons -n 500 -o samples.npy", "of a sampler that asks the density"),
    ),
)
@click.argument("model", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-n", "count", type=Whole(min=1), required=True, help="Number of samples.")
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write: .csv or .parquet with the names of columns, .npy or .safetensors.",
)
@click.option("--task", type=ComponentText("task"), help="The model's target, where it asks the density for it.")
@density_options
@seed_option
@device_option
@settings_option
def sample(
    model: Path,
    count: int,
    out: Path,
    task: str | None,
    dim: int | None,
    support: str | None,
    seed: int,
    device: str,
    settings: tuple[str, ...],
) -> None:
    """Draw samples from the model in the folder DIR, and say what they cost.

    Equal seeds give equal samples. --set changes sampling options for this draw, such as sampling_steps=3000.
    """
    from phys_samplers.cli.data import check_writable, write_samples

    check_writable(out)
    options = read_settings(settings)
    fitted = _load(model, find_target(task, dim, support) if task else None, choose_device(device))
    began = time.perf_counter()
    draw = fitted.draw(count, seed=seed, **options)
    seconds = time.perf_counter() - began
    write_samples(out, draw.samples, fitted.columns, {"target": fitted.target_name, "seed": seed, "nfe": draw.nfe})
    shape = "×".join(map(str, draw.samples.shape))
    facts = [("samples", shape), ("NFE per sample", f"{draw.nfe:,.6g}"), ("time", f"{seconds:.2f} s")]
    click.echo(table([*facts, *_flat(draw.diagnostics)]))
    click.echo(f"\nwritten to {out}")


def _load(folder: Path, target: Target | None, device: str) -> Model:
    from phys_samplers.sampler import load

    if target is None and (name := _asks_target(folder)):
        raise Failure(
            f"the model in {str(folder)!r} asks the density of its target while it samples; add --task {name}"
        )
    fitted = load(folder, target=target, device=device)
    if target is not None and target.name != fitted.target_name:
        raise Failure(
            f"--task is {target.name!r}, but the model in {str(folder)!r} was fitted to {fitted.target_name!r}; "
            "give that"
        )
    return fitted


def _asks_target(folder: Path) -> str:
    """The name of the target that the model asks; empty if it asks none, or if ``load`` will say what is wrong."""
    from phys_samplers.checkpoint import read_metadata
    from phys_samplers.errors import CheckpointError

    try:
        facts = read_metadata(folder)
    except CheckpointError:
        return ""
    return str(facts["target"]) if facts["needs_target"] else ""


def _flat(diagnostics: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Diagnostics as rows; long lists by their length and range."""
    rows: list[tuple[str, str]] = []
    for name, value in diagnostics.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name} ")
        else:
            rows.append((f"{prefix}{name}".replace("_", " "), _text(value)))
    return rows


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list | tuple):
        numbers = all(isinstance(item, int | float) for item in value)
        if len(value) > 4 and numbers:
            return f"{len(value)} values from {_text(min(value))} to {_text(max(value))}"
        return ", ".join(map(_text, value))
    return str(value)
