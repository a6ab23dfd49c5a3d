"""Fitted models on disk: a folder with safetensors for the numbers and JSON for the rest. Nothing is ever unpickled.

The numbers lie in a file named by their own hash and the JSON file, written last, names it, so that at every moment
the folder holds one whole checkpoint; a truncated or edited file is detected and named.

Tensors come back in the memory layout in which they were saved (the file of numbers knows rows only, so the JSON keeps
the strides of every other layout): a product with a matrix laid out by columns sums in another order than one with the
same numbers laid out by rows, and differs in the last bits on some processors.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from phys_registry.errors import PluginError, TargetError, UnknownComponent
from phys_samplers import catalogue
from phys_samplers.atomic import write_atomically
from phys_samplers.errors import CheckpointError
from phys_samplers.options import same_target
from phys_samplers.reading import MIB, as_path, parse_json, read_bytes, said
from phys_samplers.schema import (
    Malformed,
    Shape,
    flag,
    mapping,
    maybe,
    number,
    one_of,
    pair,
    rows,
    short,
    table,
    text,
    whole,
    wrong,
)
from phys_samplers.target import Target
from phys_samplers.training import TrainingReport

if TYPE_CHECKING:
    from phys_samplers.table import Column

FORMAT = 1
METADATA = "model.json"
LARGEST_METADATA = 64 * MIB
LARGEST_TENSORS = 16 * 1024 * MIB
"""Bytes of the two files at most; see there before anything is read."""
NUMBER = "float"
"""Stands, alone in a mapping, for a number that is not finite, which JSON has no word for."""
NUMBERS = r"bool|u?int(8|16|32|64)|float(16|32|64)"
"""Types of columns."""
NAME = r"[^\x00-\x1f\x7f-\x9f]{0,1000}"
"""Of a column: no control characters."""
SPREAD = 64
"""A layout is kept if its memory spans at most this many times the tensor's numbers; else its gaps are closed."""


class Recipe(Protocol):
    """What is known of a recipe here."""

    kind: ClassVar[str]

    def options(self) -> dict[str, Any]: ...  # noqa: D102 - said by the classes that have it


class Fitted(Protocol):
    """What is known of a model here: ``phys_samplers.sampler.Model``, which saves itself by this module, is one."""

    @property
    def recipe(self) -> Any: ...  # noqa: D102
    @property
    def target_name(self) -> str: ...  # noqa: D102
    @property
    def event_shape(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def needs_target(self) -> bool: ...  # noqa: D102
    @property
    def columns(self) -> tuple[Column, ...] | None: ...  # noqa: D102
    @property
    def report(self) -> TrainingReport | None: ...  # noqa: D102
    def tensors(self) -> dict[str, Tensor]: ...  # noqa: D102
    def facts(self) -> dict[str, Any]: ...  # noqa: D102


def _plain(name: str) -> str:
    """A tensor's name without what ``torch.compile`` puts into it: compiled networks hold the same numbers."""
    return name.replace("_orig_mod.", "")


def save(model: Fitted, path: str | Path) -> Path:
    """Write ``model`` to the folder ``path`` (made if absent).

    Raises:
        CheckpointError: if the model's recipe is not a registered component, or has options JSON cannot hold.
    """
    folder = as_path(path, "the folder of a checkpoint")
    if "\0" in str(folder):
        raise CheckpointError(f"{str(folder)!a} is no name of a folder: it holds a null character")
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; expected a folder to write the checkpoint to")
    tensors = {_plain(name): tensor.detach() for name, tensor in model.tensors().items()}
    payload = save_tensors({name: tensor.cpu().contiguous() for name, tensor in tensors.items()})
    digest = hashlib.sha256(payload).hexdigest()
    metadata = {
        "format": FORMAT,
        "kind": model.recipe.kind,
        "sampler": recipe_name(model.recipe),
        "options": _jsonable(model.recipe.options(), f"the options of {type(model.recipe).__name__}"),
        "target": model.target_name,
        "event_shape": list(model.event_shape),
        "needs_target": model.needs_target,
        "facts": _jsonable(model.facts(), "the facts of the model"),
        "report": _jsonable(model.report.to_dict(), "the report of the training") if model.report else None,
        **({"columns": [[column.name, column.dtype] for column in model.columns]} if model.columns else {}),
        "tensors": {
            "file": f"tensors-{digest[:16]}.safetensors",
            "sha256": digest,
            "strides": {
                name: list(tensor.stride())
                for name, tensor in tensors.items()
                if not tensor.is_contiguous() and _is_layout(tensor.stride(), tensor.shape)
            },
        },
    }
    metadata["seal"] = _seal(metadata)
    fresh, name = not folder.exists(), f"tensors-{digest[:16]}.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        write_atomically(folder / name, payload)
        write_atomically(folder / METADATA, (json.dumps(metadata, indent=1) + "\n").encode())
    except BaseException:
        if fresh:  # of a disk that is full nothing is left
            with contextlib.suppress(OSError):
                (folder / name).unlink(missing_ok=True)
                folder.rmdir()
        raise
    for stale in folder.glob("tensors-*.safetensors"):
        if stale.name != name:
            stale.unlink()
    return folder


def load(path: str | Path, *, target: Target | None = None, device: torch.device | str = "cpu") -> Any:
    """The model that ``save`` wrote to the folder ``path``: see ``phys_samplers.load``, which is this."""
    folder = as_path(path, "the folder of a checkpoint")
    place = folder / METADATA
    metadata = read_metadata(folder)
    if metadata["needs_target"] and target is None:
        raise CheckpointError(
            f"a model of sampler {metadata['sampler']!r} moves in the density of its target, which is not stored; "
            f"call load({str(folder)!r}, target=...) with target {metadata['target']!r}"
        )
    tensors = _tensors(folder, metadata["tensors"])
    kind, name = metadata.get("kind", "sampler"), metadata["sampler"]
    try:
        recipe = catalogue.registry.make(kind, name, **_python(metadata["options"]))
    except (UnknownComponent, TargetError, PluginError) as error:
        raise CheckpointError(
            f"{place} holds a model of {kind} {name!r}, which cannot be made here: {_words(error)}; install or load "
            "the plugin, in the version that saved the model"
        ) from error
    except Exception as error:
        raise CheckpointError(f"{place} holds options that {kind} {name!r} cannot have: {_words(error)}") from error
    moved = None if target is None else target.to(device)
    event_shape = tuple(metadata["event_shape"])
    try:
        model = recipe.restore(
            {key: tensor.to(device) for key, tensor in tensors.items()},
            _python(metadata["facts"], lists=True),
            event_shape=event_shape,
            target=moved,
            device=device,
        )
    except CheckpointError as error:
        raise CheckpointError(f"{place}: {error}") from None
    except Exception as error:
        raise CheckpointError(
            f"{place} holds facts or tensors of which no model of {kind} {name!r} can be made: {_words(error)}"
        ) from error
    for key, tensor in model.tensors().items():
        if key in tensors and tensors[key].dtype != tensor.dtype:
            raise CheckpointError(
                f"{folder}: tensor {key!r} holds {tensors[key].dtype}; expected {tensor.dtype}, as the model has it"
            )
    dim = getattr(model, "dim", None)
    if isinstance(dim, int) and dim != math.prod(event_shape):
        raise CheckpointError(
            f"{place} says event_shape is {list(event_shape)}; expected {dim} numbers, as the model has"
        )
    model.recipe, model.event_shape, model.target_name = recipe, event_shape, metadata["target"]
    if columns := metadata.get("columns"):
        from phys_samplers.table import Column

        if len(columns) != math.prod(event_shape):
            raise CheckpointError(f"{place} names {len(columns)} columns; expected {math.prod(event_shape)}")
        model.columns = tuple(Column(*column) for column in columns)
    report = metadata["report"]
    model.report = TrainingReport.from_dict(_python(report, lists=True)) if report else None
    return model


def read_metadata(folder: Path) -> dict[str, Any]:
    """What the JSON file of a checkpoint says, of the types that it must have; nothing is made of it.

    Raises:
        CheckpointError: naming the file and the field.
    """
    place = folder / METADATA
    try:
        metadata = parse_json(read_bytes(place, LARGEST_METADATA, CheckpointError))
        found = metadata.get("format") if isinstance(metadata, dict) else type(metadata).__name__
        if found != FORMAT or type(found) is not int:
            raise CheckpointError(f"{place} has format {short(found)}; this version reads format {FORMAT}")
        _shape()(metadata, "")
    except FileNotFoundError:
        raise CheckpointError(f"{place} does not exist; expected a folder that model.save() wrote") from None
    except Malformed as error:
        raise CheckpointError(f"{place} {said(error)}; the checkpoint is damaged") from None
    if metadata.get("seal") != _seal(metadata):
        raise CheckpointError(f"{place} is edited (its seal is not that of its content)")
    return metadata


def _tensors(folder: Path, facts: Mapping[str, Any]) -> dict[str, Tensor]:
    """The numbers of a checkpoint, laid out as they were."""
    file = folder / facts["file"]
    try:
        payload = read_bytes(file, LARGEST_TENSORS, CheckpointError)
    except FileNotFoundError:
        raise CheckpointError(f"{file} does not exist; the checkpoint is incomplete") from None
    if hashlib.sha256(payload).hexdigest() != facts["sha256"]:
        raise CheckpointError(f"{file} is truncated or edited (its SHA-256 is not the recorded one)")
    try:
        tensors: dict[str, Tensor] = load_tensors(payload)
    except Exception as error:  # safetensors raises several kinds
        raise CheckpointError(f"{file} is no safetensors file: {_words(error)}") from None
    for key, stride in facts.get("strides", {}).items():
        if key not in tensors or not _is_layout(stride, tensors[key].shape):
            raise CheckpointError(
                f"{folder / METADATA} lays tensor {short(key)} out by {short(stride)}; expected its strides"
            )
        tensors[key] = _laid_out(tensors[key], stride)
    return tensors


def _any_number(value: Any, path: str) -> None:
    """One that is not finite is a mapping, see ``_jsonable``."""
    if not (isinstance(value, dict) and value.keys() == {NUMBER}):
        number()(value, path)
    elif value[NUMBER] not in ("inf", "-inf", "nan"):
        raise wrong(value, path, "a number")


@cache
def _shape() -> Shape:
    """Of ``model.json``. No other kind is made from a file: a task may download, a field may take all memory."""
    return table(
        {
            "format": one_of(FORMAT),
            "sampler": text("a registered name", pattern="[a-z0-9][a-z0-9_+-]{0,99}"),
            "options": mapping(),
            "target": text(longest=10_000),
            "event_shape": rows(whole(0, 2**40), most=64),
            "needs_target": flag,
            "facts": mapping(),
            "report": maybe(
                table(
                    {
                        "steps": whole(0),
                        "seconds": number(0),
                        "replicas": whole(1),
                        "parameters": whole(0),
                        "best_step": whole(0),
                    },
                    {"best_validation": maybe(_any_number), "history": rows(mapping(maybe(_any_number)))},
                )
            ),
            "tensors": table(
                {
                    "file": text(
                        "tensors-….safetensors, and no file outside its own folder",
                        pattern=r"tensors-[0-9a-f]{16}\.safetensors",
                    ),
                    "sha256": text("a SHA-256 hash", pattern="[0-9a-f]{64}"),
                },
                {"strides": mapping()},
            ),
        },
        {
            "kind": one_of("sampler", "return_model"),
            "seal": text(),
            "columns": rows(pair(text("a name", pattern=NAME), text("a type of numbers", pattern=NUMBERS))),
        },
    )


def recipe_name(recipe: Recipe) -> str:
    """The name under which the recipe's class is registered.

    Raises:
        CheckpointError: if it is not registered.
    """
    cls = type(recipe)
    path = f"{cls.__module__}:{cls.__qualname__}"
    for component in catalogue.components(recipe.kind):
        if component.target is cls or same_target(component.target, path):
            return component.name
    raise CheckpointError(
        f"{path} is not a registered {recipe.kind}; register it (phys_samplers.register or a plugin) so that load "
        "finds it"
    )


def _is_layout(stride: Any, shape: Sequence[int]) -> bool:
    """Whether numbers of this shape can lie so: none over another (but where one is repeated), none far off."""
    if not isinstance(stride, list | tuple) or len(stride) != len(shape):
        return False
    if not all(type(step) is int and 0 <= step < 2**62 for step in stride):
        return False
    span = numbers = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if step and size > 1:
            if step < span:
                return False
            span += step * (size - 1)
            numbers *= size
    return 0 not in shape and span <= SPREAD * numbers


def _laid_out(tensor: Tensor, stride: Sequence[int]) -> Tensor:
    """The same numbers with these strides; along strides of zero one number is repeated."""
    kept = tensor[tuple(slice(None) if step else slice(1) for step in stride)]
    laid = torch.empty_strided(kept.shape, stride, dtype=tensor.dtype, device=tensor.device).copy_(kept)
    return laid.expand(tensor.shape)


def _seal(metadata: Mapping[str, Any]) -> str:
    """A digest of everything but the seal itself."""
    content = {key: value for key, value in metadata.items() if key != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _jsonable(value: Any, what: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item, f"{what}, {key!r}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item, what) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {NUMBER: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CheckpointError(
        f"{what} holds a {type(value).__name__}, which JSON cannot; give the part by its registered name instead"
    )


def _python(value: Any, *, lists: bool = False) -> Any:
    """Inverse of ``_jsonable``; lists become tuples unless ``lists``."""
    if isinstance(value, dict):
        if value.keys() == {NUMBER} and value[NUMBER] in ("inf", "-inf", "nan"):
            return float(value[NUMBER])
        return {key: _python(item, lists=lists) for key, item in value.items()}
    if isinstance(value, list):
        items = [_python(item, lists=lists) for item in value]
        return items if lists else tuple(items)
    return value


def _words(error: Exception) -> str:
    """An error of other code, on one line."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words if len(words) <= 400 else words[:397] + '...'}"
