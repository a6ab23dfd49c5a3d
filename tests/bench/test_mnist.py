"""MNIST: the format of its files, and, where the files are at hand, the task and the features of its classifier."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from pathlib import Path

import pytest
import torch

from phys_bench.data import DataUnavailable, files
from phys_bench.data import mnist as published
from phys_bench.data.mnist import PinnedIdx, parse_idx
from phys_bench.scoring import floor_facts
from phys_bench.tasks.assemble import split
from phys_bench.tasks.images import labelled_mnist, mnist, mnist_classifier, mnist_features
from phys_samplers.catalogue import make, names
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task

SPLITS = ("train", "validation", "heldout")
HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3])
FOLDERS = (os.environ.get("PHYS_SAMPLERS_DATA"), Path(__file__).parents[3] / "shared" / "data")
"""Where the published files may be: what the user names, or a folder beside the repository."""


def idx(header: bytes = HEADER, values: bytes = bytes(range(12))) -> bytes:
    return gzip.compress(header + values, mtime=0)


def test_an_idx_file_is_read() -> None:
    found = parse_idx(idx())
    assert found.dtype == torch.uint8
    assert torch.equal(found, torch.arange(12, dtype=torch.uint8).reshape(2, 2, 3))
    assert torch.equal(parse_idx(idx(bytes([0, 0, 8, 1, 0, 0, 0, 1]), b"\xff")), torch.tensor([255], dtype=torch.uint8))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"plain bytes", "no gzip file"),
        (idx()[:-12], "no gzip file"),
        (idx(b"\0\0\x0d\x01\0\0\0\x01"), "expected two zeros, 8, number of axes"),
        (idx(b"\0\0", b""), "expected two zeros"),
        (idx(HEADER[:9], b""), "has 9 bytes; its header alone, of 3 axes, has 16"),
        (idx(values=bytes(11)), "holds 11 values; its header says 2 x 2 x 3"),
        (idx(values=bytes(13)), "holds 13 values"),
    ],
    ids=["plain", "cut short", "dtype", "two bytes", "cut header", "too few", "too many"],
)
def test_what_is_no_idx_file_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_idx(content)


@pytest.mark.parametrize("name", ["set-idx1-ubyte.gz", "mnist-set-idx1-ubyte.gz"])
def test_files_are_found_under_either_name(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files.platformdirs, "user_cache_dir", lambda name: str(tmp_path / "cache" / name))
    monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(tmp_path))
    pinned = PinnedIdx(
        original="set-idx1-ubyte.gz",
        original_sha256=hashlib.sha256(idx()).hexdigest(),
        urls=("http://127.0.0.1:9/set",),
    )
    with pytest.raises(DataUnavailable, match=r"put mnist-set-idx1-ubyte\.gz or set-idx1-ubyte\.gz into a folder"):
        pinned.read()
    (tmp_path / name).write_bytes(idx())
    assert pinned.read().shape == (2, 2, 3)
    (tmp_path / name).write_bytes(idx(values=bytes(12)))
    with pytest.raises(DataUnavailable, match="not the published file"):
        pinned.read()


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tasks read the folder with the files of MNIST while a test has this fixture."""
    for folder in filter(None, FOLDERS):
        if all(
            any((Path(folder) / form).is_file() for form, _ in f._forms()) for f in (published.IMAGES, published.LABELS)
        ):
            monkeypatch.setenv("PHYS_SAMPLERS_DATA", str(folder))
            return
    pytest.skip("the files of MNIST are not here; name their folder in PHYS_SAMPLERS_DATA")


@pytest.fixture
def task(data: None) -> Task:
    return mnist()


def test_shape(task: Task) -> None:
    assert task.event_shape == (1, 28, 28)
    assert [len(getattr(task, which)) for which in SPLITS] == [7000, 1000, 2000]
    assert task.eval_size == 1000
    assert task.capabilities == {"samples"}
    assert task.metrics[0] == "frechet"
    assert set(task.metrics) <= set(names("metric"))
    assert task.features is mnist_features


def test_pixels_are_dequantised_grey_levels(task: Task) -> None:
    grey, _ = published.mnist_images()
    rows, labels = labelled_mnist()
    assert labels.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    levels = (rows[:, 0] + 1.0) * 128
    assert torch.equal(levels.floor(), grey.double())
    # 7,840,000 draws: mean ½ ± 0.0001, standard deviation 0.2887 ± 0.00005; 5 of these
    noise = levels - grey
    assert float(noise.mean()) == pytest.approx(0.5, abs=5e-4)
    assert float(noise.std()) == pytest.approx(12**-0.5, abs=2.5e-4)
    for which, chosen in zip(SPLITS, split("mnist", len(rows)), strict=True):
        values = getattr(task, which)
        assert values.abs().max() <= 1.0
        assert torch.equal(values, rows[chosen].float())


# Held-out rows are part of every published score: if this test fails, raise the version of the task.
def test_heldout_rows_are_pinned(task: Task) -> None:
    assert task.heldout is not None
    assert task.heldout[0, 0, 14, 10:14].tolist() == pytest.approx([-0.493031, 0.999337, 0.999220, 0.494456], abs=1e-5)


@pytest.mark.slow
def test_the_classifier_reads_digits_and_its_features_rank_alternatives(task: Task) -> None:
    """Noise, a digit left out and images shifted by two pixels all stand above the floor; the fit takes seconds."""
    assert task.heldout is not None
    assert task.train is not None
    mnist_classifier.cache_clear()
    began = time.process_time()
    with torch.inference_mode():
        features = mnist_features(task.heldout)
    assert time.process_time() - began < 15.0
    assert features.shape == (2000, 32)
    assert features.dtype == torch.float64
    assert not features.requires_grad

    _, labels = labelled_mnist()
    train, _, heldout = split("mnist", len(labels))
    found = mnist_classifier()(task.heldout.double().flatten(1).unsqueeze(0))[0].argmax(-1)
    assert (found == labels[heldout]).double().mean() > 0.95

    floor = floor_facts("frechet", task, "mnist", task.eval_size)
    frechet = make("metric", "frechet")
    generator = make_generator(0, "alternatives")
    others = {
        "noise": torch.rand(1000, 1, 28, 28, generator=generator) * 2 - 1,
        "no seven": task.train[labels[train] != 7][:1000],
        "shifted": task.train[:1000].roll(2, 3),
    }
    for name, rows in others.items():
        value = frechet(Scored(samples=rows, reference=task.heldout[:1000], target=task, generator=generator))
        assert value > floor["mean"] + 4 * floor["std"], name


def test_every_metric_scores_images_in_time(task: Task) -> None:
    assert task.heldout is not None
    assert task.validation is not None
    mnist_classifier()
    began = time.process_time()
    for text in task.metrics:
        generator = make_generator(0, "metric")
        # flattened, as records keep them
        samples, reference = task.validation.flatten(1), task.heldout[:1000].flatten(1)
        value = make("metric", text)(Scored(samples=samples, reference=reference, target=task, generator=generator))
        assert 0.0 <= value < 100.0
    assert time.process_time() - began < 30.0
