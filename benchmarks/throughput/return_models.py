"""What stacked agents cost: updates of ten replicas against ten runs, and steps against single runs elsewhere.

    python benchmarks/throughput/return_models.py

The second comparison needs sb3-contrib, which is no dependency of this project (``pip install sb3-contrib``); without
it only ours is shown. Both sides have the same network (two hidden layers), batch, replay, an update for every step and
no evaluations, in one process and one thread; seconds are of processor time, and rounds alternate, so that a busy
machine slows both.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from tabulate import tabulate

from phys_samplers import make
from phys_samplers.rl import Control, ReturnModel
from phys_samplers.rl.control import Learner
from phys_samplers.training import TrainingPlan, train

BATCH, STARTS = 32, 200


def learner(recipe: ReturnModel, seeds: list[int]) -> Learner:
    """Agents that have acted until their first update."""
    control = Control(
        environment="CartPole-v1", learning_starts=STARTS, batch_size=BATCH, evaluate_every=10**9, episodes=1
    )
    made = Learner(control, recipe, seeds=seeds, device="cpu", callbacks=[])
    made.loss()
    return made


def seconds(work: Callable[[], object]) -> float:
    """Processor time of ``work``."""
    began = time.process_time()
    work()
    return time.process_time() - began


def updates(recipe: ReturnModel, replicas: int, steps: int) -> Callable[[], object]:
    """``steps`` updates with a step in the environment each, of ``replicas`` stacked agents."""
    made = learner(recipe, list(range(replicas)))
    plan = TrainingPlan(steps=steps, learning_rate=1e-3, decay="constant", ema_decay=0.0, clip_norm=10.0)
    return lambda: train(made.network, made.loss, plan)


def elsewhere(width: int, quantiles: int, steps: int) -> Callable[[], object] | None:
    """As many steps and updates of sb3-contrib's QR-DQN, or None where it is not installed."""
    try:
        from sb3_contrib import QRDQN
    except ImportError:
        return None
    model = QRDQN(
        "MlpPolicy",
        "CartPole-v1",
        learning_rate=1e-3,
        buffer_size=50_000,
        learning_starts=STARTS,
        batch_size=BATCH,
        train_freq=1,
        gradient_steps=1,
        policy_kwargs={"net_arch": [width, width], "n_quantiles": quantiles},
        device="cpu",
        seed=0,
    )
    model.learn(STARTS + 1)
    return lambda: model.learn(steps, reset_num_timesteps=False)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["bellman", "c51", "qr-dqn", "dqn"], help="default: %(default)s")
    parser.add_argument("--width", type=int, default=64, help="units of a hidden layer (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=10, help="stacked seeds (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=300, help="updates a round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="medians are shown (default: %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(1)

    theirs = elsewhere(options.width, 51, options.steps)
    rows = []
    for name in options.models:
        recipe = make("return_model", name, width=options.width)
        single = [seconds(updates(recipe, 1, options.steps)) for _ in range(options.rounds)]
        stacked = [seconds(updates(recipe, options.replicas, options.steps)) for _ in range(options.rounds)]
        other = [seconds(theirs) for _ in range(options.rounds)] if theirs else []
        ratio = statistics.median(options.replicas * a / b for a, b in zip(single, stacked, strict=True))
        rate = options.replicas * options.steps / statistics.median(stacked)
        row = [name, 1e3 * statistics.median(single) / options.steps, 1e3 * statistics.median(stacked) / options.steps]
        row += [ratio, rate]
        if other:
            row += [options.steps / statistics.median(other)]
            row += [statistics.median(options.replicas * b / a for a, b in zip(stacked, other, strict=True))]
        rows.append(row)
    n = options.replicas
    heads = ["model", "1 seed, ms", f"{n} seeds, ms", f"{n} runs / stack", "steps/s"]
    heads += ["sb3 QR-DQN, steps/s", "ratio"] if theirs else []
    print(f"CartPole-v1, a step and an update of {BATCH}, width {options.width}, torch {torch.__version__}\n")
    print(tabulate(rows, heads, floatfmt=".3g"))


if __name__ == "__main__":
    main()
