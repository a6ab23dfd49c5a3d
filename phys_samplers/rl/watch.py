"""An episode as pictures: the environment beside the laws of the return that the agent sees.

Source: Li et al. 2024 (arXiv:2410.01796), Sec. 5.2, which shows the density of the return and its gradient on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from torch import Tensor

from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.randomness import derive_seed
from phys_samplers.reading import as_path
from phys_samplers.rl.agent import Agent
from phys_samplers.rl.environment import SEEDS, Maker, answered, make_environment
from phys_samplers.rl.spaces import Observations

FORMATS = (".gif", ".png")
COLOURS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e")


@dataclass(frozen=True)
class Moment:
    """What is seen before a step.

    Args:
        step: its number, from 0.
        frame: a picture of the environment (H, W, 3), or None where it draws none.
        action: that the agent takes.
        mean: expected returns (A,).
        density: of the return (A, G).
        gradient: of the density of the action taken (G,).
        reward: collected before the step.
    """

    step: int
    frame: np.ndarray | None
    action: int
    mean: Tensor
    density: Tensor
    gradient: Tensor
    reward: float


def episode(
    agent: Agent, *, seed: int = 0, environment: Maker | None = None, max_steps: int = 500, every: int = 1
) -> tuple[Tensor, list[Moment]]:
    """The grid of returns (G,), and every ``every``-th moment of a greedy episode.

    Args:
        agent: who plays.
        seed: of the episode.
        environment: None for the agent's own.
        max_steps: at most.
        every: steps between moments.

    Raises:
        ConfigurationError: without an environment, or with one of other observations or actions.
        EnvironmentFailure: if it raises.
    """
    maker, options = agent.place(environment)
    made = _with_frames(maker, options)
    agent.check_place(Observations.of(made.observation_space), int(made.action_space.n))  # type: ignore[attr-defined]
    low, width = agent.scale.low, agent.scale.width
    grid = torch.linspace(low - 0.05 * width, low + 1.05 * width, 241)
    moments, total = [], 0.0
    try:
        observation, _ = answered(maker, lambda: made.reset(seed=derive_seed(seed, "watching") % SEEDS))
        for step in range(max_steps):
            law = agent.law(observation, seed=seed)
            action = int(law.lower_tail(agent.tail)[0].argmax())
            if step % every == 0:
                blur = 0.0 if law.bandwidth else 0.01 * width
                gradient = law.density_gradient(grid, blur)[0, action]
                moments.append(
                    Moment(step, _frame(made), action, law.mean[0], law.density(grid, blur)[0], gradient, total)
                )
            taken = partial(made.step, agent.first_action + action)
            observation, reward, terminated, truncated, _ = answered(maker, taken)
            total += float(reward)
            if terminated or truncated:
                break
    finally:
        made.close()
    return grid, moments


def watch(
    agent: Agent,
    path: str | Path,
    *,
    seed: int = 0,
    environment: Maker | None = None,
    max_steps: int = 500,
    frames: int = 60,
) -> Path:
    """Write an episode as an animation (``.gif``), or as a page of a few of its moments (``.png``).

    Args:
        agent: who plays.
        path: of the picture.
        seed: of the episode.
        environment: None for the agent's own.
        max_steps: at most.
        frames: of the animation at most; a page shows five.

    Raises:
        ConfigurationError: if the path ends otherwise.
    """
    path = as_path(path, "the picture's file")
    if path.suffix not in FORMATS:
        raise ConfigurationError(f"the picture is {str(path)!r}; expected a name that ends in {' or '.join(FORMATS)}")
    grid, moments = episode(agent, seed=seed, environment=environment, max_steps=max_steps)
    wanted = min(frames if path.suffix == ".gif" else 5, len(moments))
    picked = [moments[round(i)] for i in np.linspace(0, len(moments) - 1, wanted)]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        _animate(agent, grid, picked, path)
    else:
        _page(agent, grid, picked, path)
    return path


def _with_frames(environment: Maker, options: dict[str, Any]) -> gymnasium.Env[Any, Any]:
    if not isinstance(environment, str) or "render_mode" in options:
        return make_environment(environment, options)
    return make_environment(environment, {**options, "render_mode": "rgb_array"})


def _frame(made: gymnasium.Env[Any, Any]) -> np.ndarray | None:
    if made.render_mode != "rgb_array":
        return None
    try:
        picture = made.render()
    except gymnasium.error.DependencyNotInstalled as error:
        raise MissingCapability(
            f"the environment cannot draw itself: {error}; pip install 'phys-samplers[rl]'"
        ) from None
    return np.asarray(picture)


def _axes(figure: Any, grid: Tensor, moments: list[Moment], rows: int, row: int) -> list[Any]:
    top = max(float(moment.density.max()) for moment in moments) * 1.05
    steep = max(float(moment.gradient.abs().max()) for moment in moments) * 1.05
    axes = [figure.add_subplot(rows, 3, 3 * row + column + 1) for column in range(3)]
    axes[0].set_axis_off()
    for axis, (low, high) in zip(axes[1:], ((min(0.0, -0.05 * top), top), (-steep, steep)), strict=True):
        axis.set_xlim(float(grid[0]), float(grid[-1]))
        axis.set_ylim(low, high)
        axis.grid(alpha=0.25)
    return axes


def _draw(axes: list[Any], grid: Tensor, moment: Moment, titles: bool) -> None:
    view, law, slope = axes
    if moment.frame is not None:
        view.imshow(moment.frame)
    view.set_title(f"step {moment.step}, reward so far {moment.reward:g}", fontsize=9)
    for action, density in enumerate(moment.density):
        taken, colour = action == moment.action, COLOURS[action % len(COLOURS)]
        mean = float(moment.mean[action])
        law.plot(grid, density, color=colour, lw=2.0 if taken else 1.0, alpha=1.0 if taken else 0.6)
        label = f"action {action}{' (taken)' if taken else ''}: {mean:.4g}"
        law.axvline(mean, color=colour, lw=0.8, ls="--", alpha=0.7, label=label)
    law.legend(fontsize=7, loc="upper right", title="expected return", title_fontsize=7)
    slope.plot(grid, moment.gradient, color=COLOURS[moment.action % len(COLOURS)], lw=1.5)
    if titles:
        law.set_title("density of the return", fontsize=9)
        slope.set_title("its gradient, for the action taken", fontsize=9)


def _page(agent: Agent, grid: Tensor, moments: list[Moment], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 2.4 * len(moments)), layout="constrained")
    figure.suptitle(f"{type(agent.recipe).__name__} in {agent.target_name}")
    for row, moment in enumerate(moments):
        axes = _axes(figure, grid, [moment], len(moments), row)
        _draw(axes, grid, moment, titles=row == 0)
    for axis in axes[1:]:
        axis.set_xlabel("discounted return")
    figure.savefig(path, dpi=110)


def _animate(agent: Agent, grid: Tensor, moments: list[Moment], path: Path) -> None:
    from matplotlib.animation import FuncAnimation, PillowWriter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = _axes(figure, grid, moments, 1, 0)
    limits = [(axis.get_xlim(), axis.get_ylim()) for axis in axes[1:]]

    def show(index: int) -> list[Any]:
        for axis in axes:
            axis.clear()
        axes[0].set_axis_off()
        for axis, (horizontal, vertical) in zip(axes[1:], limits, strict=True):
            axis.set_xlim(horizontal)
            axis.set_ylim(vertical)
            axis.set_xlabel("discounted return")
            axis.grid(alpha=0.25)
        _draw(axes, grid, moments[index], titles=True)
        return []

    animation = FuncAnimation(figure, show, frames=len(moments), blit=False)
    animation.save(path, writer=PillowWriter(fps=10), dpi=80)
