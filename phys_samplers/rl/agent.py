"""A trained agent: acts, shows the laws of its returns, plays episodes, saves itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import FittedReturns, ReturnLaws
from phys_samplers.rl.law import ReturnScale
from phys_samplers.rl.spaces import Observations
from phys_samplers.sampler import Draw
from phys_samplers.schema import mapping, maybe, number, rows, table, text, whole

if TYPE_CHECKING:
    from phys_samplers.rl.environment import Maker


class Agent(FittedReturns):
    """What training in an environment gave.

    Args:
        network: of one replica.
        observations: what they may be.
        scale: unit of the network's returns.
        curve: evaluations: ``step`` (of the environment), ``return`` (undiscounted, greedy, mean) and ``length``.
        environment: the id, if it has one.
        environment_options: its keyword arguments.
        gamma: the discount factor.
        tail: share of the worst returns that actions are judged by.
        first_action: the number of the first action.
    """

    role = "control"
    seed: int | None = None
    """Of the training that gave it; None after loading."""
    read_from_file = False
    """Whether a checkpoint said where it was trained, which is then not trusted to import or to open anything."""

    def __init__(
        self,
        network: ReturnLaws,
        *,
        observations: Observations,
        scale: ReturnScale,
        curve: Sequence[Mapping[str, float]],
        environment: Maker | None = None,
        environment_options: Mapping[str, Any] | None = None,
        gamma: float = 0.99,
        tail: float = 1.0,
        first_action: int = 0,
    ) -> None:
        super().__init__(network, observations=observations, scale=scale)
        self.curve = [dict(row) for row in curve]
        self.environment, self.environment_options = environment, dict(environment_options or {})
        self.gamma, self.tail, self.first_action = gamma, tail, first_action

    def act(self, observation: Any, *, allowed: Any = None, seed: int = 0) -> int:
        """The best action at one observation, as the environment takes it.

        Args:
            observation: what ``reset`` or ``step`` returned.
            allowed: a mask (A,) of the actions that may be taken; None for all.
            seed: of draws, where the model knows its laws through draws only.
        """
        worth = self.law(observation, seed=seed).lower_tail(self.tail)[0]
        if allowed is not None:
            worth = worth.masked_fill(~torch.as_tensor(allowed, device=worth.device).bool(), -torch.inf)
        return self.first_action + int(worth.argmax())

    def place(self, environment: Maker | None = None) -> tuple[Maker, dict[str, Any]]:
        """Where to act, with keyword arguments of an id: ``environment``, or where the agent was trained.

        Raises:
            ConfigurationError: if there is neither, or if the one that its checkpoint names is not registered here.
        """
        if environment is not None and environment != self.environment:
            return environment, {}
        if self.environment is None:
            raise ConfigurationError("this agent was trained in an environment without an id; give environment=")
        if self.read_from_file:
            from phys_samplers.rl.environment import check_named

            check_named(self.environment, self.environment_options)
        return self.environment, self.environment_options

    def check_place(self, observations: Observations, actions: int) -> None:
        """Refuse an environment of other observations or actions.

        Raises:
            ConfigurationError: saying which.
        """
        for what, own, given in (
            ("numbers of an observation", self.observations.features, observations.features),
            ("actions", self.actions, actions),
        ):
            if own != given:
                raise ConfigurationError(
                    f"this agent knows {own:,} {what}, and the environment has {given:,}; give environment= as in its "
                    "training"
                )

    def play(self, episodes: int = 10, *, seed: int = 0, environment: Maker | None = None) -> Tensor:
        """Undiscounted returns (``episodes``,) of greedy play.

        Args:
            episodes: how many, all at once.
            seed: of the episodes.
            environment: None for the one it was trained in.

        Raises:
            ConfigurationError: if there is none.
        """
        from phys_samplers.rl.environment import GreedyEvaluation

        environment, options = self.place(environment)
        noise = Streams([seed], "playing", device=self.device)

        @torch.no_grad()
        def worth(observation: Tensor) -> Tensor:
            return self.network.worth(observation, tail=self.tail, noise=noise)

        with GreedyEvaluation(environment, [seed], episodes=episodes, options=options, device=self.device) as games:
            self.check_place(games.observations, games.actions)
            returns, _ = games.run(worth, 0)
        return torch.from_numpy(returns[0])

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """The undiscounted returns (n, 1) of ``n`` greedy episodes."""
        self.check_draw(n, start)
        self.recipe.for_draw(options)
        facts = {"curve": self.curve}
        return Draw(samples=self.play(n, seed=seed).float().unsqueeze(1), nfe=0.0, diagnostics=facts)

    def facts(self) -> dict[str, Any]:
        """What else ``restored`` needs."""
        known = isinstance(self.environment, str)
        return {
            **super().facts(),
            "environment": self.environment if known else None,
            "environment_options": self.environment_options if known else {},
            "gamma": self.gamma,
            "tail": self.tail,
            "first_action": self.first_action,
            "curve": self.curve,
        }

    @classmethod
    def restored(cls, network: ReturnLaws, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Self:
        """Inverse of ``tensors`` and ``facts``, with the network rebuilt."""
        names = ("curve", "environment", "environment_options", "gamma", "tail", "first_action")
        _FACTS({name: facts[name] for name in names}, "facts")
        agent = cls(
            network,
            observations=Observations.from_facts(facts["observations"]),
            scale=ReturnScale(*facts["returns"]),
            **{name: facts[name] for name in names},
        )
        agent.read_from_file = True
        return agent


_FACTS = table(
    {
        "curve": rows(mapping()),
        "environment": maybe(text(longest=200)),
        "environment_options": mapping(),
        "gamma": number(0),
        "tail": number(0),
        "first_action": whole(),
    }
)
