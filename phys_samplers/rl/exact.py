r"""Exact laws of the return of every state of a finite chain, by dynamic programming on a fine grid.

Laws are kept as their integrated distribution functions H_z(x) = ∫_{−∞}^x F_z = E(x − X(z))⁺, for which the
distributional Bellman equation X(z) = R + γX(z') in law reads

    H_z(x) = E[ γ H_{z'}((x − R)/γ) ],     H = (x − R)⁺ after a terminal row.

Interpolating H linearly between the nodes of a grid is the projection of every atom onto its two neighbours that keeps
mass and mean; a step is one interpolation for each value of the reward and one matrix product over states. Returns
below the grid are moved to its lower end (H minus its value there), those above to its upper end.

Error: a projection adds, given the past, noise of mean zero and of variance at most δ²/4, which each later step shrinks
by γ²; the noises of all steps add up in variance, so that W1 ≤ W2 ≤ δ/(2√(1 − γ²)), δ the spacing. Coarse grids come
first: what they add shrinks on the finer ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from phys_samplers.errors import CheckpointError, ConfigurationError, MissingCapability
from phys_samplers.options import fit_option
from phys_samplers.randomness import make_generator
from phys_samplers.rl.law import ReturnLaw, ReturnScale, projected
from phys_samplers.rl.markov import MarkovChain
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target, require
from phys_samplers.training import Callback

COARSEST = 513
"""Nodes of the first grid."""
SHARE = 4.0
"""By which the steps on a grid shrink the error that the coarser one left."""
CENTRES = 513
"""Of the Gaussians that blurred laws are made of; their spacing is to be small beside the bandwidth."""


@dataclass(frozen=True)
class Tabulated:
    """Integrated distribution functions on a grid over [0, 1].

    Args:
        heights: H (S, G), for returns in the unit of the scale.
        states: of the heights (S,), in order.
        error: bound of each state's W1 distance to the law of its return, in that unit.
    """

    heights: Tensor
    states: Tensor
    error: float

    def law(self, states: Tensor) -> ReturnLaw:
        """Laws (Q,) of ``states`` (Q,), as weights on the nodes."""
        height = self.heights[torch.searchsorted(self.states, states)]
        nodes = torch.linspace(0, 1, height.shape[-1], dtype=torch.float64)
        # F is the slope of H, 1 above the grid; weights are its jumps
        slope = torch.diff(height, dim=-1) * (len(nodes) - 1)
        slope = torch.cat((slope, torch.ones_like(slope[..., :1])), -1)
        return ReturnLaw(nodes, torch.diff(slope, dim=-1, prepend=torch.zeros_like(slope[..., :1])).clamp_(min=0))


def tabulated(chain: MarkovChain, gamma: float, scale: ReturnScale, tolerance: float = 3e-4) -> Tabulated:
    """The laws of all states that have rows.

    Args:
        chain: the chain.
        gamma: γ < 1.
        scale: between what returns lie; those outside are moved to its ends.
        tolerance: bound wanted of W1, as a share of the scale's width.

    Raises:
        ConfigurationError: on a bad ``gamma`` or ``tolerance``.
    """
    if not 0 < gamma < 1 or not 0 < tolerance < 1:
        raise ConfigurationError(f"gamma is {gamma} and tolerance {tolerance}; expected numbers between 0 and 1")
    # (error of the start, variance of all projections so far): see the module
    left, variance, intervals = 1.0, 0.0, COARSEST - 1
    height = torch.linspace(0, 1, intervals + 1, dtype=torch.float64).repeat(len(chain.starts), 1)
    steps = math.ceil(math.log(0.02 * tolerance) / math.log(gamma))
    while True:
        height = _iterated(chain, gamma, scale, height, steps)
        shrunk, added = gamma ** (2 * steps), 1 / (4 * intervals**2 * (1 - gamma**2))
        left, variance = left * gamma**steps, variance * shrunk + added * (1 - shrunk)
        error = left + math.sqrt(variance)
        if error <= tolerance:
            return Tabulated(height, chain.starts, error)
        intervals *= 2
        height = _refined(height)
        steps = math.ceil(math.log(SHARE) / -math.log(gamma))


def _iterated(chain: MarkovChain, gamma: float, scale: ReturnScale, height: Tensor, steps: int) -> Tensor:
    """``height`` (S, G), of the states that have rows, after ``steps`` applications of the operator."""
    starts, count = height.shape
    state, following = (torch.searchsorted(chain.starts, some) for some in (chain.state, chain.next_state))
    nodes = torch.linspace(0, 1, count, dtype=torch.float64)
    ended = chain.terminal
    after = scale.reward(chain.reward, gamma * (~ended).double())
    values, which = after[ended].unique(return_inverse=True)
    chances = torch.zeros(starts, len(values), dtype=torch.float64)
    chances.index_put_((state[ended], which), chain.probability[ended], accumulate=True)
    fixed = chances @ (nodes - values.unsqueeze(1)).clamp_(min=0)
    moves = []
    for value in after[~ended].unique().tolist():
        rows = ~ended & (after == value)
        dense = torch.zeros(starts, starts, dtype=torch.float64)
        dense.index_put_((state[rows], following[rows]), gamma * chain.probability[rows], accumulate=True)
        matrix = dense.to_sparse()
        place = (nodes - value) / gamma * (count - 1)
        left = place.floor().clamp_(0, count - 2)
        # beyond the upper end H has slope one
        fixed += torch.outer(dense.sum(1), (place / (count - 1) - 1).clamp_(min=0))
        index = left.long().expand(starts, -1)
        moves.append((matrix, index, index[0].add(1).expand(starts, -1), (place - left).clamp_(0, 1)))
    for _ in range(steps):
        total = fixed.clone()
        for matrix, left, right, share in moves:
            mixed = torch.sparse.mm(matrix, height)
            total += torch.lerp(mixed.gather(1, left), mixed.gather(1, right), share)
        height = total.sub_(total[:, :1].clone())
    return height


def _refined(height: Tensor) -> Tensor:
    """The same functions on a grid twice as fine."""
    fine = height.new_empty(height.shape[0], 2 * height.shape[1] - 1)
    fine[:, ::2] = height
    fine[:, 1::2] = 0.5 * (height[:, 1:] + height[:, :-1])
    return fine


class ChainReturns:
    """The exact laws of the returns of some states: what a task about returns is scored against.

    Args:
        chain: the chain.
        gamma: γ < 1.
        returns: (low, high) between which returns lie.
        queries: states (Q,); None for all that have rows.
        tolerance: bound of W1, as a share of the range.
    """

    def __init__(
        self,
        chain: MarkovChain,
        gamma: float,
        returns: tuple[float, float],
        queries: Tensor | None = None,
        tolerance: float = 3e-4,
    ) -> None:
        self.chain, self.gamma, self.scale = chain, gamma, ReturnScale(*returns)
        self.queries = chain.starts if queries is None else queries
        self.event_shape = (len(self.queries),)
        self._tolerance = tolerance

    @cached_property
    def tabulated(self) -> Tabulated:
        """Of all states; made when first asked for."""
        return tabulated(self.chain, self.gamma, self.scale, self._tolerance)

    @cached_property
    def laws(self) -> ReturnLaw:
        """The laws (Q,) at the queries, in the unit of the rewards."""
        return self.tabulated.law(self.queries).moved(self.scale.width, self.scale.low)

    @cached_property
    def means(self) -> Tensor:
        """Exact expected returns (Q,), by a linear solve."""
        return self.chain.means(self.gamma)[self.queries]

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Independent returns (n, Q), by inverting the distribution functions."""
        uniforms = torch.rand(len(self.queries), n, generator=generator, dtype=torch.float64, device=generator.device)
        return self.laws.sample(uniforms.cpu()).T.to(generator.device, torch.float32)


class SampledReturns:
    """Laws known through many independent returns: what is used where there is no finite chain.

    Args:
        returns: (Q, N).
    """

    def __init__(self, returns: Tensor) -> None:
        self._returns = returns.double()
        self.event_shape = (len(returns),)

    @cached_property
    def laws(self) -> ReturnLaw:
        """Equal weights on the returns (Q,)."""
        return ReturnLaw(self._returns, torch.full_like(self._returns, 1 / self._returns.shape[1]))

    @property
    def means(self) -> Tensor:
        """(Q,)."""
        return self._returns.mean(1)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Returns (n, Q), drawn with replacement."""
        shape = (len(self._returns), n)
        index = torch.randint(self._returns.shape[1], shape, generator=generator, device=generator.device)
        return self._returns.gather(1, index.cpu()).T.to(generator.device, torch.float32)


@dataclass(frozen=True, kw_only=True)
class ExactReturnModel(Sampler):
    """Hands out the task's exact laws, or the best that a family of laws could be: floors. Nothing is learned.

    At most one option may be given.

    Args:
        bandwidth: of a blur, as a share of the range of returns: what fields on a basis of Gaussians converge to.
        atoms: of a grid over the range that laws are projected onto: the best categorical model of as many atoms.
        quantiles: that many of equal weight at the midpoints, the best in W1 (Dabney et al. 2018, Lemma 2).

    Raises:
        ConfigurationError: on more than one option, or a bad value.
    """

    kind: ClassVar[str] = "return_model"
    needs: ClassVar[frozenset[str]] = frozenset({"experience", "sample"})

    bandwidth: float | None = fit_option(None, above=4 / CENTRES, below=1)
    atoms: int | None = fit_option(None, least=2)
    quantiles: int | None = fit_option(None, least=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        given = {name: value for name, value in self.options().items() if value is not None}
        if len(given) > 1:
            raise ConfigurationError(f"{given} are given; expected at most one of bandwidth, atoms and quantiles")

    def of(self, law: ReturnLaw) -> ReturnLaw:
        """Exact laws (Q,), returns between 0 and 1, as this recipe gives them."""
        if self.bandwidth is not None:
            nodes = torch.linspace(0, 1, CENTRES, dtype=torch.float64)
            return replace(projected(law, nodes), bandwidth=self.bandwidth)
        if self.atoms is not None:
            return projected(law, torch.linspace(0, 1, self.atoms, dtype=torch.float64))
        if self.quantiles is not None:
            levels = (torch.arange(self.quantiles, dtype=torch.float64) + 0.5) / self.quantiles
            points = law.quantiles(levels)
            return ReturnLaw(points, torch.full_like(points, 1 / self.quantiles))
        return law

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> KnownReturns:
        """The model of ``target``; ``seed`` and ``callbacks`` have nothing to act on.

        Raises:
            MissingCapability: if the target does not know the laws of its returns.
        """
        require(target, *self.needs, by="the exact return model")
        exact = getattr(target.law, "laws", None)
        if exact is None:
            raise MissingCapability(f"target {target.name!r} does not know the laws of its returns; leave exact out")
        scale = target.experience.scale  # type: ignore[attr-defined]
        law = self.of(exact.moved(1 / scale.width, -scale.low / scale.width)).moved(scale.width, scale.low)
        return KnownReturns(self, law, target, device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> KnownReturns:
        """The model of ``target``, which must be given again.

        Raises:
            CheckpointError: without it.
        """
        if target is None or target.event_shape != tuple(event_shape):
            raise CheckpointError("an exact return model hands out what its task knows; expected that task as target=")
        return self.fit(target, device=device)


class KnownReturns(Model):
    """Laws (Q,) at the queries of a task.

    Args:
        recipe: the recipe.
        law: the laws, in the unit of the rewards.
        target: the task.
        device: where draws are handed out.
    """

    def __init__(self, recipe: ExactReturnModel, law: ReturnLaw, target: Target, device: torch.device | str) -> None:
        self.recipe: ExactReturnModel = recipe
        self._law, self._device = law, torch.device(device)
        self.target_name, self.event_shape = target.name, target.event_shape

    @property
    def device(self) -> torch.device:
        """Where draws are handed out."""
        return self._device

    @property
    def needs_target(self) -> bool:
        """True: the laws are the task's."""
        return True

    def laws(self, *, seed: int = 0) -> ReturnLaw:
        """The laws (Q,)."""
        return self._law

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` draws of the returns (n, Q), with nfe 0."""
        self.check_draw(n, start)
        self.recipe.for_draw(options)
        generator = make_generator(seed, "returns")
        uniforms = torch.rand(self.event_shape[0], n, generator=generator, dtype=torch.float64)
        samples = self._law.sample(uniforms).T.to(self._device, torch.float32)
        return Draw(samples=samples.contiguous(), nfe=0.0)

    def tensors(self) -> dict[str, Tensor]:
        """Nothing: the laws are the task's."""
        return {}
