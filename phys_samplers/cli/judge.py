"""``judge``: several samplers on one density, and which of them to trust."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from phys_samplers.cli.output import Failure, note
from phys_samplers.cli.targets import density_options, find_target
from phys_samplers.cli.words import Whole, choose_device, device_option, seed_option
from phys_samplers.layout import examples


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
@density_options
@click.option(
    "-s", "--sampler", "samplers", multiple=True, metavar="SAMPLER", help="Run this one; repeatable. Default: six."
)
@click.option("-n", "count", type=Whole(min=200), default=2_000, show_default=True, help="Samples of each.")
@click.option(
    "--scale", type=click.FloatRange(min=0, min_open=True, max=1e30), help="Standard deviation of starting points."
)
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
    target = find_target(density, dim, support)
    asked = samplers or DEFAULT_SAMPLERS

    def announce(text: str) -> None:
        place = f" ({asked.index(text) + 1} of {len(asked)})" if text in asked else ""
        note(f"{text}{place} ...", colour=None)

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
    write_samples(out, verdict.samples, None, {"target": verdict.target, "sampler": verdict.recommended})
    click.echo(f"\nsamples of {verdict.recommended} written to {out}")
