"""Charts that answer: Vega-Lite beside the pictures, with values under the pointer and axes that zoom.

The scripts come with the package vl-convert (the extra ``report``) and are written into the page, so that it needs no
network. Without that package, without scripts, on a phone and on paper the pictures are there instead.
"""

from __future__ import annotations

import base64
import gzip
import importlib.metadata
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import platformdirs
from markupsafe import Markup

from phys_bench.cells import Cells, Floor
from phys_bench.statistics import band
from phys_samplers.atomic import write_atomically

from .canvas import FLOOR, GRID, INK, Look, logarithmic
from .charts import COSTS, chart_sweeps, cost_points, curves, middle

Spec = dict[str, Any]

MOST_PANELS = 12
"""Tasks of a leaderboard that a browser draws without waiting; of more there is the picture alone."""
MOST_MARKS = 4_000
"""Seeds of one chart beyond which their means are drawn alone."""
SHAPES = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down", "P": "cross",
    "<": "triangle-left", ">": "triangle-right", "h": "M0-1L.87-.5L.87.5L0 1L-.87.5L-.87-.5Z",
    "X": "M-1-.6L-.6-1L0-.4L.6-1L1-.6L.4 0L1 .6L.6 1L0 .4L-.6 1L-1 .6L-.4 0Z",
    "*": "M0-1L.24-.32L.95-.31L.38.12L.59.81L0 .4L-.59.81L-.38.12L-.95-.31L-.24-.32Z",
}  # fmt: skip
HIDDEN = {"filter": "indexof(hidden, datum.sampler) < 0"}
"""The signal ``hidden`` holds the samplers whose boxes on the page are not ticked."""
CONFIG: Spec = {
    "background": None, "font": "system-ui, sans-serif", "view": {"stroke": None},
    "axis": {"labelColor": INK, "titleColor": INK, "titleFontWeight": "normal", "gridColor": GRID, "labelLimit": 0},
    "title": {"anchor": "start", "color": INK}, "legend": {"labelLimit": 0, "title": None},
}  # fmt: skip


@cache
def library() -> Markup | None:
    """Vega, Vega-Lite and their embedding as gzip in base64, for a browser to unpack; None without vl-convert.

    Bundling takes seconds, so the result is kept in the user's cache where that can be written.
    """
    try:
        version = importlib.metadata.version("vl-convert-python")
    except importlib.metadata.PackageNotFoundError:
        return None
    kept = Path(platformdirs.user_cache_dir("phys-samplers")) / "vega" / f"{version}.txt"
    with suppress(OSError, UnicodeError):
        text = kept.read_text(encoding="ascii")
        if re.fullmatch("[A-Za-z0-9+/]+=*", text):
            return Markup(text)
    import vl_convert

    script = gzip.compress(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").encode(), 9, mtime=0)
    text = base64.b64encode(script).decode("ascii")
    with suppress(OSError):  # else the next report bundles again
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, text.encode("ascii"))
    return Markup(text)


def embedded(spec: Spec | None) -> Markup | None:
    """A chart as JSON that no text in it can end; None without a chart, or without the scripts that would draw it.

    None also where numbers are infinite, as ends of intervals of huge scores are: the picture cuts them.
    """
    if spec is None or library() is None:
        return None
    try:
        text = json.dumps({"config": CONFIG, "params": [{"name": "hidden", "value": []}], **spec}, allow_nan=False)
    except ValueError:
        return None
    return Markup(text.replace("<", "\\u003c"))


def leaderboard_spec(run: Cells, look: Mapping[str, Look]) -> Spec | None:
    """Primary score of every sampler on every task with 95 % intervals, as in the picture."""
    order = [row.sampler for row in run.standings]
    tasks = run.tasks
    if not order or not 0 < len(tasks) <= MOST_PANELS:
        return None
    columns = len(tasks) if len(tasks) <= 4 else 3
    panels = [_leaderboard_panel(run, task, order, look, named=i % columns == 0) for i, task in enumerate(tasks)]
    return {"columns": columns, "concat": panels}


def _leaderboard_panel(run: Cells, task: str, order: list[str], look: Mapping[str, Look], *, named: bool) -> Spec:
    metric = run.primary(task)
    floor = run.floor(task, metric)
    rows = []
    for sampler in order:
        value = run.estimate(task, sampler, metric)
        if value is None or not math.isfinite(value.mean):
            continue
        row: Spec = {"sampler": sampler, "mean": value.mean, "seeds": value.count}
        if value.count > 1:
            row |= {"low": value.low, "high": value.high, "interval": f"[{value.low:.4g}, {value.high:.4g}]"}
        if floor is not None and floor.mean > 0 < value.mean:
            row["floors"] = f"{value.mean / floor.mean:.3g}"
        rows.append(row)
    means = [row["mean"] for row in rows] + ([floor.mean] if floor else [])
    least = min(means, default=1.0)
    logs = logarithmic(means)
    scale = _scale(logs)
    if logs:  # an interval that reaches below zero is cut where the axis ends, as in the picture
        for row in rows:
            if "low" in row:
                row["low"] = max(row["low"], 0.4 * least)
    y = {
        "field": "sampler", "type": "nominal", "sort": order, "scale": {"domain": order},
        "axis": {"title": None, "labels": named, "ticks": False, "domain": False},
    }  # fmt: skip
    x = {"type": "quantitative", "scale": scale, "axis": {"tickCount": 4, "labelOverlap": True, **_digits(logs)}}
    tooltip = [("sampler", "sampler", {}), ("mean", metric, {"format": ".4g"}), ("interval", "95 % interval", {})]
    tooltip += [("floors", "times the floor", {}), ("seeds", "seeds", {})]
    layers: list[Spec] = [
        *_floor_layers(floor, "x", scale),
        {
            "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.6},
            "transform": [HIDDEN, {"filter": "isValid(datum.low)"}],
            "encoding": {"x": {**x, "field": "low"}, "x2": {"field": "high"}, "y": y, "color": _colour(look)},
        },
        {
            "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1},
            "transform": [HIDDEN],
            "encoding": {
                "x": {**x, "field": "mean", "title": metric}, "y": y, "color": _colour(look), "shape": _shape(look),
                "tooltip": _tooltip(tooltip),
            },
        },
    ]  # fmt: skip
    height = 22 * len(order)
    return {"title": task, "width": 190, "height": height, "data": {"values": rows}, "layer": layers}


def cost_spec(run: Cells, task: str, look: Mapping[str, Look]) -> Spec | None:
    """Primary score against each cost: a small mark a seed, a large one their mean, sweeps joined; axes zoom."""
    points = {index: found for index in range(len(COSTS)) if (found := cost_points(run, task, index))}
    if not points:
        return None
    metric, floor = run.primary(task), run.floor(task, run.primary(task))
    heights = [y for found in points.values() for row in found.values() for _, y in row]
    logs = logarithmic(heights + ([floor.mean] if floor else []))
    scale = _scale(logs)
    y = {"field": "score", "type": "quantitative", "title": metric, "scale": scale, "axis": _digits(logs)}
    named, grey = chart_sweeps(run, task)
    shown = {name: own for name, own in look.items() if any(name in found for found in points.values())}
    legend = {"orient": "bottom", "columns": 4, "symbolSize": 80, "symbolOpacity": 1}
    colour, shape = _colour(shown, greyed=grey) | {"legend": legend}, _shape(shown) | {"legend": legend}
    panels = []
    for index, found in points.items():
        seeds = [{"sampler": name, "cost": x, "score": at} for name, row in found.items() for x, at in row]
        means = [
            {"sampler": name, "sweep": sweep.label, "cost": x, "score": at, "seeds": len(found[name])}
            for sweep in named
            for name in sweep.samplers
            if name in found
            for x, at in [middle(found[name])]
        ]
        x = {
            "field": "cost", "type": "quantitative", "title": COSTS[index][0],
            "scale": {"type": "log", "nice": False, "padding": 15},
            "axis": {"tickCount": 6, "format": "~s", "labelOverlap": True},
        }  # fmt: skip
        tooltip = [
            ("sampler", "sampler", {}),
            ("score", metric, {"format": ".4g"}),
            ("cost", "cost", {"format": ".4g"}),
        ]
        layers: list[Spec] = [
            *_floor_layers(floor, "y", scale),
            {
                "data": {"values": seeds if len(seeds) <= MOST_MARKS else []}, "transform": [HIDDEN],
                "params": [{"name": f"zoom{index}", "select": "interval", "bind": "scales"}],
                "mark": {"type": "point", "filled": True, "size": 25, "opacity": 0.4},
                "encoding": {"x": x, "y": y, "color": colour, "tooltip": _tooltip(tooltip)},
            },
            {
                "data": {"values": means}, "transform": [HIDDEN], "mark": {"type": "line", "strokeWidth": 1.6},
                "encoding": {"x": x, "y": y, "detail": {"field": "sweep"}, "color": colour},
            },
            {
                "data": {"values": means}, "transform": [HIDDEN],
                "mark": {"type": "point", "filled": True, "size": 90, "opacity": 1, "stroke": "white"},
                "encoding": {
                    "x": x, "y": y, "color": colour, "shape": shape,
                    "tooltip": _tooltip([*tooltip, ("seeds", "mean of seeds", {})]),
                },
            },
        ]  # fmt: skip
        panels.append({"width": 330, "height": 300, "layer": layers})
    return {"hconcat": panels}


def learning_spec(run: Cells, task: str, look: Mapping[str, Look]) -> Spec | None:
    """Interquartile mean of the greedy return with its interval against environment steps; axes zoom."""
    rows = []
    for sampler, (steps, members) in curves(run, task).items():
        for step, centre, low, high in zip(steps, *band(members), strict=True):
            row = {"step": float(step), "middle": float(centre), "low": float(low), "high": float(high)}
            if all(map(math.isfinite, row.values())):
                rows.append({"sampler": sampler, **row})
    if not rows or len(rows) > MOST_MARKS:
        return None
    x = {"field": "step", "type": "quantitative", "title": "environment steps"}
    y = {"type": "quantitative", "scale": {"zero": False}}
    tooltip = [
        ("sampler", "sampler", {}),
        ("step", "environment steps", {}),
        ("middle", "greedy return", {"format": ".4g"}),
    ]
    tooltip += [("low", "95 % from", {"format": ".4g"}), ("high", "to", {"format": ".4g"})]
    legend = _colour(look) | {"legend": {"orient": "right"}}
    return {
        "width": 620, "height": 330, "data": {"values": rows}, "transform": [HIDDEN],
        "layer": [
            {
                "mark": {"type": "area", "opacity": 0.15},
                "encoding": {"x": x, "y": {**y, "field": "low"}, "y2": {"field": "high"}, "color": legend},
            },
            {
                "mark": {"type": "line", "strokeWidth": 1.8},
                "params": [{"name": "zoom", "select": "interval", "bind": "scales"}],
                "encoding": {"x": x, "y": {**y, "field": "middle", "title": "greedy return"}, "color": legend},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 40, "opacity": 0.01},
                "encoding": {"x": x, "y": {**y, "field": "middle"}, "color": legend, "tooltip": _tooltip(tooltip)},
            },
        ],
    }  # fmt: skip


def _scale(logs: bool) -> Spec:
    """Of an axis of scores, logarithmic or not."""
    return {"type": "log", "nice": False, "padding": 8} if logs else {"zero": False}


def _digits(logs: bool) -> Spec:
    """Ticks of a logarithmic axis in plain digits; a linear one knows how many it needs."""
    return {"format": ".3~g"} if logs else {}


def _floor_layers(floor: Floor | None, axis: str, scale: Spec) -> list[Spec]:
    """A dashed line at the floor and a band of one standard deviation on the axis of scores."""
    if floor is None or not math.isfinite(floor.mean):
        return []
    line: Spec = {
        "data": {"values": [{"at": floor.mean}]}, "mark": {"type": "rule", "strokeDash": [5, 3], "color": FLOOR},
        "encoding": {axis: {"field": "at", "type": "quantitative", "scale": scale}},
    }  # fmt: skip
    low, high = floor.mean - floor.std, floor.mean + floor.std
    if not floor.std > 0 or (scale.get("type") == "log" and low <= 0):
        return [line]
    ends = {axis: {"field": "low", "type": "quantitative", "scale": scale}, f"{axis}2": {"field": "high"}}
    mark = {"type": "rect", "color": FLOOR, "opacity": 0.15}
    return [{"data": {"values": [{"low": low, "high": high}]}, "mark": mark, "encoding": ends}, line]


def _colour(look: Mapping[str, Look], greyed: Iterable[str] = ()) -> Spec:
    grey = set(greyed)
    shades = [FLOOR if sampler in grey else own.colour for sampler, own in look.items()]
    scale = {"domain": list(look), "range": shades}
    return {"field": "sampler", "type": "nominal", "scale": scale, "legend": None}


def _shape(look: Mapping[str, Look]) -> Spec:
    scale = {"domain": list(look), "range": [SHAPES[own.marker] for own in look.values()]}
    return {"field": "sampler", "type": "nominal", "scale": scale, "legend": None}


def _tooltip(parts: Sequence[tuple[str, str, Spec]]) -> list[Spec]:
    return [
        {"field": field, "title": title, "type": "quantitative" if "format" in more else "nominal", **more}
        for field, title, more in parts
    ]
