r"""The learned value functions, and with them everything of a sampler that training changes.

    V^t(z) = network(z, t) + c_t + a_t E(z),   t = 0..T−1;   V^T = E

The shift c_t follows the mean temporal-difference error, so that the network need not learn what is constant (log Z
may be hundreds). The skip a_t E(x), if wanted, gives what the network lacks near the end, where V^t is almost the
energy, at the price of an energy gradient in every step instead of one in the last.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from phys_value_gradient.landscape import Energy
from phys_value_gradient.process import AuxiliaryProcess
from phys_value_gradient.values import ValueNetwork


class Critic(nn.Module):
    """Values of R replicas; every parameter and buffer has the replica axis first.

    Args:
        network: of V^t.
        process: for the initial skip coefficients and width of the prior.
        initial_std: σ_init at first.
        skip: whether to add a_t E; a_t starts at s_{T−1}²/(b_t), which is 1 at the last learned step and small where
            the energy has long been blurred away.
    """

    offset: Tensor
    log_std: Tensor

    def __init__(self, network: ValueNetwork, process: AuxiliaryProcess, *, initial_std: float, skip: bool) -> None:
        super().__init__()
        self.network = network
        like = next(network.parameters())
        replicas, steps = len(like), process.steps
        self.skip: nn.Parameter | None = None
        if skip:
            shares = [process.variances[-1] / blur for _, blur in process.marginals[:-1]]
            self.skip = nn.Parameter(torch.tensor(shares, dtype=like.dtype).repeat(replicas, 1))
        self.register_buffer("offset", like.new_zeros(replicas, steps))
        self.register_buffer("log_std", like.new_full((replicas,), math.log(initial_std)))

    @property
    def steps(self) -> int:
        """T."""
        return self.offset.shape[1]

    def forward(self, z: Tensor, energy: Tensor | None) -> Tensor:
        """V^t (R, T, N) at states (R, T, N, K) of all steps, differentiable in the parameters.

        Args:
            z: states.
            energy: E (R, T, N) there; used by the skip alone.
        """
        value = self.network(z.flatten(1, 2), rows(0, self.steps, z)).view(z.shape[:-1]) + self.offset.unsqueeze(-1)
        return value if self.skip is None or energy is None else value + self.skip.unsqueeze(-1) * energy


class LearnedLandscape:
    """V^0, …, V^T of a critic in an energy, without autograd; see ``Landscape``.

    Args:
        critic: the learned part.
        energy: V^T, and the E of the skip.
    """

    def __init__(self, critic: Critic, energy: Energy) -> None:
        self.critic = critic
        self.energy = energy

    @torch.no_grad()
    def values(self, z: Tensor, first: int) -> Tensor:
        """See ``Landscape``."""
        learned = self._learned(z, first)
        skip = self.critic.skip
        value = self._network(z[:, :learned], first) if learned else z.new_empty(z[:, :0].shape[:-1])
        if skip is None:
            return value if learned == z.shape[1] else torch.cat((value, self.energy.value(z[:, learned:])), 1)
        energy = self.energy.value(z)
        if learned:
            energy[:, :learned].mul_(skip[:, first : first + learned, None]).add_(value)
        return energy

    @torch.no_grad()
    def values_and_gradients(self, z: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """See ``Landscape``."""
        learned = self._learned(z, first)
        skip = self.critic.skip
        if not learned:
            return self.energy.value_and_gradient(z)
        points = z[:, :learned].flatten(1, 2)
        value, gradient = self.critic.network.value_and_gradient(points, rows(first, learned, z))
        value = value.view(len(z), learned, -1).add_(self.critic.offset[:, first : first + learned, None])
        gradient = gradient.view(len(z), learned, *z.shape[2:])
        if skip is not None:
            energy, slope = self.energy.value_and_gradient(z)
            share = skip[:, first : first + learned, None]
            energy[:, :learned].mul_(share).add_(value)
            slope[:, :learned].mul_(share.unsqueeze(-1)).add_(gradient)
            return energy, slope
        if learned == z.shape[1]:
            return value, gradient
        energy, slope = self.energy.value_and_gradient(z[:, learned:])
        return torch.cat((value, energy), 1), torch.cat((gradient, slope), 1)

    def _network(self, z: Tensor, first: int) -> Tensor:
        """network + c_t (R, S, N) at states of learned steps; step by step, in pieces that stay in the cache."""
        network, offset = self.critic.network, self.critic.offset
        parts = [network(z[:, i], first + i) for i in range(z.shape[1])]
        return torch.stack(parts, 1).add_(offset[:, first : first + len(parts), None])

    def _learned(self, z: Tensor, first: int) -> int:
        """How many of the steps of ``z`` are below T."""
        return max(min(z.shape[1], self.critic.steps - first), 0)


def rows(first: int, count: int, z: Tensor) -> Tensor | int:
    """The step of every row of ``z[:, :count]`` (R, count, N, K), flattened; one number where there is one step."""
    if count == 1:
        return first
    return torch.arange(first, first + count, device=z.device).repeat_interleave(z.shape[2])
