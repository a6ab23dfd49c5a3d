"""A policy judged from logged transitions: laws of its returns at many discount factors and rewards, with bands.

Bands come from a jackknife over groups of episodes (of rows, where episodes are not named): the estimate ± t s, with
s² = (G − 1)/G Σ (θ_g − θ̄)² over the estimates θ_g without one of the G groups (Efron & Stein 1981). t is Student's
quantile with as many degrees of freedom as the spread of s² tells, 2/(2/(G − 1) + κ/G) with κ the excess kurtosis of
the θ_g (Satterthwaite 1946): where rare events decide, few groups hold them, and s is known badly. The interval is
symmetric for the log odds of where a mean lies in the range of returns, as far as s is small beside the distance to
its ends. Each θ_g is one more solve of the same moments, started at the estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import torch
from scipy import special
from torch import Tensor

from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.rl.features import SAMPLE
from phys_samplers.rl.law import ReturnLaw, ReturnScale
from phys_samplers.rl.law_solve import Features, LawSolve, Log
from phys_samplers.rl.moments import CHUNK, Moments, Total, dense
from phys_samplers.rl.solve import FAINT, Solution, chosen_ridge, directions, grid, solve

WORST = 0.1
"""Share of the worst returns whose mean is reported."""
LEFT_OUT = 1e-3
"""Probability that a range of returns found from the data may leave out at each end, at any observation."""
SHARE = 0.01
"""Of the residual that leaving out a group makes, what may remain."""


@dataclass(frozen=True)
class Judged:
    """The laws of the returns from each query, for one γ and reward function.

    Args:
        gamma: γ.
        column: number of the reward function.
        law: laws (Q,), in the unit of the rewards.
        residual: of the equation, see ``Solution``.
        ridge: that was used.
        mean_band: an interval (Q, 2) for the mean; None without bands.
        tail_band: likewise, for the mean of the worst tenth.
        below_band: likewise (Q, K, 2), for the distribution function at the atoms.
    """

    gamma: float
    column: int
    law: ReturnLaw
    residual: float
    ridge: float
    mean_band: Tensor | None = None
    tail_band: Tensor | None = None
    below_band: Tensor | None = None


def evaluate(
    log: Log | Iterable[Log],
    queries: Tensor,
    gammas: Sequence[float] = (0.9, 0.95, 0.99),
    *,
    query_policy: Tensor | None = None,
    recipe: LawSolve | None = None,
    features: Callable[[Tensor], Tensor] | None = None,
    returns: tuple[float, float] | None = None,
    band: float | None = 0.9,
    groups: int = 40,
    seed: int = 0,
) -> list[Judged]:
    """Judge a policy from transitions, in one pass over them.

    Args:
        log: transitions, or parts of them in turn; what is kept of them does not grow with their number.
        queries: observations (Q, F), or integers (Q,), whose returns are asked for.
        gammas: discount factors below 1.
        query_policy: π(· | query) (Q, A), if the log has actions.
        recipe: atoms, features, ridge.
        features: a function (N, F) → (N, d) instead of the recipe's.
        returns: between what returns lie; None for a range that is found from the data, for each γ.
        band: probability of the bands; None for none.
        groups: of episodes, which the jackknife leaves out in turn.
        seed: of the lot by which episodes fall into groups.

    Returns:
        One for each γ and reward function, in this order.

    Raises:
        ConfigurationError: on a bad argument, or where the equation has no unique solution.
    """
    recipe = LawSolve() if recipe is None else recipe
    if not gammas or not all(0 < gamma < 1 for gamma in gammas):
        raise ConfigurationError(f"gammas is {tuple(gammas)}; expected discount factors between 0 and 1")
    if band is not None and not 0 < band < 1:
        raise ConfigurationError(f"band is {band}; expected a probability, e.g. 0.9, or None")
    parts = iter([log] if isinstance(log, Log) else log)
    first = next(parts)
    actions = 1 if first.next_policy is None else first.next_policy.shape[1]
    if (query_policy is None) != (actions == 1) or (query_policy is not None and query_policy.shape[1] != actions):
        raise ConfigurationError("query_policy goes with the actions of the log; expected (Q, A), or None without them")
    sample = sampled_rows(first.observation, first.next_observation, queries)
    phi = Features(recipe.map_of(sample, features), actions, single=recipe.single)
    columns = 1 if first.reward.ndim == 1 else first.reward.shape[1]
    moments = [Moments(phi.count, groups=1 if band is None else groups) for _ in range(columns)]
    generator = make_generator(seed, "groups")
    places = torch.randint(groups, (2**16,), generator=generator)
    for part in (piece for some in chain([first], parts) for piece in some.pieces(CHUNK)):
        group = None
        if band is not None and part.episode is not None:
            group = places[part.episode.long() % len(places)]
        part = with_integers(part, phi)
        for column, some in enumerate(moments):
            reward = part.reward if part.reward.ndim == 1 else part.reward[:, column]
            rows = phi.rows(part, reward)
            expanded = group is not None and len(rows) != len(group)
            some.add(rows, None if expanded else group)
    asked = dense(phi.of(as_integers(queries, phi)), 1 + phi.map.count)[:, 1:]
    if query_policy is not None:
        asked = (query_policy.double().unsqueeze(2) * asked.unsqueeze(1)).flatten(1)
    axes = directions(moments[0].total(), FAINT)
    moments, asked = [some.along(axes) for some in moments], dense(asked, len(axes)) @ axes[:, 1:]
    filled = torch.nonzero(moments[0].square[:, 0, 0] > 0).squeeze(1)
    if band is not None and len(filled) == 1:
        raise ConfigurationError(
            "the log has one episode, of which no band can be drawn; expected two or more, or band=None"
        )
    judged = []
    for gamma in gammas:
        for column, some in enumerate(moments):
            judged.append(_judge(recipe, some, gamma, column, asked, returns, band, filled))
    return judged


def _judge(
    recipe: LawSolve,
    moments: Moments,
    gamma: float,
    column: int,
    asked: Tensor,
    returns: tuple[float, float] | None,
    band: float | None,
    filled: Tensor,
) -> Judged:
    total, kept = moments.total(), moments.kept
    assert kept is not None
    scale = safe_scale(total, gamma) if returns is None else ReturnScale(*map(float, returns))
    ridge = recipe.ridge
    for _ in range(1 if returns is not None else 4):
        ridge = chosen_ridge(total, kept, gamma, scale) if recipe.ridge is None else recipe.ridge
        if returns is None:
            known = dense(kept.features, len(total.square))[:, 1:]
            smaller = _narrowed(solve(total, gamma, scale, atoms=201, ridge=ridge), torch.cat((asked, known)))
            done, scale = smaller.width > 0.7 * scale.width, smaller
            if done:
                break
    assert ridge is not None
    axes = directions(total, ridge)
    moments, asked = moments.along(axes), dense(asked, len(axes)) @ axes[:, 1:]
    found = solve(moments.total(), gamma, scale, atoms=recipe.atoms, ridge=ridge)
    law = found.law(asked)
    if band is None:
        return Judged(gamma, column, law, found.residual, ridge)
    others = []
    for group in filled.tolist():
        times = torch.ones(moments.groups)
        times[group] = 0
        without = moments.total(times)
        other = solve(without, gamma, scale, atoms=recipe.atoms, ridge=ridge, start=found.theta, share=SHARE)
        others.append(other.law(asked))
    mean, tail, below = (
        _band(statistic(law), torch.stack([statistic(other) for other in others]), band, unit)
        for statistic, unit in ((_mean, scale), (worst_mean, scale), (_below, ReturnScale(0.0, 1.0)))
    )
    return Judged(gamma, column, law, found.residual, ridge, mean, tail, below.clamp(0, 1))


def _mean(law: ReturnLaw) -> Tensor:
    return law.mean


def worst_mean(law: ReturnLaw) -> Tensor:
    """The mean of the worst tenth: weights are cut off where they add up to it."""
    below = law.weights.cumsum(-1).clamp(max=WORST)
    kept = torch.diff(below, dim=-1, prepend=torch.zeros_like(below[..., :1]))
    return (kept * law.points).sum(-1) / WORST


def _below(law: ReturnLaw) -> Tensor:
    return law.weights.cumsum(-1)


def _band(estimate: Tensor, without: Tensor, probability: float, unit: ReturnScale) -> Tensor:
    groups = len(without)
    apart = without - without.mean(0)
    square = apart.square().mean(0)
    kurtosis = apart.pow(4).mean(0) / square.square().clamp(min=1e-300) - 3
    freedom = (2 / (2 / (groups - 1) + kurtosis.clamp(min=0) / groups)).clamp(min=1)
    quantile = torch.from_numpy(special.stdtrit(freedom.numpy(), 0.5 + probability / 2))
    half = quantile * ((groups - 1) * square).sqrt()
    share = unit.forward(estimate)
    slope = (share * (1 - share)).clamp(min=1e-300)
    odds = half / (unit.width * slope)
    ends = torch.stack((torch.logit(share) - odds, torch.logit(share) + odds), -1).sigmoid()
    plain = torch.stack((estimate - half, estimate + half), -1)
    return torch.where((odds <= 1).unsqueeze(-1), unit.backward(ends), plain)


def safe_scale(total: Total, gamma: float) -> ReturnScale:
    """The range that no return can leave: rewards between the least and the greatest, for ever."""
    reward = torch.cat((total.rewards, total.last_rewards, torch.zeros(1, dtype=torch.float64)))
    low, high = float(reward.min()) / (1 - gamma), float(reward.max()) / (1 - gamma)
    return ReturnScale(low, high) if low < high else ReturnScale(low - 1, high + 1)


def _narrowed(solution: Solution, features: Tensor) -> ReturnScale:
    """The part of a range outside which no law at ``features`` has more than ``LEFT_OUT`` at either end."""
    below = solution.law(features).weights.cumsum(-1)
    atoms = grid(below.shape[-1])
    low = atoms[int((below > LEFT_OUT).int().argmax(-1).min())]
    high = atoms[int((below >= 1 - LEFT_OUT).int().argmax(-1).max())]
    margin = 0.05 * (high - low) + (atoms[1] - atoms[0])
    ends = (solution.scale.low + solution.scale.width * float(x.clamp(0, 1)) for x in (low - margin, high + margin))
    return ReturnScale(*ends)


def sampled_rows(observation: Tensor, *others: Tensor) -> Tensor:
    """A sample of observations (N, F); integers become one-hot rows."""
    if observation.ndim == 1 and not observation.is_floating_point():
        states = max(int(some.max()) for some in (observation, *others)) + 1
        return torch.eye(states)
    return _columns(observation)[:: max(1, len(observation) // SAMPLE)]


def _columns(observation: Tensor) -> Tensor:
    return observation.flatten(1) if observation.ndim > 1 else observation.unsqueeze(1)


def as_integers(observation: Tensor, phi: Features) -> Tensor:
    """Observations as features are made of: integers that a table has, or numbers (N, F)."""
    if observation.ndim == 1 and not observation.is_floating_point():
        highest = phi.map.count
        if bool(((observation < 0) | (observation >= highest)).any()):
            raise ConfigurationError(
                f"observations are integers up to {int(observation.max())}; expected 0 to {highest - 1}, as in the "
                "first part of the log"
            )
        return observation
    return _columns(observation)


def with_integers(log: Log, phi: Features) -> Log:
    """The log with its observations as features are made of; see ``as_integers``."""
    return replace(
        log,
        observation=as_integers(log.observation, phi),
        next_observation=as_integers(log.next_observation, phi),
    )
