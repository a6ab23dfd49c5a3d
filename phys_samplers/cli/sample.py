"""``sample``: draw from a saved model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phys_samplers.cli.failure import Failure
from phys_samplers.cli.making import choose_device, device_option, make, read_settings, seed_option, settings_option
from phys_samplers.cli.words import ComponentText
from phys_samplers.layout import examples, table

if TYPE_CHECKING:
    from phys_samplers.sampler import Model


@click.command(
    epilog=examples(
        ("phys-samplers sample moons -n 10000 -o samples.npy", "an array (10000, 2)"),
        ("phys-samplers sample moons -n 500 --seed 1 -o samples.csv", "other draws, as text"),
        ("phys-samplers sample moons -n 500 --set sampling_steps=50 -o fast.npy", "fewer steps"),
        ("phys-samplers sample chain --task moons -n 500 -o samples.npy", "of a sampler that asks the density"),
    ),
)
@click.argument("model", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-n", "count", type=click.IntRange(min=1), required=True, help="Number of samples.")
@click.option(
    "-o",
    "--out",
    metavar="FILE",
    required=True,
    type=click.Path(path_type=Path),
    help="File to write: .npy, .csv or .safetensors.",
)
@click.option("--task", type=ComponentText("task"), help="The model's target, where it asks the density for it.")
@seed_option
@device_option
@settings_option
def sample(
    model: Path, count: int, out: Path, task: str | None, seed: int, device: str, settings: tuple[str, ...]
) -> None:
    """Draw samples from the model in the folder DIR, and say what they cost.

    Equal seeds give equal samples. --set changes sampling options for this draw, such as sampling_steps=3000.
    """
    from phys_samplers.cli.data import check_writable, write_samples

    check_writable(out)
    options = read_settings(settings)
    fitted = _load(model, task, choose_device(device))
    began = time.perf_counter()
    draw = fitted.draw(count, seed=seed, **options)
    seconds = time.perf_counter() - began
    write_samples(out, draw.samples, {"target": fitted.target_name, "seed": seed, "nfe": draw.nfe})
    shape = "×".join(map(str, draw.samples.shape))
    facts = [("samples", shape), ("NFE per sample", f"{draw.nfe:,.6g}"), ("time", f"{seconds:.2f} s")]
    click.echo(table([*facts, *_flat(draw.diagnostics)]))
    click.echo(f"\nwritten to {out}")


def _load(folder: Path, task: str | None, device: str) -> Model:
    from phys_samplers.checkpoint import load

    if task is None and (name := _asks_target(folder)):
        raise Failure(
            f"the model in {str(folder)!r} asks the density of its target while it samples; add --task {name}"
        )
    return load(folder, target=make("task", task) if task is not None else None, device=device)


def _asks_target(folder: Path) -> str:
    """The name of the target that the model asks; empty if it asks none, or if ``load`` will say what is wrong."""
    try:
        facts = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        return str(facts["target"]) if facts["needs_target"] else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


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
