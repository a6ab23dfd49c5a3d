r"""A learned potential: the one whose guidance draws sets from Φ₀(x_1, …, x_n) Π p(x_i), for a wanted Φ₀.

The sets at level λ must then have the law Φ_λ Π p_λ(x_i) with

    Φ_λ(x) = E[Φ₀(x⁰) | x_i = x_i⁰ + λ n_i],        Φ_θ = argmin E |Φ₀(x⁰) − Φ_θ(x, λ)|²

over independent draws x⁰ of p and levels (Corso et al. 2023, arXiv:2310.13102, Sec. 5; Xu 2024, *On physics-inspired
generative models*, Eq. 6.6, A.47 and A.50): Doob's h-transform of the reverse SDE. A fixed potential such as
``Repulsion`` draws from another law (Theorem 5).

Every Bregman divergence has that conditional mean as its minimiser. The squared one of Eq. 6.6 is badly conditioned,
as Φ₀ of independent sets spreads over orders of magnitude; here it is that of Itakura and Saito, of relative errors:

    min_θ E[ log Φ_θ + Φ̂/Φ_θ ],        Φ̂ = 1/K Σ_k Φ₀(x_1^k, …, x_n^k).

In place of Φ₀ of the one set that was noised stands Φ̂, of K sets whose particles are drawn, each by itself, from rows
weighed by the kernel, the row that was noised among them: given noised particles and the rows to choose from, every
one is equally likely to be it, so that the mean is the same, and there is less variance (as for stable targets). Each
particle has rows of its own to choose from. Half of the noised sets are chosen by the network's own Φ_θ, so that the
law that is wanted is seen: a choice by the noised set alone moves no conditional mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from phys_samplers.atomic import write_atomically
from phys_samplers.denoisers.guidance import Potential
from phys_samplers.denoisers.sampler import DenoiserModel
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.fields.stacked import MLP, load_weights, weights
from phys_samplers.options import Part, draw_option, make_part
from phys_samplers.randomness import Streams
from phys_samplers.reading import MIB, as_path, read_bytes
from phys_samplers.standardise import Standardiser
from phys_samplers.training import Callback, TrainingPlan, train

LogPhi = Callable[[Tensor], Tensor]
"""log Φ₀ (S,) of sets (S, n, *event_shape) in data units, up to a constant."""
CANDIDATES = 2
"""Noised sets that are looked at for every one that is trained on."""
LARGEST = 256 * MIB
"""Bytes of a file."""


class SetNetwork(nn.Module):
    """log Φ_θ(x_1, …, x_n; λ) = ρ(mean_i φ(x_i, λ), λ), stacked: the order of the particles does not matter.

    Args:
        dim: coordinates D of a particle.
        width: units of every layer.
        depth: hidden layers of φ and of ρ.
        streams: one per replica, for the initial weights.
    """

    def __init__(self, dim: int, width: int, depth: int, *, streams: Streams) -> None:
        super().__init__()
        self.particle = MLP(width=width, depth=depth).build(dim, width, streams=streams, conditioned=True)
        self.pooled = MLP(width=width, depth=depth, input_gain=1.0).build(
            width, 1, streams=streams, conditioned=True, out_gain=0.0
        )

    def forward(self, u: Tensor, level: Tensor) -> Tensor:
        """Standardised sets (R, S, n, D) at levels (R, S) or (R, 1) → (R, S)."""
        replicas, sets, n, _ = u.shape
        level = level.expand(replicas, sets)
        time = level.log() / 4
        shrunk = u / (1 + level.square()).sqrt()[..., None, None]
        each = self.particle(shrunk.flatten(1, 2), time.repeat_interleave(n, 1)).unflatten(1, (sets, n))
        found: Tensor = self.pooled(each.mean(2), time).squeeze(-1)
        return found


@dataclass(frozen=True, kw_only=True)
class LearnedPotential(Potential):
    """log Φ_t of a network that ``learn_potential`` trained.

    It knows the standardised coordinates and the levels of the model that it was trained for.

    Args:
        path: of the file that ``learn_potential`` wrote; without one there is nothing to be guided by.
    """

    path: str = draw_option("")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.path:
            raise ConfigurationError("path is ''; expected the file of a potential that learn_potential wrote")
        if (trained := self._fitted[3]) != self.set_size:
            raise ConfigurationError(
                f"set_size is {self.set_size} and the potential of {self.path} is of sets of {trained}; give that"
            )

    @cached_property
    def _fitted(self) -> tuple[nn.Module, Standardiser, tuple[float, float], int]:
        return _read(Path(self.path))

    def log_phi(self, sets: Tensor, level: float) -> Tensor:
        """See ``Potential.log_phi``; beyond the levels of the training it is that of the nearest one."""
        network, standardiser, (low, high), n = self._fitted
        if sets.device != standardiser.mean.device:
            network, standardiser, *_ = self._on(sets.device)
        u = standardiser.forward(sets.flatten(0, 1)).view(1, -1, n, len(standardiser.mean))
        clipped = torch.full((1, 1), min(max(level, low), high), dtype=u.dtype, device=u.device)
        found: Tensor = network(u, clipped)[0]
        return found

    def _on(self, device: torch.device) -> tuple[nn.Module, Standardiser, tuple[float, float], int]:
        found = _read(Path(self.path), device)
        self.__dict__["_fitted"] = found
        return found


def learn_potential(
    model: DenoiserModel,
    wanted: Part | LogPhi,
    rows: Tensor,
    path: str | Path,
    *,
    set_size: int = 10,
    steps: int = 2_000,
    batch_size: int = 256,
    references: int = 128,
    draws: int = 16,
    levels: tuple[float, float] | None = None,
    learning_rate: float = 1e-2,
    width: int = 64,
    depth: int = 2,
    seed: int = 0,
    callbacks: Sequence[Callback] = (),
) -> LearnedPotential:
    """Train Φ_θ for sets of a model's law that are weighed by a wanted Φ₀ (Eq. 6.6).

    Args:
        model: a denoiser; its standardised coordinates and the levels of its schedule.
        wanted: Φ₀: a potential, by name or object (at its lowest level), or log Φ₀ of sets (S, n, *event_shape).
        rows: (N, *event_shape) independent draws of the law: training rows, or ``model.sample(N)`` without guidance.
        path: of the file to write, which is how ``guidance`` names the potential.
        set_size: n; that of ``wanted`` where it is a potential.
        steps: of the optimiser.
        batch_size: sets a step.
        references: rows that each particle has to choose from.
        draws: K; 1 with one row to choose from is the target of Eq. 6.6.
        levels: lowest and highest level λ that it learns, beyond which it is that of the nearest; those of the
            schedule by default.
        learning_rate: of Adam, at the start; it falls as a cosine.
        width: units of the network's layers.
        depth: of its two parts.
        seed: of weights, sets, levels and noise.
        callbacks: told of the training.

    Returns:
        The potential, for ``guidance``.

    Raises:
        ConfigurationError: on a bad option, too few rows, or a Φ₀ without finite values.
        ArithmeticError: if the training diverges.
    """
    log_phi, n = _wanted(wanted, set_size)
    sizes = {"set_size": (n, 2), "batch_size": (batch_size, 1), "references": (references, 1), "draws": (draws, 1)}
    for name, (value, least) in sizes.items():
        if value < least:
            raise ConfigurationError(f"{name} is {value}; expected at least {least}")
    if rows.shape[1:] != model.event_shape or len(rows) < n:
        raise ConfigurationError(
            f"rows have shape {tuple(rows.shape)}; expected at least {n} of shape {('N', *model.event_shape)}"
        )
    device, schedule = model.device, model.recipe.schedule_part
    low, high = levels or (schedule.ratio(schedule.end), schedule.ratio(schedule.start))
    if not 0 < low < high:
        raise ConfigurationError(f"levels is {levels}; expected 0 < lowest < highest")
    rows = rows.detach().to(device)
    flat = model.standardiser.forward(rows)
    network = SetNetwork(flat.shape[1], width, depth, streams=Streams([seed], "potential", device="cpu")).to(device)
    streams = Streams([seed], "noised sets", device=device)

    pool = min(references, len(rows) // n)
    first = log_phi(rows[streams.integers(len(rows), 1_000, n)[0]]).detach()
    centre = first.median()
    if not bool(first.isfinite().all()):
        raise ConfigurationError("log Φ₀ of independent sets is not finite everywhere; expected a positive Φ₀")

    def targets(u: Tensor, level: Tensor, index: Tensor) -> Tensor:
        """log of the mean of Φ₀ (S,) over draws of x⁰ given noised sets (S, n, D), from pools of rows (n, m)."""
        pools = flat[index]
        squared = torch.cdist(u.transpose(0, 1), pools, compute_mode="donot_use_mm_for_euclid_dist").square_()
        chance = (squared / (-2 * level.square().view(1, -1, 1))).softmax(-1)
        drawn = torch.multinomial(chance.flatten(0, 1), draws, replacement=True, generator=streams.generators[0])
        at = index.gather(1, drawn.view(n, -1)).view(n, batch_size, draws).permute(1, 2, 0)
        values = log_phi(rows[at.flatten(0, 1)]).detach().view(batch_size, draws)
        return torch.logsumexp(values - centre, 1) - math.log(draws)

    def noised(count: int, index: Tensor) -> tuple[Tensor, Tensor]:
        source = index.gather(1, streams.integers(pool, n, count)[0]).T  # (S, n)
        level = low * (high / low) ** streams.uniform(count)
        return flat[source] + level[0, :, None, None] * streams.normal(count, n, flat.shape[1])[0], level

    def loss() -> Tensor:
        index = streams.integers(len(rows), n, pool)[0]
        u, level = noised(CANDIDATES * batch_size, index)
        with torch.no_grad():
            f = network(u.unsqueeze(0), level)[0]
        picked = torch.multinomial(f.softmax(0), batch_size // 2, replacement=True, generator=streams.generators[0])
        kept = torch.cat((picked, torch.arange(batch_size - len(picked), device=device)))
        u, level = u[kept], level[:, kept]
        f = network(u.unsqueeze(0), level)
        return (f + (targets(u, level[0], index) - f).exp()).mean(1)

    plan = TrainingPlan(steps=steps, learning_rate=learning_rate, ema_decay=0.99)
    (report,) = train(network, loss, plan, callbacks=callbacks, description="potential")
    if isinstance(report, Exception):
        raise report
    about = {"set_size": torch.tensor(n), "levels": torch.tensor((low, high), dtype=torch.float64)}
    file = as_path(path, "the file of a potential")
    parts = {**weights(network), **model.standardiser.tensors(), **about}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, save({name: part.detach().cpu().contiguous() for name, part in parts.items()}))
    return LearnedPotential(path=str(file), set_size=n)


def _wanted(wanted: Part | LogPhi, set_size: int) -> tuple[LogPhi, int]:
    """log Φ₀ and n."""
    if callable(wanted):
        return wanted, set_size
    potential: Potential = make_part("potential", wanted)
    return lambda sets: potential.log_phi(sets, potential.lowest), potential.set_size


def _read(path: Path, device: torch.device | str = "cpu") -> tuple[nn.Module, Standardiser, tuple[float, float], int]:
    """What ``learn_potential`` wrote: the sizes of the network are those of its tensors.

    Raises:
        CheckpointError: if the file is not there or holds anything else.
    """
    try:
        tensors = {name: part.to(device) for name, part in load(read_bytes(path, LARGEST, CheckpointError)).items()}
        standardiser = Standardiser.from_tensors(tensors)
        low, high = tensors["levels"].tolist()
        width = tensors["module.pooled.out.weight"].shape[1]
        depth = sum(name.startswith("module.pooled.hidden.") and name.endswith(".weight") for name in tensors)
        network = SetNetwork(len(standardiser.mean), width, depth, streams=Streams([0], "restore"))
        found = load_weights(network, tensors, device)
        return found, standardiser, (low, high), int(tensors["set_size"])
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist; expected a file that learn_potential wrote") from None
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} is no file that learn_potential wrote ({type(error).__name__})") from None
