"""Options of recipes and parts: dataclass fields that know when they act and what they may be; checked when made.

A part is an option that stands for a component, swapped by name or by object: ``kernel="gaussian"`` or
``kernel=GaussianKernel(epsilon=0.1)``. A name may carry options, ``integrator="ddim[eta=1]"``. In JSON a part is its
registered name with its options, ``{"name": "gaussian", "epsilon": 0.1}``; a mapping of that form is accepted wherever
a part is.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, TypeAlias

from phys_registry.component import Component
from phys_registry.options import draw_option as draw_option
from phys_registry.options import fit_option as fit_option
from phys_registry.options import option as option
from phys_registry.options import value_problem
from phys_registry.spec import parse_spec
from phys_samplers import catalogue
from phys_samplers.errors import ConfigurationError


def check_values(instance: Any) -> None:
    """Refuse an instance of a dataclass whose values do not fit their type hints and bounds.

    Raises:
        ConfigurationError: naming the option, its value and what it may be.
    """
    if problem := value_problem(instance):
        raise ConfigurationError(problem)


_read = lru_cache(maxsize=512)(parse_spec)
"""Texts of parts are few, and read at every draw."""
Part: TypeAlias = Any
"""A registered name, also with options (``"ddim[eta=1]"``), a mapping ``{"name": …, **options}``, or the object."""


def make_part(kind: str, value: Part, **defaults: Any) -> Any:
    """The object behind ``value``.

    Args:
        kind: of component.
        value: name, mapping or object.
        defaults: options given to the component when ``value`` is a name; those it does not have are an error.

    Raises:
        ConfigurationError: if ``value`` is none of the three, or an object of another kind.
        UnknownComponent: if no component has that name.
    """
    if isinstance(value, str):
        specs = _read(value)
        if len(specs) != 1:
            raise ConfigurationError(f"{kind} {value!r} stands for {len(specs)} components; expected one")
        (spec,) = specs
        return catalogue.make(kind, spec.name, preset=spec.preset, **{**defaults, **spec.options})
    if isinstance(value, Mapping):
        options = dict(value)
        try:
            name = options.pop("name")
        except KeyError:
            raise ConfigurationError(f"{kind} is {dict(value)!r}; expected a mapping with the key 'name'") from None
        return catalogue.make(kind, name, **{**defaults, **options})
    base = catalogue.registry.base(kind)
    fits = isinstance(value, base) or any(_makes(c, type(value)) for c in catalogue.components(kind))
    if fits and dataclasses.is_dataclass(value) and not isinstance(value, type):
        return value
    raise ConfigurationError(
        f"{kind} is {value!r}; expected a name ({', '.join(catalogue.names(kind))}), a mapping with a name, an object"
        + ("" if base is object else f" of class {base.__name__}")
    )


def part_options(value: Any) -> Any:
    """A part in its JSON form; anything that is not a part object comes back as it is."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return value
    for component in catalogue.components():
        if _makes(component, type(value)):
            options = {f.name: part_options(getattr(value, f.name)) for f in dataclasses.fields(value)}
            return {"name": component.name, **options}
    return value


def _makes(component: Component, cls: type) -> bool:
    """Whether a component's target is this class."""
    return component.target is cls or same_target(component.target, f"{cls.__module__}:{cls.__qualname__}")


def same_target(target: Any, path: str) -> bool:
    """Whether a component's target string names the class at ``path`` (which may be re-exported by its package)."""
    if not isinstance(target, str):
        return False
    module, _, attribute = target.partition(":")
    defined, _, name = path.partition(":")
    return attribute == name and (defined == module or defined.startswith(module + "."))
