"""Checks on the recipe itself: a frozen, comparable dataclass whose options survive JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from phys_samplers.errors import ConfigurationError
from phys_samplers.sampler import Sampler
from phys_samplers.testing.result import ConformanceError, expect
from phys_samplers.testing.subject import Subject


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
