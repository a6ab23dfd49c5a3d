"""The digits: range, noise, split, and the features that the Fréchet distance sees."""

from __future__ import annotations

import time

import pytest
import torch

from phys_bench.data import digit_images
from phys_bench.scoring import floor_facts
from phys_bench.tasks.assemble import split
from phys_bench.tasks.images import digit_features, digits, digits_classifier, labelled_digits
from phys_samplers.catalogue import make, names
from phys_samplers.metric import Scored
from phys_samplers.randomness import make_generator
from phys_samplers.target import Task

SPLITS = ("train", "validation", "heldout")


@pytest.fixture(scope="module")
def task() -> Task:
    return digits()


def test_shape(task: Task) -> None:
    assert task.event_shape == (1, 8, 8)
    assert [len(getattr(task, which)) for which in SPLITS] == [1258, 180, 359]
    assert task.eval_size == 359
    assert task.capabilities == {"samples"}
    assert task.metrics[0] == "frechet"
    assert set(task.metrics) <= set(names("metric"))
    assert task.features is digit_features


def test_pixels_are_dequantised_grey_levels(task: Task) -> None:
    grey, labels = digit_images()
    rows, same = labelled_digits()
    assert torch.equal(labels, same)
    assert torch.equal(((rows[:, 0] + 1.0) * 8.5).floor(), grey)
    noise = (rows[:, 0] + 1.0) * 8.5 - grey
    # 115,008 draws: mean ½ ± 0.00085, standard deviation 0.2887 ± 0.0004; 4.5 of these
    assert float(noise.mean()) == pytest.approx(0.5, abs=0.004)
    assert float(noise.std()) == pytest.approx(12**-0.5, abs=0.002)
    index = split("digits", len(rows))
    for which, chosen in zip(SPLITS, index, strict=True):
        values = getattr(task, which)
        assert values.min() >= -1.0
        assert values.max() <= 1.0
        assert torch.equal(values, rows[chosen].float())


# Held-out rows are part of every published score: if this test fails, raise the version of the task.
def test_heldout_rows_are_pinned(task: Task) -> None:
    assert task.heldout is not None
    assert task.heldout[0, 0, 3, :4].tolist() == pytest.approx([-0.909547, -0.634073, 0.786412, 0.030667], abs=1e-5)


def test_classifier_is_fast_accurate_and_the_same_again(task: Task) -> None:
    assert task.heldout is not None
    state = torch.get_rng_state()
    digits_classifier.cache_clear()
    with torch.no_grad():  # as metrics may be called
        first = digit_features(task.heldout)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (359, 32)
    assert first.dtype == torch.float64

    _, labels = labelled_digits()
    _, _, heldout = split("digits", len(labels))
    found = digits_classifier()(task.heldout.double().flatten(1).unsqueeze(0))[0].argmax(-1)
    assert (found == labels[heldout]).double().mean() > 0.95

    network = digits_classifier()
    began = time.process_time()
    assert torch.equal(digit_features(task.heldout), first)
    assert digits_classifier() is network
    assert time.process_time() - began < 0.5
    digits_classifier.cache_clear()
    began = time.process_time()
    with torch.inference_mode():
        again = digit_features(task.heldout)
    assert time.process_time() - began < 5.0
    assert torch.equal(again, first)


def test_features_tell_digits_from_what_is_none(task: Task) -> None:
    """Against the floor: uniform noise, one digit left out, and images shifted by a pixel all stand above it."""
    assert task.heldout is not None
    assert task.train is not None
    floor = floor_facts("frechet", task, "digits", task.eval_size)
    assert floor["source"] == "train"
    frechet = make("metric", "frechet")
    generator = make_generator(0, "alternatives")
    _, labels = labelled_digits()
    shown = labels[split("digits", len(labels))[0]]
    others = {
        "noise": torch.rand(359, 1, 8, 8, generator=generator) * 2 - 1,
        "no seven": task.train[shown != 7][:359],
        "shifted": task.train[:359].roll(1, 3),
    }
    for rows in others.values():
        value = frechet(Scored(samples=rows, reference=task.heldout, target=task, generator=generator))
        assert value > floor["mean"] + 4 * floor["std"]


def test_every_metric_scores_images(task: Task) -> None:
    assert task.heldout is not None
    assert task.validation is not None
    for text in task.metrics:
        generator = make_generator(0, "metric")
        value = make("metric", text)(
            Scored(samples=task.validation, reference=task.heldout, target=task, generator=generator)
        )
        assert abs(value) < 100.0


def test_the_task_moves_between_devices(task: Task) -> None:
    assert task.to("cpu") is task
    assert task.to("cpu").features is digit_features


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_features_do_not_depend_on_the_device(task: Task) -> None:
    moved = task.to("cuda")
    assert moved.features is digit_features
    assert moved.heldout is not None
    assert task.heldout is not None
    assert torch.equal(digit_features(moved.heldout), digit_features(task.heldout))
