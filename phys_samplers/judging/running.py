"""Run several samplers on one density and weigh what they found."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from phys_samplers.density import FlatDensity
from phys_samplers.errors import ConfigurationError
from phys_samplers.judging.borders import name_border
from phys_samplers.judging.evidence import Evidence, gather, probe
from phys_samplers.judging.pooled import pooled
from phys_samplers.judging.units import Units, plain_units, refuse_improper, seen_units
from phys_samplers.judging.verdict import Judgement, weigh
from phys_samplers.options import Part, make_part
from phys_samplers.sampler import Sampler
from phys_samplers.target import Target
from phys_samplers.training import Callback

DEFAULT_SAMPLERS: tuple[str, ...] = ("smc", "ais", "mala", "hmc", "nuts[max_depth=6]", "parallel-tempering", "vgs")
"""Two that anneal, which find modes and estimate log Z; chains, of which one is tempered; one that learns."""
WIDTHS = (1.5, 5.0, 0.5)
"""Starts of the samplers that anneal where those asked for settle nothing, in half the range of all samples seen."""
PARTICLES = 4_000
"""Of sequential Monte Carlo then, at least."""


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
        seconds: after which no further run begins, neither of those asked for, of which the first two run in any case,
            nor of those that follow where these settle nothing. Where those that anneal settle nothing, others of those
            asked for begin in the first half only.
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
    refuse_improper(target, scale=scale or 1.0, seed=seed, device=device)
    evidence: list[Evidence] = []
    began = time.perf_counter()

    def run(text: str, recipe: Sampler, units: Units | None) -> None:
        announce(text)
        where = target if units is None else units.target
        found = gather(text, recipe, where, n=n, seed=seed, device=device, callbacks=callbacks)
        evidence.append(found if units is None else units.undone(found))

    plain = plain_units(target, scale=scale or 1.0, seed=seed, device=device)
    for text, recipe in recipes:
        spent = time.perf_counter() - began
        if len(evidence) > 1 and spent > seconds:
            evidence.append(Evidence(sampler=text, error=f"not run: {seconds:g} s were over (seconds=)"))
        elif (
            len(evidence) > 1
            and spent > seconds / 2
            and not _anneals(recipe)
            and any(_anneals(part) for _, part in recipes)
            and not weigh(evidence, target=target.name, seed=seed).recommended
        ):
            why = f"half of {seconds:g} s were over, the rest is for those that anneal (seconds=)"
            evidence.append(Evidence(sampler=text, error=f"not run: {why}"))
        else:
            run(text, recipe, plain)

    def pool() -> None:
        if time.perf_counter() - began > seconds:
            return
        if extra := pooled(target, evidence, n=n, scale=scale or 1.0, seed=seed, device=device):
            evidence.append(extra)

    pool()
    found = weigh(evidence, target=target.name, seed=seed)
    # nobody to be recommended: those that anneal once more, from where anybody has been, with more particles
    for width in WIDTHS:
        units = None if found.recommended else seen_units(target, evidence, device=device)
        for text, recipe in recipes if units else ():
            if _anneals(recipe) and time.perf_counter() - began < seconds:
                run(f"{text}, {width:g} × what was seen", _escalated(recipe, n, width), units)
        if units:
            pool()
        found = weigh(evidence, target=target.name, seed=seed)
    if not found.recommended and time.perf_counter() - began > seconds:
        found = replace(found, summary=f"{found.summary} All of {seconds:g} s were over: give more (seconds=).")
    if met := next((run for run in evidence if run.smoothness == "border" and run.z is not None), None):
        assert met.z is not None
        told = name_border(FlatDensity(target.to(device)), met.z, seed=seed)
        found = replace(found, summary=f"{found.summary} {told}")
    return found


def _anneals(recipe: Sampler) -> bool:
    """Whether it goes through temperatures, from a start that covers the density."""
    return hasattr(recipe, "temperatures")


def _escalated(recipe: Sampler, n: int, width: float) -> Sampler:
    """A recipe of one that anneals, with more of what it works with, from N(0, width² I)."""
    changes: dict[str, Any] = {"prior_std": width}
    if isinstance(recipe.options().get("temperatures"), int):
        changes["temperatures"] = 2 * recipe.options()["temperatures"]
    if "particles" in recipe.options():
        changes["particles"] = max(PARTICLES, n)
    if "pilot" in recipe.options():
        changes["pilot"] = PARTICLES
    return recipe.with_options(**changes)


def _text(part: Part) -> str:
    return part if isinstance(part, str) else type(part).__name__


def _scaled(recipe: Sampler, scale: float | None) -> Sampler:
    return recipe.with_options(prior_std=scale) if scale is not None and hasattr(recipe, "prior_std") else recipe
