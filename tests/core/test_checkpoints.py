"""Checkpoints: at every moment the folder holds one whole model; damage is detected and named, nothing is half-used."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from phys_bellman.kernels import GaussianKernel
from phys_registry import Component, RenamedWarning
from phys_samplers import catalogue, checkpoint, load
from phys_samplers.atomic import write_atomically
from phys_samplers.checkpoint import recipe_name
from phys_samplers.errors import CheckpointError
from phys_samplers.options import Part
from phys_samplers.sampler import Draw, Model, Sampler
from phys_samplers.target import Target
from phys_samplers.training import TrainingReport


class PointModel(Model):
    """Draws copies of one point; the simplest thing to save."""

    def __init__(self, recipe: Point, value: Tensor, label: str = "") -> None:
        self.recipe, self.value, self.label = recipe, value, label
        self.target_name, self.event_shape = "nothing", tuple(value.shape)

    @property
    def device(self) -> torch.device:
        return self.value.device

    def draw(self, n: int, *, seed: int = 0, start: Tensor | None = None, **options: Any) -> Draw:
        return Draw(self.value.expand(n, *self.event_shape).clone(), 0.0)

    def tensors(self) -> dict[str, Tensor]:
        return {"value": self.value, "transposed": self.value.mT if self.value.ndim > 1 else self.value}

    def facts(self) -> dict[str, Any]:
        return {"label": self.label}


@dataclass(frozen=True, kw_only=True)
class Point(Sampler):
    needs: ClassVar[frozenset[str]] = frozenset()
    span: tuple[float, float] = (0.0, 1.0)
    kernel: Part = "gaussian"

    def fit(
        self, target: Target, *, seed: int = 0, device: torch.device | str = "cpu", callbacks: Sequence[Any] = ()
    ) -> PointModel:
        return PointModel(self, torch.full((2, 3), float(seed)))

    def restore(
        self,
        tensors: Mapping[str, Tensor],
        facts: Mapping[str, Any],
        *,
        event_shape: tuple[int, ...],
        target: Target | None,
        device: torch.device | str = "cpu",
    ) -> PointModel:
        if tensors["value"].ndim > 1:
            assert torch.equal(tensors["transposed"], tensors["value"].mT)
        return PointModel(self, tensors["value"], facts["label"])


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    catalogue.register("sampler", "point-in-test", summary="a point")(Point)
    yield
    if "point-in-test" in catalogue.names("sampler"):
        catalogue.registry.unregister("sampler", "point-in-test")


def model(value: float = 1.0, **options: Any) -> PointModel:
    made = PointModel(Point(**options), torch.arange(6.0).reshape(2, 3) + value, f"v{value}")
    made.report = TrainingReport(
        steps=3, seconds=0.5, replicas=1, parameters=6, best_step=2, history=[{"step": 3, "loss": 0.1}]
    )
    return made


def metadata(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "model.json").read_text())


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any], *, sealed: bool = True) -> None:
    """Edit the metadata; with ``sealed`` the way a program would that knows the format."""
    data = metadata(folder)
    change(data)
    if sealed:
        content = {key: value for key, value in data.items() if key != "seal"}
        data["seal"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    (folder / "model.json").write_text(json.dumps(data))


def test_a_round_trip_keeps_everything(tmp_path: Path) -> None:
    saved = model(span=(0.25, 2.0), kernel=GaussianKernel(epsilon=0.5))
    folder = saved.save(tmp_path / "deep" / "er")
    assert folder == tmp_path / "deep" / "er"
    loaded = load(folder)
    assert isinstance(loaded, PointModel)
    assert torch.equal(loaded.value, saved.value)
    assert (loaded.label, loaded.target_name, loaded.event_shape) == ("v1.0", "nothing", (2, 3))
    assert loaded.report == saved.report
    assert loaded.recipe.span == (0.25, 2.0), "tuples come back as tuples"
    assert loaded.recipe.options() == saved.recipe.options()
    assert metadata(folder)["options"]["kernel"]["name"] == "gaussian"


def test_a_checkpoint_of_a_former_name_answers_with_the_present_one(tmp_path: Path) -> None:
    folder = model(span=(0.25, 2.0)).save(tmp_path / "former")
    catalogue.registry.unregister("sampler", "point-in-test")
    with pytest.raises(CheckpointError, match="cannot be made here"):
        load(folder)
    present = Component("sampler", "spot-in-test", Point, summary="a point", renamed_from={"point-in-test"})
    catalogue.registry.register(present)
    try:
        with pytest.warns(RenamedWarning, match="'point-in-test' is now called 'spot-in-test'"):
            loaded = load(folder)
        assert loaded.recipe == Point(span=(0.25, 2.0))
        assert torch.equal(loaded.sample(3, seed=0), model().sample(3, seed=0))
        assert metadata(loaded.save(tmp_path / "present"))["sampler"] == "spot-in-test"
    finally:
        catalogue.registry.unregister("sampler", "spot-in-test")


def test_an_option_of_a_former_name_is_read_from_a_checkpoint(tmp_path: Path) -> None:
    folder = model().save(tmp_path)
    catalogue.registry.unregister("sampler", "point-in-test")
    catalogue.registry.register(
        Component("sampler", "point-in-test", Point, summary="a point", renamed_options={"reach": "span"})
    )
    rewrite(folder, lambda data: data["options"].update(reach=[0.5, 3.0]) or data["options"].pop("span"))
    with pytest.warns(RenamedWarning, match="'reach' of sampler 'point-in-test' is now called 'span'"):
        assert load(folder).recipe == Point(span=(0.5, 3.0))


LAYOUTS: dict[str, Callable[[], Tensor]] = {
    "rows": lambda: torch.arange(6.0).reshape(2, 3),
    "transposed": lambda: torch.arange(6.0).reshape(3, 2).T,
    "permuted": lambda: torch.arange(24.0).reshape(2, 3, 4).permute(1, 2, 0),
    "channels last": lambda: torch.arange(120.0).reshape(2, 3, 4, 5).to(memory_format=torch.channels_last),
    "cholesky": lambda: torch.linalg.cholesky(torch.eye(5) + 0.5),
    "expanded": lambda: torch.arange(3.0).expand(4, 3),
    "expanded and transposed": lambda: torch.arange(6.0).reshape(3, 2).T.unsqueeze(1).expand(2, 4, 3),
    "sliced": lambda: torch.arange(20.0).reshape(4, 5)[:, 1:4],
    "every second": lambda: torch.arange(20.0)[::2],
    "one number, repeated": lambda: torch.tensor(3.0).expand(2, 3),
    "integers": lambda: torch.arange(6).reshape(3, 2).T,
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_memory_layout_is_kept(tmp_path: Path, name: str) -> None:
    given = LAYOUTS[name]()
    PointModel(Point(), given).save(tmp_path / "saved")
    value = load(tmp_path / "saved").value
    assert torch.equal(value, given)
    assert (value.dtype, value.stride()) == (given.dtype, given.stride())


@pytest.mark.parametrize(
    "value",
    [torch.arange(6.0).unfold(0, 3, 1), torch.arange(10_000.0)[:: checkpoint.SPREAD + 1], torch.zeros(3, 0).T],
    ids=["overlapping", "far apart", "empty"],
)
def test_numbers_are_kept_where_the_layout_cannot_be(tmp_path: Path, value: Tensor) -> None:
    loaded = load(PointModel(Point(), value).save(tmp_path / "saved")).value
    assert torch.equal(loaded, value)
    assert loaded.is_contiguous()


@pytest.mark.parametrize(
    "stride",
    [[1], [1, 2, 3], "21", [-1, 3], [2.0, 1.0], [True, 2], [1, 1], [2, 1], [1, 2**40], [1, 2**70], [10**6, 10**7]],
    ids=str,
)
def test_strides_that_do_not_fit_are_refused(tmp_path: Path, stride: Any) -> None:
    """Nothing that a file says makes loading write out of bounds, or take more memory than its numbers deserve."""
    folder = model().save(tmp_path / "saved")
    edited = json.loads((folder / checkpoint.METADATA).read_text())
    edited["tensors"]["strides"] = {"value": stride}
    edited["seal"] = checkpoint._seal(edited)
    (folder / checkpoint.METADATA).write_text(json.dumps(edited))
    with pytest.raises(CheckpointError, match="expected its strides"):
        load(folder)


@pytest.mark.parametrize("strides", [[1, 2], {"unknown": [1]}], ids=str)
def test_strides_of_no_tensor_are_refused(tmp_path: Path, strides: Any) -> None:
    folder = model().save(tmp_path / "saved")
    edited = json.loads((folder / checkpoint.METADATA).read_text())
    edited["tensors"]["strides"] = strides
    edited["seal"] = checkpoint._seal(edited)
    (folder / checkpoint.METADATA).write_text(json.dumps(edited))
    with pytest.raises(CheckpointError, match="strides"):
        load(folder)


def test_a_folder_holds_two_files_that_say_nothing_of_the_machine(tmp_path: Path) -> None:
    folder = model().save(tmp_path / "m")
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".safetensors"]
    assert str(tmp_path) not in (folder / "model.json").read_text()
    assert os.stat(folder / "model.json").st_mode & 0o777 == 0o644


def test_saving_again_replaces_the_model_and_leaves_no_litter(tmp_path: Path) -> None:
    folder = model(1.0).save(tmp_path / "m")
    model(2.0).save(folder)
    assert len(list(folder.iterdir())) == 2
    assert float(load(folder).sample(1)[0, 0, 0]) == 2.0
    model(2.0).save(folder)
    assert len(list(folder.iterdir())) == 2


def test_equal_models_are_equal_files(tmp_path: Path) -> None:
    first, second = model().save(tmp_path / "a"), model().save(tmp_path / "b")
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()


class Killed(BaseException):
    """As a signal would."""


@pytest.mark.parametrize("moment", ["tensors", "metadata", "stale"])
def test_a_kill_while_saving_leaves_the_old_model_or_the_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    folder = model(1.0).save(tmp_path / "m")
    replaced = os.replace
    calls = iter(["tensors", "metadata"])

    def replace(source: Any, destination: Any) -> None:
        if next(calls) == moment:
            raise Killed
        replaced(source, destination)

    def unlink(self: Path, missing_ok: bool = False) -> None:
        if moment == "stale":
            raise Killed
        os.unlink(self)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(Killed):
        model(2.0).save(folder)
    monkeypatch.undo()
    expected = 2.0 if moment == "stale" else 1.0
    loaded = load(folder)
    assert float(loaded.sample(1)[0, 0, 0]) == expected
    assert loaded.label == f"v{expected}"
    # the next save cleans up
    model(3.0).save(folder)
    assert float(load(folder).sample(1)[0, 0, 0]) == 3.0
    assert len(list(folder.glob("tensors-*"))) == 1


def test_a_process_killed_between_the_files_leaves_the_old_model(tmp_path: Path) -> None:
    """The same with a signal: the process stops itself when it is about to name the new tensors."""
    folder = model(1.0).save(tmp_path / "m")
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from phys_samplers.atomic import write_atomically\n"
        "replace, n = os.replace, []\n"
        "def stop(a, b):\n"
        "    n.append(b)\n"
        "    os.kill(os.getpid(), signal.SIGKILL) if len(n) == 2 else replace(a, b)\n"
        "os.replace = stop\n"
        "folder = Path(sys.argv[1])\n"
        "write_atomically(folder / 'tensors-0123456789abcdef.safetensors', b'new')\n"
        "write_atomically(folder / 'model.json', b'new')\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(folder)], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert (folder / "tensors-0123456789abcdef.safetensors").exists()
    assert float(load(folder).sample(1)[0, 0, 0]) == 1.0


def test_write_atomically_leaves_nothing_behind_when_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "x", b"half")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
@pytest.mark.parametrize("pattern", ["model.json", "tensors-*"])
def test_a_truncated_file_is_named(tmp_path: Path, pattern: str, share: float) -> None:
    folder = model().save(tmp_path / "m")
    (file,) = folder.glob(pattern)
    content = file.read_bytes().rstrip()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match=file.name):
        load(folder)


def test_one_flipped_bit_of_the_numbers_is_seen(tmp_path: Path) -> None:
    folder = model().save(tmp_path / "m")
    (file,) = folder.glob("tensors-*")
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"truncated or edited \(its SHA-256"):
        load(folder)


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data["options"].update(span=[0.0, 2.0]),
        lambda data: data["facts"].update(label="other"),
        lambda data: data.update(target="other"),
        lambda data: data.pop("seal"),
    ],
)
def test_edited_metadata_is_seen(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    folder = model().save(tmp_path / "m")
    rewrite(folder, change, sealed=False)
    with pytest.raises(CheckpointError, match=r"model\.json is edited"):
        load(folder)


@pytest.mark.parametrize("form", [2, None, "1"])
def test_another_format_is_named(tmp_path: Path, form: Any) -> None:
    folder = model().save(tmp_path / "m")
    rewrite(folder, lambda data: data.update(format=form))
    with pytest.raises(CheckpointError, match=rf"has format {form!r}; this version reads format 1"):
        load(folder)


def test_json_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text("[1, 2]")
    with pytest.raises(CheckpointError, match="format 'list'"):
        load(tmp_path)


@pytest.mark.parametrize("key", ["sampler", "options", "tensors", "event_shape", "facts", "report", "target"])
def test_a_missing_entry_is_named(tmp_path: Path, key: str) -> None:
    folder = model().save(tmp_path / "m")
    rewrite(folder, lambda data: data.pop(key))
    with pytest.raises(CheckpointError, match=rf"lacks '{key}'"):
        load(folder)


@pytest.mark.parametrize("file", ["../other.safetensors", "/etc/hostname", "sub/x.safetensors", "..", ".", ""])
def test_tensors_outside_the_folder_are_not_read(tmp_path: Path, file: str) -> None:
    folder = model().save(tmp_path / "m")
    (tmp_path / "other.safetensors").write_bytes(b"secret")
    rewrite(folder, lambda data: data["tensors"].update(file=file))
    with pytest.raises(CheckpointError, match="outside its own folder"):
        load(folder)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere.model\.json does not exist; expected a folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"does not exist; expected a folder"):
        load(tmp_path / "file")
    folder = model().save(tmp_path / "m")
    (file,) = folder.glob("tensors-*")
    file.unlink()
    with pytest.raises(CheckpointError, match=rf"{file.name} does not exist; the checkpoint is incomplete"):
        load(folder)


def test_saving_onto_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("keep me")
    with pytest.raises(CheckpointError, match="is a file; expected a folder"):
        model().save(tmp_path / "file")
    assert (tmp_path / "file").read_text() == "keep me"


def test_an_unknown_sampler_is_named_with_what_to_do(tmp_path: Path) -> None:
    folder = model().save(tmp_path / "m")
    catalogue.registry.unregister("sampler", "point-in-test")
    with pytest.raises(
        CheckpointError, match=r"'point-in-test', which cannot be made here.*install or load the plugin"
    ):
        load(folder)


def test_an_option_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = model().save(tmp_path / "m")
    rewrite(folder, lambda data: data["options"].update(colour="red"))
    with pytest.raises(CheckpointError, match="has no option 'colour'"):
        load(folder)


def test_an_unregistered_recipe_cannot_be_saved(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Private(Point):
        pass

    stray = model()
    stray.recipe = Private()
    with pytest.raises(CheckpointError, match=r"Private is not a registered sampler; register it"):
        stray.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_parts_that_json_cannot_hold_cannot_be_saved(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class PrivateKernel(GaussianKernel):
        pass

    for part in (PrivateKernel(epsilon=1.0), torch.ones(2), {1, 2}):
        stray = model(kernel=part)
        with pytest.raises(CheckpointError, match=rf"options of Point, 'kernel' holds a {type(part).__name__}"):
            stray.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()


def test_models_that_move_in_a_density_ask_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PointModel, "needs_target", True)
    folder = model().save(tmp_path / "m")
    with pytest.raises(CheckpointError, match=r"call load\('.*', target=\.\.\.\) with target 'nothing'"):
        load(folder)
    assert isinstance(load(folder, target=Target(event_shape=(2, 3))), PointModel)


def test_a_recipe_is_found_by_object_path_or_package_path() -> None:
    assert recipe_name(Point()) == "point-in-test"
    assert recipe_name(catalogue.make("sampler", "bellman")) == "bellman"
    assert checkpoint.same_target("phys_bellman.kernels:GaussianKernel", "phys_bellman.kernels:GaussianKernel")
    assert not checkpoint.same_target("phys_bellman.kernels:GaussianKernel", "phys_bellman.kernels:Kernel")
    assert not checkpoint.same_target("phys_samplers.kern:GaussianKernel", "phys_bellman.kernels:GaussianKernel")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    """The numbers are in a format that cannot execute code, whatever the file claims to be."""
    folder = model().save(tmp_path / "m")
    (file,) = folder.glob("tensors-*")
    header = int.from_bytes(file.read_bytes()[:8], "little")
    described = json.loads(file.read_bytes()[8 : 8 + header])
    assert set(described) - {"__metadata__"} == {"value", "transposed"}
