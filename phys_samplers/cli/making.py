"""Components from command-line words."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import click

from phys_registry import ComponentSpec, SpecError, parse_spec
from phys_samplers.cli.failure import Failure


def read_spec(text: str, kind: str) -> ComponentSpec:
    """Read a text that names one component.

    Raises:
        SpecError: if it cannot be read.
        Failure: if it stands for several.
    """
    specs = parse_spec(text)
    if len(specs) != 1:
        raise Failure(
            f"{kind} {text!r} stands for {len(specs)} components; expected one (write a tuple as [a,b], and use "
            "'phys-samplers bench run' to compare several)"
        )
    return specs[0]


def read_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read the values of ``--set key=value``, written as in a component text.

    Raises:
        Failure: naming the setting that cannot be read.
    """
    found: dict[str, Any] = {}
    for setting in settings:
        try:
            specs = parse_spec(f"set[{setting}]")
        except SpecError as error:
            problem = str(error).splitlines()[0].partition(": ")[2]
            raise Failure(f"--set {setting!r} is not key=value, e.g. --set width=64: {problem}") from None
        if len(specs) != 1:
            raise Failure(f"--set {setting!r} gives several values; expected one (write a tuple as [a,b])")
        given = dict(specs[0].options) | ({"preset": specs[0].preset} if specs[0].preset is not None else {})
        if twice := sorted(given.keys() & found.keys()):
            raise Failure(f"--set {twice[0]}=... is given twice; give it once")
        found |= given
    return found


def make(kind: str, text: str, settings: Sequence[str] = ()) -> Any:
    """Make the component that a text names.

    Args:
        kind: its kind.
        text: name with options.
        settings: further ``key=value``; they win over the options in the text.

    Raises:
        PhysError: naming the part of the text that is wrong.
    """
    from phys_samplers.catalogue import registry

    spec = read_spec(text, kind)
    changes = read_settings(settings)
    spec = dataclasses.replace(spec, preset=changes.pop("preset", spec.preset), options={**spec.options, **changes})
    return registry.make(kind, spec.name, preset=spec.preset, **spec.options)


def choose_device(device: str) -> str:
    """``auto`` resolved to ``cuda`` where there is one, else ``cpu``.

    Raises:
        Failure: for CUDA where there is none.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise Failure("--device is 'cuda', but torch sees no CUDA device here; use cpu or auto")
    return device


seed_option = click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of every draw.")
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes CUDA where there is one.",
)
settings_option = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="An option to change; repeatable."
)
