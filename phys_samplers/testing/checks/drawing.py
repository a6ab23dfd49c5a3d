"""Checks of draws: shapes, seeds, devices, and the law of a Gaussian."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import partial

import torch

from phys_registry import PhysError
from phys_samplers.sampler import Draw
from phys_samplers.testing.gaussian import DiagonalNormal, gaussian_target
from phys_samplers.testing.subject import ConformanceError, NotApplicableError, Subject, expect, other_random_state


def samples_have_promised_form(subject: Subject) -> str:
    """Shape (n, *event_shape), one floating dtype, the model's device, finite, without an autograd graph."""
    model = subject.model()
    dtypes = set()
    for n in (1, 7, 500):
        x = subject.sample(model, n)
        expected = (n, *subject.target.event_shape)
        expect(tuple(x.shape) == expected, f"sample({n}) has shape {tuple(x.shape)}; expected {expected}")
        expect(x.is_floating_point(), f"sample({n}) is {x.dtype}; expected a floating dtype")
        expect(x.device.type == subject.device.type, f"sample({n}) is on {x.device}; expected {subject.device}")
        expect(not x.requires_grad, f"sample({n}) carries an autograd graph; draw under torch.no_grad()")
        bad = int((~x.isfinite()).flatten(1).any(1).sum())
        expect(bad == 0, f"{bad} of {n} samples are not finite; raise DivergenceError instead of returning them")
        dtypes.add(x.dtype)
    expect(len(dtypes) == 1, f"the dtype depends on n: {', '.join(sorted(map(str, dtypes)))}")
    train = subject.target.train
    if train is not None and train.dtype == torch.get_default_dtype():
        expect(dtypes == {train.dtype}, f"samples are {dtypes.pop()}; the target's rows are {train.dtype}")
    return str(*dtypes)


def draw_reports_its_cost(subject: Subject) -> str:
    """``draw`` says how many function evaluations a sample took, and its diagnostics are JSON."""
    drawn = subject.draw(subject.model(), 7)
    expect(isinstance(drawn, Draw), f"draw returned a {type(drawn).__name__}; expected a phys_samplers Draw")
    number = isinstance(drawn.nfe, int | float) and not isinstance(drawn.nfe, bool)
    expect(number, f"nfe is {drawn.nfe!r}; expected a Python number")
    expect(math.isfinite(drawn.nfe) and drawn.nfe >= 0, f"nfe is {drawn.nfe}; expected a finite number, at least 0")
    try:
        json.dumps(dict(drawn.diagnostics), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConformanceError(f"diagnostics are {drawn.diagnostics!r}, which JSON cannot hold ({error})") from None
    return f"{drawn.nfe:g} evaluations per sample"


def equal_seeds_give_equal_draws(subject: Subject) -> None:
    """Equal seeds, equal bits, whatever was drawn before and whatever the global random state is."""
    model = subject.model()
    first = subject.sample(model, 7, seed=3)
    with other_random_state():
        second = subject.sample(model, 7, seed=3)
    expect(torch.equal(first, second), "two draws with seed 3 differ; make a fresh generator of the seed in every draw")
    other = subject.sample(model, 7, seed=4)
    expect(not torch.equal(first, other), "draws with seeds 3 and 4 are equal; the seed is not used")


def score_and_density_have_promised_form(subject: Subject) -> str:
    """What a model offers beside samples (``score``, ``log_prob``, ``fields``) has one row per point."""
    model = subject.model()
    x, shape = subject.sample(model, 7), tuple(subject.target.event_shape)
    offered = []
    for name, expected in (("score", (7, *shape)), ("log_prob", (7,)), ("fields", None)):
        method = getattr(model, name, None)
        if not callable(method):
            continue
        try:
            value = subject.watched(partial(method, x), {"points": x})
        except PhysError:
            continue  # this target does not give it
        for label, tensor in value.items() if isinstance(value, Mapping) else [(name, value)]:
            fits = len(tensor) == 7 if expected is None else tuple(tensor.shape) == expected
            expect(fits, f"{name} gives {label} of shape {tuple(tensor.shape)} at {tuple(x.shape)}")
            expect(bool(tensor.isfinite().all()), f"{name} gives {label} that is not finite at the model's own samples")
            expect(not tensor.requires_grad, f"{name} gives {label} with an autograd graph")
        offered.append(name)
    if not offered:
        raise NotApplicableError("the model offers samples only")
    return ", ".join(offered)


def start_is_followed_or_refused(subject: Subject) -> str:
    """Starting points in the target's shape are followed reproducibly, or refused with a clear error."""
    model = subject.model()
    start = torch.full((7, *subject.target.event_shape), 0.25, device=subject.device)
    try:
        first = subject.sample(model, 7, seed=3, start=start)
    except PhysError as error:
        if "start" not in str(error):
            raise ConformanceError(f"start is refused by an error that does not speak of it: {error}") from None
        raise NotApplicableError(f"the sampler takes no start: {error}") from None
    expect(tuple(first.shape) == tuple(start.shape), f"samples from a start have shape {tuple(first.shape)}")
    expect(not first.requires_grad, "samples from a start carry an autograd graph")
    second = subject.sample(model, 7, seed=3, start=start)
    expect(torch.equal(first, second), "two draws from one start with one seed differ")
    tracked = subject.sample(model, 7, seed=3, start=start.clone().requires_grad_())
    expect(not tracked.requires_grad, "samples carry the autograd graph of a start that requires grad; detach it")
    return "followed"


CHECKS = (
    samples_have_promised_form,
    draw_reports_its_cost,
    equal_seeds_give_equal_draws,
    score_and_density_have_promised_form,
    start_is_followed_or_refused,
)


DRAWS = 1_000
"""The Monte Carlo errors are then 0.03 standard deviations of a mean and 4.5 % of a variance (one standard error)."""


def gaussian_is_reproduced(subject: Subject) -> str:
    """Fitted to N(m, diag v) in 2-D and run from its own prior, mean and variance are right.

    Tolerances are those of ``subject``; they cover the Monte Carlo error several times over, and what training on few
    steps and a finite step size leave.
    """
    target = gaussian_target()
    model = subject.fit(subject.trained, target, seed=0)
    x = subject.sample(model, DRAWS, seed=1).detach().double().cpu()
    law = target.law
    assert isinstance(law, DiagonalNormal)
    mean, variance = law.mean.double(), law.variance.double()
    shift = float(((x.mean(0) - mean) / variance.sqrt()).abs().max())
    ratio = x.var(0) / variance
    excess = float((ratio - 1).abs().max())
    measured = f"mean off by {shift:.3f} standard deviations, variance ratios {ratio[0]:.3f} and {ratio[1]:.3f}"
    expect(
        shift <= subject.mean_tolerance and excess <= subject.variance_tolerance,
        f"{measured}; allowed are {subject.mean_tolerance:g} and 1 ± {subject.variance_tolerance:g}",
    )
    return measured


LAW_CHECKS = (gaussian_is_reproduced,)
