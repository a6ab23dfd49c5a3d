"""From a suite's texts to cells: components are made once here, so that mistakes show before anything runs."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch

from phys_registry import (
    BadOption,
    Component,
    ComponentSpec,
    DuplicateComponent,
    SpecError,
    UnknownComponent,
    parse_spec,
)
from phys_registry.errors import one_line
from phys_samplers import catalogue
from phys_samplers.errors import ConfigurationError
from phys_samplers.objective import RowsSampler
from phys_samplers.sampler import Sampler
from phys_samplers.target import Task

from .canonical import digest, identify
from .cell import PROTOCOL, Cell, Metric, Pair, Refusal, TaskPlan
from .environment import Fingerprints
from .suite import Budget, Override, Suite, expand

T = TypeVar("T")
MOST_CELLS = 1_000_000
_MISTAKES = (UnknownComponent, BadOption, SpecError, DuplicateComponent, ConfigurationError)


def make(kind: str, spec: ComponentSpec) -> Any:
    """Make the component that a text names."""
    return catalogue.make(kind, spec.name, preset=spec.preset, **spec.options)


def one_spec(text: str, key: str) -> ComponentSpec:
    """Read a text that must name one component.

    Raises:
        ConfigurationError: if it expands to several.
    """
    specs = parse_spec(text)
    if len(specs) != 1:
        raise ConfigurationError(
            f"{key} {text!r} expands to {len(specs)} components; expected one (write a tuple as [a,b])"
        )
    return specs[0]


class Resolver:
    """Makes the cells of a suite.

    Args:
        suite: the suite.
        device: ``cpu`` or ``cuda``, part of every identity.
    """

    def __init__(self, suite: Suite, device: str) -> None:
        self.suite = suite
        self.device = device
        self.code = Fingerprints(catalogue.registry)
        self._library = self.code.library()

    def cells(self) -> list[Cell]:
        """Every cell of the suite, by task, then sampler, then seed.

        Raises:
            PhysError: naming the text that is wrong.
        """
        samplers = expand(self.suite.samplers)
        count = len(samplers) * len(expand(self.suite.tasks)) * len(self.suite.seeds)
        if count > MOST_CELLS:
            raise ConfigurationError(f"suite {self.suite.name!r} has {count:,} cells; expected at most {MOST_CELLS:,}")
        tasks = [self._task(spec) for spec in expand(self.suite.tasks)]
        pairs = [self._pair(task, target, spec) for task, target in tasks for spec in samplers]
        return [Cell(pair=pair, seed=seed) for pair in pairs for seed in self.suite.seeds]

    def _task(self, spec: ComponentSpec) -> tuple[TaskPlan, Task | None]:
        task, problem = _guarded(f"task {str(spec)!r}", lambda: make("task", spec))
        if problem is None and not isinstance(task, Task):
            problem = Refusal(status="failed", reason=f"task {str(spec)!r} made a {type(task).__name__}, not a Task")
        if problem is not None or task is None:
            return TaskPlan(spec=spec, identity=self._task_identity(spec, None, 0, ()), problem=problem), None
        texts, size = self.suite.metrics or task.metrics, self.suite.eval_size or task.eval_size
        for override in self._overrides(spec, None):
            texts, size = override.metrics or texts, override.eval_size or size
        metrics = tuple(self._metric(text) for text in texts)
        if not metrics:
            problem = Refusal(status="incompatible", reason=f"task {str(spec)!r} names no metrics")
        elif metrics[0].needs_rows and task.heldout is None and task.missing({"sample"}):
            reason = (
                f"task {str(spec)!r} has neither held-out rows nor an exact sampler, so {metrics[0].label}, which "
                "ranks, cannot be scored; name a metric of draws first (ess, log-z-error)"
            )
            problem = Refusal(status="incompatible", reason=reason)
        identity = self._task_identity(spec, task, size, metrics)
        keys = [("task", spec.name), *(("metric", one_spec(metric.label, "metric").name) for metric in metrics)]
        plan = TaskPlan(
            spec=spec,
            eval_size=size,
            metrics=metrics,
            identity=identity,
            plugins=(*self.code.plugins(keys), *([task.content] if task.content else [])),
            content=task.content,
            problem=problem,
        )
        return plan, task

    def _metric(self, text: str) -> Metric:
        spec = one_spec(text, "metric")
        metric = make("metric", spec)
        options = identify(metric, f"metric {text!r}")
        code = self.code.component("metric", spec.name)
        return Metric(
            label=str(spec),
            best=metric.best,
            identity={"label": str(spec), "options": options, "component": code},
            has_floor=metric.has_floor,
            needs_rows="rows" in metric.needs,
        )

    def _task_identity(
        self, spec: ComponentSpec, task: Task | None, size: int, metrics: tuple[Metric, ...]
    ) -> dict[str, Any]:
        component = self.code.component("task", spec.name)
        options = identify({"preset": spec.preset, **spec.options}, f"task {str(spec)!r}")
        read = {"content": task.content} if task is not None and task.content else {}
        return {
            "task": str(spec),
            "task_component": {**component, "options": options, "task_version": task.version if task else None, **read},
            "eval_size": size,
            "metrics": [metric.identity for metric in metrics],
            "primary": metrics[0].label if metrics else "",
            "library": self._library,
            "torch": torch.__version__,
            "dtype": str(torch.get_default_dtype()).removeprefix("torch."),
        }

    def _pair(self, task: TaskPlan, target: Task | None, spec: ComponentSpec) -> Pair:
        options, budget, skip = dict(spec.options), self.suite.budget, ""
        for override in self._overrides(task.spec, spec):
            options |= override.options
            skip = override.skip or skip
            budget = Budget(
                seconds=override.seconds or budget.seconds, memory_mib=override.memory_mib or budget.memory_mib
            )
        full = ComponentSpec(spec.name, spec.preset, options)
        kind, recipe, problem = _contestant(target.contestants if target else "sampler", full)
        if problem is None and not isinstance(recipe, Sampler):
            reason = f"{kind} {str(full)!r} made a {type(recipe).__name__}, not a Sampler"
            problem = Refusal(status="failed", reason=reason)
        component = catalogue.registry.get(kind, spec.name)
        known = recipe.options() if isinstance(recipe, Sampler) else {"preset": spec.preset, **options}
        resolved = identify(known, f"{kind} {str(full)!r}")
        identity = {
            **task.identity,
            "protocol": PROTOCOL,
            "sampler": str(spec),
            "component": spec.name,
            "sampler_component": self.code.component(kind, spec.name),
            **({} if kind == "sampler" else {"kind": kind}),
            "parts": self.code.parts(resolved),
            "options": resolved,
            "device": self.device,
        }
        own = [(kind, spec.name), *(tuple(key.split("/", 1)) for key in identity["parts"])]
        return Pair(
            task=task,
            sampler=str(spec),
            spec=full,
            kind=kind,
            identity=identity,
            budget=budget,
            stacks=isinstance(recipe, Sampler) and type(recipe).fit_replicas is not Sampler.fit_replicas,
            plugins=tuple(sorted({*task.plugins, *self.code.plugins(own)})),
            fit=_fit_id(recipe, identity),
            refusal=task.problem or problem or _unfit(str(spec), component, recipe, target) or _left_out(skip),
        )

    def _overrides(self, task: ComponentSpec, sampler: ComponentSpec | None) -> list[Override]:
        return [override for override in self.suite.overrides if override.covers(task, sampler)]


def _guarded(what: str, build: Callable[[], T]) -> tuple[T | None, Refusal | None]:
    """The object, or why there is none; a user's own mistakes pass through, a broken plugin costs its cells only."""
    try:
        return build(), None
    except _MISTAKES:
        raise
    except Exception as error:
        reason = f"{what} cannot be made: {one_line(error)}"
        return None, Refusal(status="failed", reason=reason, traceback="".join(traceback.format_exception(error)))


def _left_out(reason: str) -> Refusal | None:
    return Refusal(status="incompatible", reason=f"left out by the suite: {reason}") if reason else None


def _contestant(kind: str, full: ComponentSpec) -> tuple[str, Any, Refusal | None]:
    """The kind of component that a text names on a task of contestants ``kind``, its recipe, or why there is none.

    Samplers and return models share names (``bellman`` is both), and a suite may have tasks of both: a text that makes
    sense for the other kind alone does not fit the task; one that makes sense for neither is a mistake.
    """
    try:
        recipe, problem = _guarded(f"{kind} {str(full)!r}", lambda: make(kind, full))
    except _MISTAKES as error:
        other = "sampler" if kind == "return_model" else "return_model"
        try:
            make(other, full)
        except Exception:
            raise error from None
        if isinstance(error, UnknownComponent):
            reason = f"the task is for components of kind {kind}, and {full.name!r} is a {other}"
        else:
            reason = f"as a {kind}, {one_line(error)}"
        return other, None, Refusal(status="incompatible", reason=reason)
    return kind, recipe, problem


def _fit_id(recipe: Sampler | None, identity: Mapping[str, Any]) -> str | None:
    """See ``Pair.fit``. Samplers without training may use any option in ``fit``: nothing is shared."""
    if not isinstance(recipe, RowsSampler):
        return None
    cls = type(recipe)
    of_sampling = {"sampler", "parts", "options"}
    return digest(
        {
            **{key: value for key, value in identity.items() if key not in of_sampling},
            "class": f"{cls.__module__}:{cls.__qualname__}",
            "fixed": {key: value for key, value in identity["options"].items() if key in recipe.fit_options()},
        }
    )


def _unfit(label: str, component: Component, recipe: Sampler | None, target: Task | None) -> Refusal | None:
    if recipe is None or target is None:
        return None
    missing = target.missing(component.needs | recipe.needs)
    if not missing:
        return None
    offers = ", ".join(sorted(target.capabilities)) or "nothing"
    reason = f"{label} needs {', '.join(missing)}, which task {target.name!r} does not offer (it offers {offers})"
    return Refusal(status="incompatible", reason=reason)


def needs_inline(cells: list[Cell], code: Fingerprints) -> list[str]:
    """The components that only this process knows, as ``kind/name``."""
    used: Mapping[tuple[str, str], None] = dict.fromkeys(
        key
        for cell in cells
        for key in (
            ("task", cell.pair.task.spec.name),
            (cell.pair.kind, cell.pair.spec.name),
            *(("metric", one_spec(metric.label, "metric").name) for metric in cell.pair.task.metrics),
            *(tuple(name.split("/", 1)) for name in cell.identity["parts"]),
        )
    )
    return [f"{kind}/{name}" for kind, name in used if code.in_process(kind, name)]
