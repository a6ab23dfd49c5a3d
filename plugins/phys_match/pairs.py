r"""A network of particles that turns, reflects and renames its output as its input: sums over pairs.

Of n particles at x_i the output for particle i is Σ_j f(d_ij, t)(x_i − x_j), d_ij = |x_i − x_j|, and one number that
does not change is the mean of g(d_ij, t) over pairs. f and g are the two outputs of one perceptron of distance and
time, so that forces of two particles are all that there is: an equivariant layer of Satorras et al. 2021 without
messages.

Source: Satorras, Hoogeboom & Welling 2021, *E(n) equivariant graph neural networks* (arXiv:2102.09844), Eq. 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from phys_samplers.fields import Field
from phys_samplers.randomness import Streams
from phys_samplers.target import Target

TINY = 1e-6


class PairNetwork(nn.Module):
    """States z (R, N, K) of the centred subspace, and times (R, N) or (R, 1), to (R, N, K + ``numbers``).

    Args:
        field: of the perceptron.
        target: of particles.
        numbers: g's that there are.
        streams: one per replica, for initial weights.
    """

    axes: Tensor

    def __init__(self, field: Field, target: Target, *, numbers: int = 1, streams: Streams) -> None:
        super().__init__()
        assert target.particles is not None
        self.particles, self.dims = target.particles
        first, second = torch.triu_indices(self.particles, self.particles, 1)
        eye = torch.eye(self.particles)
        apart = torch.kron(eye[first] - eye[second], torch.eye(self.dims)).T  # (n·m, P·m)
        subspace = target.subspace
        matrix = apart if subspace is None else subspace.cpu().to(apart) @ apart
        self.pairs = len(first)
        self.register_buffer("axes", matrix.repeat(streams.replicas, 1, 1))
        self.perceptron = field.build(1, 1 + numbers, streams=streams, conditioned=True, out_gain=0.0)

    def forward(self, z: Tensor, t: Tensor) -> Tensor:
        """See the class."""
        replicas, rows, _ = z.shape
        apart = torch.bmm(z, self.axes).view(replicas, rows, self.pairs, self.dims)
        distance = (apart.square().sum(-1) + TINY).sqrt()
        times = t.expand(replicas, rows).unsqueeze(-1).expand(-1, -1, self.pairs).flatten(1)
        found = self.perceptron(distance.flatten(1).unsqueeze(-1), times).view(replicas, rows, self.pairs, -1)
        pull = (found[..., :1] * apart).flatten(2)
        moved = torch.bmm(pull, self.axes.mT)  # what i gets from j, j gets from i with the other sign
        return torch.cat((moved, found[..., 1:].mean(2)), -1)
