"""Run several samplers on one density and weigh what they found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from phys_samplers.errors import ConfigurationError
from phys_samplers.judging.evidence import Evidence, gather, probe
from phys_samplers.judging.verdict import Judgement, weigh
from phys_samplers.options import Part, make_part
from phys_samplers.sampler import Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback

DEFAULT_SAMPLERS: tuple[str, ...] = ("mala", "hmc", "parallel-tempering", "smc", "ais", "vgs")
"""Local chains, which are cheap; three that anneal, which find modes and estimate log Z; one that learns."""


OTHER_STARTS = (5.0, 0.2)
"""By what starts are widened or narrowed where those asked for settled nothing."""


def judge(
    target: Target,
    samplers: Sequence[Part] = DEFAULT_SAMPLERS,
    *,
    n: int = 2_000,
    seed: int = 0,
    scale: float | None = None,
    seconds: float = 120.0,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
    announce: Callable[[str], None] = lambda text: None,
) -> Judgement:
    """Samples of ``target``, its log Z, and which sampler to trust with it.

    Args:
        target: an unnormalised density (``Density(log_prob, event_shape)``, a task); its gradient is needed too.
        samplers: names with options (``"hmc[sampling_steps=500]"``) or recipes that need a density and its score.
        n: samples of each, at least 200.
        seed: of every random draw made here.
        scale: standard deviation of the starting points, where the density is not of the order of one to ten units;
            set as ``prior_std`` of every sampler that has it.
        seconds: after which no further run begins where those asked for settle nothing; 0 for none.
        device: where to compute.
        callbacks: told of training.
        announce: told the text of every sampler before it runs.

    Returns:
        Opinions, samples of the recommended sampler, log Z, and ``table()``.

    Raises:
        ConfigurationError: on a bad ``n`` or scale, or without samplers.
        DensityError: if the density does not do what one must, whatever a sampler would do with it.
        MissingCapability: if the target has no density or no score.
    """
    if n < 200:
        raise ConfigurationError(f"n is {n}; expected at least 200 samples, below which the tests say nothing")
    if scale is not None and not scale > 0:
        raise ConfigurationError(f"scale is {scale!r}; expected a positive standard deviation of the starting points")
    if not samplers:
        raise ConfigurationError("samplers is empty; name at least one, or leave it out for the default ones")
    target.require("log_prob", "score", by="judge")
    recipes = [(_text(part), _scaled(make_part("sampler", part), scale)) for part in samplers]
    probe(target, n=64, scale=scale or 1.0, seed=seed, device=device)
    evidence: list[Evidence] = []
    began = time.perf_counter()
    for text, recipe in recipes:
        announce(text)
        evidence.append(gather(text, recipe, target, n=n, seed=seed, device=device, callbacks=callbacks))
    found = weigh(evidence, target=target.name, seed=seed)
    # nobody to be recommended: the samplers that anneal once more, from wider and from narrower starts
    for factor in OTHER_STARTS:
        for text, recipe in recipes:
            if found.recommended or time.perf_counter() - began > seconds or not hasattr(recipe, "temperatures"):
                continue
            std = factor * recipe.prior_std  # type: ignore[attr-defined]
            again, text = _scaled(recipe, std), f"{text}, prior_std {std:g}"
            announce(text)
            evidence.append(gather(text, again, target, n=n, seed=seed, device=device, callbacks=callbacks))
            found = weigh(evidence, target=target.name, seed=seed)
    return found


def _text(part: Part) -> str:
    return part if isinstance(part, str) else type(part).__name__


def _scaled(recipe: Sampler, scale: float | None) -> Sampler:
    return recipe.with_options(prior_std=scale) if scale is not None and hasattr(recipe, "prior_std") else recipe
