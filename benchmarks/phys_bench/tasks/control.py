"""Environments to act in, for return models; options that are not here are those of ``phys_samplers.rl.Control``."""

from __future__ import annotations

from typing import Any

from phys_samplers.rl.control import Control
from phys_samplers.rl.recipe import ReturnTask

EPISODES = 100
"""That a finished agent is scored by."""
CURVES = ("return-auc", "late-return")


def _task(name: str, levels: tuple[float, ...], environment: str, **options: Any) -> ReturnTask:
    reached = tuple(f"steps-to[level={level}]" for level in levels)
    return ReturnTask(
        event_shape=(1,),
        name=name,
        experience=Control(environment=environment, **options),
        metrics=(*CURVES, *reached, "final-return"),
        eval_size=EPISODES,
        version=1,
    )


def cart_pole(
    *,
    steps: int = 12_000,
    epsilon_decay: int = 4_000,
    gamma: float = 0.99,
    n_step: int = 5,
    batch_size: int = 32,
    update_every: int = 1,
    evaluate_every: int = 250,
    episodes: int = 5,
) -> ReturnTask:
    """CartPole-v1: the return is the length of an episode, at most 500.

    Args:
        steps: of the environment.
        epsilon_decay: steps over which exploration falls to 5 %.
        gamma: discount factor.
        n_step: of the targets.
        batch_size: transitions for an update.
        update_every: steps for each update.
        evaluate_every: steps between evaluations.
        episodes: of an evaluation.

    Raises:
        ConfigurationError: on a bad option.
    """
    return _task(
        "cart-pole",
        (195.0, 400.0, 475.0),
        "CartPole-v1",
        steps=steps,
        epsilon_decay=epsilon_decay,
        gamma=gamma,
        n_step=n_step,
        batch_size=batch_size,
        update_every=update_every,
        evaluate_every=evaluate_every,
        episodes=episodes,
    )


def acrobot(
    *, steps: int = 20_000, epsilon_decay: int = 6_000, gamma: float = 0.99, n_step: int = 5, update_every: int = 2
) -> ReturnTask:
    """Acrobot-v1: minus the number of steps to swing up, at most 500.

    Args:
        steps: of the environment.
        epsilon_decay: steps over which exploration falls to 5 %.
        gamma: discount factor.
        n_step: of the targets.
        update_every: steps for each update.

    Raises:
        ConfigurationError: on a bad option.
    """
    return _task(
        "acrobot",
        (-100.0,),
        "Acrobot-v1",
        steps=steps,
        epsilon_decay=epsilon_decay,
        gamma=gamma,
        n_step=n_step,
        update_every=update_every,
        evaluate_every=2_000,
        episodes=5,
    )


def frozen_lake_control(
    *, steps: int = 20_000, epsilon_decay: int = 10_000, gamma: float = 0.99, n_step: int = 1, update_every: int = 2
) -> ReturnTask:
    """FrozenLake-v1, slippery: the return is 1 at the goal; the best policy arrives in 74 of 100 episodes.

    Args:
        steps: of the environment.
        epsilon_decay: steps over which exploration falls to 10 %.
        gamma: discount factor.
        n_step: of the targets.
        update_every: steps for each update.

    Raises:
        ConfigurationError: on a bad option.
    """
    return _task(
        "frozen-lake-control",
        (0.5, 0.7),
        "FrozenLake-v1",
        steps=steps,
        epsilon_decay=epsilon_decay,
        epsilon_end=0.1,
        gamma=gamma,
        n_step=n_step,
        update_every=update_every,
        evaluate_every=1_000,
        episodes=50,
    )


def lunar_lander(
    *, steps: int = 60_000, epsilon_decay: int = 20_000, gamma: float = 0.99, n_step: int = 5, update_every: int = 2
) -> ReturnTask:
    """LunarLander-v3: 200 counts as solved; needs Box2D, which the extra ``rl`` has.

    Args:
        steps: of the environment.
        epsilon_decay: steps over which exploration falls to 5 %.
        gamma: discount factor.
        n_step: of the targets.
        update_every: steps for each update.

    Raises:
        ConfigurationError: on a bad option, or without the extra.
    """
    return _task(
        "lunar-lander",
        (0.0, 200.0),
        "LunarLander-v3",
        steps=steps,
        epsilon_decay=epsilon_decay,
        gamma=gamma,
        n_step=n_step,
        update_every=update_every,
        evaluate_every=5_000,
        episodes=5,
    )
