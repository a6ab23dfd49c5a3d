"""Fitted models on disk: a folder with safetensors for the numbers and JSON for the rest. Nothing is ever unpickled.

The numbers lie in a file named by their own hash and the JSON file, written last, names it, so that at every moment
the folder holds one whole checkpoint; a truncated or edited file is detected and named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from phys_registry import RegistryError
from phys_samplers import catalogue
from phys_samplers.atomic import write_atomically
from phys_samplers.errors import CheckpointError
from phys_samplers.parts import same_target
from phys_samplers.sampler import Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import TrainingReport

FORMAT = 1
METADATA = "model.json"


def save(model: Model, path: str | Path) -> Path:
    """Write ``model`` to the folder ``path`` (made if absent).

    Raises:
        CheckpointError: if the model's recipe is not a registered component, or has options JSON cannot hold.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file; expected a folder to write the checkpoint to")
    payload = save_tensors({name: t.detach().cpu().contiguous() for name, t in model.tensors().items()})
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
        "report": model.report.to_dict() if model.report else None,
        "tensors": {"file": f"tensors-{digest[:16]}.safetensors", "sha256": digest},
    }
    metadata["seal"] = _seal(metadata)
    folder.mkdir(parents=True, exist_ok=True)
    name = f"tensors-{digest[:16]}.safetensors"
    write_atomically(folder / name, payload)
    write_atomically(folder / METADATA, (json.dumps(metadata, indent=1) + "\n").encode())
    for stale in folder.glob("tensors-*.safetensors"):
        if stale.name != name:
            stale.unlink()
    return folder


def load(path: str | Path, *, target: Target | None = None, device: torch.device | str = "cpu") -> Model:
    """The model that ``save`` wrote to the folder ``path``; its samples are bit-equal for equal seeds.

    Args:
        path: the folder.
        target: the density a training-free sampler moves in; such models ask it while sampling and do not store it.
        device: where to compute.

    Raises:
        CheckpointError: naming the file that is missing, truncated, edited or of another format.
    """
    folder = Path(path)
    try:
        metadata = json.loads((folder / METADATA).read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"{folder / METADATA} does not exist; expected a folder that model.save() wrote"
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{folder / METADATA} is not whole JSON ({error}); the checkpoint is damaged") from None
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        found = metadata.get("format") if isinstance(metadata, dict) else type(metadata).__name__
        raise CheckpointError(f"{folder / METADATA} has format {found!r}; this version reads format {FORMAT}")
    try:
        file, digest = folder / metadata["tensors"]["file"], metadata["tensors"]["sha256"]
        kind, name, options = metadata.get("kind", "sampler"), metadata["sampler"], metadata["options"]
        event_shape, facts = tuple(metadata["event_shape"]), metadata["facts"]
        report, needs_target = metadata["report"], metadata["needs_target"]
        target_name = metadata["target"]
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{folder / METADATA} lacks {error}; the checkpoint is damaged") from None
    if metadata.get("seal") != _seal(metadata):
        raise CheckpointError(f"{folder / METADATA} is edited (its seal is not that of its content)")
    if file.parent != folder or file.name in ("", ".."):
        raise CheckpointError(f"{folder / METADATA} names {file}, outside its own folder")
    try:
        payload = file.read_bytes()
    except FileNotFoundError:
        raise CheckpointError(f"{file} does not exist; the checkpoint is incomplete") from None
    if hashlib.sha256(payload).hexdigest() != digest:
        raise CheckpointError(f"{file} is truncated or edited (its SHA-256 is not the recorded one)")
    if needs_target and target is None:
        raise CheckpointError(
            f"a model of sampler {name!r} moves in the density of its target, which is not stored; "
            f"call load({str(folder)!r}, target=...) with target {target_name!r}"
        )
    try:
        recipe: Sampler = catalogue.make(kind, name, **_tuples(options))
    except RegistryError as error:
        raise CheckpointError(
            f"{folder} holds a model of {kind} {name!r}, which cannot be made here: {error}; install or load the "
            "plugin, in the version that saved the model"
        ) from error
    moved = None if target is None else target.to(device)
    tensors = {key: tensor.to(device) for key, tensor in load_tensors(payload).items()}
    model = recipe.restore(tensors, facts, event_shape=event_shape, target=moved, device=device)
    model.recipe, model.event_shape, model.target_name = recipe, event_shape, target_name
    model.report = TrainingReport.from_dict(report) if report else None
    return model


def recipe_name(recipe: Sampler) -> str:
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


def _seal(metadata: Mapping[str, Any]) -> str:
    """A digest of everything but the seal itself."""
    content = {key: value for key, value in metadata.items() if key != "seal"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _jsonable(value: Any, what: str) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item, f"{what}, {key!r}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item, what) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise CheckpointError(
        f"{what} holds a {type(value).__name__}, which JSON cannot; give the part by its registered name instead"
    )


def _tuples(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _tuples(item) for key, item in value.items()}
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value
