"""Laws of returns by a network, and what fitting one gives: laws at any observation, in the unit of the rewards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.fields.stacked import MLP
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.rl.law import ReturnLaw, ReturnScale, of_action
from phys_samplers.rl.spaces import Observations
from phys_samplers.rl.transitions import Transitions
from phys_samplers.sampler import Draw, Model
from phys_samplers.schema import Malformed, number, one_of, rows, table, text, whole

HEAD_GAIN = 0.01
"""Initial scale of a last layer: every law starts near one that does not depend on the observation."""


class ReturnLaws(nn.Module, ABC):
    """Laws of R replicas, of returns in the unit of ``ReturnScale``.

    Attributes:
        actions: A.
        evaluations: of the network, that a law, or each draw of one that is known through draws, takes.
    """

    actions: int
    evaluations: int = 1

    @abstractmethod
    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """Laws (R, B, A) at observations (R, B, F); or those of ``action`` (R, B) alone, (R, B).

        Args:
            observation: encoded observations.
            action: integers.
            noise: for laws that are known through draws only.
        """

    def mean(self, observation: Tensor, *, noise: Streams) -> Tensor:
        """Expected returns (R, B, A)."""
        return self.law(observation, noise=noise).mean

    def worth(self, observation: Tensor, *, tail: float, noise: Streams) -> Tensor:
        """What actions are worth (R, B, A): means of their laws, or of the worst share ``tail`` of them."""
        if tail >= 1:
            return self.mean(observation, noise=noise)
        return self.law(observation, noise=noise).lower_tail(tail)


class ReturnNetwork(ReturnLaws):
    """Laws that are learned by descent; every parameter has the replica axis first."""

    @abstractmethod
    def loss(self, batch: Transitions, target: Self, noise: Streams) -> Tensor:
        """One loss per replica (R,).

        Args:
            batch: the transitions.
            target: the lagged network, which gives the laws of what follows; no gradient goes there.
            noise: for losses that draw.
        """


class HeadNetwork(ReturnNetwork):
    """One perceptron, whose last layer holds K numbers for each action.

    Args:
        trunk: what the perceptron looks like.
        features: F.
        actions: A.
        count: K.
        streams: for initial weights.
    """

    def __init__(self, trunk: MLP, features: int, actions: int, count: int, *, streams: Streams) -> None:
        super().__init__()
        self.actions, self.count = actions, count
        self.trunk = trunk.build(features, actions * count, streams=streams, out_gain=HEAD_GAIN)

    def heads(self, observation: Tensor, action: Tensor | None = None) -> Tensor:
        """The numbers (R, B, A, K) at observations (R, B, F); or those of ``action`` (R, B) alone, (R, B, K)."""
        heads = self.trunk(observation).unflatten(-1, (self.actions, self.count))
        return heads if action is None else of_action(heads, action)


class Build(Protocol):
    """Makes a stacked network."""

    def __call__(self, features: int, actions: int, *, streams: Streams) -> ReturnNetwork:
        """Of F features and A actions; see ``ReturnModel.build``."""
        ...


class FittedReturns(Model):
    """What agents and predictions share.

    Args:
        network: of one replica.
        observations: what they may be.
        scale: the unit of the network's returns.
    """

    role: ClassVar[str]

    def __init__(self, network: ReturnLaws, *, observations: Observations, scale: ReturnScale) -> None:
        self.network = network
        self.observations, self.scale = observations, scale

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(iter(self.network.state_dict().values())).device

    @property
    def actions(self) -> int:
        """A."""
        return self.network.actions

    def encode(self, observation: Any) -> Tensor:
        """Rows (B, F) that the network sees, of one observation or of several.

        Args:
            observation: one as the environment gives it, several (B, …) of them where they are arrays, or rows (F,) or
                (B, F) of numbers.

        Raises:
            ConfigurationError: if they do not fit.
        """
        return self.observations.rows(observation).to(self.device, torch.float32)

    @torch.no_grad()
    def law(self, observation: Any, action: int | None = None, *, seed: int = 0) -> ReturnLaw:
        """Laws of the return (B, A) at observations; of one ``action`` alone (B,).

        Args:
            observation: see ``encode``.
            action: None for all.
            seed: of draws, where the model knows its laws through draws only.
        """
        rows = self.encode(observation).unsqueeze(0)
        chosen = None if action is None else self._check(action, rows)
        law = self.network.law(rows, chosen, noise=Streams([seed], "laws", device=self.device))
        points = law.points.expand(*law.weights.shape)[0]
        return ReturnLaw(points, law.weights[0], law.bandwidth).moved(self.scale.width, self.scale.low)

    def mean(self, observation: Any, *, seed: int = 0) -> Tensor:
        """Expected returns (B, A)."""
        return self.law(observation, seed=seed).mean

    def density(
        self,
        observation: Any,
        action: int,
        grid: Tensor | None = None,
        *,
        bandwidth: float | None = None,
        seed: int = 0,
    ) -> tuple[Tensor, Tensor]:
        """A grid of returns (G,) and the density of the return there (B, G).

        Args:
            observation: see ``encode``.
            action: an integer.
            grid: None for 257 points over the range of returns and a tenth of it beyond.
            bandwidth: blur, in the unit of the returns; None for none, or 1 % of their range where the model has atoms.
            seed: of draws, where the model knows its laws through draws only.
        """
        law = self.law(observation, action, seed=seed)
        if grid is None:
            low, width = self.scale.low, self.scale.width
            grid = torch.linspace(low - 0.1 * width, low + 1.1 * width, 257, device=self.device)
        if bandwidth is None:
            bandwidth = 0.0 if law.bandwidth else 0.01 * self.scale.width
        return grid, law.density(grid, bandwidth)

    def returns(self, observation: Any, action: int, n: int, *, seed: int = 0) -> Tensor:
        """``n`` draws of the return (B, n)."""
        law = self.law(observation, action, seed=seed)
        generator = make_generator(seed, "returns", device=self.device)
        return law.sample(torch.rand(*law.weights.shape[:-1], n, generator=generator, device=self.device))

    def tensors(self) -> dict[str, Tensor]:
        """The network's numbers."""
        return dict(self.network.state_dict())

    def facts(self) -> dict[str, Any]:
        """What else ``restored`` needs."""
        return {
            "role": self.role,
            "features": self.observations.features,
            "actions": self.actions,
            "returns": [self.scale.low, self.scale.high],
            "observations": self.observations.facts(),
        }

    @staticmethod
    def check_facts(facts: Mapping[str, Any], tensors: Mapping[str, Tensor], *roles: str) -> None:
        """Refuse facts of a file that are of the wrong type, or ask for more than its numbers can be of.

        Raises:
            CheckpointError: naming the field.
        """
        try:
            table({**_FACTS, "role": one_of(*roles)})(facts, "")
        except Malformed as error:
            raise CheckpointError(f"facts: {error}") from None
        most = sum(tensor.numel() for tensor in tensors.values())
        if (asked := max(facts["features"], facts["actions"])) > most:
            raise CheckpointError(f"facts: {asked:,} features or actions are more than its {most:,} numbers can be of")
        seen = Observations.from_facts(facts["observations"]).features
        if seen != facts["features"]:
            raise CheckpointError(f"facts: observations have {seen:,} numbers; expected {facts['features']:,} features")

    def _check(self, action: int, rows: Tensor) -> Tensor:
        if isinstance(action, bool) or not 0 <= int(action) < self.actions:
            raise ConfigurationError(f"action is {action!r}; expected an integer from 0 to {self.actions - 1}")
        return torch.full(rows.shape[:2], int(action), device=self.device)


class PredictedReturns(FittedReturns):
    """The laws of the returns of a given policy.

    Args:
        network: of one replica, with one action: what the policy does.
        queries: observations (Q, F) at which laws are scored.
        scale: the unit of the network's returns.
    """

    role = "prediction"

    def __init__(self, network: ReturnLaws, *, queries: Tensor, scale: ReturnScale) -> None:
        super().__init__(network, observations=Observations.numbers(queries.shape[1]), scale=scale)
        self.queries = queries

    def laws(self, *, seed: int = 0) -> ReturnLaw:
        """The laws (Q,) at the queries."""
        return self.law(self.queries, 0, seed=seed)

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` draws of the returns (n, Q) from each query, independent of one another."""
        self.check_draw(n, start)
        self.recipe.for_draw(options)
        law = self.laws(seed=seed)
        generator = make_generator(seed, "returns", device=self.device)
        uniforms = torch.rand(len(self.queries), n, generator=generator, device=self.device)
        error = (law.total - 1).abs()
        return Draw(
            samples=law.sample(uniforms.to(law.weights)).T,
            nfe=float(self.network.evaluations),
            diagnostics={"mass_error": float(error.max())},
        )

    def tensors(self) -> dict[str, Tensor]:
        """The network's numbers and the queries."""
        return {**super().tensors(), "queries": self.queries}

    @classmethod
    def restored(cls, network: ReturnLaws, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> Self:
        """Inverse of ``tensors`` and ``facts``, with the network rebuilt."""
        return cls(network, queries=tensors["queries"], scale=ReturnScale(*facts["returns"]))


_SIZE = whole(0, 2**31)
_FACTS = {
    "features": whole(1, 2**31),
    "actions": whole(1, 2**31),
    "returns": rows(number(), most=2),
    "observations": rows(
        table(
            {
                "path": rows(),
                "kind": one_of("box", "bytes", "bits", "integers", "text"),
                "shape": rows(_SIZE, most=64),
            },
            {"counts": rows(_SIZE), "starts": rows(whole()), "characters": text()},
        ),
        most=10_000,
    ),
}
