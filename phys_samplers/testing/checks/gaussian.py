"""The check on quality: a Gaussian, the law every sampler must get right."""

from __future__ import annotations

from phys_samplers.testing.gaussian import DiagonalNormal, gaussian_target
from phys_samplers.testing.result import expect
from phys_samplers.testing.subject import Subject

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


CHECKS = (gaussian_is_reproduced,)
