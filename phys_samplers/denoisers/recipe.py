"""The recipe that all samplers with a denoiser share; a family states its loss, schedule and parametrisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from phys_samplers.denoisers.model import DenoiserModel
from phys_samplers.errors import ConfigurationError
from phys_samplers.fields import Denoiser, Field, make_field
from phys_samplers.fields.denoiser import Parametrisation
from phys_samplers.integrators import Integrator
from phys_samplers.losses import DenoisingLoss, Loss
from phys_samplers.parts import Part, make_part
from phys_samplers.randomness import Streams
from phys_samplers.schedules import NoiseSchedule
from phys_samplers.standardise import Standardiser
from phys_samplers.target import Target
from phys_samplers.trained import Problem, TrainedSampler


@dataclass(frozen=True, kw_only=True)
class DenoiserSampler(TrainedSampler):
    """Learns D(x, σ) ≈ E[x₀ | x₀ + σn = x] in standardised coordinates and runs a noising process backwards.

    Args:
        loss: that trains the denoiser, by name or object.
        field: its network, by name or object.
        width: units of each hidden layer, unless ``field`` is an object; None for the field's own (64 for perceptrons).
        depth: hidden layers, likewise.
        parametrisation: what the network predicts: ``edm``, ``v``, ``epsilon`` or ``x0``.
        schedule: α and σ over time, by name or object. Its levels in units of the standardised data.
        integrator: by name or object. ``ddim``, ``edm-heun`` and other denoising schemes step from level to level and
            end at noise 0; an ODE integrator follows the probability flow, an SDE integrator the reverse SDE, both
            to the schedule's last level, from which one more call of the denoiser takes the noise out.
        sampling_steps: steps of the integrator (some cost two evaluations, see ``nfe`` of a draw).
        clip: bring every D into the box of the training rows.

    Attributes:
        trained_by: the losses that train what the family follows.
    """

    trained_by: ClassVar[type[Loss]] = Loss  # type: ignore[type-abstract]
    fixed: ClassVar[frozenset[str]] = TrainedSampler.fixed | {"loss", "field", "width", "depth", "parametrisation"}

    loss: Part = "denoising"
    field: Part = "mlp"
    width: int | None = None
    depth: int | None = None
    parametrisation: Parametrisation = "edm"
    schedule: Part = "edm"
    integrator: Part = "edm-heun"
    sampling_steps: int = 40
    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.sampling_steps, bool) or not isinstance(self.sampling_steps, int) or self.sampling_steps < 1:
            raise ConfigurationError(f"sampling_steps is {self.sampling_steps!r}; expected an integer of at least 1")
        # What only sampling uses is made here too, so that it is refused before anything is trained.
        self.grid(make_part("integrator", self.integrator))

    def schedule_part(self) -> NoiseSchedule:
        """The schedule as an object."""
        return self._schedule

    @cached_property
    def _schedule(self) -> NoiseSchedule:
        # Made once: a chain computes its constants when it is made, and ``score`` is called in loops.
        schedule: NoiseSchedule = make_part("schedule", self.schedule)
        return schedule

    def grid(self, integrator: Integrator) -> tuple[float, ...]:
        """The times that ``integrator`` passes: down to 0 if it works by denoising, else to the last one with noise."""
        return self.schedule_part().grid(self.sampling_steps, to_zero=integrator.equation == "denoising")

    def training_loss(self) -> Loss:
        """The loss as an object; one over the levels of a schedule that names none gets the recipe's.

        Raises:
            ConfigurationError: if it does not train what this sampler follows.
        """
        loss: Loss = make_part("loss", self.loss)
        if not isinstance(loss, self.trained_by):
            raise ConfigurationError(
                f"loss is {self.loss!r}, which does not train the denoiser of {type(self).__name__}; expected one that "
                f"derives from {self.trained_by.__name__}, such as {type(self).loss!r}"
            )
        if isinstance(loss, DenoisingLoss) and loss.levels == "schedule" and loss.schedule is None:
            return replace(loss, schedule=self.schedule_part())
        return loss

    def field_part(self) -> Field:
        """The network's specification as an object."""
        return make_field(self.field, width=self.width, depth=self.depth)

    def denoiser(self, dim: int, streams: Streams) -> nn.Module:
        """The stacked network D(x, σ)."""
        return Denoiser(self.field_part(), dim, streams=streams, parametrisation=self.parametrisation)

    def model(
        self, module: nn.Module, standardiser: Standardiser, bounds: Tensor, event_shape: tuple[int, ...]
    ) -> DenoiserModel:
        """The fitted model; families with another prior or likelihood return their own."""
        return DenoiserModel(self, module, standardiser, bounds, event_shape)

    def problem(self, target: Target, rows: Tensor, standardiser: Standardiser, *, streams: Streams) -> Problem:
        """See ``TrainedSampler.problem``."""
        bounds = torch.stack(rows.aminmax(dim=0))

        def finish(module: nn.Module, seed: int) -> DenoiserModel:
            return self.model(module, standardiser, bounds, target.event_shape)

        return Problem(self.denoiser(rows.shape[1], streams), self.training_loss(), finish)

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> DenoiserModel:
        """See ``Sampler.restore``."""
        standardiser = Standardiser.from_tensors(tensors)
        module = self.denoiser(len(standardiser.mean), Streams([0], "restore"))
        module.load_state_dict({k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")})
        module = module.to(device).requires_grad_(False)
        return self.model(module, standardiser, tensors["bounds"], event_shape)
