"""Every registered sampler, with each of its presets, keeps the contract. The registry says what there is."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from phys_samplers import catalogue
from phys_samplers.testing.checks import CHECKS, Check
from phys_samplers.testing.checks.drawing import gaussian_is_reproduced
from phys_samplers.testing.kit import run_check
from phys_samplers.testing.subject import Subject

CASES = [
    (component.name, preset)
    for component in catalogue.components("sampler")
    for preset in (component.presets or (None,))
]
SETTINGS: dict[str, dict[str, Any]] = {
    "asinh": {
        "quick_options": {"sampler": "edm[steps=300]"},
        "small_options": {"sampler": "edm[steps=20,sampling_steps=20]"},
    },
    "latent": {
        "quick_options": {"steps": 300, "sampler": "bellman[steps=300]"},
        "small_options": {"steps": 20, "sampler": "bellman[steps=20,sampling_steps=20]"},
    },
    **{
        f"ebm:{preset}": {
            "quick_options": {"steps": 150, "width": 32, "learning_rate": 1e-2, "batch_size": 64, "settle": 5, **more},
            "small_options": {"steps": 5, "batch_size": 16},
        }
        for preset, more in {
            "default": {},
            "short-run": {},
            "vgs": {
                "negatives": "vgs[sampling_steps=6,total_variance=2.0,end_variance=0.1,width=16,depth=2,draws=2,"
                "batch_size=32,updates_per_walk=1]"
            },
        }.items()
    },
    **{
        f"{name}:{preset}": {
            "quick_options": {
                "steps": 250,
                "sampling_steps": 20,
                "detail": 0.15,
                "field": "mlp",
                "width": 32,
                "batch_size": 64,
                "learning_rate": 1e-2,
                "gate": 1.0 if name == "dis" else 0.5,
                "rows": 512,
                "walks": 256,
                "refill_every": 25,
            },
            "small_options": {"steps": 5, "sampling_steps": 5, "batch_size": 16, "rows": 16, "walks": 16},
        }
        for name in ("pis", "dds", "dis", "cmcd")
        for preset in ("default", "log-variance", "kl", "replayed")
    },
    "dikl": {
        "quick_options": {"steps": 600, "width": 24, "depth": 2, "batch_size": 64, "denoiser_batch": 256, "draws": 32},
        "small_options": {"steps": 5, "width": 8, "batch_size": 16, "denoiser_batch": 16, "draws": 8},
    },
    "fab": {
        "quick_options": {"steps": 300, "transforms": 2, "width": 16},
        "small_options": {"steps": 3, "transforms": 1, "width": 8, "walks": 16, "batch_size": 16},
    },
    "rdmc": {"small_options": {"sampling_steps": 4, "draws": 8}},
    **{
        f"idem:{preset}": {
            "quick_options": {
                "steps": 300,
                "width": 32,
                "batch_size": 256,
                "estimates": 256,
                "draws": 64,
                "reuse": 6,
                "sampling_steps": 30,
                "finest": 0.1,
            },
            "small_options": {
                "steps": 5,
                "sampling_steps": 5,
                "batch_size": 16,
                "estimates": 16,
                "draws": 8,
                "walks": 16,
            },
        }
        for preset in ("default", "paper")
    },
    **{
        name: {
            "quick_options": {
                "steps": 40 if name == "lfis" else 200,
                "width": 24,
                "depth": 2,
                "interpolation_steps": 12,
                "batch_size": 256,
                **({"particles": 512} if name == "lfis" else {"walks": 64, "refill_every": 50}),
            },
            "small_options": {
                "steps": 3,
                "width": 8,
                "interpolation_steps": 3,
                "batch_size": 16,
                **({"particles": 32} if name == "lfis" else {"walks": 8}),
            },
        }
        for name in ("nets", "pinn", "lfis")
    },
    "parallel-tempering": {"quick_options": {"temperatures": 5}},
    "vgs:default": {
        "quick_options": {"steps": 300, "sampling_steps": 8, "total_variance": 4.0, "width": 32},
        "small_options": {"steps": 20, "sampling_steps": 5, "batch_size": 16},
    },
    # Half the steps of the recipe's walks, and a walk used four times: what 600 updates of a small network can learn.
    **{
        f"vgs:{preset}": {
            "quick_options": {
                "steps": 600,
                "sampling_steps": 10,
                "value": {"name": "value-fourier-mlp", "width": 32, "depth": 2, "time_width": 32},
                "batch_size": 64,
                "minibatches": 1,
                "updates_per_walk": 4,
                "learning_rate": 3e-3,
            },
            "small_options": {"steps": 20, "sampling_steps": 5, "batch_size": 20},
        }
        for preset in ("paper", "paper-128")
    },
    # A law of two coordinates and positive energies instead of particles.
    "vgs:particles": {
        "quick_options": {
            "steps": 300,
            "sampling_steps": 8,
            "value": {"name": "value-mlp", "width": 32, "depth": 2},
            "total_variance": 2.0,
            "end_variance": 0.05,
            "initial_std": 1.5,
            "energy_clip": None,
        },
        "small_options": {"steps": 20, "sampling_steps": 5, "batch_size": 16},
    },
    **{
        f"vgs-replay:{preset}": {
            "quick_options": {
                "core": None,
                "start_variance": None,
                "total_variance": 4.0,
                "end_variance": 0.1,
                "noise_scale": 1.0,
                "corrections": 0,
                "rows": 2_000,
            },
            "small_options": {"rounds": 1, "walks": 20, "moves": 5, "rows": 40},
        }
        for preset in ("default", "lj13", "dw4")
    },
}
"""Settings of the kit for samplers that need others, by ``name`` or ``name:preset``."""


def label(name: str, preset: str | None) -> str:
    return f"{name}:{preset}" if preset else name


def later(case: tuple[str, str | None]) -> bool:
    """Whether this is no first preset of its sampler: what such ones learn is checked in the slow run only."""
    return case != next(first for first in CASES if first[0] == case[0])


@cache
def subject(name: str, preset: str | None, device: str) -> Subject:
    settings = SETTINGS.get(label(name, preset), {})
    return Subject(catalogue.make("sampler", name, preset=preset), device=device, **settings)


def test_the_built_in_families_are_registered() -> None:
    assert {"bellman", "exact", "langevin", "mala", "annealed-langevin"} <= {name for name, _ in CASES}
    assert ("bellman-fields", "paper") in CASES


# The check on the Gaussian has fixed seeds and tolerances of 0.2 standard deviations and 30 %, against Monte Carlo
# errors of 0.03 and 4.5 %: beyond six standard errors, a false alarm rate below 1e-8 per case for a correct sampler.
@pytest.mark.parametrize(
    ("check", "case"),
    [
        pytest.param(check, case, marks=[pytest.mark.slow] if check is gaussian_is_reproduced and later(case) else [])
        for check in CHECKS
        for case in CASES
    ],
    ids=lambda value: label(*value) if isinstance(value, tuple) else value.__name__,
)
def test_contract(case: tuple[str, str | None], check: Check) -> None:
    result = run_check(check, subject(*case, "cpu"))
    if result.skipped:
        pytest.skip(result.detail)
    assert result.passed, result.detail


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("case", CASES, ids=lambda case: label(*case))
def test_contract_on_a_gpu(case: tuple[str, str | None]) -> None:
    results = [run_check(check, subject(*case, "cuda")) for check in CHECKS]
    assert not [str(result) for result in results if not result.passed]


@pytest.mark.parametrize("name", ["langevin", "annealed-langevin"])
def test_a_sampler_that_follows_another_one(name: str) -> None:
    """A recipe nested in a recipe goes through JSON and checkpoints too; quality is not asked of 20 training steps."""
    nested = Subject(catalogue.make("sampler", name, score={"name": "bellman", "steps": 20}))
    results = [run_check(check, nested) for check in CHECKS if check.__name__ != "gaussian_is_reproduced"]
    assert not [str(result) for result in results if not result.passed]
