"""Replay against its definition read one step at a time, on streams whose numbers say where they are from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from phys_samplers.randomness import make_generator
from phys_samplers.rl.transitions import Replay, Stepped

GAMMA = 0.9
REPLICAS = 2


def stream(steps: int, *, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray, Stepped]]:
    """Steps of two replicas; observation t of a replica is (replica, t), the one it leads to (replica, t + ½)."""
    generator = make_generator(seed, "stream")
    reward = torch.randn(steps, REPLICAS, generator=generator).numpy()
    ends = torch.rand(steps, REPLICAS, generator=generator).numpy()
    rows = np.arange(REPLICAS, dtype=np.float32)
    taken = []
    for t in range(steps):
        observation = np.stack((rows, np.full_like(rows, t)), 1)
        final = observation + np.asarray([0.0, 0.5], np.float32)
        step = Stepped(reward[t], ends[t] < 0.15, (ends[t] >= 0.15) & (ends[t] < 0.3), final, observation)
        taken.append((observation, np.asarray([t % 3, t % 5]), step))
    return taken


def filled(taken: list, *, capacity: int, n_step: int) -> Replay:
    replay = Replay(REPLICAS, 2, capacity=capacity, n_step=n_step, gamma=GAMMA, device="cpu")
    for observation, action, step in taken:
        replay.add(observation, action, step)
    return replay


def every_start(kept: int) -> torch.Tensor:
    """Uniform draws that ask for each kept step once, the oldest first."""
    return ((torch.arange(kept) + 0.5) / kept).expand(REPLICAS, -1)


def by_definition(taken: list, start: int, r: int, n_step: int) -> tuple[float, float, float]:
    """Reward, discount and the number of the last step summed."""
    total, discount = 0.0, 1.0
    for t in range(start, min(start + n_step, len(taken))):
        step = taken[t][2]
        total += discount * float(step.reward[r])
        discount *= GAMMA
        if step.terminated[r]:
            return total, 0.0, t
        if step.truncated[r]:
            break
    return total, discount, t


@pytest.mark.parametrize("n_step", [1, 3, 5])
@pytest.mark.parametrize(("steps", "capacity"), [(1, 8), (2, 8), (40, 64), (40, 40), (41, 40), (97, 40)])
def test_every_transition_is_that_of_the_definition(n_step: int, steps: int, capacity: int) -> None:
    taken = stream(steps)
    replay = filled(taken, capacity=capacity, n_step=n_step)
    kept = min(steps, capacity)
    assert len(replay) == kept
    observation, action, reward, discount, following, _ = replay.draw(every_start(kept))
    for r in range(REPLICAS):
        for column, start in enumerate(range(steps - kept, steps)):
            total, going, last = by_definition(taken, start, r, n_step)
            assert observation[r, column].tolist() == [r, start]
            assert action[r, column] == taken[start][1][r]
            assert reward[r, column].item() == pytest.approx(total, abs=1e-5)
            assert discount[r, column].item() == pytest.approx(going, abs=1e-6)
            assert following[r, column].tolist() == [r, last + 0.5]


def outcome(*ends: str, n_step: int) -> tuple[float, float, float]:
    """Reward, discount and last observation from the first of steps with reward 1 that end as said."""
    rows = np.arange(REPLICAS, dtype=np.float32)
    taken = []
    for t, end in enumerate(ends):
        observation = np.stack((rows, np.full_like(rows, t)), 1)
        yes, no = np.ones(REPLICAS, bool), np.zeros(REPLICAS, bool)
        step = Stepped(
            np.ones(REPLICAS, np.float32),
            yes if end == "terminal" else no,
            yes if end == "truncated" else no,
            observation + np.asarray([0.0, 0.5], np.float32),
            observation,
        )
        taken.append((observation, np.zeros(REPLICAS, int), step))
    replay = filled(taken, capacity=16, n_step=n_step)
    _, _, reward, discount, following, _ = replay.draw(torch.zeros(REPLICAS, 1))
    return reward[0, 0].item(), discount[0, 0].item(), following[0, 0, 1].item()


@pytest.mark.parametrize(
    ("ends", "reward", "discount", "last"),
    [
        pytest.param("-----", 1 + 0.9 + 0.81, 0.9**3, 2.5, id="n-steps"),
        pytest.param("-t---", 1 + 0.9, 0.0, 1.5, id="terminal"),
        pytest.param("-c---", 1 + 0.9, 0.81, 1.5, id="truncation-bootstraps"),
        pytest.param("c----", 1.0, 0.9, 0.5, id="truncated-at-once"),
        pytest.param("--t--", 1 + 0.9 + 0.81, 0.0, 2.5, id="terminal-at-the-last"),
        pytest.param("---t-", 1 + 0.9 + 0.81, 0.9**3, 2.5, id="terminal-after-the-window"),
        pytest.param("-ct--", 1 + 0.9, 0.81, 1.5, id="another-episode-is-not-looked-at"),
        pytest.param("--", 1 + 0.9, 0.81, 1.5, id="not-beyond-the-newest"),
        pytest.param("-", 1.0, 0.9, 0.5, id="one-step-kept"),
    ],
)
def test_ends_of_a_window(ends: str, reward: float, discount: float, last: float) -> None:
    named = [{"t": "terminal", "c": "truncated"}.get(end, "") for end in ends]
    assert outcome(*named, n_step=3) == pytest.approx((reward, discount, last), abs=1e-6)


def test_overwritten_steps_are_neither_drawn_nor_summed() -> None:
    """Of 13 steps 5 are kept; a window from the newest does not go on at the oldest, its neighbour in memory."""
    taken = stream(13)
    replay = filled(taken, capacity=5, n_step=4)
    generator = make_generator(0, "uniforms")
    observation, _, _, _, following, _ = replay.draw(torch.rand(REPLICAS, 400, generator=generator))
    assert sorted(set(observation[..., 1].flatten().tolist())) == [8.0, 9.0, 10.0, 11.0, 12.0]
    assert (following[..., 1] > observation[..., 1]).all()
    assert (following[..., 1] - observation[..., 1] <= 3.5).all()


def test_steps_are_drawn_uniformly() -> None:
    """Equal parts of [0, 1) go to the kept steps, and its end is no step beyond them."""
    replay = filled(stream(7), capacity=10, n_step=1)
    near_one = float(np.nextafter(np.float32(1), np.float32(0)))
    uniforms = torch.cat((torch.arange(700) / 700 + 1 / 1400, torch.tensor([0.0, near_one]))).expand(REPLICAS, -1)
    started = replay.draw(uniforms)[0][0, :, 1]
    assert torch.bincount(started[:700].long(), minlength=7).tolist() == [100] * 7
    assert started[700:].tolist() == [0.0, 6.0]


def test_discounts_are_those_that_occur() -> None:
    replay = filled(stream(60), capacity=64, n_step=3)
    assert replay.discounts == pytest.approx((0.9**3, 0.9**2, 0.9))
    discount = replay.draw(every_start(60))[3]
    known = torch.tensor((0.0, *replay.discounts))
    assert (discount.unsqueeze(-1) - known).abs().min(-1).values.max() < 1e-6


def test_replicas_are_the_single_streams() -> None:
    taken = stream(30)
    both = filled(taken, capacity=12, n_step=3)
    one = Replay(1, 2, capacity=12, n_step=3, gamma=GAMMA, device="cpu")
    for observation, action, step in taken:
        one.add(observation[1:], action[1:], Stepped(*(part[1:] for part in step if part is not None)))
    uniforms = torch.rand(REPLICAS, 20, generator=make_generator(1, "uniforms"))
    for stacked, single in zip(both.draw(uniforms), one.draw(uniforms[1:]), strict=True):
        assert torch.equal(stacked[1], single[0])
