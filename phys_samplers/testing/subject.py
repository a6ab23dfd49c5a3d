"""What is under test (a recipe, its fits and draws), what a check can say of it, and what must stay as it was."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from phys_samplers import catalogue
from phys_samplers.checkpoint import recipe_name
from phys_samplers.errors import CheckpointError
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target
from phys_samplers.testing.gaussian import gaussian_target
from phys_samplers.training import Callback


class ConformanceError(AssertionError):
    """A sampler breaks the contract; the message says what was expected and what came."""


class NotApplicableError(Exception):
    """A check has nothing to say about this sampler; the message says why."""


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one check.

    Args:
        name: of the check.
        passed: whether the contract is kept; True for a check that does not apply.
        detail: why it failed or was skipped, or what was measured.
        skipped: whether the check does not apply.
    """

    name: str
    passed: bool
    detail: str = ""
    skipped: bool = False

    @property
    def status(self) -> str:
        """``"passed"``, ``"failed"`` or ``"skipped"``."""
        return "skipped" if self.skipped else "passed" if self.passed else "failed"

    def __str__(self) -> str:
        return f"{self.status:8}{self.name}" + (f": {self.detail}" if self.detail else "")


def expect(condition: bool, message: str) -> None:
    """Raise ``ConformanceError(message)`` unless ``condition``."""
    if not condition:
        raise ConformanceError(message)


def surroundings() -> dict[str, Any]:
    """Global random states and settings, each as a value that compares with ``==``."""
    kind, words, *rest = np.random.get_state()  # noqa: NPY002 - the legacy global state is what is watched
    state: dict[str, Any] = {
        "torch's global random state": torch.get_rng_state().numpy().tobytes(),
        "numpy's global random state": (kind, np.asarray(words).tobytes(), *rest),
        "random's global state": random.getstate(),
        "torch's default dtype": torch.get_default_dtype(),
        "torch's default device": torch.get_default_device(),
        "torch's grad mode": torch.is_grad_enabled(),
        "torch's inference mode": torch.is_inference_mode_enabled(),
        "torch's thread count": torch.get_num_threads(),
        "torch's deterministic mode": torch.are_deterministic_algorithms_enabled(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["torch's global random state on CUDA"] = tuple(
            s.numpy().tobytes() for s in torch.cuda.get_rng_state_all()
        )
    return state


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The names of what changed."""
    return [name for name, value in before.items() if after.get(name) != value]


@contextmanager
def other_random_state() -> Iterator[None]:
    """Other global random states within the block; the old ones return after it."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    device_states = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        torch.set_rng_state(torch.Generator().manual_seed(987_654_321).get_state())
        np.random.set_state(np.random.RandomState(987_654_321).get_state())  # noqa: NPY002
        random.setstate(random.Random(987_654_321).getstate())
        for index in range(len(device_states)):
            other = torch.Generator(device=f"cuda:{index}").manual_seed(987_654_321).get_state()
            torch.cuda.set_rng_state(other, index)
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])
        for index, state in enumerate(device_states):
            torch.cuda.set_rng_state(state, index)


T = TypeVar("T")

QUICK: Mapping[str, Any] = {"steps": 300}
"""Options of the checks on quality, as far as the recipe has them."""

SMALL: Mapping[str, Any] = {"steps": 20, "sampling_steps": 40, "warmup_steps": 10, "levels": 8}
"""Options of the checks on form, where nothing needs to be learned, as far as the recipe has and takes them."""


class Listener(Callback):
    """Counts what training tells it."""

    def __init__(self) -> None:
        self.begun = self.ended = self.heard = 0

    def started(self, description: str, steps: int) -> None:
        """Training begins."""
        self.begun += 1

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        """A logged step."""
        self.heard += 1

    def finished(self) -> None:
        """Training ended."""
        self.ended += 1


class Subject:
    """A recipe with what its checks share. All fits and draws go through here and are watched.

    Args:
        recipe: the sampler.
        target: to fit for the checks on form; a 2-D Gaussian (``gaussian_target``) by default.
        device: where to compute.
        quick: whether options are reduced by ``quick_options`` and ``small_options``.
        quick_options: of the checks on quality.
        small_options: further ones of the checks on form.
        mean_tolerance: of the Gaussian check, in standard deviations.
        variance_tolerance: of the Gaussian check, relative.
    """

    def __init__(
        self,
        recipe: Sampler,
        *,
        target: Target | None = None,
        device: torch.device | str = "cpu",
        quick: bool = True,
        quick_options: Mapping[str, Any] = QUICK,
        small_options: Mapping[str, Any] = SMALL,
        mean_tolerance: float = 0.2,
        variance_tolerance: float = 0.3,
    ) -> None:
        self.given = recipe
        self.trained = reduced(recipe, quick_options) if quick else recipe
        self.recipe = reduced(self.trained, small_options) if quick else recipe
        self.target = gaussian_target() if target is None else target
        self.device = torch.device(device)
        self.mean_tolerance, self.variance_tolerance = mean_tolerance, variance_tolerance
        self.listener = Listener()
        self.disturbed: set[str] = set()
        self.overwritten: set[str] = set()
        self._models: dict[int, Model | Exception] = {}

    @property
    def needs(self) -> frozenset[str]:
        """What fitting needs."""
        return frozenset(self.recipe.needs)

    @property
    def name(self) -> str | None:
        """The registered name, if there is one."""
        try:
            return recipe_name(self.given)
        except CheckpointError:
            return None

    def model(self, seed: int = 0) -> Model:
        """The recipe's small version fitted to the target; each seed is fitted once."""
        if seed not in self._models:
            try:
                self._models[seed] = self.fit(self.recipe, self.target, seed=seed)
            except Exception as error:
                self._models[seed] = error
        fitted = self._models[seed]
        if isinstance(fitted, Exception):
            raise fitted
        return fitted

    def fit(self, recipe: Sampler, target: Target, *, seed: int) -> Model:
        """A fresh fit.

        Raises:
            NotApplicableError: if the target lacks what the recipe needs.
        """
        if missing := target.missing(recipe.needs):
            raise NotApplicableError(f"target {target.name!r} does not offer {', '.join(missing)}")
        rows = {
            f"the target's {split} rows": tensor
            for split in ("train", "validation", "heldout")
            if (tensor := getattr(target, split)) is not None
        }
        return self.watched(lambda: recipe.fit(target, seed=seed, device=self.device, callbacks=[self.listener]), rows)

    def draw(self, model: Model, n: int, *, start: Tensor | None = None, **options: Any) -> Draw:
        """``model.draw`` with its surroundings watched."""
        if start is None:
            return self.watched(lambda: model.draw(n, **options), {})
        return self.watched(lambda: model.draw(n, start=start, **options), {"start": start})

    def sample(self, model: Model, n: int, **options: Any) -> Tensor:
        """The samples of ``draw``."""
        return self.draw(model, n, **options).samples

    def watched(self, action: Callable[[], T], inputs: Mapping[str, Tensor]) -> T:
        """What ``action`` returns; changes to the surroundings and to ``inputs`` are noted."""
        before = surroundings()
        copies = {name: tensor.detach().clone() for name, tensor in inputs.items()}
        try:
            return action()
        finally:
            self.disturbed.update(differences(before, surroundings()))
            self.overwritten.update(name for name, copy in copies.items() if not _identical(copy, inputs[name]))

    def rebuilt(self, options: Mapping[str, Any]) -> Sampler:
        """A recipe of the same kind from options, the way a checkpoint does it."""
        if self.name is None:
            return type(self.given)(**options)
        return catalogue.make("sampler", self.name, **options)


def _identical(first: Tensor, second: Tensor) -> bool:
    """Equal, NaN to NaN."""
    return torch.equal(first.isnan(), second.isnan()) and torch.equal(first.nan_to_num(), second.nan_to_num())


def reduced(recipe: Sampler, options: Mapping[str, Any]) -> Sampler:
    """``recipe`` with those of ``options`` that it has and takes."""
    if not dataclasses.is_dataclass(recipe):
        return recipe
    known = {field.name for field in dataclasses.fields(recipe)}
    wanted = {name: value for name, value in options.items() if name in known}
    try:
        return dataclasses.replace(recipe, **wanted)
    except (ValueError, TypeError):
        pass
    # together they do not fit; some may by themselves
    for name, value in wanted.items():
        try:
            recipe = dataclasses.replace(recipe, **{name: value})
        except (ValueError, TypeError):
            continue
    return recipe
