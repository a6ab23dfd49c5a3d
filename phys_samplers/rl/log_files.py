"""Files of logged transitions, and what is shown of the policy judged from one."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.reading import as_path, read_npz
from phys_samplers.rl.agent import Agent
from phys_samplers.rl.law_solve import Log
from phys_samplers.rl.logged import Judged, worst_mean

COLUMNS = ("observation", "reward", "terminal", "next_observation", "action", "weight", "episode", "truncated")
"""Of a file of transitions; see ``read_log``."""


MOST_STATES = 10_000
WHOLE = ("terminal", "truncated", "action", "episode")
"""Columns of integers, or of yes and no."""
MOST_AXES = {"observation": 8, "next_observation": 8, "reward": 2}
"""Of columns that may hold more than a number a row."""


def read_log(path: str | Path) -> dict[str, Tensor]:
    """The columns of a ``.npz`` file of transitions (N, …), in the order in which they happened.

    ``observation`` numbers (N, F) or integers (N,); ``reward`` (N,) or (N, M); ``terminal`` (N,), an end of the
    episode's own; and, as far as they are there: ``next_observation``, else the next row's observation, in which case
    rows that nothing follows (the last one, and those ``truncated`` by a time limit) are left out; ``action`` integers
    (N,); ``weight`` (N,); ``episode`` numbers (N,), else counted by ``terminal`` and ``truncated``.

    Raises:
        ConfigurationError: naming what is missing or does not fit.
    """
    columns = read_npz(as_path(path, "the file of a log"))
    missing = [name for name in ("observation", "reward", "terminal") if name not in columns]
    if missing or (unknown := sorted(set(columns) - set(COLUMNS))):
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
        raise ConfigurationError(f"{path} {wrong}; expected columns among {', '.join(COLUMNS)}")
    for name, value in columns.items():
        if value.ndim == 0:
            raise ConfigurationError(f"column {name!r} of {path} is one value; expected rows")
    sizes = {name: len(value) for name, value in columns.items()}
    if len(set(sizes.values())) != 1:
        raise ConfigurationError(f"the columns of {path} have {sizes} rows; expected as many of each")
    rows: dict[str, Tensor] = {}
    for name, value in columns.items():
        if value.dtype.kind not in "biuf" or value.dtype.itemsize > 8:
            raise ConfigurationError(f"column {name!r} of {path} has dtype {value.dtype}; expected numbers")
        most = MOST_AXES.get(name, 1)
        if value.ndim > most or value.size == 0:
            expected = f"rows, with at most {most} axes" if most > 1 else "one number a row"
            raise ConfigurationError(f"column {name!r} of {path} has shape {value.shape}; expected {expected}")
        if name in WHOLE and not (np.isfinite(value).all() and (np.abs(value.astype(float)) < 2**53).all()):
            raise ConfigurationError(f"column {name!r} of {path} holds numbers that are no integers below 2^53")
        native = value.astype(np.float32 if value.dtype == bool and name == "observation" else value.dtype)
        native = native.astype(native.dtype.newbyteorder("="))
        kind = {"terminal": bool, "truncated": bool, "action": np.int64, "episode": np.int64}.get(name)
        rows[name] = torch.from_numpy(native.astype(kind) if kind else native)
    ended = rows["terminal"] | rows.pop("truncated", torch.zeros(len(rows["terminal"]), dtype=torch.bool))
    if "episode" not in rows:
        rows["episode"] = ended.long().cumsum(0) - ended.long()
    if "next_observation" not in rows:
        rows["next_observation"] = rows["observation"].roll(-1, 0)
        follows = torch.cat((rows["episode"][1:] == rows["episode"][:-1], torch.tensor([False])))
        whole = rows["terminal"] | (follows & ~ended)
        rows = {name: value[whole] for name, value in rows.items()}
    if rows["next_observation"].shape != rows["observation"].shape:
        shapes = [tuple(rows[name].shape) for name in ("next_observation", "observation")]
        raise ConfigurationError(
            f"next_observation of {path} has shape {shapes[0]}; expected {shapes[1]}, as observation"
        )
    if not len(rows["reward"]):
        raise ConfigurationError(
            f"{path} has no transition: expected rows that another one follows, or that are terminal"
        )
    if rows["observation"].ndim == 1 and not rows["observation"].is_floating_point():
        low, high = (int(end) for end in torch.cat((rows["observation"], rows["next_observation"])).aminmax())
        if low < 0 or high >= MOST_STATES:
            raise ConfigurationError(
                f"observations of {path} are integers from {low} to {high}; expected 0 to {MOST_STATES - 1}, each a "
                "state of its own; give numbers as rows (N, F) of floating point"
            )
    return rows


def logged(path: str | Path, policy: Agent | str, *, starts: int) -> tuple[Log, Tensor, Tensor | None]:
    """The log of a file, first observations of its episodes (Q, …), and the policy (Q, A) there.

    Args:
        path: see ``read_log``.
        policy: an agent, which acts greedily; ``random``; or ``behaviour``, that of the data.
        starts: Q at most; equal observations count once.

    Raises:
        ConfigurationError: if the file has no actions where a policy needs them, or others than the agent has.
    """
    rows = read_log(path)
    first = torch.cat((torch.tensor([True]), rows["episode"][1:] != rows["episode"][:-1]))
    queries = rows["observation"][first][:10_000].unique(dim=0)[:starts]
    action = rows.pop("action", None)
    if policy == "behaviour":
        return Log(**rows), queries, None
    if action is None:
        raise ConfigurationError(f"{path} has no column 'action', which judging another policy than its own needs")
    count = policy.actions if isinstance(policy, Agent) else int(action.max()) + 1
    if int(action.min()) < 0 or int(action.max()) >= count:
        raise ConfigurationError(f"actions of {path} go up to {int(action.max())}; expected 0 to {count - 1}")

    def chances(observation: Tensor) -> Tensor:
        if not isinstance(policy, Agent):
            return torch.full((len(observation), count), 1 / count)
        best = [policy.law(part).lower_tail(policy.tail).argmax(-1).cpu() for part in observation.split(4_096)]
        return torch.nn.functional.one_hot(torch.cat(best), count).float()

    log = Log(action=action, next_policy=chances(rows["next_observation"]), **rows)
    return log, queries, chances(queries)


def table_of(judged: Sequence[Judged]) -> tuple[Sequence[Sequence[str]], Sequence[str]]:
    """Rows and headings of a table: means and worst tenths with their bands."""
    rows = []
    for one in judged:
        tail = worst_mean(one.law)
        for query, mean in enumerate(one.law.mean.tolist()):
            bands = [
                "" if band is None else f" [{float(band[query, 0]):.4g}, {float(band[query, 1]):.4g}]"
                for band in (one.mean_band, one.tail_band)
            ]
            words = (f"{mean:.4g}{bands[0]}", f"{float(tail[query]):.4g}{bands[1]}", f"{one.residual:.0e}")
            rows.append((f"{one.gamma:g}", str(one.column), str(query), *words))
    return rows, ("gamma", "reward", "start", "mean return", "mean of the worst tenth", "residual")


WIDTH, HEIGHT = 420, 180


def page(judged: Sequence[Judged], title: str) -> str:
    """A page (HTML) that needs nothing else: the table, and the distribution functions with their bands."""
    rows, headings = table_of(judged)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headings)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    charts = []
    for one in judged:
        for query in range(len(one.law.weights)):
            name = f"gamma {one.gamma:g}, reward {one.column}, start {query}"
            charts.append(f"<figure>{_chart(one, query)}<figcaption>{name}</figcaption></figure>")
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(title)}</title><style>"
        "body{font:15px system-ui;margin:2em;max-width:70em}td,th{padding:.2em .8em;text-align:left}"
        "figure{display:inline-block;margin:1em}figcaption{color:#555}</style>"
        f"<h1>{html.escape(title)}</h1><table><tr>{head}</tr>{body}</table>"
        f"<h2>Probability of a return of at most x</h2>{''.join(charts)}</html>"
    )


def _chart(one: Judged, query: int) -> str:
    points = one.law.points.expand_as(one.law.weights)[query]
    low, width = float(points[0]), float(points[-1] - points[0])

    def path(heights: Tensor) -> str:
        pairs = zip(points.tolist(), heights.tolist(), strict=True)
        return " ".join(f"{(x - low) / width * WIDTH:.1f},{(1 - y) * HEIGHT:.1f}" for x, y in pairs)

    below, band = one.law.weights[query].cumsum(-1).clamp(0, 1), ""
    if one.below_band is not None:
        lower, upper = one.below_band[query].unbind(-1)
        outline = path(lower) + " " + " ".join(reversed(path(upper).split()))
        band = f'<polygon points="{outline}" fill="#9bc2e6" opacity="0.5"/>'
    axis = f'<text x="0" y="{HEIGHT + 14}">{low:.4g}</text>'
    axis += f'<text x="{WIDTH}" y="{HEIGHT + 14}" text-anchor="end">{low + width:.4g}</text>'
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT + 18}" font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" '
        f'fill="none" stroke="#ccc"/>{band}<polyline points="{path(below)}" fill="none" stroke="#1f77b4"/>{axis}</svg>'
    )
