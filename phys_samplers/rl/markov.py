r"""Finite chains with rewards: what a policy makes of a tabular environment, X(z) = R + γX(z') until a terminal row.

Rows are (state, probability, reward, next state, terminal); the probabilities of a state's rows sum to one. States
without rows are ends that no return starts from. Policies are tables (S, A) of probabilities.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.rl.prediction import Prediction

Table = Mapping[int, Mapping[int, Sequence[tuple[float, int, float, bool]]]]
"""gymnasium's ``P[state][action]``: outcomes (probability, next state, reward, terminated)."""
TIE = 1e-9
"""Action values closer than this are equal."""


@dataclass(frozen=True)
class MarkovChain:
    """A chain of ``states`` states.

    Args:
        states: S.
        state: (N,), integers.
        probability: of each row given its state (N,), float64.
        reward: (N,), float64.
        next_state: (N,), integers; of no meaning in terminal rows.
        terminal: (N,), booleans.

    Raises:
        ConfigurationError: if the rows of a state that has some do not sum to one, or lead to a state without rows.
    """

    states: int
    state: Tensor
    probability: Tensor
    reward: Tensor
    next_state: Tensor
    terminal: Tensor

    def __post_init__(self) -> None:
        total = torch.zeros(self.states, dtype=torch.float64).index_add_(0, self.state, self.probability)
        wrong = total[self.starts].sub(1).abs()
        if not len(self.state) or bool((self.probability < 0).any()) or float(wrong.max()) > 1e-6:
            raise ConfigurationError(f"the probabilities of the rows of each state sum to {total.tolist()}; expected 1")
        lost = torch.isin(self.next_state[~self.terminal], self.starts, invert=True)
        if bool(lost.any()):
            raise ConfigurationError(
                f"rows that are not terminal lead to states {self.next_state[~self.terminal][lost].unique().tolist()}, "
                "which have no rows; mark those rows as terminal"
            )

    @classmethod
    def of(cls, rows: Iterable[tuple[int, float, float, int | None]], states: int | None = None) -> MarkovChain:
        """From rows (state, probability, reward, next state), with None for the next state of a terminal row.

        Rows that agree but for their probability are one row.

        Args:
            rows: the rows.
            states: S; None for one more than the largest state met.
        """
        merged: dict[tuple[int, float, int | None], float] = {}
        for state, probability, reward, following in rows:
            if probability:
                key = (int(state), float(reward), None if following is None else int(following))
                merged[key] = merged.get(key, 0.0) + float(probability)
        keys = sorted(merged, key=lambda key: (key[0], key[2] is None, key[2] or 0, key[1]))
        named = [state for key in keys for state in (key[0], key[2]) if state is not None]
        return cls(
            states=max(named, default=-1) + 1 if states is None else states,
            state=torch.tensor([key[0] for key in keys], dtype=torch.int64),
            probability=torch.tensor([merged[key] for key in keys], dtype=torch.float64),
            reward=torch.tensor([key[1] for key in keys], dtype=torch.float64),
            next_state=torch.tensor([key[0] if key[2] is None else key[2] for key in keys], dtype=torch.int64),
            terminal=torch.tensor([key[2] is None for key in keys]),
        )

    @cached_property
    def starts(self) -> Tensor:
        """The states that have rows, in order: those with a return."""
        return self.state.unique()

    def one_hot(self, states: Tensor) -> Tensor:
        """Observations (..., S) of states (...)."""
        return torch.nn.functional.one_hot(states, self.states).to(torch.float32)

    def means(self, gamma: float) -> Tensor:
        """Exact expected returns (S,), by (I − γP)⁻¹ r; zero for states without rows.

        Raises:
            ConfigurationError: if there are none, as for γ = 1 and a state that never ends.
        """
        going = ~self.terminal
        matrix = torch.eye(self.states, dtype=torch.float64)
        index = (self.state[going], self.next_state[going])
        matrix.index_put_(index, -gamma * self.probability[going], accumulate=True)
        expected = torch.zeros(self.states, dtype=torch.float64)
        expected.index_add_(0, self.state, self.probability * self.reward)
        try:
            return torch.linalg.solve(matrix, expected)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # re-exported without saying so
            raise ConfigurationError(f"with gamma {gamma} some states have no finite expected return") from None

    def prediction(
        self, gamma: float, returns: tuple[float, float], queries: Sequence[int] | Tensor | None = None, **options: Any
    ) -> Prediction:
        """What return models learn the chain from: its rows, states uniform, outcomes by their probabilities.

        Args:
            gamma: γ.
            returns: (low, high) between which returns lie.
            queries: states at which laws are asked for; None for all that have rows.
            options: of ``Prediction``: ``updates``, ``batch_size``, ….
        """
        asked = self.starts if queries is None else torch.as_tensor(queries)
        return Prediction(
            observation=self.one_hot(self.state),
            reward=self.reward.float(),
            terminal=self.terminal,
            next_observation=self.one_hot(self.next_state),
            probability=self.probability / len(self.starts),
            queries=self.one_hot(asked),
            gamma=gamma,
            returns=returns,
            **options,
        )


def tabular(environment: str | Any, **options: Any) -> tuple[Table, list[int]]:
    """The table ``P`` of a toy-text environment, and the states that its episodes start from.

    Args:
        environment: a gymnasium id, or an environment.
        options: of the id, such as ``map_name``.

    Raises:
        ConfigurationError: if it has no such table.
    """
    label = environment
    made: Any = environment
    if isinstance(environment, str):
        from phys_samplers.rl.environment import make_environment

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made = make_environment(environment, options)
    table = getattr(made.unwrapped, "P", None)
    first = getattr(made.unwrapped, "initial_state_distrib", None)
    if table is None or first is None:
        raise ConfigurationError(
            f"environment {label!r} has no table P of transitions; expected one of gymnasium's toy-text environments "
            "(FrozenLake-v1, CliffWalking-v1, Taxi-v3)"
        )
    return table, np.flatnonzero(first).tolist()


def policy_chain(table: Table, policy: Tensor, starts: Sequence[int] | None = None) -> MarkovChain:
    """The chain of ``policy`` on a table.

    Args:
        table: gymnasium's ``P``.
        policy: probabilities (S, A).
        starts: states that episodes start from. States that no actions lead to from there without an end between have
            no rows: walls, goals, nonsense. None keeps all but those that are entered by an end.

    Raises:
        ConfigurationError: if the policy does not fit.
    """
    shape = (len(table), len(table[0]))
    if tuple(policy.shape) != shape or not torch.allclose(policy.sum(1), torch.ones(shape[0]).to(policy)):
        raise ConfigurationError(f"the policy has shape {tuple(policy.shape)}; expected rows {shape} that sum to one")
    kept = _kept(table, starts)
    chances = policy.double().tolist()
    return MarkovChain.of(
        (
            (state, chances[state][action] * probability, float(reward), None if ended else int(following))
            for state in kept
            for action, outcomes in table[state].items()
            for probability, following, reward, ended in outcomes
        ),
        states=shape[0],
    )


def random_policy(table: Table) -> Tensor:
    """All actions alike (S, A)."""
    shape = (len(table), len(table[0]))
    return torch.full(shape, 1 / shape[1], dtype=torch.float64)


def optimal_policy(table: Table, gamma: float, softening: float = 0.0) -> Tensor:
    """The policy (S, A) of value iteration; of actions whose values are equal, to 10⁻⁹, the one of the lowest number.

    Args:
        table: gymnasium's ``P``.
        gamma: γ < 1.
        softening: ε, the probability of taking a uniformly random action instead.

    Raises:
        ConfigurationError: on a bad ``gamma`` or ``softening``.
    """
    if not 0 < gamma < 1 or not 0 <= softening <= 1:
        raise ConfigurationError(
            f"gamma is {gamma} and softening {softening}; expected a factor below 1 and a probability"
        )
    states, actions = len(table), len(table[0])
    transition = torch.zeros(states, actions, states, dtype=torch.float64)
    reward = torch.zeros(states, actions, dtype=torch.float64)
    for state, choices in table.items():
        for action, outcomes in choices.items():
            for probability, following, gain, ended in outcomes:
                reward[state, action] += probability * gain
                if not ended:
                    transition[state, action, following] += probability
    value = torch.zeros(states, dtype=torch.float64)
    scale = float(reward.abs().max().clamp(min=1e-30))
    values = reward
    for _ in range(int(np.ceil(np.log(1e-13 * (1 - gamma)) / np.log(gamma)))):
        values = reward + gamma * transition @ value
        change, value = values.amax(1).sub(value).abs().max(), values.amax(1)
        if float(change) < 1e-13 * scale:
            break
    # the first that is as good as the best
    best = (values >= values.amax(1, keepdim=True) - TIE * scale).to(torch.int8).argmax(1)
    greedy = torch.nn.functional.one_hot(best, actions).double()
    return (1 - softening) * greedy + softening / actions


def _kept(table: Table, starts: Sequence[int] | None) -> list[int]:
    """The states that returns start from, in order."""
    outcomes = {state: [o for choice in table[state].values() for o in choice if o[0] > 0] for state in table}
    if starts is None:
        ends = {int(o[1]) for some in outcomes.values() for o in some if o[3]}
        return sorted(set(table) - ends)
    found, waiting = set(starts), list(starts)
    while waiting:
        following = {int(o[1]) for o in outcomes[waiting.pop()] if not o[3]} - found
        found |= following
        waiting += following
    return sorted(found)
