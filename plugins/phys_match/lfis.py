r"""LFIS: the flow of an interpolant trained step by step, each step a map of its own.

Step k moves x_k to x_k + b_k(x_k) with a small network b_k, fitted on the particles that the steps before it led there:

    L_k = Var[ ∇·b_k + b_k·∇log π_k + (β_{k+1} − β_k) U ],

whose mean is the estimate of log Z_{k+1}/Z_k, so that no rate has to be learned. Particles are chosen by their weights
(log-determinants, exact for maps), which are carried along, and resampled where too few are effective. Each network
begins where the one before it ended. It is ``nets`` with ε = 0 whose times are trained one after the other.

Source: Tian, Panda & Lin 2024, *Liouville flow importance sampler* (arXiv:2405.06672), Eq. 7 and Algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_match.interpolant import Interpolant, piloted
from phys_match.nets import InterpolantModel, log_det_step, walks_of
from phys_match.tangents import divergence
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import make_field, replica
from phys_samplers.options import Part, draw_option, fit_option
from phys_samplers.paths import UnitDensity, resample, spread
from phys_samplers.randomness import Streams
from phys_samplers.sampler import Model, StackedSampler
from phys_samplers.target import Target, require
from phys_samplers.training import Callback, TrainingPlan, TrainingReport, train


class SteppedDrift(nn.Module):
    """One network a step.

    Args:
        networks: K of them, (R, N, D) to (R, N, D).
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def displacement(self, k: int, x: Tensor, steps: int) -> Tensor:
        """See ``Drift``."""
        moved: Tensor = self.networks[k](x)
        return moved

    def with_log_det(self, k: int, x: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """See ``Drift``."""
        return log_det_step(self.networks[k], x, x.new_zeros(1, 1), 1.0)


@dataclass(frozen=True, kw_only=True)
class LFIS(StackedSampler):
    """Liouville flow importance sampler.

    Args:
        field: network of a step, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own.
        depth: hidden layers, likewise.
        interpolation_steps: K.
        prior_std: s₀, in units of the spread.
        particles: that train the steps.
        resample_at: share of effective particles below which they are resampled.
        batch_size: particles of an optimiser's step, chosen by weight.
        steps: of the optimiser, for each of the K.
        learning_rate: of Adam at the start of each.
        probes: random directions of an estimated divergence (Hutchinson); None takes the exact one.
        scale: spread of the target, the unit; None finds it by importance sampling.
        resample_below: share of effective paths of a draw below which they are resampled on the way; None for
            independent ones.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    diffusion: ClassVar[float] = 0.0
    refine: ClassVar[int] = 1

    field: Part = fit_option("mlp")
    width: int | None = fit_option(64, least=1)
    depth: int | None = fit_option(None, least=1)
    interpolation_steps: int = fit_option(32, least=1)
    prior_std: float = fit_option(1.2, above=0)
    particles: int = fit_option(2_048, least=2)
    resample_at: float = fit_option(0.5, above=0, most=1)
    batch_size: int = fit_option(512, least=2)
    steps: int = fit_option(150, least=1)
    learning_rate: float = fit_option(3e-3, above=0)
    probes: int | None = fit_option(None, least=1)
    scale: float | None = fit_option(None, above=0)
    resample_below: float | None = draw_option(None, above=0, most=1)

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """All seeds as one stack, step after step; see ``Sampler.fit_replicas``.

        Raises:
            ConfigurationError: on a ``checkpoint``: every step is a training of its own.
        """
        if checkpoint is not None:
            raise ConfigurationError(
                "checkpoint was given, but every step of LFIS is a training of its own; leave it out"
            )
        require(target, *self.needs, by=type(self).__name__)
        target = target.to(device)
        scale = self.scale or spread(target)
        density, noise = UnitDensity(target, scale), Streams(seeds, "noise", device=device)
        course, dim, replicas = self.course(density, device), density.dim, len(seeds)
        network = self.network(dim, Streams(seeds, "weights", device="cpu")).to(device)
        x = self.prior_std * noise.normal(self.particles, dim)
        log_weights = x.new_zeros(replicas, self.particles)
        plan = TrainingPlan(steps=self.steps, learning_rate=self.learning_rate, ema_decay=0.9)
        networks: list[nn.Module] = []
        failures: dict[int, Exception] = {}
        seconds = 0.0
        for k in range(course.steps):
            rows = _Rows(density, course, k, x, log_weights)

            def loss(rows: _Rows = rows) -> Tensor:
                return rows.loss(network, noise, self.batch_size, self.probes)

            reports = train(network, loss, plan, callbacks=callbacks, description=f"LFIS step {k + 1}")
            for r, report in enumerate(reports):
                if isinstance(report, TrainingReport):
                    seconds += report.seconds / replicas
                else:
                    failures.setdefault(r, report)
            networks.append(_copy(network))
            with torch.no_grad():
                moved, log_det = log_det_step(network, x, x.new_zeros(1, 1), 1.0)
                x = x + moved
                beta = float(course.betas[k + 1])
                after = beta * density.log_prob(x) + (1 - beta) * course.prior(x)
                log_weights = log_weights + torch.nan_to_num(after - rows.law + log_det, nan=-1e30, neginf=-1e30)
                chosen, log_weights, _ = resample(log_weights, noise.uniform(1), least=self.resample_at)
                x = x.gather(1, chosen[..., None].expand(-1, -1, dim))
        results: list[Model | Exception] = []
        for r in range(replicas):
            if r in failures:
                results.append(failures[r])
                continue
            drift = SteppedDrift([replica(each, r) for each in networks]).requires_grad_(False)
            model = InterpolantModel(self, drift, target, scale=scale, course=course, device=device)
            total = sum(p.numel() for p in drift.parameters())
            steps = self.steps * course.steps
            model.report = TrainingReport(
                steps=steps,
                seconds=seconds,
                replicas=replicas,
                parameters=total,
                best_step=steps,
                best_validation=None,
                history=[],
            )
            results.append(model)
        return results

    def network(self, dim: int, streams: Streams) -> nn.Module:
        """The stacked network of a step, which begins at zero."""
        field = make_field(self.field, width=self.width, depth=self.depth)
        return field.build(dim, dim, streams=streams, conditioned=False, out_gain=0.0)

    def course(self, density: UnitDensity, device: torch.device | str) -> Interpolant:
        """The interpolant, from a pilot run."""
        return piloted(density, self.interpolation_steps, std=self.prior_std, device=device)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> InterpolantModel:
        """See ``Sampler.restore``."""
        streams = Streams([0], "restore")

        def blank(dim: int, steps: int) -> SteppedDrift:
            return SteppedDrift([self.network(dim, streams) for _ in range(steps)])

        return walks_of(self, blank, tensors, facts, event_shape=event_shape, target=target, device=device)


class _Rows:
    """Particles at the beginning of a step, with what the loss needs of them."""

    def __init__(self, density: UnitDensity, course: Interpolant, k: int, x: Tensor, log_weights: Tensor) -> None:
        value, score = density.both(x)
        beta, gain = float(course.betas[k]), float(course.betas[k + 1] - course.betas[k])
        self.x, self.slope = x, course.slope(x, score, beta)
        self.law = beta * value + (1 - beta) * course.prior(x) if beta else course.prior(x)
        self.gain = gain * (value - course.prior(x))
        self.cumulative = torch.softmax(log_weights.double(), 1).cumsum(1)

    def loss(self, network: nn.Module, noise: Streams, size: int, probes: int | None) -> Tensor:
        """L_k (R,) on particles that are chosen by weight."""
        points = noise.uniform(size) * self.cumulative[:, -1:]
        chosen = torch.searchsorted(self.cumulative, points, right=True).clamp_(max=self.x.shape[1] - 1)
        rows = chosen[..., None].expand(-1, -1, self.x.shape[-1])
        x, slope = self.x.gather(1, rows), self.slope.gather(1, rows)
        signs = None
        if probes is not None:
            signs = noise.uniform(probes, size, x.shape[-1]).sub_(0.5).sign_().transpose(0, 1)
        moved, spreading = divergence(network, x, x.new_zeros(1, 1), signs)
        return (spreading + (moved * slope).sum(-1) + self.gain.gather(1, chosen)).var(1)


def _copy(network: nn.Module) -> nn.Module:
    """The stacked network as it is now."""
    twin = copy.deepcopy(network)
    for parameter in twin.parameters():
        parameter.data, parameter.grad = parameter.data.clone(), None
    return twin
