"""The recipe: what its defaults mean, what it refuses, parts by name and by object."""

from __future__ import annotations

import pytest
import torch

from phys_bellman.annealed import AnnealedBellmanModel
from phys_bellman.losses import SlicedFieldMatching
from phys_bellman.model import NetworkBellmanModel
from phys_samplers import BellmanDiffusion, Samples, load, make
from phys_samplers.errors import ConfigurationError, IncompatibleError
from phys_samplers.integrators import StochasticHeun
from phys_samplers.kernels import GaussianKernel
from phys_samplers.randomness import make_generator

ROWS = torch.randn(256, 2, generator=make_generator(0, "rows")) * torch.tensor([3.0, 0.5]) + 10.0
FAST = {"steps": 5, "sampling_steps": 5}


def fit(**options):
    return make("sampler", "bellman", **FAST, **options).fit(Samples(ROWS), seed=0)


def test_parametrisations_choose_their_loss_and_integrator() -> None:
    annealed, networks = fit(), fit(parametrisation="networks")
    assert isinstance(annealed, AnnealedBellmanModel)
    assert isinstance(networks, NetworkBellmanModel)
    assert annealed.draw(8).diagnostics["integrator"] == "exponential-ou"
    assert networks.draw(8).diagnostics["integrator"] == "euler-maruyama"


def test_the_paper_preset_is_the_papers_setting() -> None:
    recipe = make("sampler", "bellman", preset="paper")
    assert (recipe.sampling_steps, recipe.step_size, recipe.kernel, recipe.loss) == (
        300,
        0.1,
        "sliced",
        "sliced-field-matching",
    )
    assert 0.1 <= recipe.epsilon <= 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parametrisation": "networks", "loss": "denoising"}, "loss is 'denoising'"),
        ({"loss": "field-matching"}, "loss is 'field-matching'"),
        ({"kernel": GaussianKernel(epsilon=1.0), "epsilon": 0.1}, "epsilon is 0.1 and kernel"),
        ({"sigma_max": 0.01}, "sigma_max is 0.01"),
        ({"hold": 1.0}, "hold is 1.0"),
        ({"reference": 1}, "reference is 1"),
        ({"step_size": 0.0}, "step_size is 0.0"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fit(**options)


def test_an_ode_method_and_a_missing_linear_part_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="rk4"):
        fit().draw(4, integrator="rk4")
    with pytest.raises(IncompatibleError, match="exponential-ou"):
        fit(parametrisation="networks").draw(4, integrator="exponential-ou")


def test_training_options_cannot_change_at_the_draw() -> None:
    with pytest.raises(ConfigurationError, match="'steps' of BellmanDiffusion cannot change after fitting"):
        fit().draw(4, steps=10)


def test_parts_given_as_objects_are_saved_by_their_names(tmp_path) -> None:
    model = fit(
        parametrisation="networks",
        kernel=GaussianKernel(epsilon=0.7),
        integrator=StochasticHeun(),
        loss=SlicedFieldMatching(slices=2, pairs="all", jitter=0.1),
    )
    again = load(model.save(tmp_path / "model"))
    assert torch.equal(again.sample(16, seed=3), model.sample(16, seed=3))


def test_score_is_in_data_units() -> None:
    """∇log p of N(10, diag(9, ¼)): the annealed model's score at its smallest blur, by finite scale of the data.

    The denoiser is replaced by the exact one, so that only the units are tested.
    """
    model = fit()
    sigma = 0.3
    model.blurred.denoise = lambda x, s: x / (1 + s**2)  # exact for standardised Gaussian data
    scale, mean = model.standardiser.scale, model.standardiser.mean
    width = float(scale.log().mean().exp())
    x = ROWS[:16]
    expected = -(x - mean) / (scale**2 * (1 + (sigma / width) ** 2))
    torch.testing.assert_close(model.score(x, sigma=sigma), expected, rtol=1e-3, atol=1e-4)


def test_class_and_name_are_one() -> None:
    assert BellmanDiffusion(steps=7) == make("sampler", "bellman", steps=7)
