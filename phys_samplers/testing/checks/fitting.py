"""Checks on fitting: what it refuses, what it gives, that seeds and nothing else decide the result."""

from __future__ import annotations

import torch

from phys_samplers.errors import MissingCapability
from phys_samplers.sampler import Model
from phys_samplers.testing.gaussian import gaussian_target, without
from phys_samplers.testing.subject import ConformanceError, NotApplicableError, Subject, expect, other_random_state

PARAMETERS, SAMPLES = 1e-4, 1e-3
"""Largest difference of a stacked run from the single ones: of any parameter, or of any sample."""


def fit_refuses_missing_capabilities(subject: Subject) -> None:
    """Fitting a target that lacks a need is a ``MissingCapability`` that names it."""
    if not subject.needs:
        raise NotApplicableError("the sampler needs nothing of its target")
    for need in sorted(subject.needs):
        target = without(subject.target, need)
        try:
            subject.recipe.fit(target, seed=0, device=subject.device)
        except MissingCapability as error:
            expect(need in str(error), f"the error does not name {need!r}, which is what the target lacks: {error}")
        else:
            raise ConformanceError(
                f"needs is {sorted(subject.needs)}, but a target without {need!r} was accepted; "
                "call target.require(*self.needs, by=...) in fit, or leave it out of needs"
            )


def fit_gives_complete_model(subject: Subject) -> None:
    """A model knows its recipe, its target, its event shape and its device."""
    model = subject.model()
    expect(isinstance(model, Model), f"fit returned a {type(model).__name__}; expected a phys_samplers Model")
    expect(model.recipe == subject.recipe, f"model.recipe is {model.recipe!r}; expected {subject.recipe!r}")
    for attribute, expected in (("target_name", subject.target.name), ("event_shape", subject.target.event_shape)):
        found = getattr(model, attribute)
        expect(found == expected, f"model.{attribute} is {found!r}; expected {expected!r}")
    expect(model.device.type == subject.device.type, f"model.device is {model.device}; expected {subject.device}")


def callbacks_hear_of_training(subject: Subject) -> None:
    """A model with a training report was reported on while it trained."""
    if subject.model().report is None:
        raise NotApplicableError("the sampler does not train")
    heard = subject.listener
    expect(
        heard.begun > 0 and heard.heard > 0 and heard.begun == heard.ended,
        f"the callback heard {heard.begun} starts, {heard.heard} logged steps and {heard.ended} ends of training; "
        "expected at least one of each, and an end for every start",
    )


def equal_seeds_give_equal_fits(subject: Subject) -> None:
    """Fitted twice with one seed, whatever the global random state is: bit-equal samples."""
    first = subject.sample(subject.model(), 7, seed=3)
    with other_random_state():
        second = subject.sample(subject.fit(subject.recipe, subject.target, seed=0), 7, seed=3)
    expect(
        torch.equal(first, second), "two fits with seed 0 give different samples; draw from make_generator(seed, ...)"
    )


def other_seeds_give_other_fits(subject: Subject) -> None:
    """Trained with another seed, another model."""
    if subject.model().report is None:
        raise NotApplicableError("the sampler does not train")
    first, second = (subject.sample(subject.model(seed), 7, seed=3) for seed in (0, 1))
    expect(not torch.equal(first, second), "fits with seeds 0 and 1 give the same samples; the seed is not used")


def replicas_equal_single_fits(subject: Subject) -> str:
    """``fit_replicas`` gives, seed by seed, the models of single fits."""
    singles = [subject.model(seed) for seed in (0, 1)]
    fitted = subject.watched(
        lambda: subject.recipe.fit_replicas(subject.target, seeds=[0, 1], device=subject.device), {}
    )
    expect(len(fitted) == 2, f"fit_replicas gave {len(fitted)} models for 2 seeds")
    largest = 0.0
    for seed, (replica, single) in enumerate(zip(fitted, singles, strict=True)):
        if isinstance(replica, Exception):
            raise ConformanceError(f"seed {seed} failed among replicas only: {type(replica).__name__}: {replica}")
        ours, theirs = replica.tensors(), single.tensors()
        expect(ours.keys() == theirs.keys(), f"seed {seed} has tensors {list(ours)}; alone it has {list(theirs)}")
        gaps = [_gap(ours[key], theirs[key]) for key in ours]
        parameters = max(gaps, default=0.0)
        if parameters > PARAMETERS or not gaps:
            samples = _gap(subject.sample(replica, 7, seed=3), subject.sample(single, 7, seed=3))
            expect(
                samples <= SAMPLES,
                f"seed {seed} among replicas differs from the single fit by {parameters:.2g} in its parameters "
                f"(allowed {PARAMETERS:g}) and by {samples:.2g} in its samples (allowed {SAMPLES:g})",
            )
        largest = max(largest, parameters)
    return f"largest difference of a parameter {largest:.1g}"


def any_event_shape_works(subject: Subject) -> None:
    """Events need not be vectors."""
    model = subject.fit(subject.recipe, gaussian_target((2, 2), rows=200), seed=0)
    samples = subject.sample(model, 7)
    expect(tuple(samples.shape) == (7, 2, 2), f"samples of (2, 2) events have shape {tuple(samples.shape)}")
    expect(bool(samples.isfinite().all()), "samples of (2, 2) events are not finite")


def double_precision_works(subject: Subject) -> str:
    """Rows and densities in double precision are no error."""
    model = subject.fit(subject.recipe, gaussian_target(dtype=torch.float64, rows=200), seed=0)
    samples = subject.sample(model, 7)
    expect(
        samples.is_floating_point() and bool(samples.isfinite().all()),
        f"a target in double precision gives samples of {samples.dtype} that are not all finite",
    )
    return f"samples are {samples.dtype}"


def _gap(first: torch.Tensor, second: torch.Tensor) -> float:
    if first.shape != second.shape:
        return float("inf")
    return float((first.double() - second.double()).abs().max()) if first.numel() else 0.0


CHECKS = (
    fit_refuses_missing_capabilities,
    fit_gives_complete_model,
    callbacks_hear_of_training,
    equal_seeds_give_equal_fits,
    other_seeds_give_other_fits,
    replicas_equal_single_fits,
    any_event_shape_works,
    double_precision_works,
)
