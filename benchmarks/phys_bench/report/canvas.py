"""Figures without global state: one look, one colour and marker per sweep of samplers over all figures of a run.

A sweep is what samplers are that differ in their number of sampling steps alone: one line of a chart and one colour.
"""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from phys_bench.canonical import canonical_text
from phys_bench.cells import Cell, Cells
from phys_registry import SpecError, parse_spec

INK = "#1c2430"
FAINT = "#8a94a3"
GRID = "#e3e7ee"
REFERENCE = "#4a5361"
FLOOR = "#6b7686"
TROUBLE = "#a03000"
FIELD_MAP = "viridis"
# Okabe-Ito without black and yellow (illegible on white), then four of Tol's muted colours; told apart by every
# common colour vision deficiency, and by marker as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#882255", "#117733", "#332288", "#999933")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "h")
STEPS = "sampling_steps"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Look:
    """Colour and marker of one sweep of samplers."""

    colour: str
    marker: str

    @property
    def scale(self) -> float:
        """Area factor that makes the star look as large as the other marks."""
        return 2.2 if self.marker == "*" else 1.0


@dataclass(frozen=True)
class Sweep:
    """One sampler at one or several numbers of steps.

    Args:
        label: what its members have in common; the label itself if there is one only.
        samplers: labels, fewest steps first.
    """

    label: str
    samplers: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A drawn picture and its description for readers who cannot see it."""

    figure: Figure
    alt: str


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


def looks(run: Cells) -> dict[str, Look]:
    """A look for every sweep of a run, in the order of the suite; the exact oracle is drawn in ink with a star."""
    found = {sampler: Look(INK, "*") for sampler in run.samplers}
    ranked = [run.select(sampler=sampler)[0] for sampler in run.samplers if not run.is_oracle(sampler)]
    for i, sweep in enumerate(sweeps(ranked)):
        # beyond ten sweeps colours repeat with other markers
        own = Look(COLOURS[i % len(COLOURS)], MARKERS[(i + i // len(COLOURS)) % len(MARKERS)])
        found |= dict.fromkeys(sweep.samplers, own)
    return found


def new_figure(width: float, height: float, layout: Literal["constrained"] | None = "constrained") -> Figure:
    """An empty white figure of ``width`` by ``height`` inches with an Agg canvas."""
    figure = Figure(figsize=(width, height), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, *, title: str = "", grid: bool = False, size: float = 10.0) -> Axes:
    """Give axes the common look: quiet frame, legible ticks, left-aligned title."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=size - 1, colors=INK, color=FAINT)
    if title:
        axes.set_title(title, fontsize=size + 1, loc="left", color=INK)
    if grid:
        axes.grid(True, color=GRID, linewidth=0.8)
        axes.set_axisbelow(True)
    return axes


def compact(value: float, _position: object = None) -> str:
    """A tick label without powers of ten where plain digits are short."""
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:g}"
    exponent = math.floor(math.log10(abs(value)))
    power = "10" + str(exponent).translate(_RAISED)
    factor = value / 10**exponent
    return power if math.isclose(factor, 1) else f"{factor:.2g}·{power}"


def logarithmic(values: Sequence[float]) -> bool:
    """Whether an axis of scores is logarithmic: they are positive and reach over more than a factor of four."""
    return bool(values) and min(values) > 0 and max(values) > 4 * min(values)


def log_axis(axis: Axis, low: float, high: float) -> None:
    """Ticks that leave at least two labels on a narrow logarithmic axis and few on a wide one."""
    decades = math.log10(high / low) if 0 < low < high else 0.0
    subs = (1.0,) if decades > 2.5 else (1.0, 3.0) if decades > 1.3 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=subs, numticks=12))
    axis.set_major_formatter(FuncFormatter(compact))
    axis.set_minor_locator(NullLocator())


def png(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as PNG bytes, without a date or version in it, so that equal figures give equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def image_uri(figure: Figure, *, points: bool) -> str:
    """The figure as a ``data:`` address: WebP for clouds of points and fields, SVG for lines and words."""
    buffer = io.BytesIO()
    if points:
        figure.savefig(buffer, format="webp", dpi=80, pil_kwargs={"quality": 45, "method": 4})
        kind = "webp"
    else:
        with matplotlib.rc_context({"svg.hashsalt": "phys-samplers", "svg.fonttype": "none"}):
            figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        kind = "svg+xml"
    return f"data:image/{kind};base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
