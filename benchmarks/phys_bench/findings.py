"""What the numbers of a run say in sentences: who is at the floor, who is cheapest, what failed, what went unseen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .cells import Cell, Cells
from .statistics import LEAST_SEEDS
from .tables import number


def headline(cells: Cells) -> list[str]:
    """What the numbers say, in sentences: who is at the floor, who is cheapest among them, what failed."""
    fields = {task: cells.field(task) for task in cells.tasks}
    ranked = [s.sampler for s in cells.standings if any(s.sampler in field for field in fields.values())]
    if not ranked:
        return ["There is nothing to compare."] if cells.cells else []
    like = {task: cells.like_exact(task) for task in cells.tasks if cells.from_exact(task)}
    many = len({cell.seed for cell in cells.cells})
    seeds = f"{many} seed{'s' * (many != 1)}"
    lines = []
    tasks_of = {name: [task for task in like if name in fields[task]] for name in ranked}
    everywhere = [name for name, tasks in tasks_of.items() if tasks and all(name in like[task] for task in tasks)]
    all_tasks = [name for name in everywhere if len(tasks_of[name]) == len(like)]
    if like and many < LEAST_SEEDS:
        lines.append(f"With {seeds} nothing can be told apart: run at least {LEAST_SEEDS}.")
    elif everywhere:
        whole = "all tasks" if len(like) > 1 else next(iter(like))
        some = [name for name in everywhere if name not in all_tasks]
        parts = [f"{_listing(all_tasks)} on {whole}"] if all_tasks else []
        parts += [f"{_listing(some)} on every task that {'they' if len(some) > 1 else 'it'} could take"] if some else []
        lines.append(f"At the floor, not told from exact samples by {seeds}: {'; '.join(parts)}.")
        lines += _cheapest(cells, everywhere)
    elif like:
        best = max(ranked, key=lambda name: sum(name in found for found in like.values()))
        count = sum(best in found for found in like.values())
        lines.append(
            f"No sampler is at the floor on every task; {best} is on {count} of {len(like)}."
            if count
            else f"No sampler is at the floor on any task; {ranked[0]} ranks first."
        )
    else:
        lines.append(f"{ranked[0]} ranks first; there are no exact samples and no floor to hold scores against.")
    lost: dict[str, dict[str, None]] = {}
    for same in troubled(cells):
        if same[0].status != "incompatible":
            lost.setdefault(f"{same[0].sampler} {same[0].status}", {})[same[0].task] = None
    said = [f"{who} on {_listing(list(tasks))}" for who, tasks in lost.items()]
    more = f" and {len(said) - 5} more" if len(said) > 5 else ""
    lines.append(f"Without a score: {'; '.join(said[:5])}{more}." if said else "Every compatible cell has a score.")
    return lines


def _cheapest(cells: Cells, names: Sequence[str]) -> list[str]:
    """Who of several samplers costs least, by evaluations and by processor time, where that is known of all."""
    found: dict[str, list[str]] = {}
    for key, words in (("nfe", "evaluations a sample"), ("cpu_seconds", "CPU seconds a cell")):
        means = {}
        for name in names:
            values = [cell.costs[key] for cell in cells.select(sampler=name) if cell.ok and key in cell.costs]
            if values:
                means[name] = sum(values) / len(values)
        if len(means) == len(names) > 1:
            least = min(means, key=means.__getitem__)
            found.setdefault(least, []).append(f"{number(means[least])} {words}")
    return (
        [f"Cheapest of these: {'; '.join(f'{who} ({_listing(what)})' for who, what in found.items())}."]
        if found
        else []
    )


def _listing(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part) if names else "none"


def power(cells: Cells, task: str) -> str:
    """The least difference from exact samples that a task can see; empty where nothing is known of it."""
    visible = sorted(d.visible for d in cells.from_exact(task).values() if math.isfinite(d.visible))
    if not visible:
        return ""
    least, floor = visible[len(visible) // 2], cells.floor(task, cells.primary(task))
    seeds = len({cell.seed for cell in cells.select(task)})
    scale = floor is not None and cells.best(cells.primary(task)) == "low" and floor.mean > 2 * floor.std
    share = f", {least / floor.mean:.2g} of the floor" if scale and floor else ""
    return (
        f"{seeds} seeds see a difference from exact samples of {number(least)}{share} in four of five repeats "
        "(median over samplers; Student's t, one comparison); a smaller one goes unseen."
    )


def troubled(cells: Cells) -> list[list[Cell]]:
    """The cells that did not finish; seeds that ended alike are one entry."""
    groups: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells.failures:
        groups.setdefault((cell.task, cell.sampler, cell.status, cell.reason), []).append(cell)
    return list(groups.values())
