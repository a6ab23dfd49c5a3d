r"""The paper's own fields of returns: perceptrons s(x, z) and g(x, z) that see the return x beside the state z.

Algorithm 3 regresses them, at x drawn uniformly from the span of returns, on

    s ← (1/γ) s'((x − r)/γ),     g ← g'((x − r)/γ)        (printed),
                                 g ← (1/γ²) g'((x − r)/γ)  (right: the derivative of the line for s),

s' and g' the fields at the next state. With the printed target g is not ∂s/∂x; Eq. 1 and 3 lack the factor 1/γ in front
of both. After a terminal step the law is N(r, ξ²); Algorithm 3 fits it through pairs of its samples, here its density
and slope are the targets themselves, at the same x, which is the same regression without the noise. Beyond the span
fields are taken to be zero.

The law of a return is read from s on a grid; it need not be positive nor have mass one. What is negative is left out,
means are ratios. g plays no part in it: it is what pictures of the gradient field show.

Source: Li et al. 2024 (arXiv:2410.01796), Sec. 4.3, Algorithm 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError
from phys_samplers.fields.stacked import StackedLinear, activation
from phys_samplers.options import fit_option
from phys_samplers.randomness import Streams
from phys_samplers.rl.fitted import ReturnNetwork
from phys_samplers.rl.law import ReturnLaw, of_action
from phys_samplers.rl.recipe import ReturnModel
from phys_samplers.rl.transitions import Transitions

LEAST = 1e-6
"""Mass that a law has besides, spread over the grid, so that it is one where s is not positive anywhere."""


@dataclass(frozen=True, kw_only=True)
class BellmanMLP(ReturnModel):
    """Perceptrons of the return and the state, backed up by the linear Bellman operator.

    Args:
        bandwidth: ξ of terminal laws, in units where returns lie between 0 and 1.
        low: lower end of the span that x is drawn from, in these units.
        high: upper end.
        draws: values of x for each transition; the algorithm takes one.
        grid: nodes that laws are read from.
        printed: whether g has the printed target rather than the right one.
        tie: whether g is ∂s/∂x, so that there is no network for it.
        preserve: whether backups preserve the bandwidth: x moves by √(1 − γ²) ξ times a normal draw before it is
            backed up, and after a terminal step the law is N(r, ξ²) as before.
    """

    width: int = fit_option(64, least=1)
    bandwidth: float = fit_option(0.03, above=0)
    low: float = fit_option(-0.1, below=1)
    high: float = fit_option(1.1, above=0)
    draws: int = fit_option(16, least=1)
    grid: int = fit_option(64, least=2)
    printed: bool = False
    tie: bool = False
    preserve: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.low < self.high:
            raise ConfigurationError(f"low is {self.low} and high {self.high}; expected the lower first")
        if self.printed and self.tie:
            raise ConfigurationError("printed and tie are both True; a g that is ∂s/∂x has no target of its own")

    def build(self, features: int, actions: int, *, streams: Streams) -> FieldPerceptrons:
        """See ``ReturnModel.build``."""
        return FieldPerceptrons(self, features, actions, streams=streams)


class FieldPerceptron(nn.Module):
    """One field at many returns for each state: (R, B, F) and (R, B, X) → (R, B, A, X).

    The first layer's shares of the state and of the return are computed apart, so that the state's is done once.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: BellmanMLP, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__()
        self.activation = activation(recipe.activation)
        gain, width = math.sqrt(3.0), recipe.width
        self.state = StackedLinear(features, width, streams=streams, gain=gain)
        # a return varies over about one unit, which the first layer has to cut finely
        self.place = StackedLinear(1, width, streams=streams, gain=8.0)
        self.hidden = nn.ModuleList(
            StackedLinear(width, width, streams=streams, gain=gain) for _ in range(recipe.depth - 1)
        )
        self.out = StackedLinear(width, actions, streams=streams, gain=1.0)

    def forward(self, observation: Tensor, x: Tensor) -> Tensor:
        """The field (R, B, A, X)."""
        replicas, rows, values = x.shape
        place = self.place(x.reshape(replicas, rows * values, 1)).view(replicas, rows, values, -1)
        hidden = self.activation(place + self.state(observation).unsqueeze(2)).flatten(1, 2)
        for layer in self.hidden:
            hidden = self.activation(layer(hidden))
        return self.out(hidden).view(replicas, rows, values, -1).transpose(2, 3)


class FieldPerceptrons(ReturnNetwork):
    """See the module.

    Args:
        recipe: the options.
        features: F.
        actions: A.
        streams: for initial weights.
    """

    def __init__(self, recipe: BellmanMLP, features: int, actions: int, *, streams: Streams) -> None:
        super().__init__()
        self.actions, self.recipe = actions, recipe
        self.density = FieldPerceptron(recipe, features, actions, streams=streams.child("s"))
        self.gradient: FieldPerceptron | None = None
        if not recipe.tie:
            self.gradient = FieldPerceptron(recipe, features, actions, streams=streams.child("g"))

    @property
    def peak(self) -> float:
        """p = ξ√(2π): networks give ps and pξg, in whose units a terminal law and its slope are about one high."""
        return self.recipe.bandwidth * math.sqrt(2 * math.pi)

    def loss(self, batch: Transitions, target: FieldPerceptrons, noise: Streams) -> Tensor:
        """See ``ReturnNetwork.loss``: mean squared errors of ps and of pξg, whose sizes are about one; see ``peak``."""
        recipe, count = self.recipe, self.recipe.draws
        rows = batch.reward.shape[1]
        with torch.no_grad():
            x = recipe.low + (recipe.high - recipe.low) * noise.uniform(rows, count).to(batch.reward)
            going = batch.discount > 0
            discount = torch.where(going, batch.discount, 1.0).unsqueeze(-1)
            moved = x - batch.reward.unsqueeze(-1)
            distance = moved / recipe.bandwidth
            if recipe.preserve:
                blur = recipe.bandwidth * (1 - discount.square()).clamp(min=0).sqrt()
                moved = moved - blur * noise.normal(rows, count).to(moved)
            before = moved / discount
            inside = ((before >= recipe.low) & (before <= recipe.high)).to(x)
            bell = torch.exp(-0.5 * distance.square())
            following = of_action(target.density(batch.next_observation, before), batch.next_action)
            wanted = torch.where(going.unsqueeze(-1), following * inside / discount, bell)
        learned = of_action(self.density(batch.observation, x), batch.action)
        loss = (learned - wanted).square().mean((1, 2))
        if self.gradient is None:
            return loss
        with torch.no_grad():
            assert target.gradient is not None
            factor = inside if recipe.printed else inside / discount.square()
            slope = of_action(target.gradient(batch.next_observation, before), batch.next_action) * factor
            wanted = torch.where(going.unsqueeze(-1), slope, -distance * bell)
        learned = of_action(self.gradient(batch.observation, x), batch.action)
        return loss + (learned - wanted).square().mean((1, 2))

    def fields(self, observation: Tensor, x: Tensor) -> dict[str, Tensor]:
        """s and g (R, B, A, X) at observations (R, B, F) and returns x (X,), for pictures."""
        at = x.to(observation).expand(*observation.shape[:2], -1)
        width, step = self.recipe.bandwidth, 1e-2 * self.recipe.bandwidth
        density = self.density(observation, at) / self.peak
        if self.gradient is not None:
            return {"s": density, "g": self.gradient(observation, at) / (self.peak * width)}
        up, down = (self.density(observation, at + move) for move in (step, -step))
        return {"s": density, "g": (up - down) / (2 * step * self.peak)}

    def law(self, observation: Tensor, action: Tensor | None = None, *, noise: Streams) -> ReturnLaw:
        """See ``ReturnNetwork.law``."""
        recipe = self.recipe
        nodes = torch.linspace(recipe.low, recipe.high, recipe.grid).to(observation)
        field = self.density(observation, nodes.expand(*observation.shape[:2], -1))
        if action is not None:
            field = of_action(field, action)
        step = (recipe.high - recipe.low) / (recipe.grid - 1) / self.peak
        return ReturnLaw(nodes, field.clamp(min=0) * step + LEAST / recipe.grid)
