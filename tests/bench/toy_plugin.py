"""A one-file plugin for the runner's tests: a cheap task, a cheap metric, and samplers that misbehave in known ways."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_registry import Component, hookimpl
from phys_samplers.errors import TrainingDiverged
from phys_samplers.metric import Metric, Scored
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Task
from phys_samplers.training import TrainingReport

TASKS = ("toy-normal", "toy-wide[scale=2.0]")


class NormalLaw:
    event_shape = (2,)

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * (x / self.scale).square().sum(-1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        return self.scale * torch.randn(n, 2, generator=generator)


def toy_task(scale: float = 1.0, heldout: int = 500) -> Task:
    law = NormalLaw(scale)
    return Task(
        event_shape=(2,),
        name="toy",
        law=law,
        train=law.sample(100, make_generator(0, "train")),
        heldout=law.sample(heldout, make_generator(0, "heldout")),
        metrics=("toy-mean", "toy-spread"),
        eval_size=64,
        view=((-3.0, 3.0), (-3.0, 3.0)),
    )


def toy_density() -> Task:
    """A task without training rows."""
    law = NormalLaw(1.0)
    return Task(event_shape=(2,), name="toy-density", law=law, metrics=("toy-mean",), eval_size=64)


@dataclass(frozen=True, kw_only=True)
class MeanError(Metric):
    """Distance of the means; draws a number, so that its generator matters."""

    def __call__(self, scored: Scored) -> float:
        x, y = scored.rows(self)
        jitter = 1e-3 * torch.rand((), generator=scored.generator)
        return float((x.mean(0) - y.mean(0)).norm() + jitter)


@dataclass(frozen=True, kw_only=True)
class SpreadRatio(Metric):
    best: ClassVar = "one"

    def __call__(self, scored: Scored) -> float:
        x, y = scored.rows(self)
        return float(x.std() / y.std())


@dataclass(frozen=True, kw_only=True)
class BrokenMetric(Metric):
    def __call__(self, scored: Scored) -> float:
        raise RuntimeError("this metric is broken")


class ToyModel(Model):
    def __init__(self, recipe: Sampler, seed: int, shift: float = 0.0) -> None:
        self.recipe, self.seed, self.shift = recipe, seed, shift
        self.target_name, self.event_shape = "toy", (2,)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        generator = make_generator(seed, "toy", self.seed)
        return Draw(self.shift + torch.randn(n, 2, generator=generator), nfe=7.0, diagnostics={"ess": float("nan")})

    def fields(self, x: Tensor) -> dict[str, Tensor]:
        return {"s": x.square().sum(-1), "g": -x}

    def tensors(self) -> dict[str, Tensor]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Good(Sampler):
    shift: float = 0.0
    pause: float = 0.0

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = ()) -> Model:
        time.sleep(self.pause)
        return ToyModel(self, seed, self.shift)

    def restore(self, *args: Any, **kwargs: Any) -> Model:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class NeedsSamples(Good):
    needs: ClassVar[frozenset[str]] = frozenset({"samples"})


def is_second(seed: int) -> bool:
    """Whether a fit belongs to seed 1 of a suite."""
    return any(seed == derive_seed(1, "benchmark", task, "fit") for task in TASKS)


@dataclass(frozen=True, kw_only=True)
class Stacked(Good):
    """Trains all seeds at once; ``bad`` names what happens to the cell of seed 1: diverge, hang, or raise."""

    bad: str = ""

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = ()) -> Model:
        (result,) = self.fit_replicas(target, seeds=[seed], callbacks=callbacks)
        if isinstance(result, Exception):
            raise result
        return result

    def fit_replicas(self, target: Any, *, seeds: Any, device: Any = "cpu", callbacks: Any = (), **_: Any) -> Any:
        for callback in callbacks:
            callback.logged(10, {"loss": [0.5] * len(seeds)})
        guilty = [is_second(seed) for seed in seeds]
        if self.bad == "hang" and any(guilty):
            time.sleep(60)
        if self.bad == "raise" and any(guilty):
            raise RuntimeError("seed 1 is broken")
        results: list[Any] = []
        for seed, diverges in zip(seeds, guilty, strict=True):
            model = ToyModel(self, seed, self.shift)
            history = [{"step": 10, "loss": 0.5}]
            model.report = TrainingReport(
                steps=10, seconds=0.1, replicas=len(seeds), parameters=3, best_step=10, history=history
            )
            diverges = diverges and self.bad == "diverge"
            results.append(TrainingDiverged("the loss is not finite at step 7") if diverges else model)
        return results


@dataclass(frozen=True, kw_only=True)
class Misbehaving(Good):
    """``how``: raise, nan, exit, hang, memory, memory-error, shape, sys-exit; in all cells, or in those of seed 1."""

    how: str = "raise"
    second_only: bool = False

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = ()) -> Model:
        if self.second_only and not is_second(seed):
            return ToyModel(self, seed)
        print("about to", self.how, flush=True)
        if self.how == "raise":
            raise ValueError("no luck today")
        if self.how == "exit":
            os._exit(7)
        if self.how == "sys-exit":
            raise SystemExit(3)
        if self.how == "memory-error":
            raise MemoryError
        if self.how == "hang":
            time.sleep(60)
        if self.how == "memory":
            hoard = [bytearray(b"x" * 2**20) for _ in range(3_000)]
            time.sleep(60)
            del hoard
        return OddModel(self, seed)


class CopyingModel(ToyModel):
    rows: Tensor

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        return Draw(self.rows[:1].expand(n, 2).clone(), nfe=1.0)


@dataclass(frozen=True, kw_only=True)
class Cheating(Good):
    """Overwrites every tensor of the target that it can reach, and notes what it could read."""

    def fit(self, target: Any, *, seed: int = 0, device: Any = "cpu", callbacks: Any = ()) -> Model:
        for rows in (target.train, target.validation, target.heldout):
            if rows is not None:
                rows.fill_(3.0)
        target.law.scale = 1e-3
        model = CopyingModel(self, seed)
        model.rows = target.train
        seen = {"heldout": target.heldout is not None, "sample": "sample" in target.capabilities}
        model.report = TrainingReport(steps=1, seconds=0.0, replicas=1, parameters=0, best_step=1, history=[seen])
        return model


class OddModel(ToyModel):
    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        samples = torch.zeros(n, 2)
        samples[3] = float("nan")
        return Draw(samples if self.recipe.options()["how"] == "nan" else torch.zeros(n, 3), nfe=0)


def unimportable() -> None:
    raise ImportError("the library it wraps is not there")


@hookimpl
def phys_components() -> Any:
    for kind, name, target in (
        ("task", "toy-normal", toy_task),
        ("task", "toy-wide", toy_task),
        ("task", "toy-density", toy_density),
        ("metric", "toy-mean", MeanError),
        ("metric", "toy-spread", SpreadRatio),
        ("metric", "toy-broken", BrokenMetric),
        ("sampler", "toy-good", Good),
        ("sampler", "toy-samples", NeedsSamples),
        ("sampler", "toy-stacked", Stacked),
        ("sampler", "toy-bad", Misbehaving),
        ("sampler", "toy-cheating", Cheating),
        ("sampler", "toy-unimportable", unimportable),
    ):
        yield Component(kind, name, target, summary="for tests", presets={"wide": {}} if kind == "task" else None)
