"""Image samples: what a run keeps of them, and the grids that the report draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from phys_bench import api
from phys_bench.report import write_report
from phys_bench.report.canvas import GRID
from phys_bench.report.gallery import COLUMNS, ROWS, image_picture
from phys_bench.scoring import nearest_images
from phys_samplers import catalogue

SHAPE = (1, 2, 3)


def images(n: int, *, low: float = 0.0) -> np.ndarray:
    """Rows (n, 6) between ``low`` and 1, both taken."""
    rows = np.random.default_rng(0).uniform(low, 1, size=(n, 6))
    rows[0, 0], rows[0, 1] = low, 1.0
    return rows


def test_a_run_keeps_the_shape_and_the_nearest_training_images(toys: Path, tmp_path: Path) -> None:
    catalogue.registry.load_file(Path(__file__).with_name("toy_trained.py"))
    suite = {"name": "images", "tasks": ["toy-bars", "toy-normal"], "samplers": ["bellman"], "seeds": 1}
    quick = [{"options": {"steps": 20, "sampling_steps": 5}}]
    results = api.run({**suite, "overrides": quick}, out=tmp_path, executor="inline", progress=False, device="cpu")
    record, planar = results.records
    assert record["arrays"]["event_shape"] == [1, 8, 8]
    assert planar["arrays"]["event_shape"] == [2]
    assert "nearest" not in planar["arrays"]["shapes"]
    arrays = load_file(tmp_path / "arrays" / f"{record['id']}.safetensors")
    train = catalogue.make("task", "toy-bars").train.flatten(1).numpy()
    squares = ((arrays["samples"][:40, None] - train[None]) ** 2).sum(-1)
    np.testing.assert_array_equal(arrays["nearest"], train[squares.argmin(1)].astype(np.float32))
    page = write_report(tmp_path).read_text(encoding="utf-8")
    grids = "Image grids from left to right: generated images; nearest training images of the generated."
    assert f'alt="toy-bars, bellman. {grids}"' in page
    assert 'alt="toy-bars. Image grid: true images."' in page
    assert page.count("Panels from left to right") == 1  # of the other task


def test_a_copy_is_its_own_nearest_training_image(toys: Path) -> None:
    catalogue.registry.load_file(Path(__file__).with_name("toy_trained.py"))
    task = catalogue.make("task", "toy-bars")
    copies = task.train[[7, 3, 100]].flatten(1)
    assert torch.equal(nearest_images(copies, task)["nearest"], copies)
    assert nearest_images(torch.zeros(3, 2), catalogue.make("task", "toy-normal")) == {}


def test_grids_are_in_the_scale_of_the_true_images() -> None:
    reference = images(50, low=-3.0)
    samples = np.stack([reference[4], np.full(6, 9.0), np.full(6, -9.0), np.full(6, np.nan)])
    arrays = {"samples": samples, "reference": reference}
    pictures = [image_picture(arrays, shape=SHAPE, task="t", sampler="s", truth=truth) for truth in (True, False)]
    assert [drawn.alt for drawn in pictures] == [
        "t. Image grid: true images.", "t, s. Image grids from left to right: generated images.",
    ]  # fmt: skip
    true, generated = (np.asarray(drawn.figure.axes[0].images[0].get_array()) for drawn in pictures)
    assert true.shape == (ROWS * 3 + 1, COLUMNS * 4 + 1, 3)
    assert generated.shape == (4, COLUMNS * 4 + 1, 3)  # one line of images of height 2
    scaled = (reference + 3) / 4
    np.testing.assert_allclose(true[4:6, 5:8, 0], scaled[COLUMNS + 1].reshape(2, 3))
    np.testing.assert_allclose(generated[1:3, 1:4, 1], scaled[4].reshape(2, 3))
    assert (generated[1:3, 5:8] == 1).all()
    assert (generated[1:3, 9:12] == 0).all()
    margin = tuple(int(GRID[i : i + 2], 16) / 255 for i in (1, 3, 5))
    for grid in (true, generated):
        np.testing.assert_allclose(grid[0], np.broadcast_to(margin, grid[0].shape))
        np.testing.assert_allclose(grid[:, 4], np.broadcast_to(margin, grid[:, 4].shape))
    assert [axes.axison for drawn in pictures for axes in drawn.figure.axes] == [False, False]


def test_three_channels_are_colours_and_two_show_the_first() -> None:
    rows = np.random.default_rng(0).uniform(size=(3, 12))
    rows[0, 0], rows[0, 1] = 0.0, 1.0
    arrays = {"samples": rows, "reference": rows}

    def first(shape: tuple[int, ...]) -> np.ndarray:
        figure = image_picture(arrays, shape=shape, task="t", sampler="s").figure
        return np.asarray(figure.axes[0].images[0].get_array())[1:3, 1:3]

    np.testing.assert_allclose(first((3, 2, 2)), rows[0].reshape(3, 2, 2).transpose(1, 2, 0))
    np.testing.assert_allclose(first((2, 2, 3)), rows[0, :6].reshape(2, 3)[:, :2, None].repeat(3, axis=2))


def test_not_an_image() -> None:
    with pytest.raises(ValueError, match="reshape"):
        image_picture({"samples": images(3), "reference": images(3)}, shape=(1, 3, 3), task="t", sampler="s")
