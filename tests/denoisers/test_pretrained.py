"""Networks of diffusers: step for step with that library's own schedulers on a small random network.

Bound 1e-5 on states of order one, over trajectories in single precision whose arithmetic is ordered differently.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from phys_samplers import load
from phys_samplers.denoisers.pretrained import diffusers_target, from_diffusers
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.integrators import DDIM, DPMpp2M, EDMHeun, Integrator, integrate
from phys_samplers.randomness import make_generator


@pytest.fixture(scope="module")
def diffusers() -> Any:
    return pytest.importorskip("diffusers")


@pytest.fixture(scope="module")
def unet(diffusers: Any) -> Any:
    torch.manual_seed(0)  # the library initialises from the global generator
    return diffusers.UNet2DModel(
        sample_size=8,
        in_channels=1,
        out_channels=1,
        layers_per_block=1,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        norm_num_groups=4,
    ).eval()


@torch.no_grad()
def theirs(unet: nn.Module, scheduler: Any, x: Tensor) -> list[Tensor]:
    """The library's own loop."""
    states = [x]
    for t in scheduler.timesteps:
        out = unet(scheduler.scale_model_input(x, t), t, return_dict=False)[0]
        x = scheduler.step(out, t, x).prev_sample
        states.append(x)
    return states


def ours(model: Any, integrator: Integrator, u: Tensor, levels: list[float]) -> Tensor:
    """States u (steps + 1, B, 1, 8, 8)."""
    dynamics = model.dynamics(model.recipe, integrator)
    solution = integrate(dynamics, u.flatten(1), integrator=integrator, grid=levels, record=1, bound=1e9)
    assert solution.trajectory is not None
    return solution.trajectory.states.unflatten(2, (1, 8, 8))


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("kind", ["DDIMScheduler", "DPMSolverMultistepScheduler"])
def test_variance_preserving_schedulers(diffusers: Any, unet: Any, kind: str, predicts: str) -> None:
    extra = {"clip_sample": False} if kind == "DDIMScheduler" else {"final_sigmas_type": "zero"}
    scheduler = getattr(diffusers, kind)(prediction_type=predicts, **extra)
    scheduler.set_timesteps(12)
    kept = scheduler.alphas_cumprod[scheduler.timesteps].double()
    levels = ((1 - kept) / kept).sqrt()
    x = torch.randn(3, 1, 8, 8, generator=make_generator(0))
    expected = theirs(unet, scheduler, x)
    integrator = DDIM() if kind == "DDIMScheduler" else DPMpp2M()
    found = ours(from_diffusers((unet, scheduler)), integrator, x / float(kept[0].sqrt()), [*levels.tolist(), 0.0])
    scales = [*kept.sqrt().tolist(), 1.0]
    assert len(expected) == len(found) == 13
    for state, u, scale in zip(expected, found, scales, strict=True):
        torch.testing.assert_close(u * scale, state, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
def test_euler(diffusers: Any, unet: Any, predicts: str) -> None:
    """Euler's method in σ, which is DDIM without noise, at times of the table.

    Between them that library interpolates σ and not log σ, and is 2e-5 off ours at its default spacing.
    """
    scheduler = diffusers.EulerDiscreteScheduler(prediction_type=predicts, timestep_spacing="leading")
    scheduler.set_timesteps(12)
    x = torch.randn(3, 1, 8, 8, generator=make_generator(0)) * float(scheduler.sigmas[0])
    expected = theirs(unet, scheduler, x)
    found = ours(from_diffusers((unet, scheduler)), DDIM(), x, scheduler.sigmas.double().tolist())
    for state, u, level in zip(expected, found, scheduler.sigmas.tolist(), strict=True):
        size = (1 + level**2) ** 0.5
        torch.testing.assert_close(u / size, state / size, rtol=1e-5, atol=1e-5)


def test_edm(diffusers: Any, unet: Any) -> None:
    scheduler = diffusers.EDMEulerScheduler(sigma_max=10.0)
    scheduler.set_timesteps(12)
    x = torch.randn(3, 1, 8, 8, generator=make_generator(0)) * float(scheduler.sigmas[0])
    expected = theirs(unet, scheduler, x)
    found = ours(from_diffusers((unet, scheduler)), DDIM(), x, scheduler.sigmas.double().tolist())
    for state, u, level in zip(expected, found, scheduler.sigmas.tolist(), strict=True):
        size = (1 + level**2) ** 0.5
        torch.testing.assert_close(u / size, state / size, rtol=1e-5, atol=1e-5)


def test_restart_guidance_and_storage(diffusers: Any, unet: Any, tmp_path: Path) -> None:
    scheduler = diffusers.DDPMScheduler()
    diffusers.DDPMPipeline(unet=unet, scheduler=scheduler).save_pretrained(tmp_path / "pipeline")
    model = from_diffusers(tmp_path / "pipeline", sampling_steps=8, schedule="edm[sigma_min=0.02,sigma_max=20.0]")
    assert model.event_shape == (1, 8, 8)
    plain = model.sample(4, seed=0)
    torch.testing.assert_close(plain, from_diffusers((unet, scheduler), **_options(model)).sample(4, seed=0))
    for options in ({"integrator": "restart"}, {"guidance": "repulsion[set_size=4,strength=10.0]"}):
        other = model.sample(4, seed=0, **options)
        assert other.shape == (4, 1, 8, 8)
        assert bool(torch.isfinite(other).all())
        assert not torch.equal(other, plain)
    folder = model.save(tmp_path / "model")
    again = load(folder, target=diffusers_target(tmp_path / "pipeline"))
    assert torch.equal(again.sample(4, seed=0), plain)


def _options(model: Any) -> dict[str, Any]:
    return {"sampling_steps": model.recipe.sampling_steps, "schedule": model.recipe.schedule}


def test_second_order_needs_few_steps(diffusers: Any, unet: Any) -> None:
    """Heun on a fine grid and DPM-Solver++ on a coarser one end at the same image: both solve the same ODE."""
    scheduler = diffusers.DDIMScheduler(clip_sample=False)
    model = from_diffusers((unet, scheduler), schedule="edm[sigma_min=0.05,sigma_max=10.0]")
    ends = [
        model.sample(2, seed=0, integrator=integrator, sampling_steps=steps)
        for integrator, steps in ((EDMHeun(), 60), (DPMpp2M(), 60))
    ]
    torch.testing.assert_close(*ends, rtol=0, atol=0.05)


class Table:
    """A scheduler by its configuration."""

    def __init__(self, **config: Any) -> None:
        self.config = type("Config", (), config)()


class Net(nn.Module):
    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = type("Config", (), {"sample_size": 8, "in_channels": 1, "out_channels": 1, **config})()
        self.weight = nn.Parameter(torch.zeros(1))


def test_what_cannot_be_used_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"holds no model_index\.json"):
        from_diffusers(tmp_path)
    with pytest.raises(ConfigurationError, match="source is dict"):
        from_diffusers({})
    with pytest.raises(MissingCapability, match="prediction_type 'flow'"):
        from_diffusers((Net(), Table(prediction_type="flow")))
    with pytest.raises(MissingCapability, match="Table has no table alphas_cumprod"):
        from_diffusers((Net(), Table()))
    edm = Table(sigma_data=0.5, sigma_min=0.002, sigma_max=80.0)
    with pytest.raises(ConfigurationError, match="2 channels out for 1 in"):
        from_diffusers((Net(out_channels=2), edm))
