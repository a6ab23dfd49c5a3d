"""Checks on bad arguments: each is refused by an error of the project that names the value."""

from __future__ import annotations

from typing import Any

import torch

from phys_samplers.errors import PhysError
from phys_samplers.testing.result import ConformanceError, expect
from phys_samplers.testing.subject import Subject


def bad_sizes_are_refused(subject: Subject) -> None:
    """``n`` is a positive integer."""
    for n in (0, -1, 2.5, True, "7"):
        _refused(subject, f"n={n!r}", repr(n), n)


def bad_seeds_are_refused(subject: Subject) -> None:
    """A seed is a non-negative integer."""
    for seed in (-1, 0.5, None):
        _refused(subject, f"seed={seed!r}", repr(seed), 3, seed=seed)


def bad_starts_are_refused(subject: Subject) -> None:
    """Starting points have the samples' shape and are finite."""
    shape = subject.target.event_shape
    for wrong in ((4, *shape), (3, *shape, 1), (3,)):
        start = torch.zeros(wrong, device=subject.device)
        _refused(subject, f"start of shape {wrong}", str(wrong), 3, start=start)
    start = torch.full((3, *shape), float("nan"), device=subject.device)
    _refused(subject, "a start that is NaN", "start", 3, start=start)


def unknown_draw_options_are_refused(subject: Subject) -> None:
    """A sampling option that does not exist is not ignored."""
    _refused(subject, "no_such_option=1", "no_such_option", 3, no_such_option=1)


def _refused(subject: Subject, what: str, named: str, n: Any, **options: Any) -> None:
    """Drawing so is a ``PhysError`` whose message holds ``named``."""
    model = subject.model()
    try:
        subject.draw(model, n, **options)
    except PhysError as error:
        expect(named in str(error), f"{what} is refused, but the error does not name {named}: {error}")
    except Exception as error:
        raise ConformanceError(
            f"{what} ends in {type(error).__name__}: {error}; expected a ConfigurationError that names {named}"
        ) from error
    else:
        raise ConformanceError(f"{what} was accepted; expected a ConfigurationError that names {named}")


CHECKS = (bad_sizes_are_refused, bad_seeds_are_refused, bad_starts_are_refused, unknown_draw_options_are_refused)
