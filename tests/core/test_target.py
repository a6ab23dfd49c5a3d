from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.randomness import make_generator
from phys_samplers.samples import Samples
from phys_samplers.target import CAPABILITIES, Density, Modes, Target, Task
from phys_samplers.testing import DiagonalNormal, gaussian_target


def quadratic(x: Tensor) -> Tensor:
    return -0.5 * x.square().flatten(1).sum(1)


def rows(n: int = 20, *shape: int) -> Tensor:
    return torch.randn(n, *(shape or (2,)), generator=make_generator(0, "rows"))


def test_capabilities_follow_what_is_there() -> None:
    assert Target(event_shape=(2,)).capabilities == frozenset()
    assert Target(event_shape=(2,), train=rows()).capabilities == {"samples"}
    assert Density(quadratic, (2,)).capabilities == {"log_prob", "score"}
    assert gaussian_target().capabilities == set(CAPABILITIES) - {"particles", "sets", "conditions"}

    class Pair:
        event_shape, particles = (6,), (2, 3)

    assert Target(event_shape=(6,), law=Pair()).capabilities == {"particles"}
    assert Target(event_shape=(6,), law=Pair()).particles == (2, 3)

    class Stepwise:
        event_shape = (2,)
        differentiable = False
        log_prob = staticmethod(quadratic)

    assert Target(event_shape=(2,), law=Stepwise()).capabilities == {"log_prob"}


def test_missing_and_require_name_what_is_not_there() -> None:
    target = Density(quadratic, (2,), name="mine")
    assert target.missing({"samples", "log_prob", "log_z"}) == ["log_z", "samples"]
    target.require("log_prob", by="me")
    with pytest.raises(
        MissingCapability, match=r"me needs samples, which target 'mine' does not offer .*log_prob, score"
    ):
        target.require("samples", "log_prob", by="me")
    with pytest.raises(MissingCapability, match="it offers nothing"):
        Target(event_shape=(2,)).log_prob(rows())


@pytest.mark.parametrize("method", ["log_prob", "score", "log_prob_and_score"])
def test_methods_need_their_capability(method: str) -> None:
    with pytest.raises(MissingCapability, match=method.replace("log_prob_and_score", "score")):
        getattr(Target(event_shape=(2,), train=rows()), method)(rows())
    with pytest.raises(MissingCapability, match="sample"):
        Target(event_shape=(2,)).sample(3, generator=make_generator(0))


@pytest.mark.parametrize("split", ["train", "validation", "heldout"])
def test_rows_of_another_shape_or_with_nan_are_refused(split: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{split} rows of target 'x' have shape \(3,\); expected .*\(2,\)"):
        Target(event_shape=(2,), name="x", **{split: rows(5, 3)})
    broken = rows()
    broken[3, 1], broken[7, 0], broken[7, 1] = math.nan, math.inf, -math.inf
    with pytest.raises(ConfigurationError, match=rf"2 of 20 {split} rows"):
        Target(event_shape=(2,), **{split: broken})


def test_score_by_autograd_equals_the_hand_made_one() -> None:
    law = DiagonalNormal(torch.tensor([1.0, -2.0]), torch.tensor([0.5, 3.0]))
    x = rows()
    by_hand = Target(event_shape=(2,), law=law)
    by_autograd = Density(law.log_prob, (2,))
    torch.testing.assert_close(by_autograd.score(x), by_hand.score(x))
    for target in (by_hand, by_autograd):
        value, gradient = target.log_prob_and_score(x)
        assert torch.equal(value, target.log_prob(x))
        assert torch.equal(gradient, target.score(x))


@pytest.mark.parametrize("ambient", [True, False])
def test_scores_are_detached_whatever_the_ambient_mode(ambient: bool) -> None:
    x = rows().requires_grad_()
    law = DiagonalNormal(torch.zeros(2), torch.ones(2))
    with torch.set_grad_enabled(ambient):
        for target in (
            Target(event_shape=(2,), law=law),
            Density(quadratic, (2,)),
            Density(quadratic, (2,), score=lambda x: -x),
        ):
            assert not target.score(x).requires_grad
            assert not any(part.requires_grad for part in target.log_prob_and_score(x))
    assert x.grad is None


def test_events_of_any_shape() -> None:
    target = Density(quadratic, (2, 3))
    assert target.dim == 6
    x = rows(4, 2, 3)
    torch.testing.assert_close(target.score(x), -x)


def test_a_log_density_must_give_one_value_per_row() -> None:
    with pytest.raises(
        ConfigurationError, match=r"returned shape \(20, 2\) for input \(20, 2\).*sum over the last axis"
    ):
        Density(lambda x: -0.5 * x.square(), (2,)).log_prob(rows())


def test_log_z_and_exact_draws() -> None:
    target = gaussian_target()
    assert target.log_z == 0.0
    assert Density(quadratic, (2,)).log_z is None
    first, second = (target.sample(5, generator=make_generator(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (5, 2)


def test_to_the_same_device_copies_nothing() -> None:
    target = gaussian_target()
    assert target.to("cpu") is target


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_to_another_device_moves_rows_and_law_and_leaves_the_original() -> None:
    target = gaussian_target()
    moved = target.to("cuda")
    assert moved.train.is_cuda
    assert moved.validation.is_cuda
    assert moved.law.mean.is_cuda
    assert moved.sample(3, generator=make_generator(0, device="cuda")).is_cuda
    assert not target.train.is_cuda
    assert not target.law.mean.is_cuda
    task = Task(event_shape=(2,), train=rows(), version=3).to("cuda")
    assert isinstance(task, Task)
    assert task.version == 3


def test_modes_label_by_the_nearest_centre_unless_told() -> None:
    modes = Modes(torch.tensor([[0.0, 0.0], [10.0, 0.0]]), torch.tensor([0.5, 0.5]))
    x = torch.tensor([[1.0, 1.0], [9.0, 0.0], [4.9, 0.0]])
    assert modes.labels(x).tolist() == [0, 1, 0]
    assert modes.labels(x.double()).tolist() == [0, 1, 0]
    told = Modes(modes.centres, modes.weights, label=lambda x: (x[:, 0] > 4).long())
    assert told.labels(x).tolist() == [0, 1, 1]


def test_samples_split_every_row_once() -> None:
    data = torch.arange(40.0).reshape(20, 2)
    target = Samples(data, validation_fraction=0.25, seed=1)
    assert (len(target.train), len(target.validation)) == (15, 5)
    together = torch.cat((target.train, target.validation))
    assert torch.equal(together[together[:, 0].argsort()], data)
    assert not torch.equal(together, data), "the split shuffles"
    assert torch.equal(target.train, Samples(data, validation_fraction=0.25, seed=1).train)
    assert not torch.equal(target.train, Samples(data, validation_fraction=0.25, seed=2).train)
    assert Samples(data, validation_fraction=0.0).validation is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (torch.arange(12).reshape(6, 2), r"dtype torch\.int64"),
        (torch.randn(6), r"shape \(6,\)"),
        (torch.randn(3, 2), "at least 4 rows"),
    ],
)
def test_bad_samples_are_refused(data: Tensor, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Samples(data)


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2.0, math.nan])
def test_bad_validation_fractions_are_refused(fraction: float) -> None:
    with pytest.raises(ConfigurationError, match="0 <= fraction < 1"):
        Samples(torch.randn(10, 2), validation_fraction=fraction)


def test_samples_keep_rows_to_train_on() -> None:
    with pytest.raises(ConfigurationError, match=r"validation_fraction is 0\.99, which leaves 0 of 10 rows"):
        Samples(torch.randn(10, 2), validation_fraction=0.99)


def test_samples_do_not_carry_the_callers_graph() -> None:
    data = torch.randn(10, 2, requires_grad=True)
    target = Samples(data * 2)
    assert not target.train.requires_grad
    assert not target.validation.requires_grad


def test_targets_are_frozen() -> None:
    with pytest.raises(AttributeError):
        gaussian_target().name = "other"  # type: ignore[misc]
