"""A judgement as text."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from phys_samplers.cli.layout import table

if TYPE_CHECKING:
    from phys_samplers.judging.verdict import Judgement, Opinion

HEADINGS = ("sampler", "verdict", "log Z", "draws", "R̂", "∇E", "E", "s", "why")


def text(judgement: Judgement, width: int | None = None) -> str:
    """A row per sampler, then the summary.

    ``draws``: effective independent draws; ``∇E`` and ``E``: energy gradients, and energies without a gradient, per
    sample with training included; ``s``: seconds.
    """
    rows = [_row(opinion) for opinion in judgement.opinions]
    found = judgement.log_z
    total = "" if found is None else f"log Z = {found[0]:.3f} ± {found[1]:.3f}. "
    return f"{table(rows, HEADINGS, width=width)}\n\n{total}{judgement.summary}"


def _row(opinion: Opinion) -> tuple[str, ...]:
    run = opinion.evidence
    name = opinion.verdict
    if not run.finished:
        return (run.sampler, name, "", "", "", "", "", f"{run.seconds:.1f}", opinion.why)
    return (
        run.sampler,
        name,
        "–" if run.log_z is None else _estimate(run.log_z, run.log_z_std),
        "–" if run.effective is None else f"{run.effective:,.0f}",
        "–" if run.rhat is None else f"{run.rhat:.2f}",
        f"{run.gradients:,.0f}",
        f"{run.densities:,.0f}",
        f"{run.seconds:.1f}",
        opinion.why,
    )


def _estimate(value: float, std: float) -> str:
    return f"{value:.3f} ± {std:.3f}" if math.isfinite(std) else f"{value:.3f}"
