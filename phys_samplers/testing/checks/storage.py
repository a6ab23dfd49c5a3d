"""Checks on checkpoints: bit-equal samples after loading, damage detected."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from phys_samplers.errors import CheckpointError
from phys_samplers.sampler import Model, load
from phys_samplers.testing.subject import ConformanceError, NotApplicableError, Subject, expect


def loaded_model_draws_equal_samples(subject: Subject) -> None:
    """``save`` and ``load`` keep the recipe, the target's name and every bit of the samples."""
    model = subject.model()
    with _saved(subject) as folder:
        loaded = subject.watched(lambda: _load(subject, model, folder), {})
        for attribute in ("target_name", "event_shape", "needs_target", "report"):
            ours, theirs = getattr(loaded, attribute), getattr(model, attribute)
            expect(ours == theirs, f"{attribute} of the loaded model is {ours!r}; it was {theirs!r}")
        expect(
            loaded.recipe.options() == model.recipe.options(),
            f"the recipe of the loaded model is {loaded.recipe!r}; it was {model.recipe!r}",
        )
        before, after = (subject.sample(one, 7, seed=5).detach() for one in (model, loaded))
        expect(before.dtype == after.dtype, f"samples of the loaded model are {after.dtype}; they were {before.dtype}")
        expect(
            torch.equal(before, after),
            f"samples of the loaded model differ by up to {float((before - after).abs().max()):.2g}; expected equal "
            "bits: tensors() and facts() must hold everything that drawing uses, and restore() must use the tensors in "
            "the memory layout that they come in, which is the saved one (.contiguous() changes last bits)",
        )


def checkpoint_asks_for_target(subject: Subject) -> None:
    """A model that asks the target's density is not loaded without a target."""
    if not subject.model().needs_target:
        raise NotApplicableError("the model holds all it needs")
    with _saved(subject) as folder:
        try:
            load(folder, device=subject.device)
        except CheckpointError as error:
            expect("target" in str(error), f"the error does not ask for target=: {error}")
        else:
            raise ConformanceError("load() without a target gave a model with needs_target")


def damaged_checkpoint_is_refused(subject: Subject) -> None:
    """A truncated file of a checkpoint is detected and named."""
    model = subject.model()
    for half in ("model.json", "tensors-*.safetensors"):
        with _saved(subject) as folder:
            (file,) = folder.glob(half)
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
            try:
                _load(subject, model, folder)
            except CheckpointError as error:
                expect(file.name in str(error), f"the error does not name the damaged file {file.name}: {error}")
            else:
                raise ConformanceError(f"a checkpoint whose {half} was cut in half was loaded")


@contextmanager
def _saved(subject: Subject) -> Iterator[Path]:
    if subject.name is None:
        raise NotApplicableError(
            f"{type(subject.given).__name__} is not registered, so that its models cannot be saved; "
            "register it by a plugin or phys_samplers.register"
        )
    with tempfile.TemporaryDirectory() as folder:
        yield subject.model().save(Path(folder) / "model")


def _load(subject: Subject, model: Model, folder: Path) -> Model:
    target = subject.target if model.needs_target else None
    return load(folder, target=target, device=subject.device)


CHECKS = (loaded_model_draws_equal_samples, checkpoint_asks_for_target, damaged_checkpoint_is_refused)
