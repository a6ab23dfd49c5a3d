"""``judge``: several samplers on one density, and which of them to trust."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from phys_registry.errors import one_line
from phys_samplers.cli.output import Failure
from phys_samplers.cli.words import choose_device, device_option, make, seed_option
from phys_samplers.layout import examples

if TYPE_CHECKING:
    from phys_samplers.target import Target


@click.command(
    epilog=examples(
        ("phys-samplers judge gmm9", "a task of the benchmark"),
        ("phys-samplers judge mine.py:log_density --dim 2", "your function (B, 2) -> (B,)"),
        ("phys-samplers judge mine.py:target --scale 50", "a wide density"),
        ("phys-samplers judge mine.py:rate --dim 1 --support positive", "one with a border"),
        ("phys-samplers judge mine.py:target -s hmc -s smc", "two samplers only"),
        ("phys-samplers judge mine.py:target -o samples.npy", "keep the samples"),
    ),
)
@click.argument("density", metavar="DENSITY")
@click.option("--dim", type=click.IntRange(min=1), help="Coordinates of the density, for a plain function.")
@click.option(
    "--support",
    metavar="SUPPORT",
    help="Where a plain function has density: positive, LOW:HIGH, circle, simplex; a comma between coordinates.",
)
@click.option(
    "-s", "--sampler", "samplers", multiple=True, metavar="SAMPLER", help="Run this one; repeatable. Default: six."
)
@click.option("-n", "count", type=click.IntRange(min=200), default=2_000, show_default=True, help="Samples of each.")
@click.option("--scale", type=click.FloatRange(min=0, min_open=True), help="Standard deviation of starting points.")
@click.option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the samples to keep here.")
@seed_option
@device_option
def judge(
    density: str,
    dim: int | None,
    support: str | None,
    samplers: tuple[str, ...],
    count: int,
    scale: float | None,
    out: Path | None,
    seed: int,
    device: str,
) -> None:
    """Sample DENSITY by several samplers, estimate log Z, and say which of them to trust and why.

    DENSITY is a task, or FILE.py:NAME, where NAME is a log-density (B, D) -> (B,), a torch distribution, or a target.
    Nothing needs to be known of it: estimates of log Z, Stein's identities and two-sample tests decide.
    """
    from phys_samplers.judging import DEFAULT_SAMPLERS
    from phys_samplers.judging import judge as run

    if out is not None:
        from phys_samplers.cli.data import check_writable

        check_writable(out)
    target = _target(density, dim, support)
    asked = samplers or DEFAULT_SAMPLERS

    def announce(text: str) -> None:
        place = f" ({asked.index(text) + 1} of {len(asked)})" if text in asked else ""
        click.echo(f"{text}{place} ...", err=True)

    verdict = run(target, asked, n=count, seed=seed, scale=scale, device=choose_device(device), announce=announce)
    click.echo(verdict.table())
    if out is not None:
        _write(out, verdict)
    if verdict.samples is None:
        click.get_current_context().exit(1)


def _write(out: Path, verdict: Any) -> None:
    from phys_samplers.cli.data import write_samples

    if verdict.samples is None:
        raise Failure(f"no sampler is to be trusted, so nothing was written to {str(out)!r}")
    write_samples(out, verdict.samples, {"target": verdict.target, "sampler": verdict.recommended})
    click.echo(f"\nsamples of {verdict.recommended} written to {out}")


def _target(text: str, dim: int | None, support: str | None) -> Target:
    """A task by name, or what a Python file holds; ``support`` goes with a function alone.

    Raises:
        Failure: naming what cannot be read.
    """
    file, colon, name = text.rpartition(":")
    found = _attribute(Path(file), name) if colon and file.endswith(".py") else make("task", text)
    return as_target(found, dim, text, support)


def _attribute(file: Path, name: str) -> Any:
    if not file.is_file():
        raise Failure(f"{str(file)!r} is not a file; expected a task, or FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(f"_density_{file.stem}", file)  # a name that shadows nothing
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up their annotations
    try:
        spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's file does, SystemExit included
        raise Failure(f"{str(file)!r} cannot be run: {one_line(error)}") from error
    if not hasattr(module, name):
        public = ", ".join(key for key in vars(module) if not key.startswith("_")) or "nothing"
        raise Failure(f"{str(file)!r} has no {name!r}; it has {public}")
    return getattr(module, name)


def as_target(found: Any, dim: int | None, text: str, support: str | None = None) -> Target:
    """A target from a target, a torch distribution or a function.

    Raises:
        Failure: if it is none of these, a function without ``dim``, or something else with ``support``.
    """
    import torch

    from phys_samplers.target import Density, Target

    if support and isinstance(found, Target | torch.distributions.Distribution):
        raise Failure(f"--support is {support!r}, but {text} is no plain function and has its own; leave it out")
    if isinstance(found, Target):
        return found
    if isinstance(found, torch.distributions.Distribution):
        return Density(found, name=text)
    if not callable(found):
        raise Failure(f"{text} is a {type(found).__name__}; expected a log-density, a torch distribution or a target")
    if dim is None:
        raise Failure(f"{text} is a function; say with --dim how many coordinates its argument (B, D) has")
    each = support.split(",") if support and "," in support else support
    return Density(found, (dim,), support=each, name=text)
