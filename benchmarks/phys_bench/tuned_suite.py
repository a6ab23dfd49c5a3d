"""A suite whose samplers were tuned first, each by the same number of trials on every task."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from phys_samplers.errors import ConfigurationError
from phys_samplers.sampler import Sampler
from phys_samplers.target import Task

from .canonical import digest
from .cell import Pair
from .resolve import Resolver, make, one_spec
from .store import RunFolder
from .suite import Override, Suite
from .tuning import Search, Trial, tune, usual_space


def tune_suite(
    suite: Suite,
    folder: RunFolder,
    *,
    trials: int,
    fits: int = 1,
    seed: int = 0,
    announce: Callable[[str], None] = lambda text: None,
) -> tuple[Suite, dict[str, Any]]:
    """Tune every sampler of a suite on each of its tasks; searches that the folder has are not repeated.

    Args:
        suite: what is to be run.
        folder: where searches are kept.
        trials: of every sampler on every task, the recipe as it stands included.
        fits: of a trial, whose mean score counts.
        seed: of proposals and fits.
        announce: told what is going on.

    Returns:
        The suite with the chosen options as overrides, and what the head of the run says of the searches.

    Raises:
        ConfigurationError: if a task is about agents, which have no validation rows.
    """
    pairs = {id(cell.pair): cell.pair for cell in Resolver(suite, "cpu").cells()}
    searches, chosen = [], []
    for pair in pairs.values():
        if pair.refusal is not None:
            continue
        if pair.kind != Sampler.kind:
            raise ConfigurationError(f"{pair.task.label} is for kind {pair.kind}; only samplers are tuned")
        search = _search(pair, folder, trials=trials, fits=fits, seed=seed, announce=announce)
        if search is None:
            continue
        searches.append(search.to_dict())
        options = dict(search.chosen.options)
        if options:
            chosen.append(Override(task=pair.task.label, sampler=pair.sampler, options=options))
    facts = {"trials": trials, "fits": fits, "seed": seed, "searches": searches}
    return replace(suite, overrides=(*suite.overrides, *chosen)), facts


def _search(
    pair: Pair, folder: RunFolder, *, trials: int, fits: int, seed: int, announce: Callable[[str], None]
) -> Search | None:
    recipe: Sampler = make(pair.kind, pair.spec)
    space = usual_space(recipe)
    if not space:
        return None
    facts = {"space": [asdict(one) for one in space], "trials": trials, "fits": fits, "seed": seed}
    key = digest({**pair.identity, "tuning": facts})
    if (kept := folder.read_search(key)) is not None:
        return Search.from_dict(kept)
    task: Task = make("task", one_spec(pair.task.label, "task"))
    task = replace(task, eval_size=pair.task.eval_size)
    name = f"{pair.task.label} / {pair.sampler}"

    def told(number: int, trial: Trial) -> None:
        score = f"{trial.score:.4g}" if trial.score is not None else trial.reason
        announce(f"{name}: trial {number + 1} of {trials}: {score}")

    search = tune(
        recipe,
        task,
        trials=trials,
        metric=pair.task.primary,
        seeds=fits,
        seed=seed,
        labels=(pair.task.label, pair.sampler),
        announce=told,
    )
    folder.write_search(key, search.to_dict())
    return search


def describe(searches: Sequence[Search]) -> list[tuple[str, ...]]:
    """A row per search: task, sampler, the score as it stood, the best one, and what was chosen."""
    rows = []
    for one in searches:
        first, best = one.trials[0], one.chosen
        scores = [f"{trial.score:.4g}" if trial.score is not None else "–" for trial in (first, best)]
        options = ", ".join(f"{name}={value}" for name, value in best.options.items()) or "as it stands"
        failed = sum(trial.score is None for trial in one.trials)
        rows.append((one.task, one.sampler, one.metric, *scores, str(len(one.trials)), str(failed), options))
    return rows
