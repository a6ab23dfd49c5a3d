r"""From evidence to a verdict, by six rules.

1. An *unbiased* estimate of Z is rarely far too high (by Markov's inequality it exceeds kZ with probability at most
   1/k) but is too low whenever mass was missed. So the estimate that is significantly the highest tells who covers
   most, and whoever lies significantly below it misses mass. Only estimates of annealed importance sampling, sequential
   Monte Carlo and weighted paths count, and only from runs that are worth enough draws; ratios of bridges between
   tempered chains are too high as easily as too low.
2. Importance weights whose tail has k̂ above .7 say nothing, chains whose rank-normalised R̂ is above 1.05 neither.
3. Among samplers with enough effective draws that satisfy Stein's identities (where the density is smooth, so that they
   hold) and miss nothing, the one with the most effective draws is the reference.
4. No sampler, be it rejected itself, may have met density as high as the reference's far from all of its samples, or
   far higher density anywhere: else the reference may miss mass, and the next one is asked.
5. Whoever differs from the reference in a two-sample test is not to be trusted.
6. Of those left the cheapest effective draw is recommended; that of no sampler that was asked for only if there is no
   other.

A mode that no sampler met leaves no trace: agreement is evidence, not proof.

Source: rule 1 after Grosse, Ancha & Roy 2016, *Measuring the reliability of MCMC inference with bidirectional Monte
Carlo*, Section 2.2; rule 2 after Vehtari et al. 2021 (R̂) and 2024 (k̂).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import click
import torch
from torch import Tensor

from phys_registry.errors import printable
from phys_samplers.judging.evidence import Evidence
from phys_samplers.judging.p_values import far_and_dense, higher, two_sample_p_value
from phys_samplers.layout import table
from phys_samplers.randomness import make_generator
from phys_samplers.shown import Facts, Shown, html_table

ALARM = 1e-3
"""p-values below it are held against a sampler: one false alarm in a thousand tests."""
SIGMAS = 3.0
"""Standard errors between two log Z estimates that are held to differ."""
FEWEST = 100.0
"""Effective draws below which a sampler cannot be the reference."""
COMPARED = 1_000
"""Rows of each side in a two-sample test, at most."""
MIXED = 1.05
"""Rank-normalised split-R̂ up to which chains count as mixed."""
HEAVY = 0.7
"""k̂ of importance weights above which their averages are not to be trusted (Vehtari et al. 2024)."""
UNSTABLE = 0.5
"""k̂ above which weights have no variance, and formulas for errors say too little."""
STRAYED = 3
"""Samples in dense places far from the reference that are held against it."""
HEADINGS = ("sampler", "verdict", "log Z", "draws", "R̂", "∇E", "E", "s", "why")


@dataclass(frozen=True, repr=False)
class Opinion(Shown):
    """What the evidence says of one sampler.

    Attributes:
        evidence: its run.
        verdict: ``trust``, ``biased``, ``misses mass``, ``not mixed``, ``heavy weights``, ``differs``,
            ``too few draws``, ``unresolved`` or ``failed``.
        why: one sentence.
        agreement: p-value of the two-sample test against the reference, None where there was none.
    """

    evidence: Evidence
    verdict: str
    why: str
    agreement: float | None = None

    def _facts(self) -> Facts:
        return [("sampler", self.evidence.sampler), ("verdict", self.verdict), ("why", self.why)]


@dataclass(frozen=True, repr=False)
class Judgement(Shown):
    """All opinions, and what follows.

    Attributes:
        target: name of the density.
        opinions: in the order asked.
        reference: text of the sampler that others were held against; empty if none could serve.
        recommended: text of the trusted sampler whose effective draws cost fewest energy gradients; empty if none is.
        summary: one or two sentences.
    """

    target: str
    opinions: tuple[Opinion, ...]
    reference: str
    recommended: str
    summary: str

    @property
    def best(self) -> Evidence | None:
        """The run of the recommended sampler."""
        return next((o.evidence for o in self.opinions if o.evidence.sampler == self.recommended), None)

    @property
    def samples(self) -> Tensor | None:
        """Samples (n, *event_shape) of the recommended sampler."""
        return self.best.samples if self.best else None

    @property
    def log_z(self) -> tuple[float, float] | None:
        """log Z and its standard error, from the unbiased estimate with the smallest error among trusted samplers."""
        best = self._best_known
        if best is None or best.log_z is None:
            return None
        return best.log_z, _stated_error(best)

    @property
    def _best_known(self) -> Evidence | None:
        trusted = [o.evidence for o in self.opinions if o.verdict == "trust"]
        known = [run for run in trusted if run.log_z is not None and run.unbiased]
        return min(known, key=_stated_error, default=None)

    def __str__(self) -> str:
        return click.unstyle(self.table())

    def _title(self) -> str:
        return f"Judgement of {self.target!r}"

    def _facts(self) -> Facts:
        found = self.log_z
        facts = [("recommended", self.recommended or "none")]
        facts += [("log Z", f"{found[0]:.3f} ± {found[1]:.3f}")] if found else []
        return [*facts, *((opinion.evidence.sampler, opinion.verdict) for opinion in self.opinions)]

    def _repr_html_(self) -> str:
        rows = [[str(cell) for cell in _row(opinion)] for opinion in self.opinions]
        return f"{html_table(self._title(), rows, HEADINGS)}<p>{escape(self.summary)}</p>"

    def table(self, width: int | None = None) -> str:
        """A row per sampler, then the summary.

        ``draws``: effective independent draws; ``∇E`` and ``E``: energy gradients, and energies without a gradient, per
        sample with training included; ``s``: seconds.

        Args:
            width: columns to fit into; the terminal's if None.
        """
        found = self.log_z
        total = "" if found is None else f"log Z = {found[0]:.3f} ± {found[1]:.3f}. "
        if self._best_known is not None and self._best_known.at_least:
            total = f"{total[:-2]}, or more: its weights have a heavy tail. "
        rows = table([_row(opinion) for opinion in self.opinions], HEADINGS, width=width)
        return f"{rows}\n\n{printable(total + self.summary)}"


def weigh(evidence: Sequence[Evidence], *, target: str, seed: int) -> Judgement:
    """Apply the rules.

    Args:
        evidence: one run per sampler.
        target: name of the density.
        seed: of the rows compared and the permutations.
    """
    covering = _highest_floor(evidence)
    first = {run.sampler: _alone(run, covering) for run in evidence}
    reference = None
    able = [r for r in evidence if first[r.sampler][0] == "trust" and r.log_z is not None and r.unbiased and _enough(r)]
    for run in sorted(able, key=lambda run: run.effective or 0.0, reverse=True):
        if reason := _missed_by(run, evidence):
            first[run.sampler] = "misses mass", reason
        elif reference is None:
            reference = run
    opinions = tuple(_held_against(run, *first[run.sampler], reference, seed) for run in evidence)
    trusted = [opinion.evidence for opinion in opinions if opinion.verdict == "trust"]
    recommended = min(trusted, key=lambda run: (run.improvised, run.cost), default=None) if reference else None
    return Judgement(
        target,
        opinions,
        reference.sampler if reference else "",
        recommended.sampler if recommended else "",
        _summary(evidence, opinions, reference, recommended),
    )


def _highest_floor(evidence: Sequence[Evidence]) -> tuple[float, str] | None:
    """The largest log Z − 3 standard errors, and whose."""
    floors = [
        (run.log_z - SIGMAS * _stated_error(run), run.sampler)
        for run in evidence
        if run.finished and run.log_z is not None and run.unbiased and _enough(run) and not _heavy(run)
    ]
    return max(floors, default=None)


def _stated_error(run: Evidence) -> float:
    """The error of log Z; three times that of the formula where weights have no variance, which k̂ above ½ says."""
    return run.log_z_std * (3.0 if run.pareto is not None and run.pareto > UNSTABLE else 1.0)


def _heavy(run: Evidence) -> bool:
    return run.pareto is not None and run.pareto > HEAVY


def _missed_by(run: Evidence, evidence: Sequence[Evidence]) -> str:
    """Who has samples where density is as high as at those of ``run``, far from all of them; empty if nobody."""
    assert run.z is not None
    for other in evidence:
        if other is run or other.z is None or other.log_prob is None or run.log_prob is None:
            continue
        if (count := far_and_dense(run.z, run.log_prob, other.z, other.log_prob)) >= STRAYED:
            return f"{count} samples of {other.sampler} lie far from all of its own, where density is as high"
        if (count := higher(run.z, run.log_prob, other.log_prob)) >= STRAYED:
            return f"{count} samples of {other.sampler} lie where density is far higher than it ever met: a narrow part"
    return ""


def _enough(run: Evidence) -> bool:
    return run.effective is not None and run.effective >= FEWEST


def _alone(run: Evidence, covering: tuple[float, str] | None) -> tuple[str, str]:
    """Verdict and reason before any two-sample test."""
    if not run.finished:
        return "failed", run.error
    if run.stein < ALARM:
        return (
            "biased",
            f"Stein's identities fail (p = {run.stein:.1e}): a step too large, or chains still on their way",
        )
    if covering and run.log_z is not None and run.unbiased and run.log_z + SIGMAS * _stated_error(run) < covering[0]:
        return "misses mass", f"its log Z of {run.log_z:.2f} lies below that of {covering[1]}"
    if _heavy(run):
        return "heavy weights", f"k̂ of its weights is {run.pareto:.2f}: a few decide; more temperatures, a wider start"
    if run.rhat is not None and run.rhat > MIXED:
        return "not mixed", f"R̂ is {run.rhat:.2f}: chains stay where they started; run more steps, or temper"
    if run.log_z is not None and not _enough(run):
        return "too few draws", f"worth {run.effective or 0:.0f} independent draws; expected {FEWEST:.0f} or more"
    return "trust", "nothing held against it"


def _held_against(run: Evidence, verdict: str, why: str, reference: Evidence | None, seed: int) -> Opinion:
    """The opinion after the two-sample test; one without a reference is nobody's trust."""
    if not run.finished or run.z is None:
        return Opinion(run, verdict, why)
    if reference is None:
        if verdict == "trust":
            return Opinion(run, "unresolved", "no sampler can serve as the reference")
        return Opinion(run, verdict, why)
    if run is reference:
        return Opinion(run, verdict, "the reference: most effective draws among those that miss nothing")
    assert reference.z is not None
    p_value = _agreement(run, reference, seed)
    if verdict == "trust" and p_value < ALARM:
        return Opinion(run, "differs", f"its samples differ from those of {reference.sampler}", p_value)
    if verdict == "trust":
        why = f"agrees with {reference.sampler}"
    return Opinion(run, verdict, why, p_value)


def _agreement(run: Evidence, reference: Evidence, seed: int) -> float:
    """Two-sample p-value on as many random rows as both sides are worth independent draws."""
    assert run.z is not None
    assert reference.z is not None
    worth = [len(r.z) if r.effective is None else r.effective for r in (run, reference) if r.z is not None]
    m = max(20, int(min(COMPARED, *worth)))
    generator = make_generator(seed, "two-sample", run.sampler, device=run.z.device)

    def some(z: Tensor) -> Tensor:
        return z[torch.randperm(len(z), generator=generator, device=z.device)[: min(m, len(z))]]

    return two_sample_p_value(some(run.z), some(reference.z), generator=generator)


def _summary(
    evidence: Sequence[Evidence],
    opinions: Sequence[Opinion],
    reference: Evidence | None,
    recommended: Evidence | None,
) -> str:
    if reference is None or recommended is None:
        return f"None yet: {_advice(evidence, opinions)}"
    agreeing = sum(opinion.verdict == "trust" for opinion in opinions)
    return (
        f"Take {recommended.sampler}: {agreeing} of {len(opinions)} samplers agree, and its effective draws cost "
        f"fewest energy gradients ({recommended.cost:,.0f} each). CANNOT BE SEEN: a mode that none of them met, such "
        "as a narrow spike, would leave no trace."
    )


def _advice(evidence: Sequence[Evidence], opinions: Sequence[Opinion]) -> str:
    """Why nobody is recommended, and what to do."""
    tried = sum(run.log_z is not None and run.unbiased for run in evidence)
    found = {opinion.verdict for opinion in opinions}
    steps = []
    if found & {"failed", "misses mass", "heavy weights"}:
        steps.append(
            "start at a scale that covers the density (`--scale`, in Python `scale=`), or move it to the origin"
        )
    if found & {"too few draws", "not mixed", "unresolved"}:
        steps.append("raise budgets (temperatures, steps, particles)")
    return (
        f"of {tried} samplers with an unbiased estimate of log Z none has {FEWEST:.0f} effective draws and nothing "
        f"held against it. Next: {'; '.join(steps) or 'add samplers that anneal (smc, ais)'}."
    )


def _row(opinion: Opinion) -> tuple[str, ...]:
    run = opinion.evidence
    name = opinion.verdict
    if not run.finished:
        return (run.sampler, name, "", "", "", "", "", f"{run.seconds:.1f}", opinion.why)
    return (
        run.sampler,
        name,
        "–" if run.log_z is None else _estimate(run.log_z, run.log_z_std),
        "–" if run.effective is None else f"{run.effective:,.0f}",
        "–" if run.rhat is None else f"{run.rhat:.2f}",
        f"{run.gradients:,.0f}",
        f"{run.densities:,.0f}",
        f"{run.seconds:.1f}",
        opinion.why,
    )


def _estimate(value: float, std: float) -> str:
    return f"{value:.3f} ± {std:.3f}" if math.isfinite(std) else f"{value:.3f}"
