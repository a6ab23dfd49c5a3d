"""The Bellman Diffusion recipe: Algorithm 1 (training) with its options, for both parametrisations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from phys_bellman.annealed import AnnealedBellmanModel
from phys_bellman.losses import FieldLoss
from phys_bellman.model import BellmanModel, NetworkBellmanModel
from phys_bellman.networks import FieldNetworks
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import Denoiser, Field, make_field
from phys_samplers.integrators import Integrator
from phys_samplers.kernels import Kernel, KernelMean
from phys_samplers.losses import Loss
from phys_samplers.objective import Problem, RowsSampler
from phys_samplers.parts import Part, make_part
from phys_samplers.randomness import Streams, make_generator
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target


@dataclass(frozen=True, kw_only=True)
class BellmanDiffusion(RowsSampler):
    """Learns the scalar field s and the gradient field g of the data, samples by dx = g dt + √s dW.

    Li et al. 2024 (arXiv:2410.01796). Two parametrisations of the pair (s, g):

    ``denoiser``  fields of the data blurred by σ, annealed from σ_max to σ_min: s is a kernel mean over training rows,
                  g = ½(∇s + s (D − x)/σ²) with one trained network, the denoiser D. The default.
    ``networks``  the paper's: one network for s, one for g, trained by field matching; one SDE from N(0, prior_std² I).

    Args:
        parametrisation: ``denoiser`` (annealed fields, one network) or ``networks`` (the paper's pair).
        loss: by name or object; None is ``denoising`` for the denoiser and ``sliced-field-matching`` (Eq. 10–11) for
            networks, which also take ``field-matching`` (Eq. 8) and ``denoising-field-matching``.
        kernel: k of both fields, by name or object. A heavy-tailed one keeps stragglers moving, while the mobility of
            ``gaussian`` dies in the tails, where particles then stay.
        epsilon: its variance ε in standardised units; None for the median heuristic.
        normalise: match k/E[k] instead of k (networks), so that one step size serves every data set.
        tied: g = ∇s instead of a network of its own (networks).
        field: network of the fields, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own (64 for perceptrons).
        depth: hidden layers, likewise.
        integrator: by name or object. None is for the denoiser ``corrected-heun``, Bellman diffusion at constant blur
            between steps of the probability flow; ``exponential-ou`` runs the annealed SDE instead. For networks it is
            ``euler-maruyama``.
        schedule: noise levels that a denoising integrator steps through (denoiser), by name or object.
        sampling_steps: T; None is 30 levels for a denoising integrator and 300 steps of an SDE.
        step_size: η; with the denoiser it is δ, in units of σ².
        prior_std: standard deviation of the starting points (networks).
        mobility_cap: follow s/(1 + s/cap) < cap with the drift that keeps the same law stationary (networks): smaller
            moves where the mobility is large, at the cost of a gradient of s a step.
        box: keep particles in the box of the training rows, widened on each side by this share of its own width, by
            reflection (networks). A draw says what share of them met its walls (``clamped``); where that is large, the
            samples are made by the walls.
        sigma_max: blur at the start (denoiser), in standardised units.
        sigma_min: blur at the end (denoiser).
        hold: share of the steps spent at sigma_min (denoiser).
        reference: training rows that the mobility averages over (denoiser).
    """

    fixed: ClassVar[frozenset[str]] = RowsSampler.fixed | {
        "parametrisation",
        "loss",
        "kernel",
        "epsilon",
        "normalise",
        "tied",
        "field",
        "width",
        "depth",
        "reference",
    }

    parametrisation: Literal["denoiser", "networks"] = "denoiser"
    loss: Part | None = None
    kernel: Part = "slice-average"
    epsilon: float | None = None
    normalise: bool = True
    tied: bool = False
    field: Part = "mlp"
    width: int | None = None
    depth: int | None = None
    integrator: Part | None = None
    schedule: Part = "edm"
    sampling_steps: int | None = None
    step_size: float = 0.1
    prior_std: float = 1.0
    mobility_cap: float | None = None
    box: float | None = None
    sigma_max: float = 5.0
    sigma_min: float = 0.03
    hold: float = 0.05
    reference: int = 256

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sampling_steps is not None and self.sampling_steps < 1:
            raise ConfigurationError(f"sampling_steps is {self.sampling_steps}; expected at least 1")
        for name in ("step_size", "prior_std", "sigma_min"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}; expected a positive number")
        if self.mobility_cap is not None and not self.mobility_cap > 0:
            raise ConfigurationError(f"mobility_cap is {self.mobility_cap}; expected a positive number, or None")
        if self.box is not None and not self.box >= 0:
            raise ConfigurationError(f"box is {self.box}; expected a share of the data's width, at least 0, or None")
        for name in ("mobility_cap", "box"):
            if self.parametrisation == "denoiser" and getattr(self, name) is not None:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)}, which guards the networks parametrisation; leave it out"
                )
        if not self.sigma_max > self.sigma_min:
            raise ConfigurationError(
                f"sigma_max is {self.sigma_max} and sigma_min {self.sigma_min}; expected sigma_max > sigma_min"
            )
        if not 0 <= self.hold < 1:
            raise ConfigurationError(f"hold is {self.hold}; expected a share of the steps, 0 <= hold < 1")
        if self.reference < 2:
            raise ConfigurationError(f"reference is {self.reference}; expected at least 2 rows for the mobility")

    def steps_of(self, integrator: Integrator) -> int:
        """T for ``integrator``."""
        if self.sampling_steps is not None:
            return self.sampling_steps
        return 30 if integrator.equation == "denoising" else 300

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``RowsSampler.problem``."""
        kernel = self._kernel().resolve(rows)
        if self.parametrisation == "denoiser":
            loss = make_part("loss", "denoising" if self.loss is None else self.loss)
            if isinstance(loss, FieldLoss):
                raise ConfigurationError(
                    f"loss is {self.loss!r}; the denoiser parametrisation is trained by 'denoising'"
                )

            def finish(module: nn.Module, seed: int) -> BellmanModel:
                generator = make_generator(seed, "reference")
                chosen = torch.randperm(len(rows), generator=generator)[: self.reference].to(rows.device)
                return self._annealed(module, kernel, rows[chosen], standardiser)

            return Problem(self._denoiser(rows.shape[1], streams), loss, finish)

        def finish_networks(module: nn.Module, seed: int) -> BellmanModel:
            assert isinstance(module, FieldNetworks)
            return NetworkBellmanModel(self, module, standardiser, torch.stack(rows.aminmax(dim=0)))

        return Problem(self._networks(rows.shape[1], streams), self._field_loss(kernel, rows), finish_networks)

    def _kernel(self) -> Kernel:
        if isinstance(self.kernel, str) and self.epsilon is not None:
            return make_part("kernel", self.kernel, epsilon=self.epsilon)
        if self.epsilon is not None:
            raise ConfigurationError(
                f"epsilon is {self.epsilon} and kernel is {self.kernel!r}; give epsilon inside the kernel, or the "
                "kernel by name"
            )
        return make_part("kernel", self.kernel)

    def _field(self) -> Field:
        return make_field(self.field, width=self.width, depth=self.depth)

    def _field_loss(self, kernel: Kernel, rows: Tensor) -> Loss:
        loss = make_part("loss", "sliced-field-matching" if self.loss is None else self.loss)
        if not isinstance(loss, FieldLoss):
            raise ConfigurationError(
                f"loss is {self.loss!r}; the networks parametrisation is trained by 'sliced-field-matching', "
                "'field-matching' or 'denoising-field-matching'"
            )
        constant = float(KernelMean(kernel, rows).mean(at_most=1024)) if self.normalise else 1.0
        return replace(loss, kernel=kernel, constant=constant)

    def _denoiser(self, dim: int, streams: Streams) -> Denoiser:
        return Denoiser(self._field(), dim, streams=streams)

    def _networks(self, dim: int, streams: Streams) -> FieldNetworks:
        return FieldNetworks(self._field(), dim, streams=streams, tied=self.tied)

    def _annealed(
        self, module: nn.Module, kernel: Kernel, reference: Tensor, standardiser: Standardiser
    ) -> AnnealedBellmanModel:
        assert isinstance(module, Denoiser)
        return AnnealedBellmanModel(self, module, KernelMean(kernel, reference), standardiser)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> BellmanModel:
        """See ``Sampler.restore``."""
        standardiser = Standardiser.from_tensors(tensors)
        dim = len(standardiser.mean)
        state = {name.removeprefix("module."): value for name, value in tensors.items() if name.startswith("module.")}
        annealed = self.parametrisation == "denoiser"
        module = (
            self._denoiser(dim, Streams([0], "restore")) if annealed else self._networks(dim, Streams([0], "restore"))
        )
        module.load_state_dict(state)
        module = module.to(device).requires_grad_(False)
        if annealed:
            # The bandwidth was resolved on the training rows, which the checkpoint does not hold.
            kernel = self._kernel()
            if kernel.epsilon is None:
                kernel = replace(kernel, epsilon=facts["epsilon"])
            return self._annealed(module, kernel, tensors["mobility.reference"], standardiser)
        assert isinstance(module, FieldNetworks)
        return NetworkBellmanModel(self, module, standardiser, tensors["bounds"])
