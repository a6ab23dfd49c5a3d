r"""Values without a network: by least squares on ends of walks that a Markov chain has moved, noised back.

A walk that follows wrong values ends beside the law, and learning from its own states never shows it what it misses.
So its ends leave the walk:

1.  walk down the values that there are, for ends x_T;
2.  move the ends by MALA steps in the density itself, the first time after a descent; keep those of a few rounds;
3.  noise them back with the auxiliary process, x_t = a_t x_T + √b_t ε, to every t at once: no walk has to get there;
4.  fit, for each t apart, by least squares over such pairs,

        ∇V^t(x_t)  ≈  (x_t − a_t x_T)/b_t,        V^t(z) = c_t + ½ q_t |z|² − r_t·z + a_t E(z) + Σ_j w_tj φ_tj(z),

and again. The right side has the mean −∇log q̃_t(x_t) given x_t, the gradient of the optimal value (Theorem 3.1) if the
ends are of the law: denoising score matching with few numbers a step, in closed form. Pairs come with ε and −ε. Steps
depend on gradients alone, so that c_t is not needed: it is 0.

Of particles φ_tj = Σ_{pairs} exp(−½((r − m_tj)/h_tj)²): pair potentials, whose centres go from the smallest to the
largest distance at t in equal steps of h_tj, so that no length is to be chosen; and, with ``channels``, three-body
functions (``bodies``). Other laws have q_t, r_t and a_t only.

The last value is the energy itself, and path weights lead to the law whatever was fitted; see ``vgs``. MALA steps after
a walk (``corrections``) leave the law as it is, so that the weights of the walk stay right for where they lead.

Source: walks and values are those of Yoon et al. 2025 (arXiv:2502.13280), Algorithm 1, Theorem 3.1; the loop is not in
the paper. Regression on noised states: Vincent 2011, *A Connection Between Score Matching and Denoising Autoencoders*.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from phys_samplers.chains import mala
from phys_samplers.chains.warmup import DualAveraging
from phys_samplers.density import FlatDensity, same_target
from phys_samplers.errors import ConfigurationError, TrainingDiverged
from phys_samplers.laws import PairPotential
from phys_samplers.options import draw_option, fit_option
from phys_samplers.randomness import make_generator
from phys_samplers.target import Target, require
from phys_samplers.training import Callback, TrainingReport
from phys_value_gradient.bodies import count
from phys_value_gradient.features import Differences, particle_layout
from phys_value_gradient.least_squares import TINY, Fitted, LeastSquaresLandscape
from phys_value_gradient.policy import HIGHEST, Energy, Landscape, Policy, walk
from phys_value_gradient.process import Scheduled
from phys_value_gradient.vgs import ValueGradientModel

ACCEPTANCE = 0.574
"""Of MALA; optimal in high dimension (Roberts & Rosenthal 1998)."""


class ReplayModel(ValueGradientModel):
    """Fitted values with the walks that follow them; see ``ValueGradientModel``.

    Args:
        recipe: with the sampling options.
        target: that path weights lead to; the model asks it while sampling.
        fitted: the numbers.
    """

    recipe: ReplaySampler  # type: ignore[assignment]

    def __init__(self, recipe: ReplaySampler, target: Target, fitted: Fitted) -> None:
        super().__init__(recipe, target, critic=None, log_std=fitted.log_std)  # type: ignore[arg-type]
        self.fitted = fitted
        self._followed = recipe.softened(target)
        self._differences = recipe.differences(target)

    @property
    def followed(self) -> Target:
        """The target with its pair potential softened, if the recipe says so."""
        return self._followed

    def landscape(self, energy: Energy) -> Landscape:
        """V^0, …, V^T."""
        return LeastSquaresLandscape(self.fitted, energy, self._differences)

    @property
    def correction_step(self) -> Tensor:
        """Of the size that fitting found."""
        return self.fitted.log_step.exp()

    def tensors(self) -> dict[str, Tensor]:
        """The fitted numbers."""
        return self.fitted._asdict()


@dataclass(frozen=True, kw_only=True)
class ReplaySampler(Scheduled):
    """Walks down values fitted by least squares to their own ends, moved by MALA and noised back: no data, no network.

    For a law with one mode, or whose modes differ by pair distances: the values are a quadratic, a share of the energy
    and pair potentials. Lengths are in the units of the target. ``end_variance``, no more than the inverse of the
    largest curvature, is also the scale of descent and MALA; for the other variances see ``Scheduled``.

    Args:
        functions: J, pair potentials of a step; without effect where there are no particles.
        channels: A, of distance, that three-body functions are made of (``bodies``); 0 for none; likewise.
        initial_std: of a coordinate under the law, roughly; what the first walks go by.
        core: distance below which a pair potential is softened (``PairPotential.softened``); None for the law as it is.
        rounds: of the loop.
        walks: of a round.
        descents: steps downhill before the first MALA step.
        moves: MALA steps of a round; three times as many in the first.
        kept_rounds: rounds whose ends are fitted to.
        rows: noised ends that a step is fitted to, even.
        ridge: of least squares, relative to the mean square of a column.
        policy: how values become steps, ``"taylor"`` or ``"mean"``; see ``policy``.
        drift_clip: largest drift of a step, in units of the length of its noise; None for no limit.
        energy_clip: energy from which E goes on like a logarithm; None for E as it is. See ``policy.Energy``.
        noise_scale: η of the noise when sampling.
        final_noise: whether the last step has noise; without it there are no path weights.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"log_prob", "score"})
    temperature: ClassVar[float] = 1.0

    functions: int = fit_option(14, least=2)
    channels: int = fit_option(0, least=0)
    initial_std: float = fit_option(1.0, above=0)
    core: float | None = fit_option(None, above=0)
    rounds: int = fit_option(3, least=1)
    walks: int = fit_option(300, least=2)
    descents: int = fit_option(30, least=0)
    moves: int = fit_option(100, least=2)
    kept_rounds: int = fit_option(3, least=1)
    rows: int = fit_option(512, least=2)
    ridge: float = fit_option(1e-3, above=0)
    policy: Literal["taylor", "mean"] = draw_option("taylor")
    drift_clip: float | None = draw_option(1.0, above=0)
    energy_clip: float | None = draw_option(None, most=HIGHEST)
    noise_scale: float = draw_option(1.0, above=0)
    final_noise: bool = draw_option(True)

    @property
    def rule(self) -> Policy:
        """How values become steps."""
        return Policy(self.auxiliary, self.policy, self.temperature, self.drift_clip)

    @property
    def walk_options(self) -> dict[str, Any]:
        """Options of ``policy.walk`` for draws."""
        return {"noise_scale": self.noise_scale, "final_noise": self.final_noise}

    def softened(self, target: Target) -> Target:
        """The target whose energy walks and chains follow.

        Raises:
            ConfigurationError: if there is a ``core`` and the law is no pair potential.
        """
        if self.core is None:
            return target
        if not isinstance(target.law, PairPotential):
            raise ConfigurationError(
                f"core is {self.core} and the law of target {target.name!r} is no pair potential; leave core out"
            )
        law = target.law.softened(self.core)
        return Target(event_shape=target.event_shape, law=law, name=target.name, evaluations=target.evaluations)

    def differences(self, target: Target) -> Differences | None:
        """Of the pairs of the target's particles, if it has any."""
        if target.particles is None:
            return None
        dim = target.flat_dim
        layout = particle_layout(target, dim, asked_by=type(self).__name__)
        pairs = Differences(layout, target.subspace, replicas=1)
        return pairs if target.subspace is None else pairs.to(target.subspace.device)

    @torch.no_grad()
    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Callback] = ()
    ) -> ReplayModel:
        """See ``Sampler.fit``; the loss of a round is the mean square of what its fit leaves, in units of the noise."""
        require(target, *self.needs, by=type(self).__name__)
        target = target.to(device)
        recipe = self.settle(target, device=device)
        loop = ReplayLoop(recipe, target, seed=seed, device=device)
        began, history = time.perf_counter(), []
        for callback in callbacks:
            callback.started(f"{type(self).__name__} on {target.name}", self.rounds)
        try:
            for index in range(1, self.rounds + 1):
                history.append({"step": float(index), **loop.round()})
                for callback in callbacks:
                    callback.logged(index, {name: [number] for name, number in history[-1].items() if name != "step"})
        finally:
            for callback in callbacks:
                callback.finished()
        model = ReplayModel(recipe, target, loop.fitted)
        numbers = sum(part.numel() for part in (loop.fitted.weights, loop.fitted.slope))
        model.report = TrainingReport(
            steps=self.rounds,
            seconds=time.perf_counter() - began,
            replicas=1,
            parameters=numbers,
            best_step=self.rounds,
            history=history,
        )
        return model

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> ReplayModel:
        """See ``Sampler.restore``.

        Raises:
            CheckpointError: without a target, or with one of another event shape.
        """
        target = same_target(target, event_shape, by=type(self).__name__).to(device)
        return ReplayModel(self.settle(target, device=device), target, Fitted(**tensors))


class ReplayLoop:
    """The loop of the module; ``round`` is one turn.

    Args:
        recipe: how.
        target: to what, on ``device``.
        seed: of every draw.
        device: where.
    """

    def __init__(self, recipe: ReplaySampler, target: Target, *, seed: int, device: torch.device | str) -> None:
        self.recipe = recipe
        density = FlatDensity(recipe.softened(target))
        self.energy = Energy(density, recipe.energy_clip)
        self.centred = target.subspace is not None
        self.differences = recipe.differences(target)
        self.generator = make_generator(seed, "replay", device=device)
        self.ends: list[Tensor] = []
        process, variance = recipe.auxiliary, recipe.initial_std**2
        shares = [process.variances[-1] / blur for _, blur in process.marginals[:-1]]
        curves = [
            (1 - share) / (a**2 * variance + b) for share, (a, b) in zip(shares, process.marginals[:-1], strict=True)
        ]
        functions, channels = (recipe.functions, recipe.channels) if self.differences is not None else (0, 0)
        scale, blur = process.marginals[0]
        like = torch.zeros((), device=device)
        weights = torch.zeros(process.steps, 2 + functions + count(channels), device=device)
        weights[:, 0], weights[:, 1] = like.new_tensor(curves), like.new_tensor(shares)
        table = torch.ones(process.steps, functions, device=device)
        std = like.new_full((1,), 0.5 * math.log(scale**2 * variance + blur))
        slope = like.new_zeros(process.steps, density.dim)
        log_step = like.new_full((1,), math.log(process.variances[-1]))
        wide = torch.ones(process.steps, 2, channels, device=device)
        self.fitted = Fitted(weights, slope, table, table.clone(), wide, std, log_step)

    @property
    def landscape(self) -> LeastSquaresLandscape:
        """The values that there are."""
        return LeastSquaresLandscape(self.fitted, self.energy, self.differences)

    def normal(self, n: int) -> Tensor:
        """Standard normal draws (n, K)."""
        like = self.fitted.log_std
        return torch.randn(n, self.energy.dim, generator=self.generator, device=like.device, dtype=like.dtype)

    def round(self) -> dict[str, float]:
        """Walk, move, noise back, fit; ``loss`` of the fit and MALA's ``acceptance``.

        Raises:
            TrainingDiverged: if ends are lost.
        """
        recipe, first = self.recipe, not self.ends
        z = self.normal(recipe.walks).mul_(self.fitted.log_std.exp())
        noise = lambda: self.normal(recipe.walks).unsqueeze(0)  # noqa: E731
        x = walk(self.landscape, recipe.rule, z.unsqueeze(0), noise, final_noise=False).final[0]
        x, acceptance = self.move(self.descend(x) if first else x, recipe.moves * (3 if first else 1))
        if not bool(torch.isfinite(x).all()):
            lost = int((~torch.isfinite(x).all(1)).sum())
            raise TrainingDiverged(
                f"{lost} of {len(x)} walks of round {len(self.ends) + 1} ended off the finite numbers: lower "
                "end_variance or drift_clip, or set energy_clip"
            )
        self.ends.append(x)
        loss = self.regress(torch.cat(self.ends[-recipe.kept_rounds :]))
        return {"loss": float(loss), "acceptance": float(acceptance)}

    def descend(self, x: Tensor) -> Tensor:
        """Steps downhill from x (N, K), of at most three times the length of the last step's noise."""
        variance = self.recipe.auxiliary.variances[-1]
        longest = 3 * math.sqrt(x.shape[1] * variance)
        for _ in range(self.recipe.descents):
            step = self.energy.value_and_gradient(x)[1].mul_(4 * variance)
            x = x - step.mul_((longest / step.norm(dim=1, keepdim=True).clamp_(min=TINY)).clamp_(max=1.0))
        return x

    def move(self, x: Tensor, moves: int) -> tuple[Tensor, Tensor]:
        """x (N, K) after MALA steps, whose size adapts in the first half, and the mean acceptance afterwards."""

        def log_density(z: Tensor) -> tuple[Tensor, Tensor]:
            energy, gradient = self.energy.value_and_gradient(z)
            return energy.neg_(), gradient.neg_()

        state, acceptance = mala.init(x, log_density), x.new_zeros(())
        adaptation = DualAveraging.init(float(self.fitted.log_step.exp()), like=x)
        for index in range(moves):
            adapting = index < moves // 2
            step = (adaptation.log_step if adapting else adaptation.log_average).exp()
            uniform = torch.rand(len(x), generator=self.generator, device=x.device, dtype=x.dtype)
            noise = self.normal(len(x))
            state, info = mala.step(state, log_density, step_size=step, noise=noise, log_uniform=uniform.log_())
            if adapting:
                adaptation = adaptation.update(info.acceptance.mean(), goal=ACCEPTANCE)
            else:
                acceptance += info.acceptance.mean() / (moves - moves // 2)
        self.fitted.log_step.copy_(adaptation.log_average)
        return state.x, acceptance

    def regress(self, ends: Tensor) -> Tensor:
        """Fit the values of all steps, and σ_init, to ``ends`` (N, K); the mean square of what is left, over K/b_t."""
        recipe, process = self.recipe, self.recipe.auxiliary
        half, left = max(recipe.rows // 2, 1), ends.new_zeros(())
        scale, blur = process.marginals[0]
        self.fitted.log_std.copy_(0.5 * (scale**2 * ends.square().mean() + blur).log())
        for t, (a, b) in enumerate(process.marginals[:-1]):
            chosen = torch.randint(len(ends), (half,), generator=self.generator, device=ends.device)
            epsilon = self.normal(half)
            pairs = torch.cat((epsilon, -epsilon))
            points = a * ends[chosen].repeat(2, 1) + math.sqrt(b) * pairs
            self.landscape.place(points, t)
            goal, columns = pairs / math.sqrt(b), self.landscape.columns(points, t)
            shift = -goal.mean(0), columns.mean(1, keepdim=True)
            if not self.centred:  # r_t takes the mean of every coordinate
                goal, columns = goal + shift[0], columns - shift[1]
            flat = columns.flatten(1)
            size = flat.square().mean(1).sqrt_().clamp_(min=TINY)
            flat = flat / size.unsqueeze(1)
            moments = flat @ flat.T / flat.shape[1]
            moments.diagonal().add_(recipe.ridge)
            weights, _ = torch.linalg.solve_ex(moments, flat @ goal.flatten() / flat.shape[1])  # no wait for its errors
            left += (goal.flatten() - weights @ flat).square().mean() * (b / process.steps)
            self.fitted.weights[t] = weights / size
            if not self.centred:
                self.fitted.slope[t] = shift[0] + torch.einsum("j,jk->k", self.fitted.weights[t], shift[1][:, 0])
        return left
