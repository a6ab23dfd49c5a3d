"""Words of the command line: kinds, names and component texts, their shell completion, and what they stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import click
from click.shell_completion import CompletionItem

from phys_registry import ComponentSpec, SpecError, parse_spec
from phys_registry.errors import brief
from phys_samplers.cli.output import Failure

DIGITS = 18  # of a seed at most: a longer one is a slip


class Whole(click.IntRange):
    """A whole number; one that is none is named with an example of what is."""

    name = "whole number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Read the digits."""
        try:
            int(value)
        except (TypeError, ValueError):
            self.fail(f"{brief(value)} is not a whole number; expected digits alone, e.g. 1000", param, ctx)
        found = super().convert(value, param, ctx)
        assert isinstance(found, int)
        return found


class Kind(click.ParamType):  # type: ignore[type-arg]  # generic in later versions
    """A kind of component; the plural is accepted too."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Read the word; refuse one that is no kind."""
        from phys_registry import UnknownComponent
        from phys_samplers.catalogue import registry

        kind = singular(str(value))
        try:
            registry.names(kind)
        except UnknownComponent as error:
            self.fail(str(error), param, ctx)
        return kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The kinds."""
        from phys_samplers.catalogue import registry

        return _starting(incomplete, ((kind, "") for kind in registry.kinds()))


class ComponentName(click.ParamType):  # type: ignore[type-arg]  # generic in later versions
    """The name of a component, of the kind that the command's argument KIND says."""

    name = "name"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of that kind, or of all kinds if the command has no such argument."""
        kind = ctx.params.get("kind")
        return _starting(incomplete, _names(singular(kind) if kind else None))


class ComponentText(click.ParamType):  # type: ignore[type-arg]  # generic in later versions
    """A component with options, such as ``bellman[kernel=gaussian,preset=paper]``.

    Args:
        kind: of the component.
    """

    name = "text"

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The names of the kind; after ``[`` the presets."""
        name, bracket, _ = incomplete.partition("[")
        if not bracket:
            return _starting(incomplete, _names(self.kind))
        from phys_samplers.catalogue import registry

        presets = [p for c in registry.components(self.kind) if c.name == name for p in c.presets]
        return _starting(incomplete, ((f"{name}[preset={preset}]", "") for preset in presets))


def singular(kind: str) -> str:
    """``samplers`` and ``return-models`` as the registry calls them."""
    from phys_samplers.catalogue import registry

    word, known = kind.strip().lower().replace("-", "_"), {*registry.kinds(), "kind"}
    return word[:-1] if word not in known and word.endswith("s") and word[:-1] in known else word


def _names(kind: str | None) -> Iterable[tuple[str, str]]:
    from phys_samplers.catalogue import registry

    if kind is not None and kind not in registry.kinds():
        return []
    return [(component.name, component.summary) for component in registry.components(kind)]


def _starting(incomplete: str, words: Iterable[tuple[str, str]]) -> list[CompletionItem]:
    return [CompletionItem(word, help=remark or None) for word, remark in words if word.startswith(incomplete)]


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


def read_seeds(text: str | None) -> int | list[int] | None:
    """``5``: five seeds; ``0,3,7``: these.

    Raises:
        Failure: if it is neither.
    """
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() for part in parts):
        raise Failure(f"--seeds {text!r} is neither a number of seeds (5) nor a list of seeds (0,3,7)")
    if longest := max((part for part in parts if len(part) > DIGITS), key=len, default=""):
        raise Failure(f"--seeds: {longest[:DIGITS]}... has {len(longest):,} digits; seeds have {DIGITS} at most")
    return [int(part) for part in parts] if "," in text else int(parts[0])


def split_texts(texts: Sequence[str]) -> list[str]:
    """Split at commas and spaces outside brackets: ``a[x=1,2],b`` is ``a[x=1,2]`` and ``b``."""
    found: list[str] = []
    for text in texts:
        depth, quote, word = 0, "", ""
        for letter in text:
            if quote:
                quote = "" if letter == quote else quote
            elif letter in "'\"" and depth:
                quote = letter
            else:
                depth += (letter == "[") - (letter == "]")
            if depth <= 0 and not quote and (letter == "," or letter.isspace()):
                found.append(word)
                word = ""
            else:
                word += letter
        found.append(word)
    return [word for word in found if word]


def read_loggers(texts: Sequence[str]) -> list[Any]:
    """The loggers that ``--log`` names: a file for JSON lines, or a component such as ``wandb[project=mine]``.

    Raises:
        PhysError: on options that a logger does not have, or a package that is missing.
    """
    from phys_samplers.catalogue import registry

    found = []
    for text in texts:
        known = text.partition("[")[0] in registry.names("logger")
        found.append(make("logger", text) if known else registry.make("logger", "json-lines", path=text))
    return found


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


seed_option = click.option("--seed", type=Whole(min=0), default=0, show_default=True, help="Of every draw.")
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes CUDA where there is one.",
)
log_option = click.option(
    "--log",
    "logs",
    metavar="FILE|LOGGER",
    multiple=True,
    type=ComponentText("logger"),
    help="JSON lines of the training, or a logger: tensorboard[folder=DIR], wandb[project=NAME]; repeatable.",
)
settings_option = click.option(
    "--set", "settings", metavar="KEY=VALUE", multiple=True, help="An option to change; repeatable."
)
