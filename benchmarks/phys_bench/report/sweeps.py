"""Sweeps: samplers that differ in their number of sampling steps alone are one line of a chart and one colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from phys_bench.canonical import canonical_text
from phys_registry import SpecError, parse_spec

from .view import Cell

STEPS = "sampling_steps"


@dataclass(frozen=True)
class Sweep:
    """One sampler at one or several numbers of steps.

    Args:
        label: what its members have in common; the label itself if there is one only.
        samplers: labels, fewest steps first.
    """

    label: str
    samplers: tuple[str, ...]


def sweeps(cells: Sequence[Cell]) -> list[Sweep]:
    """The samplers of ``cells`` by sweep, in order of first appearance.

    Members share the component and every option of the full recipe but ``sampling_steps``; a sampler without that
    option is alone.
    """
    groups: dict[tuple[str, str], dict[str, float]] = {}
    first: dict[str, Cell] = {}
    for cell in cells:
        first.setdefault(cell.sampler, cell)
    for sampler, cell in first.items():
        options = dict(cell.options)
        steps = options.pop(STEPS, None)
        if isinstance(steps, int | float):
            groups.setdefault((cell.component, canonical_text(options)), {})[sampler] = steps
        else:
            groups["", sampler] = {sampler: 0}
    ordered = [sorted(members, key=members.__getitem__) for members in groups.values()]
    return [Sweep(_label(members), tuple(members)) for members in ordered]


def _label(members: Sequence[str]) -> str:
    if len(members) == 1:
        return members[0]
    try:
        (spec,) = parse_spec(members[0])
    except (SpecError, ValueError):  # a label that is no component text, or stands for several
        return f"{members[0]}, …"
    return str(replace(spec, options={key: value for key, value in spec.options.items() if key != STEPS}))
