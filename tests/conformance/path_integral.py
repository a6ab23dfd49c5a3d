"""Path integral sampler with the log-variance loss, as a plugin on one page: dx = σ²u(x, t) dt + σ dW from 0.

Zhang & Chen 2022 (arXiv:2111.15141), Eq. 5 and 9; the loss is the variance of log dP_u/dP* (Richter & Berner 2024).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from phys_registry import Component, hookimpl
from phys_samplers import Draw
from phys_samplers.chains import DensityModel
from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field
from phys_samplers.objective import Objective, TrainedSampler
from phys_samplers.options import Part, fit_option
from phys_samplers.randomness import Streams


def walk(network, density, sigma, steps, noise):
    """x_T (R, B, D) along Euler steps that the normal draws ``noise`` (T, R, B, D) move, and log dP*/dP_u (R, B)."""
    z, h, log_weight = torch.zeros_like(noise[0]), 1 / steps, noise.new_zeros(noise.shape[1:-1])
    for k in range(steps):
        u, dw = network(z, z.new_full(z.shape[:2], k * h)), sigma * math.sqrt(h) * noise[k]
        z = (z + sigma**2 * h * u + dw).detach()
        log_weight = log_weight - 0.5 * sigma**2 * h * u.square().sum(-1) - (u * dw).sum(-1)
    flat = z.flatten(0, 1)
    reference = -0.5 * flat.square().sum(1) / sigma**2 - flat.shape[1] * math.log(sigma * math.sqrt(2 * math.pi))
    return z, log_weight + (density.log_prob(flat) - reference).view(z.shape[:2])


class PathIntegralModel(DensityModel):
    def __init__(self, recipe, network, target, device):
        super().__init__(recipe, target=target, device=device)
        self.network = network

    @torch.no_grad()
    def draw(self, n, *, seed=0, start=None, **options):
        self.check_draw(n, start)
        if start is not None:
            raise ConfigurationError("start was given, but every path begins at 0; leave it out")
        recipe, density = self.recipe.for_draw(options), FlatDensity(self._target)
        noise = Streams([seed], "walk", device=self.device).normal(recipe.sampling_steps, n, density.dim)
        z, log_weight = walk(self.network, density, recipe.sigma, recipe.sampling_steps, noise.transpose(0, 1))
        return Draw(density.embed(z[0]), float(recipe.sampling_steps), log_weights=log_weight[0])

    def tensors(self):
        return dict(self.network.state_dict())


@dataclass(frozen=True, kw_only=True)
class PathIntegral(TrainedSampler):
    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})

    field: Part = "fourier-mlp"
    batch_size: int = fit_option(64, least=2)
    sigma: float = fit_option(3.0, above=0)
    sampling_steps: int = fit_option(30, least=1)

    def training_objective(self, target, *, seeds, device):
        density, noise = FlatDensity(target), Streams(seeds, "noise", device=device)
        build, streams = make_field(self.field, width=None, depth=None).build, Streams(seeds, "weights")
        network = build(density.dim, density.dim, streams=streams, conditioned=True, out_gain=0.0).to(device)

        def loss():
            draws = noise.normal(self.sampling_steps, self.batch_size, density.dim).transpose(0, 1)
            return walk(network, density, self.sigma, self.sampling_steps, draws)[1].var(1)

        return Objective(network, loss, lambda net, _: PathIntegralModel(self, net, target, device), state=(noise,))

    def restore(self, tensors, facts, *, event_shape, target, device="cpu"):
        network = self.training_objective(target.to(device), seeds=[0], device=device).module
        network.load_state_dict(dict(tensors))
        return PathIntegralModel(self, network.requires_grad_(False), target.to(device), device)


@hookimpl
def phys_components() -> Any:
    yield Component("sampler", "path-integral", PathIntegral, summary="path integrals", needs={"log_prob", "score"})
