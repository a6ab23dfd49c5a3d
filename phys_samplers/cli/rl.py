"""``rl``: train an agent, let it play, watch it."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from phys_samplers.cli.output import Failure, check_folder, note
from phys_samplers.cli.words import (
    ComponentText,
    Whole,
    choose_device,
    device_option,
    log_option,
    make,
    read_loggers,
    read_settings,
    seed_option,
    settings_option,
)
from phys_samplers.layout import examples, table

if TYPE_CHECKING:
    from phys_samplers.rl import Agent

folder = click.argument("agent", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))


@click.group(
    epilog=examples(
        ("phys-samplers rl train CartPole-v1 -o pole", "a Bellman agent, about two minutes"),
        ("phys-samplers rl play pole", "its returns"),
        ("phys-samplers rl watch pole -o pole.gif", "an episode beside its laws of the return"),
        ("phys-samplers rl evaluate --data log.npz --gamma .9,.99 -o report.html", "a policy, from logged data"),
    ),
)
def rl() -> None:
    """Distributional reinforcement learning: agents that know the law of their return."""


@rl.command(
    epilog=examples(
        ("phys-samplers rl train CartPole-v1 -o pole", "with the default model"),
        ("phys-samplers rl train CartPole-v1 --model c51 --seeds 5 -o poles", "five agents in one stacked run"),
        ("phys-samplers rl train Acrobot-v1 --set steps=20000 --set epsilon_decay=6000 -o acrobot", "other settings"),
        ("phys-samplers list return-model", "which models there are"),
    ),
)
@click.argument("environment")
@click.option(
    "--model",
    "text",
    type=ComponentText("return_model"),
    default="bellman[preset=positive]",
    show_default=True,
    help="Return model, with options: bellman[atoms=101].",
)
@click.option(
    "-o", "--out", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to save the agent to."
)
@click.option("--seeds", type=Whole(min=1), default=1, show_default=True, help="Agents, seeded from --seed on.")
@seed_option
@device_option
@settings_option
@log_option
@click.option("--tensorboard", metavar="DIR", type=click.Path(file_okay=False), help="TensorBoard's event files.")
def train(
    environment: str,
    text: str,
    out: Path,
    seeds: int,
    seed: int,
    device: str,
    settings: tuple[str, ...],
    logs: tuple[str, ...],
    tensorboard: str | None,
) -> None:
    """Train agents in ENVIRONMENT, a gymnasium id, and save them.

    --set changes how the agent meets its environment: steps, gamma, returns=[low,high], n_step, epsilon_decay, tail
    (see phys_samplers.rl.Control). Several agents go into subfolders named by their seeds.
    """
    from phys_samplers.training.logs import TensorBoard

    if out.exists() and (out.is_file() or any(out.iterdir())):
        raise Failure(f"-o {str(out)!r} is not empty; give a new folder for the agent")
    check_folder(out)
    recipe = make("return_model", text)
    callbacks = read_loggers(logs)
    if tensorboard:
        callbacks.append(TensorBoard(tensorboard))
    wanted = list(range(seed, seed + seeds))
    try:
        agents = recipe.train(
            environment, seeds=wanted, device=choose_device(device), callbacks=callbacks, **read_settings(settings)
        )
    except TypeError as error:
        raise Failure(f"--set: {error}") from None
    rows = []
    for agent in agents:
        place = out if seeds == 1 else out / f"seed-{agent.seed}"
        agent.save(place)
        best = max(agent.curve, key=lambda row: row["return"])
        rows.append((str(place), f"{agent.curve[-1]['return']:.1f}", f"{best['return']:.1f} at step {best['step']:,}"))
    if lost := sorted(set(wanted) - {agent.seed for agent in agents}):
        note(f"training diverged at seed {', '.join(map(str, lost))}: there is no agent of that")
    click.echo(table(rows, headers=["saved to", "last greedy return", "best"]))
    click.echo("\nsee it act with:")
    click.echo(f"  phys-samplers rl watch {shlex.quote(rows[0][0])} -o episode.gif")


@rl.command(epilog=examples(("phys-samplers rl play pole --episodes 100", "mean and spread of its returns")))
@folder
@click.option("--episodes", type=Whole(min=1), default=20, show_default=True, help="How many.")
@seed_option
def play(agent: Path, episodes: int, seed: int) -> None:
    """Let the agent in DIR play greedily."""
    returns = _load(agent).play(episodes, seed=seed)
    facts = [("episodes", f"{episodes}"), ("mean return", f"{float(returns.mean()):.2f}")]
    facts += [("standard deviation", f"{float(returns.std()):.2f}")] if episodes > 1 else []
    facts += [("worst", f"{float(returns.min()):.2f}"), ("best", f"{float(returns.max()):.2f}")]
    click.echo(table(facts))


@rl.command(
    epilog=examples(
        ("phys-samplers rl watch pole -o pole.gif", "an animation"),
        ("phys-samplers rl watch pole -o pole.png", "five moments on a page"),
    ),
)
@folder
@click.option(
    "-o", "--out", metavar="FILE", required=True, type=click.Path(dir_okay=False, path_type=Path), help=".gif or .png."
)
@click.option("--steps", type=Whole(min=1), default=500, show_default=True, help="Of the episode, at most.")
@seed_option
def watch(agent: Path, out: Path, steps: int, seed: int) -> None:
    """Draw an episode of the agent in DIR: the environment, the densities of the return, and their gradient."""
    from phys_samplers.rl.watch import watch as draw

    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # pygame draws into memory; without a screen it would complain
    click.echo(f"written to {draw(_load(agent), out, seed=seed, max_steps=steps)}")


@rl.command(
    epilog=examples(
        ("phys-samplers rl evaluate --data log.npz -o report.html", "the policy that the data come from"),
        ("phys-samplers rl evaluate --data log.npz --policy pole --gamma .9,.95,.99", "an agent, from others' data"),
        ("phys-samplers rl evaluate --data log.npz --policy random --set atoms=401", "all actions alike"),
    ),
)
@click.option(
    "--data",
    "path",
    metavar="FILE",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Transitions: .npz with columns observation, reward, terminal and as far as there are any next_observation, "
    "action, weight, episode, truncated.",
)
@click.option(
    "--policy",
    metavar="DIR|behaviour|random",
    default="behaviour",
    show_default=True,
    help="Who is judged: the policy of the data, one of random actions, or a saved agent's greedy one.",
)
@click.option("--gamma", default=".9,.95,.99", show_default=True, help="Discount factors.")
@click.option("--starts", type=Whole(min=1), default=8, show_default=True, help="First observations to show.")
@click.option(
    "-o", "--out", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="A page with the laws."
)
@seed_option
@settings_option
def evaluate(
    path: Path, policy: str, gamma: str, starts: int, out: Path | None, seed: int, settings: tuple[str, ...]
) -> None:
    """Laws of a policy's returns from logged transitions, by one linear solve, with 90 % bands.

    They are those from the first observations of the episodes in the data. --set changes the return model law-solve:
    atoms, features, count, ridge.
    """
    from phys_samplers.rl.log_files import logged, page, table_of
    from phys_samplers.rl.logged import evaluate as judge

    if out is not None:
        check_folder(out.parent)
    try:
        gammas = [float(part) for part in gamma.split(",")]
    except ValueError:
        raise Failure(f"--gamma is {gamma!r}; expected numbers with commas between, e.g. .9,.99") from None
    agent = None if policy in ("behaviour", "random") else _load(Path(policy))
    log, queries, chosen = logged(path, policy if agent is None else agent, starts=starts)
    recipe = make("return_model", "law-solve").with_options(**read_settings(settings))
    band: float | None = 0.9
    if log.episode is not None and len(log.episode.unique()) == 1:
        click.echo("the log has one episode, of which no bands can be drawn", err=True)
        band = None
    judged = judge(log, queries, gammas, query_policy=chosen, recipe=recipe, band=band, seed=seed)
    click.echo(table(*table_of(judged)))
    if out is not None:
        out.write_text(page(judged, f"Returns of {policy} from {path.name}"), encoding="utf-8")
        click.echo(f"\nwritten to {out}")


def _load(path: Path) -> Agent:
    from phys_samplers.rl import Agent
    from phys_samplers.sampler import load

    model = load(path)
    if not isinstance(model, Agent):
        raise Failure(f"{str(path)!r} holds a {type(model).__name__}, not an agent; see: phys-samplers rl train --help")
    return model
