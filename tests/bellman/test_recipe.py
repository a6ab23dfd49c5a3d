"""The recipe: what its defaults mean, what it refuses, parts by name and by object."""

from __future__ import annotations

import pytest
import torch

from phys_bellman.bellman import BellmanDiffusionModel
from phys_bellman.fields import BellmanFieldsModel, Box
from phys_bellman.kernels import GaussianKernel
from phys_bellman.losses import SlicedFieldMatching
from phys_samplers import BellmanDiffusion, BellmanFields, Samples, load, make
from phys_samplers.errors import ConfigurationError, DivergenceError, IncompatibleError
from phys_samplers.integrators import StochasticHeun
from phys_samplers.randomness import make_generator

ROWS = torch.randn(256, 2, generator=make_generator(0, "rows")) * torch.tensor([3.0, 0.5]) + 10.0
FAST = {"steps": 5, "sampling_steps": 5}


def fit(sampler: str = "bellman", **options):
    return make("sampler", sampler, **FAST, **options).fit(Samples(ROWS), seed=0)


def test_the_two_recipes_have_their_own_loss_and_integrator() -> None:
    annealed, networks = fit(), fit("bellman-fields")
    assert isinstance(annealed, BellmanDiffusionModel)
    assert isinstance(networks, BellmanFieldsModel)
    assert annealed.draw(8).diagnostics["integrator"] == "corrected-heun"
    assert networks.draw(8).diagnostics["integrator"] == "euler-maruyama"


def test_the_paper_preset_is_the_papers_setting() -> None:
    recipe = make("sampler", "bellman-fields", preset="paper")
    assert (recipe.sampling_steps, recipe.step_size, recipe.kernel, recipe.loss) == (
        300,
        0.1,
        "sliced",
        "sliced-field-matching",
    )
    assert 0.1 <= recipe.epsilon <= 1.0


def test_table_2_is_run_by_name() -> None:
    for n in (2, 3):
        recipe = make("sampler", "bellman-fields", preset=f"paper-{n}-slices")
        assert recipe.loss == {"name": "sliced-field-matching", "slices": n}
        assert recipe.kernel == {"name": "sliced", "epsilon": 0.5, "slices": n}
        assert isinstance(recipe.with_options(**FAST).fit(Samples(ROWS)), BellmanFieldsModel)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sampler": "bellman-fields", "loss": "denoising"}, "loss is 'denoising'"),
        ({"loss": "field-matching"}, "loss is 'field-matching'"),
        ({"kernel": GaussianKernel(epsilon=1.0), "epsilon": 0.1}, "epsilon is 0.1 and kernel"),
        ({"sigma_max": 0.01}, "sigma_max is 0.01"),
        ({"hold": 1.0}, "hold is 1.0"),
        ({"reference": 1}, "reference is 1"),
        ({"step_size": 0.0}, "step_size is 0.0"),
        ({"sampler": "bellman-fields", "mobility_cap": 0.0}, "mobility_cap is 0.0"),
        ({"sampler": "bellman-fields", "box": -0.1}, "box is -0.1"),
        ({"width": 0}, "width is 0; expected an integer of at least 1"),
    ],
)
def test_options_that_cannot_work_are_refused(options, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        fit(**options)


def test_an_ode_method_and_a_missing_linear_part_are_refused() -> None:
    with pytest.raises(IncompatibleError, match="rk4"):
        fit().draw(4, integrator="rk4")
    with pytest.raises(IncompatibleError, match="exponential-ou"):
        fit("bellman-fields").draw(4, integrator="exponential-ou")


def test_training_options_cannot_change_at_the_draw() -> None:
    with pytest.raises(ConfigurationError, match="'steps' of BellmanDiffusion cannot change after fitting"):
        fit().draw(4, steps=10)


def test_parts_given_as_objects_are_saved_by_their_names(tmp_path) -> None:
    model = fit(
        "bellman-fields",
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


@pytest.mark.parametrize("sampler", ["bellman", "bellman-fields"])
def test_whitened_models_score_in_data_units_and_come_back_from_disk(sampler: str, tmp_path) -> None:
    """The score of the model is the one of its coordinates, pulled back: p(x) = p(u(x)) |∂u/∂x|."""
    oblique = Samples(ROWS @ torch.tensor([[1.0, 0.3], [0.0, 1.0]]))
    model = make("sampler", sampler, **FAST, standardise="whiten").fit(oblique)
    assert oblique.train is not None
    u = model.standardiser.forward(oblique.train)
    torch.testing.assert_close(u.T.cov(), torch.eye(2), rtol=0, atol=1e-3)
    x, step = oblique.train[:8].clone().requires_grad_(), torch.randn(2, generator=make_generator(1, "step"))
    moved = (model.standard_score(model.standardiser.forward(x.detach()), None) * model.standardiser.forward(x)).sum()
    (expected,) = torch.autograd.grad(moved, x)
    torch.testing.assert_close(model.score(x.detach()), expected, rtol=1e-3, atol=1e-3)
    again = load(model.save(tmp_path / "model"))
    assert torch.equal(again.sample(16, seed=3), model.sample(16, seed=3))
    assert torch.equal(again.score(ROWS + step), model.score(ROWS + step))


def test_a_box_keeps_runaways_and_says_so(tmp_path) -> None:
    """A drift away from the data diverges; in the box it does not, and the draw says that the walls did it."""
    model = fit("bellman-fields")
    model.pair = lambda x: (torch.ones(len(x)), 3 * x)
    far = {"step_size": 5.0, "sampling_steps": 40}
    with pytest.raises(DivergenceError, match="particles are not finite"):
        model.draw(64, **far)
    draw = model.draw(64, **far, box=0.5)
    low, high = ROWS.aminmax(dim=0)
    width = high - low
    assert ((draw.samples >= low - 0.501 * width) & (draw.samples <= high + 0.501 * width)).all()
    assert draw.diagnostics["clamped"] == 1.0
    assert draw.diagnostics["lost"] == 0
    calm = model.draw(64, step_size=1e-4, box=2.0)
    assert calm.diagnostics["clamped"] == 0.0
    assert torch.equal(calm.samples, model.draw(64, step_size=1e-4).samples)
    assert "clamped" not in model.draw(64, step_size=1e-4).diagnostics


def test_a_particle_that_is_no_number_is_lost_in_a_box_too() -> None:
    model = fit("bellman-fields")
    model.pair = lambda x: (torch.ones(len(x)), x * torch.nan)
    with pytest.raises(DivergenceError, match="64 of 64"):
        model.draw(64, box=0.5)


def test_a_box_reflects() -> None:
    box = Box(torch.tensor([0.0, -1.0]), torch.tensor([2.0, 1.0]))
    x = torch.tensor([[0.5, 0.5], [-0.5, 0.0], [2.5, 1.25], [100.0, -100.0]])
    expected = torch.tensor([[0.5, 0.5], [0.5, 0.0], [1.5, 0.75], [0.0, -1.0]])
    inside = box(x)
    torch.testing.assert_close(inside[:3], expected[:3])
    assert ((inside[3] == box.low) | (inside[3] == box.high)).all()
    assert box.shares() == {"clamped": 0.75, "clamped_at_end": 0.75}
    box(inside)
    assert box.shares() == {"clamped": 0.75, "clamped_at_end": 0.0}


def test_capped_draws_have_smaller_moves() -> None:
    """Moves of a step have the variance η m < η cap, whatever s is."""
    model = fit("bellman-fields")
    start = ROWS[:128]
    wide = model.draw(128, start=start, sampling_steps=1).samples - start
    capped = model.draw(128, start=start, sampling_steps=1, mobility_cap=1e-4).samples - start
    moves = (capped / model.standardiser.scale).square().mean()
    assert float(moves) < 1.5 * 0.1 * 1e-4
    assert float((wide / model.standardiser.scale).square().mean()) > 100 * float(moves)


def test_class_and_name_are_one() -> None:
    assert BellmanDiffusion(steps=7) == make("sampler", "bellman", steps=7)
    assert BellmanFields(steps=7) == make("sampler", "bellman-fields", steps=7)
