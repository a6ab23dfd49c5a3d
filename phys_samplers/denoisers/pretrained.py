r"""Networks of the ``diffusers`` library as denoisers: its schedulers' parametrisations in the variable u = x/α.

A scheduler with a table ᾱ_t has x_t = √ᾱ x₀ + √(1 − ᾱ) n, so that u = x_t/√ᾱ has noise λ = √((1 − ᾱ)/ᾱ), and

    ``epsilon``       D = u − λ F(x_t, t)
    ``v_prediction``  D = √ᾱ x_t − √(1 − ᾱ) F(x_t, t)
    ``sample``        D = F(x_t, t)

The time t of a level between two of the table is interpolated in log λ; at the levels of the table it is the integer.
The EDM schedulers have x = u and Karras et al.'s coefficients (arXiv:2206.00364, Table 1):

    ``epsilon``       D = c_skip x + c_out F(c_in x, ¼ log σ)
    ``v_prediction``  the same with −F

Nothing is downloaded here: a source is a folder on this machine, or objects. Not clipped as some schedulers do by
default (``clip_sample``): give ``clip=True, bounds=(-1.0, 1.0)``.

>>> model = from_diffusers("ddpm-cifar10/", integrator="dpmpp-2m", sampling_steps=20)
>>> images = model.sample(16, seed=0, guidance="repulsion[set_size=4,strength=10.0]")
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from phys_samplers.denoisers.given import DataDenoise, GivenModel, denoiser_target, from_denoiser
from phys_samplers.errors import ConfigurationError, MissingCapability
from phys_samplers.target import Target


def from_diffusers(source: Any, *, device: torch.device | str = "cpu", **options: Any) -> GivenModel:
    """A model of an unconditional network of ``diffusers``.

    Args:
        source: a folder of a pipeline (with ``unet`` and ``scheduler`` in it), a pipeline, or the two objects
            ``(unet, scheduler)``. Folders need the extra ``diffusers``.
        device: where to compute; the network moves there.
        options: see ``from_denoiser``. The levels are those that the scheduler's table spans.

    Raises:
        MissingCapability: if the library is not installed, or the scheduler is of a kind not known here.
        ConfigurationError: on a folder or network that cannot be used.
    """
    unet, scheduler = _parts(source)
    unet = unet.to(device).eval().requires_grad_(False)
    denoise, levels = _denoiser(unet, scheduler)
    name = f"diffusers-{type(unet).__name__}"
    return from_denoiser(denoise, _shape(unet), levels, device=device, name=name, **options)


def diffusers_target(source: Any, *, device: torch.device | str = "cpu") -> Target:
    """What a saved model of ``from_diffusers`` is loaded with: ``load(path, target=diffusers_target(source))``."""
    unet, scheduler = _parts(source)
    unet = unet.to(device).eval().requires_grad_(False)
    return denoiser_target(_denoiser(unet, scheduler)[0], _shape(unet), name=f"diffusers-{type(unet).__name__}")


def _parts(source: Any) -> tuple[Any, Any]:
    """Network and scheduler."""
    if isinstance(source, str | Path):
        folder = Path(source)
        if not (folder / "model_index.json").is_file():
            raise ConfigurationError(
                f"{folder} holds no model_index.json; expected the folder of a pipeline, as save_pretrained writes it"
            )
        try:
            from diffusers import DiffusionPipeline
        except ImportError as error:
            raise MissingCapability(
                'reading a pipeline needs the library diffusers: pip install "phys-samplers[diffusers]"'
            ) from error
        source = DiffusionPipeline.from_pretrained(str(folder), local_files_only=True, use_safetensors=True)
    if isinstance(source, tuple) and len(source) == 2:
        unet, scheduler = source
    else:
        unet, scheduler = getattr(source, "unet", None), getattr(source, "scheduler", None)
    if not isinstance(unet, torch.nn.Module) or not hasattr(scheduler, "config"):
        raise ConfigurationError(
            f"source is {type(source).__name__}; expected the folder of a pipeline, a pipeline with unet and "
            "scheduler, or (unet, scheduler)"
        )
    return unet, scheduler


def _shape(unet: Any) -> tuple[int, ...]:
    """(C, H, W)."""
    size, channels = unet.config.sample_size, unet.config.in_channels
    if size is None or unet.config.out_channels != channels:
        raise ConfigurationError(
            f"the network has sample_size {size} and {unet.config.out_channels} channels out for {channels} in; "
            "expected a size, and as many out as in (networks that predict variances too are not supported)"
        )
    height, width = (size, size) if isinstance(size, int) else size
    return channels, height, width


def _denoiser(unet: Any, scheduler: Any) -> tuple[DataDenoise, tuple[float, float]]:
    """D, and the least and largest level."""
    predicts = getattr(scheduler.config, "prediction_type", "epsilon")
    if predicts not in ("epsilon", "v_prediction", "sample"):
        raise MissingCapability(
            f"the scheduler has prediction_type {predicts!r}; expected epsilon, v_prediction or sample"
        )
    if hasattr(scheduler.config, "sigma_data"):
        return _edm(unet, scheduler.config, predicts)
    if not hasattr(scheduler, "alphas_cumprod"):
        raise MissingCapability(
            f"scheduler {type(scheduler).__name__} has no table alphas_cumprod and is none of EDM; expected e.g. "
            "DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler, EDMEulerScheduler"
        )
    kept = scheduler.alphas_cumprod.double().cpu().numpy()
    usable = kept > 0  # a schedule may end at no signal at all
    log_levels = 0.5 * (np.log1p(-kept[usable]) - np.log(kept[usable]))
    call = _caller(unet)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        alpha = 1 / math.sqrt(1 + sigma**2)
        t = float(np.interp(math.log(sigma), log_levels, np.arange(len(log_levels))))
        t = round(t) if abs(t - round(t)) < 1e-4 else t
        scaled = x * alpha
        out = call(scaled, t)
        match predicts:
            case "epsilon":
                return torch.sub(x, out, alpha=sigma)
            case "v_prediction":
                return scaled.mul(alpha).sub_(out, alpha=sigma * alpha)
        return out

    return denoise, (math.exp(log_levels[0]), math.exp(log_levels[-1]))


def _edm(unet: Any, config: Any, predicts: str) -> tuple[DataDenoise, tuple[float, float]]:
    """Karras et al.'s preconditioning."""
    if predicts == "sample":
        raise MissingCapability("an EDM scheduler with prediction_type 'sample' is not known; expected epsilon")
    data, sign, call = float(config.sigma_data), 1.0 if predicts == "epsilon" else -1.0, _caller(unet)

    def denoise(x: Tensor, sigma: float) -> Tensor:
        total = math.sqrt(sigma**2 + data**2)
        out = call(x / total, 0.25 * math.log(sigma))
        return (x * (data / total) ** 2).add_(out, alpha=sign * sigma * data / total)

    return denoise, (float(config.sigma_min), float(config.sigma_max))


def _caller(unet: Any) -> Callable[[Tensor, float], Tensor]:
    """F(x, t), in the precision of the network and back."""
    dtype = next(unet.parameters()).dtype

    def call(x: Tensor, t: float) -> Tensor:
        time = torch.full((len(x),), t, dtype=torch.float32, device=x.device)
        out: Tensor = unet(x.to(dtype), time, return_dict=False)[0]
        return out.to(x.dtype)

    return call
