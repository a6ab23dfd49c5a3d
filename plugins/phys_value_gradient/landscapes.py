r"""Value functions as landscapes: learned, with everything of a sampler that training changes, or exact.

    V^t(z) = network(k_t z, t) + c_t + ½ q_t |z|² − r_t·z + a_t E(z),   t = 0..T−1;   V^T = E

The network sees states in units of the spread of a unit normal law at t, k_t = 1/√(a_t² + b_t), so that it is not
rougher than what it learns. What is linear in its coefficients follows the temporal-difference errors by weighted least
squares, at once instead of by small steps of Adam: the constant (log Z may be hundreds), the quadratic and the skip;
the network learns the rest. The quadratic is what remains of any law that is blurred enough, and grows as no bounded
network does; on a subspace, where laws are symmetric about 0, it has no linear part. The skip a_t E(x), if wanted,
gives what the network lacks near the end, where V^t is almost the energy, at the price of an energy gradient in every
step instead of one in the last.

The optimal values, which learning aims at, are known of a law whose blurred forms are. The auxiliary process makes x_t
= a_t x_T + √b_t ε of x_T ~ q, so that (Theorem 3.1)

    V*^t(x) = −τ log(Z q̃_t(x)) = −τ [log q_{b_t/a_t²}(x/a_t) − D log a_t + log Z]

with q_v the law of x_T + √v ε. A law with a method ``blurred(v)``, such as a Gaussian mixture, gives that at once.

Theorem 3.1 asks that the policies include q̃(x'|x) itself. Gaussian policies do not (unless q is Gaussian), so their
optimal cost-to-go is larger; the values here are those of the unrestricted problem, which the soft target leads to.

Source: Yoon et al. 2025 (arXiv:2502.13280), Eq. 15, App. B.1.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from phys_samplers.errors import IncompatibleError
from phys_samplers.target import Target
from phys_value_gradient.fields import CHUNK, ValueNetwork
from phys_value_gradient.policy import Energy
from phys_value_gradient.process import AuxiliaryProcess

TINY = 1e-12


class Critic(nn.Module):
    """Values of R replicas; every parameter and buffer has the replica axis first.

    Args:
        network: of V^t.
        process: for the initial skip coefficients and width of the prior.
        initial_std: σ_init at first.
        variance: of the law in each coordinate, roughly, if known; q_t is then right for such a normal law at first.
        dim: K.
        baseline: whether the constant, the quadratic and the skip are there at all.
        linear: whether the quadratic has a linear part.
        skip: whether to add a_t E; a_t starts at s_{T−1}²/(b_t), which is 1 at the last learned step and small where
            the energy has long been blurred away.

    Attributes:
        energy_limit: from which energies are bent, (R,); infinite until ``Learner.bound_energies``.
    """

    scale: Tensor
    offset: Tensor
    curvature: Tensor | None
    slope: Tensor | None
    skip: Tensor | None
    log_std: Tensor
    energy_limit: Tensor

    def __init__(
        self,
        network: ValueNetwork,
        process: AuxiliaryProcess,
        *,
        dim: int,
        initial_std: float,
        variance: float | None = None,
        baseline: bool,
        linear: bool,
        skip: bool,
    ) -> None:
        super().__init__()
        self.network = network
        like = next(network.parameters())
        replicas, steps = len(like), process.steps
        scale = torch.tensor([(a**2 + b) ** -0.5 for a, b in process.marginals[:-1]], dtype=like.dtype)
        self.register_buffer("scale", scale.repeat(replicas, 1))
        self.register_buffer("offset", like.new_zeros(replicas, steps))
        self.register_buffer("curvature", like.new_zeros(replicas, steps) if baseline else None)
        self.register_buffer("slope", like.new_zeros(replicas, steps, dim) if baseline and linear else None)
        shares = [process.variances[-1] / blur for _, blur in process.marginals[:-1]]
        self.register_buffer(
            "skip", torch.tensor(shares, dtype=like.dtype).repeat(replicas, 1) if baseline and skip else None
        )
        if variance is not None and self.curvature is not None:
            own = [1.0 - share if skip else 1.0 for share in shares]
            starts = [part / (a**2 * variance + blur) for part, (a, blur) in zip(own, process.marginals, strict=False)]
            self.curvature.copy_(torch.tensor(starts, dtype=like.dtype))
        self.register_buffer("log_std", like.new_full((replicas,), math.log(initial_std)))
        self.register_buffer("energy_limit", like.new_full((replicas,), math.inf))

    @property
    def steps(self) -> int:
        """T."""
        return self.offset.shape[1]

    def forward(self, z: Tensor, energy: Tensor | None) -> Tensor:
        """V^t (R, T, N) at states (R, T, N, K) of all steps, differentiable in the parameters; in z see ``gradients``.

        Args:
            z: states.
            energy: E (R, T, N) there; used by the skip alone.
        """
        scaled = z * self.scale[..., None, None]
        value = self.network(scaled.flatten(1, 2), rows(0, self.steps, z)).view(z.shape[:-1])
        value = value + self.polynomial(z.detach(), 0)
        return value if self.skip is None or energy is None else value + self.skip.unsqueeze(-1) * energy

    def gradients(self, values: Tensor, z: Tensor, energy_gradient: Tensor | None) -> Tensor:
        """∇V^t (R, T, N, K) with a graph to the parameters, from the ``values`` of ``forward`` at ``z``.

        Args:
            values: from ``forward``, whose ``z`` asked for gradients.
            z: states.
            energy_gradient: ∇E (R, T, N, K) there; used by the skip alone.
        """
        (gradient,) = torch.autograd.grad(values.sum(), z, create_graph=True)
        gradient = gradient + self.polynomial_gradient(z.detach(), 0)
        return (
            gradient
            if self.skip is None or energy_gradient is None
            else torch.addcmul(gradient, self.skip[..., None, None], energy_gradient)
        )

    @torch.no_grad()
    def regress(self, error: Tensor, z: Tensor, energy: Tensor | None, *, rate: float, limit: float) -> None:
        """Move c_t, q_t, a_t and r_t a share ``rate`` of the way to the weighted least squares fit of the errors.

        Features are centred; ½|z|² and E are fitted together, the coordinates of z one by one to what they leave. An
        error beyond ``limit`` weighs less, as under Huber's loss. The ridge of 1 % takes care of energies that are
        quadratic themselves.

        Args:
            error: targets less values (R, T, N).
            z: states (R, T, N, K).
            energy: E (R, T, N) there, if there is a skip.
            rate: share.
            limit: size of an ordinary error.
        """
        if self.curvature is None:
            return
        weight = (limit / error.abs().clamp(min=limit)).unsqueeze(-1)
        weight /= weight.sum(2, keepdim=True)
        columns = [0.5 * z.square().sum(-1)] + ([energy] if self.skip is not None and energy is not None else [])
        features = torch.stack(columns, -1)
        features = features - (weight * features).sum(2, keepdim=True)
        moments = features.mT @ (weight * features)
        moments.diagonal(dim1=-2, dim2=-1).mul_(1.01).add_(TINY)
        target = features.mT @ (weight * error.unsqueeze(-1))
        change = torch.linalg.solve_ex(moments, target)[0].mul_(rate)
        self.curvature += change[..., 0, 0]
        if self.skip is not None and energy is not None:
            self.skip += change[..., 1, 0]
        moved = (torch.stack(columns, -1) @ change).squeeze(-1)
        if self.slope is not None:
            left = (rate * error - moved).unsqueeze(-1)
            mean = (weight * z).sum(2, keepdim=True)
            spread = (weight * (z - mean).square()).sum(2)
            along = (weight * (z - mean) * left).sum(2).div_(spread + TINY)
            self.slope -= along
            moved = moved + (z @ along.unsqueeze(-1)).squeeze(-1)
        self.offset += (weight.squeeze(-1) * (rate * error - moved)).sum(-1)

    def polynomial(self, z: Tensor, first: int) -> Tensor:
        """c_t + ½ q_t |z|² − r_t·z, broadcastable to (R, S, N), at states (R, S, N, K) of the steps from ``first``."""
        part = slice(first, first + z.shape[1])
        if self.curvature is None:
            return self.offset[:, part, None]
        offset, curvature = self.offset[:, part, None], self.curvature[:, part, None]
        if self.slope is None:
            return torch.addcmul(offset, curvature, z.square().sum(-1), value=0.5)
        pull = torch.addcmul(self.slope[:, part].unsqueeze(2), curvature.unsqueeze(-1), z, value=-0.5)
        return offset - pull.mul_(z).sum(-1)

    def polynomial_gradient(self, z: Tensor, first: int) -> Tensor | float:
        """q_t z − r_t (R, S, N, K)."""
        if self.curvature is None:
            return 0.0
        part = slice(first, first + z.shape[1])
        gradient = self.curvature[:, part, None, None] * z
        return gradient if self.slope is None else gradient - self.slope[:, part].unsqueeze(2)


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
        points = z[:, :learned]
        scale = self.critic.scale[:, first : first + learned, None, None]
        value, gradient = self.critic.network.value_and_gradient(
            (scale * points).flatten(1, 2), rows(first, learned, z)
        )
        value = value.view(points.shape[:-1]).add_(self.critic.polynomial(points, first))
        gradient = gradient.view(points.shape).mul_(scale).add_(self.critic.polynomial_gradient(points, first))
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
        """All but the skip (R, S, N) at states of learned steps.

        At once on a GPU, and where they fit the processor's cache; else step by step, whose rows share their biases.
        """
        scaled = z * self.critic.scale[:, first : first + z.shape[1], None, None]
        if z.is_cuda or z[..., 0].numel() * self.critic.network.head.shape[1] <= CHUNK:
            value = self.critic.network(scaled.flatten(1, 2), rows(first, z.shape[1], z)).view(z.shape[:-1])
            return value.add_(self.critic.polynomial(z, first))
        parts = [self.critic.network(scaled[:, i], first + i) for i in range(z.shape[1])]
        return torch.stack(parts, 1).add_(self.critic.polynomial(z, first))

    def _learned(self, z: Tensor, first: int) -> int:
        """How many of the steps of ``z`` are below T."""
        return max(min(z.shape[1], self.critic.steps - first), 0)


def rows(first: int, count: int, z: Tensor) -> Tensor | int:
    """The step of every row of ``z[:, :count]`` (R, count, N, K), flattened; one number where there is one step."""
    if count == 1:
        return first
    return torch.arange(first, first + count, device=z.device).repeat_interleave(z.shape[2])


class ExactLandscape:
    """V*^0, …, V*^{T−1} of a law with ``blurred``, and V^T = E; see ``Landscape``.

    Args:
        target: whose law has ``blurred(variance)``, ``log_prob`` (normalised, but for ``log_z``) and ``score``, on
            all of R^D.
        process: the auxiliary process.
        energy: of the target, for V^T.

    Raises:
        IncompatibleError: if the law has no ``blurred``, or lives on a subspace.
    """

    def __init__(self, target: Target, process: AuxiliaryProcess, energy: Energy) -> None:
        if not callable(getattr(target.law, "blurred", None)) or target.subspace is not None:
            raise IncompatibleError(
                f"the law of target {target.name!r} has no blurred form in closed form (a method blurred(variance), on "
                "all of R^D), so that its values must be learned; set value='value-mlp'"
            )
        self.process = process
        self.energy = energy
        self.log_z = target.log_z or 0.0
        self._blurred: list[Any] = [target.law.blurred(b / a**2) for a, b in process.marginals[:-1]]

    def values(self, z: Tensor, first: int) -> Tensor:
        """See ``Landscape``."""
        return self.values_and_gradients(z, first)[0]

    @torch.no_grad()
    def values_and_gradients(self, z: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """See ``Landscape``."""
        results = [self._at(z[:, i], first + i) for i in range(z.shape[1])]
        return torch.stack([value for value, _ in results], 1), torch.stack([slope for _, slope in results], 1)

    def _at(self, z: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """V^t (R, N) and its gradient at (R, N, K)."""
        if t == self.process.steps:
            return self.energy.value_and_gradient(z)
        scale, _ = self.process.marginals[t]
        points = z.reshape(-1, z.shape[-1]) / scale
        law = self._blurred[t]
        value = z.shape[-1] * math.log(scale) - self.log_z - law.log_prob(points)
        return value.view(z.shape[:-1]), (law.score(points) / -scale).view(z.shape)
