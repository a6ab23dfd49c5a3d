"""Choosing options: the same number of trials for every sampler, judged by validation rows alone.

A trial fits a recipe, draws, and scores the draw by the task's first metric against its validation rows; the held-out
rows are not there. The first trial is the recipe as it stands, so that what is chosen is never worse on these rows.
Optuna proposes the others (its tree-structured Parzen estimator). Options that say how much work is done (``WORK``)
stay as they are unless they are asked for: a longer training is no better recipe.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args, get_origin

from phys_registry import ComponentSpec
from phys_registry.errors import one_line, suggest
from phys_registry.options import facts_of
from phys_registry.spec import parameter_hints, parse_spec, signature_of
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.metric import Scored
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.sampler import Sampler
from phys_samplers.target import Task

from .canonical import plain
from .execution import shown
from .scoring import metric_of
from .statistics import badness

WORK = frozenset(
    (
        *("steps", "sampling_steps", "warmup_steps", "ascent_steps", "batch_size", "draws", "patience"),
        *("width", "depth", "hidden", "features", "channels", "slices", "levels", "temperatures"),
        *("particles", "chains", "samples_per_chain", "buffer_size", "validate_every", "log_every"),
    )
)
"""Names of options that decide what a fit or a draw costs."""
FACTOR = 8.0
"""A positive number is searched from an eighth to eight times what it is."""
Range = tuple[float, float] | tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class Vary:
    """An option to search.

    Args:
        name: of the option.
        low: smallest value; None for choices.
        high: largest value.
        whole: whether values are integers.
        log: whether the search is on a logarithmic scale.
        choices: values to choose from; empty for a range.
    """

    name: str
    low: float | None = None
    high: float | None = None
    whole: bool = False
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What one choice of options came to.

    Args:
        options: that differ from the recipe's.
        score: by the metric, mean over the seeds; None without one.
        reason: why there is none.
    """

    options: Mapping[str, Any]
    score: float | None
    reason: str = ""


@dataclass(frozen=True, kw_only=True)
class Search:
    """The trials of one sampler on one task.

    Args:
        task: its text.
        sampler: its text.
        metric: its text.
        best: which way it is better.
        seed: of the proposals and of all fits.
        space: what was searched.
        trials: in order; the first is the recipe as it stands.
    """

    task: str
    sampler: str
    metric: str
    best: str
    seed: int
    space: tuple[Vary, ...]
    trials: tuple[Trial, ...]

    @property
    def chosen(self) -> Trial:
        """The trial with the best score, the first of equals; the recipe as it stands where none has one."""
        return min(self.trials, key=lambda trial: _bad(trial, self.best))

    def to_dict(self) -> dict[str, Any]:
        """JSON-like form, the choice included."""
        return plain({**asdict(self), "chosen": dict(self.chosen.options)}, longest=10_000)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Search:
        """Inverse of ``to_dict``."""
        space = tuple(Vary(**{**row, "choices": tuple(row["choices"])}) for row in data["space"])
        names = ("task", "sampler", "metric", "best", "seed")
        return cls(**{n: data[n] for n in names}, space=space, trials=tuple(Trial(**row) for row in data["trials"]))


def _bad(trial: Trial, best: str) -> float:
    return math.inf if trial.score is None else badness(trial.score, best)


def tune(
    recipe: Sampler,
    task: Task,
    *,
    trials: int = 30,
    vary: Sequence[str | Vary] = (),
    metric: str | None = None,
    seeds: int = 1,
    seed: int = 0,
    labels: tuple[str, str] = ("", ""),
    announce: Callable[[int, Trial], None] = lambda number, trial: None,
) -> Search:
    """Search a recipe's options on a task's validation rows.

    Args:
        recipe: what is tuned.
        task: what it is tuned for.
        trials: how many choices are tried, that of the recipe itself included.
        vary: options to search, ``lr``, ``lr=1e-4:1e-2`` or ``kernel=gaussian,sliced``; all numbers, switches and words
            of the recipe but those of ``WORK`` if empty.
        metric: a metric's text; the task's first one if None.
        seeds: fits of a trial, whose mean score counts.
        seed: of the proposals and of all fits.
        labels: texts of task and sampler, for the record.
        announce: told of every trial.

    Raises:
        MissingCapability: if optuna is not installed, or the task has no validation rows that the metric needs.
        ConfigurationError: on an option that does not exist or cannot be searched.
    """
    try:
        import optuna
    except ImportError:
        raise MissingCapability("optuna is not installed; pip install 'phys-samplers[tune]'") from None
    if isinstance(trials, bool) or not isinstance(trials, int) or trials < 1:
        raise ConfigurationError(f"trials is {trials!r}; expected how many choices to try, at least 1")
    text = metric or task.metrics[0]
    judged = metric_of(text)
    if "rows" in judged.needs and task.validation is None:
        raise MissingCapability(
            f"task {task.name!r} has no validation rows, which {text} needs; name a metric of draws (ksd, ess)"
        )
    space = tuple(one if isinstance(one, Vary) else read_vary(one, recipe) for one in vary) or usual_space(recipe)
    own = [derive_seed(seed, "tuning", task.name, k) for k in range(seeds)]
    target = dataclasses.replace(shown(task, recipe.needs), evaluations=None)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=derive_seed(seed, "optuna") % 2**32))
    found: list[Trial] = []
    for number in range(trials if space else 1):
        proposal = study.ask() if number else None
        options = {} if proposal is None else {one.name: _suggest(proposal, one) for one in space}
        trial = _tried(recipe, target, task, judged, options, own)
        found.append(trial)
        announce(number, trial)
        if proposal is not None:
            value = _bad(trial, judged.best)
            study.tell(proposal, value) if math.isfinite(value) else study.tell(proposal, state=_failed(optuna))
        elif math.isfinite(value := _bad(trial, judged.best)):
            study.add_trial(_as_it_stands(optuna, recipe, space, value)) if _inside(recipe, space) else None
    label = {"task": labels[0] or task.name, "sampler": labels[1] or type(recipe).__name__}
    return Search(**label, metric=text, best=judged.best, seed=seed, space=space, trials=tuple(found))


def _failed(optuna: Any) -> Any:
    return optuna.trial.TrialState.FAIL


def _distribution(optuna: Any, one: Vary) -> Any:
    kinds = optuna.distributions
    if one.choices:
        return kinds.CategoricalDistribution(one.choices)
    assert one.low is not None
    assert one.high is not None
    if one.whole:
        return kinds.IntDistribution(int(one.low), int(one.high), log=one.log)
    return kinds.FloatDistribution(one.low, one.high, log=one.log)


def _as_it_stands(optuna: Any, recipe: Sampler, space: Sequence[Vary], value: float) -> Any:
    params = {one.name: getattr(recipe, one.name) for one in space}
    kinds = {one.name: _distribution(optuna, one) for one in space}
    return optuna.trial.create_trial(params=params, distributions=kinds, value=value)


def _inside(recipe: Sampler, space: Sequence[Vary]) -> bool:
    """Whether the recipe's own values are among those that are searched."""
    for one in space:
        value = getattr(recipe, one.name)
        if one.choices:
            if value not in one.choices:
                return False
        elif not isinstance(value, int | float) or not (one.low or 0.0) <= value <= (one.high or 0.0):
            return False
    return True


def _suggest(proposal: Any, one: Vary) -> Any:
    if one.choices:
        return proposal.suggest_categorical(one.name, one.choices)
    if one.whole:
        return proposal.suggest_int(one.name, int(one.low or 0), int(one.high or 0), log=one.log)
    return float(f"{proposal.suggest_float(one.name, one.low, one.high, log=one.log):.6g}")


def _tried(recipe: Sampler, target: Any, task: Task, judged: Any, options: Any, seeds: Sequence[int]) -> Trial:
    try:
        made = recipe.with_options(**options)
        scores = [_score(made, target, task, judged, seed) for seed in seeds]
    except Exception as error:  # a choice may break a recipe in any way, and costs its trial only
        return Trial(options=options, score=None, reason=one_line(error))
    mean = sum(scores) / len(scores)
    return Trial(options=options, score=mean if math.isfinite(mean) else None, reason="")


def _score(made: Sampler, target: Any, task: Task, judged: Any, seed: int) -> float:
    rows = task.validation
    n = task.eval_size if rows is None else min(task.eval_size, len(rows))
    model = made.fit(target, seed=seed)
    seen = None if task.conditions is None else task.conditions.seen
    given = None if rows is None or seen is None or seen.validation is None else seen.validation[:n]
    draw = model.draw(n, seed=derive_seed(seed, "draw"), **({} if given is None else {"condition": given}))
    scored = Scored(
        samples=draw.samples.detach().cpu(),
        reference=None if rows is None else rows[:n],
        target=dataclasses.replace(task, heldout=None, conditions=seen),
        generator=make_generator(seed, "metric"),
        model=model,
        draw=draw,
        conditions=None if given is None else (given, given),
    )
    return float(judged(scored))


def usual_space(recipe: Sampler) -> tuple[Vary, ...]:
    """Every number, switch and word of a recipe, about the value that it has; not what decides its cost."""
    names = [f.name for f in dataclasses.fields(recipe) if f.init and f.name not in WORK]
    return tuple(one for name in names if (one := _around(recipe, name)) is not None)


def _around(recipe: Sampler, name: str) -> Vary | None:
    value, facts = getattr(recipe, name), facts_of(type(recipe))[name]
    if isinstance(value, bool):
        return Vary(name=name, choices=(False, True))
    if isinstance(value, str):
        words = _words(recipe, name)
        return Vary(name=name, choices=words) if len(words) > 1 else None
    if not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
        return None
    if 0.5 < value < 1 and 1 in (facts.below, facts.most):  # a decay: its distance from one is what matters
        return Vary(name=name, low=max(1 - FACTOR * (1 - value), 1e-6), high=1 - (1 - value) / FACTOR)
    low, high = value / FACTOR, value * FACTOR
    low = max(low, *(bound * (1 + 1e-6) for bound in (facts.least, facts.above) if bound), low)
    ends = [bound * (1 - 1e-3) for bound in (facts.below,) if bound] + [b for b in (facts.most,) if b]
    high = min([high, *ends])
    if isinstance(value, int):
        return Vary(name=name, low=max(1, math.ceil(low)), high=math.floor(high), whole=True, log=True)
    return Vary(name=name, low=low, high=high, log=True) if low < high else None


def _words(recipe: Sampler, name: str) -> tuple[Any, ...]:
    """The values of an option whose type is a ``Literal`` of words."""
    signature = signature_of(type(recipe))
    hint = parameter_hints(type(recipe), signature.parameters).get(name) if signature else None
    return get_args(hint) if get_origin(hint) is Literal else ()


def read_vary(text: str, recipe: Sampler) -> Vary:
    """``lr``, ``lr=1e-4:1e-2``, ``lr=1e-4,1e-3`` or ``kernel=gaussian,sliced``.

    Raises:
        ConfigurationError: if the recipe has no such option, or what stands behind it is no range and no choice.
    """
    name, equals, rest = (part.strip() for part in text.partition("="))
    known = [f.name for f in dataclasses.fields(recipe) if f.init]
    if name not in known:
        raise ConfigurationError(
            f"there is no option {name!r} to vary.{suggest(name, known)} There are {', '.join(known)}"
        )
    value = getattr(recipe, name)
    if not equals:
        if (found := _around(recipe, name)) is None:
            raise ConfigurationError(f"{name} is {value!r}; say from where to where: {name}=LOW:HIGH, or {name}=A,B")
        return found
    low, colon, high = rest.partition(":")
    if colon:
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = (math.nan, math.nan)
        if not ends[0] < ends[1] < math.inf:
            raise ConfigurationError(f"{text!r} is no range; expected {name}=LOW:HIGH, two numbers in order")
        log = ends[0] > 0 and ends[1] / ends[0] >= 10
        return Vary(name=name, low=ends[0], high=ends[1], whole=isinstance(value, int), log=log)
    choices = tuple(spec.options[name] for spec in parse_spec(f"vary[{name}={rest}]"))
    return Vary(name=name, choices=choices)


def tuned_spec(spec: ComponentSpec, search: Search) -> ComponentSpec:
    """The text of a sampler with the options that were chosen."""
    return ComponentSpec(spec.name, spec.preset, {**spec.options, **search.chosen.options})
