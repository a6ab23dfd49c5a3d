"""A sampler in the latent space of an autoencoder: z from a model of the codes, x = f(z).

Codes of training rows are draws of q(z|x), so that their law is the aggregate posterior E_x q(z|x), the very law that
the decoder was trained on; their means alone would be narrower. A sampler learns that law in the place of the prior
N(0, I) (Rombach et al. 2022, arXiv:2112.10752; Li et al. 2024, arXiv:2410.01796, App. F.1).

No sampler in this space does better than the decoder allows: ``latent[sampler=training-rows]``, which decodes codes of
training rows, is that bound as a row of a table, and ``vae`` is what the prior gives.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from phys_latent.vae import VAE, VAEModel
from phys_samplers.nested import nested_facts, nested_tensors, restore_nested, rows_sampler
from phys_samplers.objective import TrainedSampler
from phys_samplers.options import Part, draw_option, fit_option
from phys_samplers.randomness import derive_seed, make_generator
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback, TrainingReport

PREFIX = "codes."


class LatentModel(Model):
    """A decoder with a model of its codes.

    Args:
        recipe: with the sampling options.
        autoencoder: between rows and codes.
        codes: the model of codes (L,).
    """

    recipe: LatentSampler

    def __init__(self, recipe: LatentSampler, autoencoder: VAEModel, codes: Model) -> None:
        self.recipe = recipe
        self.autoencoder = autoencoder
        self.codes = codes
        self.target_name, self.event_shape = getattr(autoencoder, "target_name", ""), autoencoder.event_shape
        self.columns = autoencoder.columns

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        return self.autoencoder.device

    def with_options(self, **options: Any) -> Self:
        """See ``Model.with_options``; options that are not of the latent sampler are those of the sampler in it."""
        twin = copy.copy(self)
        twin.recipe = self.recipe.for_draw(options)
        twin.codes = self.codes.with_options(**self.recipe.passed_on(options))
        return twin

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        """``n`` decoded draws of the sampler inside; see ``Model.draw``.

        A ``start`` is encoded (the mean of q(z|x)) and handed on. ``nfe`` is that of the sampler inside and one more
        for the decoder; diagnostics are its own.
        """
        self.check_draw(n, start)
        model = self.with_options(**options) if options else self
        begin = None if start is None else self.autoencoder.encode(start)[0]
        drawn = model.codes.draw(n, seed=seed, start=begin)
        generator = model.recipe.decoder_noise(seed, self.device)
        return Draw(self.autoencoder.decode(drawn.samples, generator=generator), drawn.nfe + 1, drawn.diagnostics)

    def tensors(self) -> dict[str, Tensor]:
        """Those of the autoencoder, and those of the model of its codes, prefixed."""
        return {**self.autoencoder.tensors(), **nested_tensors(self.codes, PREFIX)}

    def facts(self) -> dict[str, Any]:
        """Those of the model of the codes."""
        return {"codes": nested_facts(self.codes)}


@dataclass(frozen=True, kw_only=True)
class LatentSampler(VAE):
    """Trains an autoencoder, then any data-driven sampler on the codes of its training rows.

    The options beside ``sampler`` are the autoencoder's, see ``VAE``. Autoencoders of several seeds train as one stack;
    each has codes of its own, so the samplers inside are fitted one after the other. ``report`` is of both trainings,
    whose steps and losses follow each other.

    As the codes need not look like N(0, I), the divergence has half its weight. With all of it, rows of no more
    coordinates than codes are explained by the noise of p(x|z) as well as by codes, which the decoder then ignores. On
    ``mnist`` and ``digits`` weights from ½ to 4 score alike, by the Fréchet distance to the validation rows.

    Args:
        sampler: of the codes, by name (also with options, ``"edm[width=128]"``), mapping or recipe.
        kl_weight: of the divergence in the loss; 1 is the evidence bound.
        noise: draw x from p(x|z); by default x is its mean.
    """

    sampler: Part = "bellman"
    kl_weight: float = fit_option(0.5, least=0)
    noise: bool = draw_option(False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.inner()

    def inner(self) -> Sampler:
        """The recipe of the sampler of the codes."""
        return rows_sampler(self.sampler, offering="codes")

    def passed_on(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Those of ``options`` that are not options of this recipe, but of the sampler inside."""
        own = {field.name for field in dataclasses.fields(self)}
        return {name: value for name, value in options.items() if name not in own}

    def for_draw(self, options: Mapping[str, Any]) -> Self:
        """See ``Sampler.for_draw``; options of the sampler inside, such as ``sampling_steps``, are taken too."""
        inner = self.passed_on(options)
        recipe = super().for_draw({name: value for name, value in options.items() if name not in inner})
        return dataclasses.replace(recipe, sampler=self.inner().for_draw(inner)) if inner else recipe

    def fit_replicas(
        self,
        target: Target,
        *,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        callbacks: Sequence[Callback] = (),
        checkpoint: str | Path | None = None,
    ) -> list[Model | Exception]:
        """One model per seed, both trainings kept in ``checkpoint``; see ``TrainedSampler.fit_replicas``."""
        target = target.to(device)
        results: list[Model | Exception] = []
        folder = None if checkpoint is None else Path(checkpoint)
        inner = self.inner()
        fitted = super().fit_replicas(target, seeds=seeds, device=device, callbacks=callbacks, checkpoint=folder)
        for seed, autoencoder in zip(seeds, fitted, strict=True):
            if isinstance(autoencoder, Exception):
                results.append(autoencoder)
                continue
            assert isinstance(autoencoder, VAEModel)
            kept = {"checkpoint": folder / f"codes-{seed}"} if folder and isinstance(inner, TrainedSampler) else {}
            try:
                codes = inner.fit(
                    code_target(autoencoder, target, seed=seed),
                    seed=derive_seed(seed, "codes"),
                    device=device,
                    callbacks=callbacks,
                    **kept,
                )
            except ArithmeticError as error:
                results.append(error)
                continue
            model = LatentModel(self, autoencoder, codes)
            assert autoencoder.report is not None
            model.report = in_turn(autoencoder.report, codes.report)
            results.append(model)
        return results

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> LatentModel:
        """See ``Sampler.restore``."""
        autoencoder = self.restore_autoencoder(tensors, event_shape, device)
        codes = restore_nested(
            self.inner(), tensors, facts["codes"], prefix=PREFIX, event_shape=(self.latent_dim,), device=device
        )
        return LatentModel(self, autoencoder, codes)


def code_target(autoencoder: VAEModel, target: Target, *, seed: int) -> Target:
    """The codes of a target's training and validation rows, one draw of q(z|x) each, as a target (L,)."""

    def codes(split: str, rows: Tensor | None) -> Tensor | None:
        generator = make_generator(seed, "codes", split, device=autoencoder.device)
        return None if rows is None else autoencoder.codes(rows, generator=generator)

    return Target(
        event_shape=(autoencoder.recipe.latent_dim,),
        name=f"codes of {target.name}",
        train=codes("train", target.train),
        validation=codes("validation", target.validation),
    )


def in_turn(first: TrainingReport, second: TrainingReport | None) -> TrainingReport:
    """The report of two trainings, one after the other; the validation loss is that of the last."""
    if second is None:
        return first
    return TrainingReport(
        steps=first.steps + second.steps,
        seconds=first.seconds + second.seconds,
        replicas=first.replicas,
        parameters=first.parameters + second.parameters,
        best_step=first.steps + second.best_step,
        best_validation=second.best_validation,
        history=[*first.history, *({**row, "step": first.steps + row["step"]} for row in second.history)],
    )
