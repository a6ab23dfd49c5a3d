"""A one-file plugin: a task of small images, and a sampler whose fit and draws take as long as they are told to."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from phys_registry import Component, hookimpl
from phys_samplers.objective import Problem, RowsSampler
from phys_samplers.options import draw_option
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target, Task


def bars(n: int, generator: torch.Generator) -> Tensor:
    """Images (n, 1, 8, 8) of one bright row or column on noise."""
    image = 0.2 * torch.rand(n, 1, 8, 8, generator=generator)
    place = torch.randint(8, (n,), generator=generator)
    upright = torch.rand(n, generator=generator) < 0.5
    lines = torch.nn.functional.one_hot(place, 8).to(image)
    across = torch.where(upright[:, None, None], lines[:, None, :], lines[:, :, None])
    return image + across.unsqueeze(1)


def image_task() -> Task:
    return Task(
        event_shape=(1, 8, 8),
        name="toy-bars",
        train=bars(200, make_generator(0, "train")),
        heldout=bars(200, make_generator(0, "heldout")),
        metrics=("w2",),
        eval_size=60,
    )


class SlowModel(Model):
    """Rows of N(shift, 1), each after a pause; ``seed`` is what it learned."""

    def __init__(self, recipe: Slow, seed: int) -> None:
        self.recipe: Slow = recipe
        self.seed, self.target_name, self.event_shape = seed, "toy", (2,)

    @property
    def device(self) -> torch.device:
        return torch.device("cpu")

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        recipe = self.recipe.for_draw(options)
        time.sleep(recipe.draw_pause)
        return Draw(recipe.shift + torch.randn(n, 2, generator=make_generator(seed, "toy", self.seed)), nfe=1.0)

    def tensors(self) -> dict[str, Tensor]:
        return {}


@dataclass(frozen=True, kw_only=True)
class Slow(RowsSampler):
    """Trains nothing; with ``bad`` any fit that includes seed 1 of toy-normal raises."""

    fit_pause: float = 0.0
    bad: bool = False
    draw_pause: float = draw_option(0.0)
    shift: float = draw_option(0.0)

    def fit_replicas(self, target: Any, *, seeds: Any, device: Any = "cpu", callbacks: Any = (), **_: Any) -> Any:
        time.sleep(self.fit_pause)
        if self.bad and derive_seed(1, "benchmark", "toy-normal", "fit") in seeds:
            raise RuntimeError("seed 1 is broken")
        return [SlowModel(self, seed) for seed in seeds]

    def problem(self, *args: Any, **kwargs: Any) -> Problem:
        raise NotImplementedError

    def restore(self, *args: Any, **kwargs: Any) -> Model:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Undeclared(Slow):
    """Adds an option without saying when it acts."""

    extra: int = 0


@dataclass(frozen=True, kw_only=True)
class Renamed(Slow):
    """Adds no option, so that what Slow says holds."""

    shift: float = draw_option(1.0)


class AskingModel(SlowModel):
    """Asks the score of its target once for every sample."""

    target: Target

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        drawn = super().draw(n, seed=seed, start=start, **options)
        self.target.score(drawn.samples)
        return drawn


@dataclass(frozen=True, kw_only=True)
class Asking(Slow):
    """Asks the target for 100 scores and 30 values a seed while it is fitted."""

    def fit_replicas(self, target: Any, *, seeds: Any, device: Any = "cpu", callbacks: Any = (), **_: Any) -> Any:
        models = [AskingModel(self, seed) for seed in seeds]
        for model in models:
            model.target = target
            target.score(torch.zeros(100, 2))
            target.log_prob(torch.zeros(30, 2))
        return models


def sampler(name: str, target: type[Sampler]) -> Component:
    return Component("sampler", name, target, summary="for tests")


@hookimpl
def phys_components() -> Any:
    yield Component("task", "toy-bars", image_task, summary="for tests")
    yield sampler("toy-slow", Slow)
    yield sampler("toy-undeclared", Undeclared)
    yield sampler("toy-renamed", Renamed)
    yield sampler("toy-asking", Asking)
