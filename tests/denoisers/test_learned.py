"""Learned potentials against the diffused potential by quadrature, the law that they draw, and their files."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from phys_samplers import make
from phys_samplers.denoisers.given import GivenModel, from_denoiser
from phys_samplers.denoisers.guidance import Repulsion
from phys_samplers.denoisers.learned import LearnedPotential, SetNetwork, learn_potential
from phys_samplers.errors import CheckpointError, ConfigurationError
from phys_samplers.options import make_part
from phys_samplers.randomness import Streams, make_generator

STRENGTH, WIDTH = 8.0, 0.5
WANTED = Repulsion(set_size=2, strength=STRENGTH, bandwidth=WIDTH)
NODES, MASSES = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(80))


def normal() -> GivenModel:
    """The model of N(0, 1)."""
    return from_denoiser(lambda x, sigma: x / (1 + sigma**2), (1,), (0.02, 20.0))


def rows(n: int = 50_000) -> Tensor:
    return torch.randn(n, 1, generator=make_generator(0, "rows"))


def learned(path: Any, **options: Any) -> LearnedPotential:
    small = {"width": 32, "steps": 300, **options}
    return learn_potential(normal(), WANTED, rows(), path, **small)


@pytest.fixture(scope="module")
def potential(tmp_path_factory: Any) -> LearnedPotential:
    return learned(tmp_path_factory.mktemp("potential") / "phi.safetensors")


def exact(x: Tensor, level: float) -> Tensor:
    """log Φ_λ of pairs x (S, 2, 1) of N(0, 1): the difference of a pair is normal given that of the noised pair."""
    mean = (x[:, 0] - x[:, 1]).double() / (1 + level**2)
    d = mean + math.sqrt(2 * level**2 / (1 + level**2)) * NODES
    return ((-0.5 * STRENGTH * (1 + (-d.square() / WIDTH).exp())).exp() @ (MASSES / MASSES.sum())).log()


def wanted_mean(function: Any) -> float:
    """E f(x_1 − x_2) of pairs of the wanted law."""
    d = math.sqrt(2) * NODES
    w = (-0.5 * STRENGTH * (1 + (-d.square() / WIDTH).exp())).exp() * MASSES
    return float((w * function(d)).sum() / w.sum())


def test_the_network_learns_the_diffused_potential(potential: LearnedPotential) -> None:
    """Eq. 6.6: log Φ_λ up to a constant, where the wanted law has its mass; the fixed potential is far from it.

    Errors are root mean squares over the wanted law, relative to the spread of log Φ_λ over independent pairs.
    """
    for level, tolerance in ((0.1, 0.25), (0.5, 0.3), (1.0, 0.45)):
        x = torch.randn(4_000, 2, 1, generator=make_generator(1)) * math.sqrt(1 + level**2)
        right = exact(x, level)
        w = right.softmax(0)

        def error(found: Tensor, right: Tensor = right, w: Tensor = w) -> float:
            gap = found.double() - right
            return float((w * (gap - (w * gap).sum()).square()).sum().sqrt() / right.std())

        assert error(potential.log_phi(x, level)) < tolerance
        if level >= 0.5:
            assert error(WANTED.log_phi(x, level)) > 2 * tolerance


def test_its_guidance_draws_from_the_wanted_law(potential: LearnedPotential) -> None:
    """Closeness E exp(−d²/h) and E d² of 5,000 pairs: .07 and 3.5 in the wanted law, .33 and 2 of independent pairs.

    What is left of the way from one to the other is the error of a short training.
    """
    options = {"integrator": "ddim[eta=1]", "sampling_steps": 80, "schedule": "edm[sigma_min=0.02,sigma_max=20.0]"}
    name = {"name": "learned", "path": potential.path, "set_size": 2}
    pairs = normal().sample(10_000, seed=0, guidance=name, **options).view(-1, 2).double()
    d = pairs[:, 0] - pairs[:, 1]
    for function, apart in ((lambda d: (-d.square() / WIDTH).exp(), 0.07), (torch.square, 0.4)):
        free = float((MASSES * function(math.sqrt(2) * NODES)).sum() / MASSES.sum())
        right = wanted_mean(function)
        assert abs(free - right) > 3 * apart
        assert float(function(d).mean()) == pytest.approx(right, abs=apart)


def test_particles_have_no_order_and_levels_end() -> None:
    network = SetNetwork(2, 8, 2, streams=Streams([0, 1], "network"))
    torch.nn.init.normal_(network.pooled.out.weight, generator=make_generator(0))
    sets = torch.randn(2, 5, 4, 2, generator=make_generator(1))
    level = torch.full((2, 5), 0.7)
    torch.testing.assert_close(network(sets[:, :, [2, 0, 3, 1]], level), network(sets, level))
    assert float((network(sets, level) - network(sets, 2 * level)).abs().max()) > 1e-4


def test_files_of_potentials(tmp_path: Any) -> None:
    file = tmp_path / "deep" / "phi.safetensors"
    potential = learned(file, steps=2)
    text = f"learned[path={file},set_size=2]"
    assert make_part("potential", text) == potential
    x = torch.randn(6, 2, 1, generator=make_generator(0))
    assert torch.equal(make_part("potential", text).log_phi(x, 1e-9), potential.log_phi(x, 0.02))
    recipe = make("sampler", "exact-denoiser", guidance=potential)
    assert recipe.options()["guidance"] == {"name": "learned", **vars_of(potential)}
    with pytest.raises(ConfigurationError, match=r"set_size is 10 .* of sets of 2"):
        LearnedPotential(path=str(file))
    with pytest.raises(ConfigurationError, match="path is ''"):
        make("potential", "learned")
    with pytest.raises(CheckpointError, match="does not exist"):
        LearnedPotential(path=str(tmp_path / "none"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="is no file that learn_potential wrote"):
        LearnedPotential(path=str(file), set_size=2)


def vars_of(potential: LearnedPotential) -> dict[str, Any]:
    return {"set_size": 2, "highest": None, "lowest": 0.0, "path": potential.path}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"draws": 0}, "draws is 0; expected at least 1"),
        ({"wanted": lambda sets: sets.sum((1, 2)) * math.inf}, "not finite"),
        ({"rows": torch.zeros(5, 2)}, r"rows have shape \(5, 2\)"),
    ],
)
def test_what_is_learned_is_checked(change: dict[str, Any], message: str, tmp_path: Any) -> None:
    given = {"wanted": WANTED, "rows": rows(100), "path": tmp_path / "phi", **change}
    with pytest.raises(ConfigurationError, match=message):
        learn_potential(normal(), **given)
