"""Checks of recipes, of the arguments of a draw, and of manners."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import torch

from phys_registry import PhysError
from phys_samplers.errors import ConfigurationError
from phys_samplers.sampler import Sampler
from phys_samplers.testing.subject import ConformanceError, Subject, expect


def recipe_is_frozen_dataclass(subject: Subject) -> None:
    """A recipe is a keyword-only frozen dataclass, equal to its copy."""
    recipe, name = subject.given, type(subject.given).__name__
    expect(isinstance(recipe, Sampler), f"{name} is not a subclass of phys_samplers.Sampler")
    # its own declaration: a subclass that is not decorated would look like its parent
    parameters = type(recipe).__dict__.get("__dataclass_params__")
    if parameters is None:
        raise ConformanceError(
            f"{name} is not a dataclass itself; decorate it with @dataclass(frozen=True, kw_only=True)"
        )
    expect(bool(parameters.frozen), f"{name} is not frozen; decorate it with @dataclass(frozen=True, kw_only=True)")
    positional = [field.name for field in dataclasses.fields(recipe) if not field.kw_only]
    expect(not positional, f"{name} takes {', '.join(positional)} by position; declare the dataclass with kw_only=True")
    expect(bool(parameters.eq), f"{name} does not compare all its options; leave eq=True to the dataclass")
    expect(dataclasses.replace(recipe) == recipe, f"{name} differs from its own copy; leave __eq__ to the dataclass")


def options_survive_json(subject: Subject) -> None:
    """``options()`` goes through JSON and makes an equal recipe."""
    recipe = subject.given
    options = recipe.options()
    try:
        text = json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ConformanceError(f"options() is {options!r}, which JSON cannot hold ({error})") from None
    rebuilt = subject.rebuilt(_tuples(json.loads(text)))
    expect(
        type(rebuilt) is type(recipe) and json.dumps(rebuilt.options()) == text,
        f"{rebuilt!r}, made from the options of {recipe!r}, has other options",
    )
    # a part given as an object comes back as the mapping that makes it, which is not equal as a value
    parts = any(
        dataclasses.is_dataclass(value) or isinstance(value, dict | list) or hasattr(value, "recipe")
        for value in vars(recipe).values()
    )
    expect(parts or rebuilt == recipe, f"{rebuilt!r}, made from the options of {recipe!r}, is not equal to it")


def unknown_options_are_refused(subject: Subject) -> None:
    """``with_options`` refuses an option that does not exist by its name."""
    try:
        subject.given.with_options(no_such_option=1)
    except ConfigurationError as error:
        expect("no_such_option" in str(error), f"the error does not name the option 'no_such_option': {error}")
    else:
        raise ConformanceError("with_options(no_such_option=1) was accepted; expected a ConfigurationError")


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


CHECKS = (recipe_is_frozen_dataclass, options_survive_json, unknown_options_are_refused)


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


ARGUMENT_CHECKS = (
    bad_sizes_are_refused,
    bad_seeds_are_refused,
    bad_starts_are_refused,
    unknown_draw_options_are_refused,
)


def global_state_is_untouched(subject: Subject) -> None:
    """Global random states, default dtype, grad mode and thread count are as before."""
    subject.sample(subject.model(), 7)
    changed = sorted(subject.disturbed)
    expect(
        not changed,
        f"fitting or drawing changed {', '.join(changed)}; draw from make_generator(seed, ...), and set torch's modes "
        "by context managers only",
    )


def inputs_are_untouched(subject: Subject) -> None:
    """The caller's tensors are as before."""
    subject.model()
    changed = sorted(subject.overwritten)
    expect(not changed, f"fitting or drawing wrote into {', '.join(changed)}; copy before operating in place")


MANNERS_CHECKS = (global_state_is_untouched, inputs_are_untouched)
