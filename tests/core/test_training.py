"""The training loop on problems small enough to know the answer."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phys_samplers.errors import ConfigurationError, TrainingDiverged
from phys_samplers.fields import MLP
from phys_samplers.randomness import Streams
from phys_samplers.training import Callback, TrainingPlan, TrainingReport, train

PLAN = TrainingPlan(steps=60, learning_rate=0.1, ema_decay=0.0, clip_norm=None, decay="constant", log_every=10)


class Point(nn.Module):
    """R points w_r, each (P,)."""

    def __init__(self, *values: Sequence[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(values, dtype=torch.float32))


def square(point: Point) -> Tensor:
    return point.w.square().sum(1)


def plan(**changes: Any) -> TrainingPlan:
    return replace(PLAN, **changes)


class Recorder(Callback):
    def __init__(self) -> None:
        self.events: list[Any] = []

    def started(self, description: str, steps: int) -> None:
        self.events.append(("started", description, steps))

    def logged(self, step: int, values: Mapping[str, Sequence[float]]) -> None:
        self.events.append((step, {name: list(rows) for name, rows in values.items()}))

    def finished(self) -> None:
        self.events.append("finished")


class TestOptimisation:
    def test_it_is_adam(self) -> None:
        """Against torch's own optimiser on an ordinary parameter, step for step."""
        target = torch.tensor([[3.0, -1.0, 0.5]])
        point = Point([0.0, 0.0, 0.0])
        train(point, lambda: (point.w - target).square().sum(1), plan(steps=25))
        w = torch.zeros(1, 3, requires_grad=True)
        optimiser = torch.optim.Adam([w], lr=0.1)
        for _ in range(25):
            optimiser.zero_grad()
            (w - target).square().sum().backward()
            optimiser.step()
        torch.testing.assert_close(point.w.detach(), w.detach(), rtol=1e-5, atol=1e-6)

    def test_the_learning_rate_follows_a_cosine(self) -> None:
        """With a constant gradient an Adam step is the learning rate itself (up to its ε)."""
        point, path = Point([0.0]), []

        def loss() -> Tensor:
            path.append(float(point.w.detach()))
            return point.w.sum(1)

        train(point, loss, plan(steps=20, decay="cosine"))
        steps = -torch.tensor(path).diff()
        expected = torch.tensor([0.05 * (1 + math.cos(math.pi * k / 20)) for k in range(19)])
        torch.testing.assert_close(steps, expected, rtol=1e-4, atol=1e-6)

    def test_gradients_are_clipped_per_replica(self) -> None:
        """Adam is blind to the size of a gradient but for its ε; so the moments after a step are looked at instead."""
        seen = []

        class Wide(Point):
            pass

        point = Wide([1.0, 1.0], [1.0, 1.0], [0.0, 0.0])
        scale = torch.tensor([1e3, 1e-3, 0.0])

        original = torch.optim.Adam.step

        def step(self: torch.optim.Adam, *arguments: Any, **options: Any) -> Any:
            seen.append(self.param_groups[0]["params"][0].grad.clone())
            return original(self, *arguments, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(torch.optim.Adam, "step", step)
            train(point, lambda: scale * point.w.sum(1), plan(steps=1, clip_norm=0.5))
        norms = seen[0].norm(dim=1)
        # too large is cut to the limit, too small is left as it is, zero stays zero (no division by it)
        torch.testing.assert_close(norms, torch.tensor([0.5, 1e-3 * math.sqrt(2), 0.0]))

    def test_the_average_forgets_the_start_and_has_the_stated_memory(self) -> None:
        point, path = Point([0.0]), []

        def loss() -> Tensor:
            path.append(float(point.w.detach()))
            return point.w.sum(1)

        train(point, loss, plan(steps=40, ema_decay=0.8))
        path.append(path[-1] + (path[-1] - path[-2]))  # after the last step
        average = path[0]
        for k, value in enumerate(path[1:], 1):
            decay = min(0.8, k / (k + 10))
            average = decay * average + (1 - decay) * value
        assert float(point.w.detach()) == pytest.approx(average, abs=1e-4)
        assert float(point.w.detach()) != pytest.approx(path[-1], abs=0.1)

    def test_without_averaging_the_last_weights_are_returned(self) -> None:
        first, second = Point([1.0, -2.0]), Point([1.0, -2.0])
        train(first, lambda: square(first), plan(steps=5, ema_decay=0.0))
        train(second, lambda: square(second), plan(steps=5, ema_decay=0.999))
        assert not torch.allclose(first.w, second.w)

    def test_frozen_parameters_stay(self) -> None:
        point = Point([1.0, 2.0])
        point.frozen = nn.Parameter(torch.ones(1, 3), requires_grad=False)
        (report,) = train(point, lambda: square(point), PLAN)
        assert report.parameters == 2
        assert torch.equal(point.frozen, torch.ones(1, 3))

    def test_weights_of_different_replica_counts_are_refused(self) -> None:
        point = Point([1.0], [2.0])
        point.other = nn.Parameter(torch.ones(3, 1))
        with pytest.raises(ConfigurationError, match=r"\[2, 3\]"):
            train(point, lambda: square(point), PLAN)

    def test_training_ends_without_gradients_on_the_weights(self) -> None:
        point = Point([1.0])
        train(point, lambda: square(point), plan(steps=3))
        assert point.w.grad is None

    def test_training_leaves_the_filters_of_warnings_alone(self) -> None:
        before = list(warnings.filters)
        point = Point([1.0])
        train(point, lambda: square(point), plan(steps=3))
        assert warnings.filters == before


class TestReports:
    def test_history_and_cost(self) -> None:
        point = Point([1.0, 1.0], [3.0, 3.0])
        reports = train(point, lambda: square(point), plan(steps=25))
        for report in reports:
            assert isinstance(report, TrainingReport)
            assert (report.steps, report.replicas, report.parameters, report.best_step) == (25, 2, 2, 25)
            assert report.best_validation is None
            assert report.seconds > 0
            assert [row["step"] for row in report.history] == [10, 20, 25]
            assert TrainingReport.from_dict(report.to_dict()) == report
        assert reports[0].history[0]["loss"] < reports[1].history[0]["loss"]

    def test_the_logged_loss_is_the_mean_since_the_last_multiple_of_log_every(self) -> None:
        point, values = Point([0.0]), iter(range(1, 100))
        (report,) = train(point, lambda: point.w.sum(1) * 0 + next(values), plan(steps=25))
        assert [row["loss"] for row in report.history] == [5.5, 15.5, 23.0]

    def test_callbacks_hear_everything_in_order(self) -> None:
        recorder, point = Recorder(), Point([1.0], [2.0])
        train(point, lambda: square(point), plan(steps=20), callbacks=[recorder], description="squares")
        (begin, *logged, end) = recorder.events
        assert begin == ("started", "squares", 20)
        assert end == "finished"
        assert [step for step, _ in logged] == [10, 20]
        assert all(len(values["loss"]) == 2 for _, values in logged)

    def test_callbacks_hear_the_end_of_a_training_that_raises(self) -> None:
        recorder, point = Recorder(), Point([1.0])

        def loss() -> Tensor:
            raise RuntimeError("boom")

        with pytest.raises(RuntimeError, match="boom"):
            train(point, loss, PLAN, callbacks=[recorder])
        assert recorder.events[-1] == "finished"


class TestDivergence:
    def network(self, seeds: Sequence[int]) -> nn.Module:
        return MLP(width=8, depth=2).build(2, 1, streams=Streams(seeds, "weights"))

    def run(self, seeds: Sequence[int], *, broken: int | None = None, at: int = 23, **changes: Any) -> tuple[Any, Any]:
        """Regress |x|² from rows of each seed's own stream; the loss of one replica turns NaN."""
        module, batches, taken = self.network(seeds), Streams(seeds, "batches"), [0]

        def loss() -> Tensor:
            x = batches.normal(16, 2)
            values = (module(x).squeeze(-1) - x.square().sum(-1)).square().mean(-1)
            taken[0] += 1
            if broken is not None and taken[0] >= at:
                spoil = torch.zeros(len(seeds))
                spoil[broken] = math.nan
                values = values + spoil * values
            return values

        return train(module, loss, plan(clip_norm=1.0, ema_decay=0.9, **changes)), module

    @pytest.mark.parametrize("validated", [False, True])
    def test_a_replica_that_diverges_leaves_its_neighbours_bit_equal(self, validated: bool) -> None:
        options: dict[str, Any] = {"validate_every": 7} if validated else {}
        good, untouched = self.run([0, 1, 2], **options)
        reports, spoiled = self.run([0, 1, 2], broken=1, **options)
        assert isinstance(reports[1], TrainingDiverged)
        for r in (0, 2):
            assert reports[r].history == good[r].history
            for ours, theirs in zip(spoiled.parameters(), untouched.parameters(), strict=True):
                assert torch.equal(ours[r], theirs[r])
                assert ours[r].isfinite().all()

    @pytest.mark.parametrize("at", [1, 10, 11, 23, 60])
    def test_the_message_says_the_step_the_replica_and_what_to_do(self, at: int) -> None:
        reports, _ = self.run([0, 1], broken=1, at=at)
        message = str(reports[1])
        assert f"the loss of replica 1 (or its gradient) is not finite at step {at} of 60" in message
        assert re.search(r"smaller learning_rate \(now 0\.1\) or clip_norm \(now 1\.0\)", message)
        assert isinstance(reports[0], TrainingReport)

    def test_a_window_cut_by_a_validation_still_gives_the_right_step(self) -> None:
        point, taken = Point([1.0], [1.0]), [0]

        def loss() -> Tensor:
            taken[0] += 1
            return square(point) * (torch.tensor([1.0, math.inf]) if taken[0] >= 23 else 1.0)

        reports = train(point, loss, plan(validate_every=7), validation=lambda: square(point).detach())
        assert "step 23 of 60" in str(reports[1])

    def test_all_replicas_lost_stop_the_loop(self) -> None:
        point, taken = Point([1.0]), [0]

        def loss() -> Tensor:
            taken[0] += 1
            return square(point) * math.nan

        (report,) = train(point, loss, PLAN)
        assert isinstance(report, TrainingDiverged)
        assert taken[0] == PLAN.log_every

    def test_a_gradient_that_is_not_finite_is_found_even_in_the_last_step(self) -> None:
        """A finite loss with a NaN gradient, as of √x at 0, spoils the weights without a further loss to show it."""
        point, taken = Point([1.0], [1.0]), [0]

        def loss() -> Tensor:
            taken[0] += 1
            if taken[0] < 60:
                return square(point)
            return torch.stack([square(point)[0], (point.w[1, 0] * 0).sqrt()])

        reports = train(point, loss, PLAN)
        assert isinstance(reports[0], TrainingReport)
        assert isinstance(reports[1], TrainingDiverged)
        assert "step 60 of 60" in str(reports[1])
        assert point.w[0].isfinite().all()

    def test_a_validation_loss_that_is_not_finite_is_a_divergence(self) -> None:
        point = Point([1.0], [1.0])
        spoil = torch.tensor([1.0, math.nan])
        reports = train(point, lambda: square(point), plan(validate_every=20), validation=lambda: square(point) * spoil)
        assert isinstance(reports[0], TrainingReport)
        assert "step 20" in str(reports[1])


class TestValidation:
    def valley(self, *starts: float, **changes: Any) -> tuple[Point, list[Any], list[list[float]]]:
        """Training pushes w upwards at a steady pace; validation wants it near 1."""
        point, asked = Point(*[[start] for start in starts]), []

        def validation() -> Tensor:
            asked.append(point.w.detach().flatten().tolist())
            return (point.w - 1.0).square().sum(1)

        reports = train(point, lambda: -point.w.sum(1), plan(validate_every=2, **changes), validation=validation)
        return point, reports, asked

    def test_the_best_weights_are_returned(self) -> None:
        point, (report,), asked = self.valley(0.0)
        assert len(asked) == 30, "without patience training goes on to the end"
        assert report.steps == 60
        assert report.best_step == 10
        assert float(point.w.detach()) == pytest.approx(1.0, abs=1e-3)
        assert report.best_validation == pytest.approx(0.0, abs=1e-5)
        assert [row["step"] for row in report.history if "validation" in row] == list(range(2, 61, 2))

    def test_averaged_weights_are_the_ones_validated(self) -> None:
        point, (report,), asked = self.valley(0.0, ema_decay=0.9)
        best = min(asked, key=lambda w: (w[0] - 1) ** 2)
        assert float(point.w.detach()) == best[0]
        live = 0.1 * report.best_step
        assert live > best[0] + 0.1, "an average lags behind"

    @pytest.mark.parametrize("patience", [0, 1, 3])
    def test_patience_stops_after_so_many_stale_validations(self, patience: int) -> None:
        point, (report,), asked = self.valley(0.0, patience=patience)
        assert report.best_step == 10
        assert report.steps == 10 + 2 * (patience + 1)
        assert len(asked) == report.steps // 2
        assert float(point.w.detach()) == pytest.approx(1.0, abs=1e-3)

    def test_each_replica_stops_by_itself_and_keeps_its_own_best(self) -> None:
        point, reports, _ = self.valley(0.0, -1.0, patience=1)
        assert [report.best_step for report in reports] == [10, 20]
        assert [report.steps for report in reports] == [14, 24]
        torch.testing.assert_close(point.w.detach(), torch.ones(2, 1), atol=1e-3, rtol=0)
        for start, report in zip((0.0, -1.0), reports, strict=True):
            _, (single,), _ = self.valley(start, patience=1)
            assert (single.best_step, single.steps) == (report.best_step, report.steps)
            for ours, theirs in zip(report.history, single.history, strict=True):
                assert ours == pytest.approx(theirs, abs=1e-5)

    def test_the_last_step_is_validated_too(self) -> None:
        point = Point([1.0])
        (report,) = train(
            point, lambda: square(point), plan(steps=25, validate_every=20), validation=lambda: square(point)
        )
        assert [row["step"] for row in report.history if "validation" in row] == [20, 25]
        assert report.best_step == 25

    def test_patience_without_validation_trains_to_the_end(self) -> None:
        point = Point([1.0])
        (report,) = train(point, lambda: square(point), plan(patience=0))
        assert report.steps == 60


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0; expected"),
        ({"steps": 2.5}, "steps is 2.5; expected"),
        ({"validate_every": -1}, "validate_every is -1; expected"),
        ({"log_every": 0}, "log_every is 0; expected"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a positive"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"ema_decay": 1.0}, "ema_decay is 1.0; expected"),
        ({"clip_norm": 0.0}, "clip_norm is 0.0; expected"),
        ({"clip_norm": -1.0}, "clip_norm is -1.0; expected"),
        ({"patience": -1}, "patience is -1; expected"),
        ({"decay": "linear"}, "decay is 'linear'; expected"),
    ],
)
def test_bad_plans_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        TrainingPlan(**options)
