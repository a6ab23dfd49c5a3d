"""What a return model is: a frozen recipe whose ``build`` makes a stacked network of laws; and what it is fitted to.

One loop for agents (``Control``) and one for given policies (``Prediction``) serve every return model, so that a
comparison changes one thing.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, overload

import torch
from torch import Tensor

from phys_samplers.fields.stacked import MLP
from phys_samplers.objective import Objective, fit_objective
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.agent import Agent
from phys_samplers.rl.fitted import Build, PredictedReturns, ReturnNetwork
from phys_samplers.sampler import Model, StackedSampler
from phys_samplers.target import Target, Task, require
from phys_samplers.training import Callback, TrainingPlan

if TYPE_CHECKING:
    from phys_samplers.rl.environment import Maker


@dataclass(frozen=True, kw_only=True)
class ReturnModel(StackedSampler):
    """A recipe for laws of returns. Subclass it as a frozen dataclass and give ``build``.

    Args:
        width: units of each hidden layer.
        depth: number of hidden layers.
        activation: name of the nonlinearity.
        learning_rate: of Adam.
    """

    kind: ClassVar[str] = "return_model"
    needs: ClassVar[frozenset[str]] = frozenset({"experience"})

    width: int = fit_option(128, least=1)
    depth: int = fit_option(2, least=1)
    activation: str = "relu"
    learning_rate: float = fit_option(1e-3, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.trunk  # noqa: B018 - building it knows the activations there are

    @property
    def trunk(self) -> MLP:
        """The perceptron from observations to the numbers that describe a law."""
        return MLP(width=self.width, depth=self.depth, activation=self.activation, input_gain=1.0)

    @abstractmethod
    def build(self, features: int, actions: int, *, streams: Streams) -> ReturnNetwork:
        """The stacked network.

        Args:
            features: F, length of an encoded observation.
            actions: A.
            streams: one per replica, for initial weights.
        """

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """All seeds as one stacked network; see ``Sampler.fit_replicas``."""
        require(target, *self.needs, by=type(self).__name__)
        assert isinstance(target, ReturnTask)
        experience: Experience = target.experience
        with experience.training_objective(self.build, seeds=seeds, device=device, callbacks=callbacks) as objective:
            return fit_objective(
                self,
                objective,
                experience.plan(self.learning_rate),
                target,
                seeds=seeds,
                callbacks=callbacks,
                checkpoint=checkpoint,
                facts=experience.facts(),
            )

    @overload
    def train(self, environment: Maker, *, seeds: None = ..., **options: Any) -> Agent: ...

    @overload
    def train(self, environment: Maker, *, seeds: Sequence[int], **options: Any) -> list[Agent]: ...

    def train(
        self,
        environment: Maker,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        **options: Any,
    ) -> Agent | list[Agent]:
        """An agent that acts by the laws it learns; or one for each of ``seeds``, from one stacked run.

        Args:
            environment: a gymnasium id, or a function that makes an environment; actions must be discrete.
            seed: of everything random.
            seeds: several of them.
            device: where networks compute.
            callbacks: told of losses and of evaluations.
            options: of ``phys_samplers.rl.Control``: ``steps``, ``gamma``, ``returns``, ``n_step``, ….

        Raises:
            ConfigurationError: on a bad option.
            EnvironmentFailure: if the environment raises, or returns what its spaces do not admit.
            TrainingDiverged: at the step where the loss stopped being finite; of several seeds, if all of them did.
        """
        from phys_samplers.rl.control import Control

        control = Control(environment=environment, **options)
        task = ReturnTask(event_shape=(1,), name=control.name, experience=control)
        wanted = [seed] if seeds is None else list(seeds)
        results: list[Any] = self.fit_replicas(task, seeds=wanted, device=device, callbacks=callbacks)
        agents = []
        for one, result in zip(wanted, results, strict=True):
            if not isinstance(result, Exception):
                result.seed = one
                agents.append(result)
        if not agents:
            raise results[0]
        return agents[0] if seeds is None else agents

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> Model:
        """See ``Sampler.restore``."""
        makers = {cls.role: cls for cls in (Agent, PredictedReturns)}
        PredictedReturns.check_facts(facts, tensors, *makers)
        network = self.build(facts["features"], facts["actions"], streams=Streams([0], "weights")).to(device)
        network.load_state_dict({name: tensor for name, tensor in tensors.items() if name != "queries"})
        return makers[facts["role"]].restored(network.requires_grad_(False), tensors, facts)


class Experience(Protocol):
    """Where transitions come from: an environment to act in (``Control``) or a policy to judge (``Prediction``)."""

    def training_objective(
        self,
        build: Build,
        *,
        seeds: Sequence[int],
        device: torch.device | str,
        callbacks: Sequence[Callback],
    ) -> AbstractContextManager[Objective]:
        """What there is to train; environments are closed at the end."""
        ...

    def plan(self, learning_rate: float) -> TrainingPlan:
        """How to train it."""
        ...

    def facts(self) -> dict[str, Any]:
        """JSON-like, what a checkpoint of training must agree with."""
        ...


@dataclass(frozen=True, kw_only=True, repr=False)
class ReturnTask(Task):
    """A task for return models.

    Args:
        experience: what they learn from.
    """

    contestants: ClassVar[str] = "return_model"

    experience: Any = None

    @property
    def capabilities(self) -> frozenset[str]:
        """What is offered; ``experience`` here besides."""
        return super().capabilities | {"experience"}

    def to(self, device: torch.device | str) -> Self:
        """Itself: experience is brought to the device as it is used, laws stay where they are."""
        return self
