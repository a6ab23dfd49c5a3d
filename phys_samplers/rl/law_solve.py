"""``law-solve``: the laws of a policy's returns from logged transitions, without a training loop.

One pass over the data gives ``moments``, a linear solve (``solve``) the laws: for every discount factor, reward column
and resample of the data one more solve, none of which looks at the data again. Off the policy that the data come from,
actions of the log enter the features, and what follows is averaged over the actions that the policy would take there:
φ' = Σ_a π(a | z') φ(z', a). Or rows are weighted by what the policy makes of their probability.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.features import SAMPLE, FeatureKind, FeatureMap, Standardised, Table, feature_map
from phys_samplers.rl.fitted import PredictedReturns, ReturnLaws
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.moments import SINGLE, Moments, Rows, Total
from phys_samplers.rl.prediction import Prediction
from phys_samplers.rl.solve import Solution, chosen_ridge, grid, monotone, solve
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target, require
from phys_samplers.training import Callback

EXACT = 1e-9
"""The ridge where rows are known with their probabilities."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """Transitions (N, …) that some behaviour met.

    Args:
        observation: z, numbers (N, F) or integers (N,).
        reward: r (N,), or several reward functions (N, M).
        terminal: (N,), booleans; a time limit is not terminal.
        next_observation: z', likewise.
        action: a (N,), integers; None to judge the behaviour itself.
        next_policy: π(· | z') (N, A), of the policy that is judged; needed with ``action``.
        weight: ω (N,), such as importance weights; None for 1.
        episode: numbers (N,), which bands keep together; None for rows that are independent.
    """

    observation: Tensor
    reward: Tensor
    terminal: Tensor
    next_observation: Tensor
    action: Tensor | None = None
    next_policy: Tensor | None = None
    weight: Tensor | None = None
    episode: Tensor | None = None

    def __post_init__(self) -> None:
        sizes = {name: len(value) for name, value in vars(self).items() if value is not None}
        if len(set(sizes.values())) != 1:
            raise ConfigurationError(f"the columns of the log have {sizes} rows; expected as many of each")
        if (self.action is None) != (self.next_policy is None):
            raise ConfigurationError("action and next_policy go together; expected both, or neither")
        for name in ("observation", "next_observation", "reward", "weight"):
            value = getattr(self, name)
            if value is not None and not bool(torch.isfinite(value).all()):
                raise ConfigurationError(f"column {name!r} holds NaN or infinite values; expected finite numbers")

    def pieces(self, size: int) -> Iterator[Log]:
        """At most ``size`` rows at a time, in order."""
        for first in range(0, len(self.reward), size):
            parts = {name: value[first : first + size] for name, value in vars(self).items() if value is not None}
            yield replace(self, **parts)


class Features(nn.Module):
    """φ(z, a): the features of an observation in the place of the action, zeros elsewhere.

    Args:
        map: of observations.
        actions: A.
        single: whether features are numbers in single precision.
    """

    def __init__(self, map: FeatureMap, actions: int, *, single: bool = False) -> None:
        super().__init__()
        self.map, self.actions, self.single = map, actions, single

    @property
    def count(self) -> int:
        """Features of all actions."""
        return self.map.count * self.actions

    def of(self, observation: Tensor) -> Tensor:
        """Of observations (N, F), or integers (N,): (N, d), or places of ones (N,)."""
        if observation.ndim == 1 and isinstance(self.map, Table):
            return observation.long()
        if observation.is_floating_point():
            low = self.single and isinstance(self.map, Standardised)
            observation = observation.float() if low else observation.double()
        made = self.map(observation)
        return made.float() if self.single and made.is_floating_point() else made

    def rows(self, log: Log, reward: Tensor) -> Rows:
        """What the moments are made of."""
        weight = torch.ones(len(reward)) if log.weight is None else log.weight
        now, following = self.of(log.observation), self.of(log.next_observation)
        if log.action is None or log.next_policy is None:
            return Rows(now, reward, log.terminal, following, weight)
        size = self.map.count
        if now.ndim > 1:
            here = torch.nn.functional.one_hot(log.action.long(), self.actions).to(now)
            there = log.next_policy.to(now)
            now, following = (here.unsqueeze(2) * now.unsqueeze(1)), (there.unsqueeze(2) * following.unsqueeze(1))
            now, following = now.flatten(1), following.flatten(1)
            return Rows(now, reward, log.terminal, following, weight)
        # one row for each action that the policy may take next
        nothing = torch.eye(self.actions)[0].to(log.next_policy)
        chances = torch.where(log.terminal.unsqueeze(1), nothing, log.next_policy)
        row, action = (chances > 0).nonzero(as_tuple=True)
        now = now + size * log.action.long()
        return Rows(
            now[row], reward[row], log.terminal[row], following[row] + size * action, weight[row] * chances[row, action]
        )


class SolvedLaws(ReturnLaws):
    """Laws that are linear in features.

    Args:
        features: φ.
        theta: Θᵀ (K, d), the constant first.
        solution: where they come from; None for those that were loaded.
    """

    theta: Tensor

    def __init__(self, features: Features, theta: Tensor, solution: Solution | None = None) -> None:
        super().__init__()
        self.features, self.actions, self.solution = features, features.actions, solution
        self.register_buffer("theta", theta)

    @torch.no_grad()
    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams | None = None) -> ReturnLaw:
        """See ``ReturnLaws.law``; one replica."""
        phi = self.features.of(observation[0].double())
        each = self.theta[:, 1:].T.view(self.actions, -1, len(self.theta))  # (A, d, K)
        raw = each[:, phi].transpose(0, 1) if phi.ndim == 1 else torch.einsum("nd,adk->nak", phi.double(), each)
        laws = ReturnLaw(grid(len(self.theta)).to(raw), monotone(raw + self.theta[:, 0]).unsqueeze(0))
        return laws if action is None else laws.chosen(action)


@dataclass(frozen=True, kw_only=True)
class LawSolve(Sampler):
    """Laws of returns on atoms, linear in features of observations, by one linear solve; see the module.

    Args:
        atoms: K.
        features: ``table`` for one-hot observations, ``cosines``, ``tiles``; ``auto`` for the first that fits.
        count: of random cosines.
        bandwidth: of the fastest cosines, in standard deviations of the observations.
        tilings: of tiles.
        bins: tiles a coordinate.
        ridge: over the mean square of a feature; None for one that is chosen by cross-validation, and next to none
            where rows have probabilities.
        single: whether features are summed up in single precision, which halves the time of many rows and allows no
            ridge below 1e-5.
    """

    kind: ClassVar[str] = "return_model"
    needs: ClassVar[frozenset[str]] = frozenset({"experience"})

    atoms: int = fit_option(201, least=3)
    features: FeatureKind = fit_option("auto")
    count: int = fit_option(400, least=2)
    bandwidth: float = fit_option(1.0, above=0)
    tilings: int = fit_option(8, least=1)
    bins: int = fit_option(4, least=1)
    ridge: float | None = fit_option(None, above=0)
    single: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.single and (self.ridge or SINGLE) < SINGLE:
            raise ConfigurationError(
                f"ridge is {self.ridge} and single True; expected {SINGLE:g} or more, beside which rounding is nothing"
            )

    def map_of(self, sample: Tensor, function: Callable[[Tensor], Tensor] | None = None) -> FeatureMap:
        """The features that a sample of observations (N, F) calls for, or those of ``function``."""
        options = {name: getattr(self, name) for name in ("count", "bandwidth", "tilings", "bins")}
        return feature_map(function or self.features, sample, **options)

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> PredictedReturns:
        """The laws of ``target``; ``seed`` and ``callbacks`` have nothing to act on.

        Raises:
            MissingCapability: if it is an environment to act in.
            ConfigurationError: if the equation is singular.
        """
        require(target, *self.needs, by="the return model law-solve")
        experience = target.experience  # type: ignore[attr-defined]
        if not isinstance(experience, Prediction):
            raise MissingCapability(
                f"law-solve judges a given policy from its transitions; {target.name!r} is an environment to act in"
            )
        weight = experience.probability.double() * len(experience.probability)
        log = Log(
            observation=experience.observation,
            reward=experience.reward,
            terminal=experience.terminal,
            next_observation=experience.next_observation,
            weight=weight,
        )
        sample = log.observation[:: max(1, len(weight) // SAMPLE)]
        features = Features(self.map_of(sample), 1, single=self.single)
        moments = Moments(features.count)
        moments.add(features.rows(log, log.reward))
        known = bool((weight - 1).abs().max() > 1e-6)
        solution = self.solved(moments.total(), moments, experience.gamma, experience.scale, exact=known)
        network = SolvedLaws(features, solution.theta, solution).to(device)
        model = PredictedReturns(network, queries=experience.queries.to(device), scale=experience.scale)
        model.recipe, model.target_name, model.event_shape = self, target.name, target.event_shape
        return model

    def solved(
        self, total: Total, moments: Moments, gamma: float, scale: ReturnScale, *, exact: bool = False
    ) -> Solution:
        """The laws for one γ and reward function."""
        ridge = self.ridge
        if ridge is None:
            assert moments.kept is not None
            ridge = max(EXACT, total.least) if exact else chosen_ridge(total, moments.kept, gamma, scale)
        return solve(total, gamma, scale, atoms=self.atoms, ridge=ridge)

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
        PredictedReturns.check_facts(facts, tensors, PredictedReturns.role)
        buffers = {name: tensor for name, tensor in tensors.items() if name.startswith("features.")}
        inputs = facts["features"]
        one_hot = torch.eye(inputs)[:2] if not buffers else torch.zeros(2, inputs)
        network = SolvedLaws(Features(self.map_of(one_hot), facts["actions"]), tensors["theta"]).to(device)
        network.load_state_dict({name: tensor for name, tensor in tensors.items() if name != "queries"})
        return PredictedReturns.restored(network, tensors, facts)
