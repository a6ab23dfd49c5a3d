"""The metrics, as the registry lists them; this module must not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from phys_registry import Component


def _metric(
    name: str,
    target: str,
    summary: str,
    *,
    best: str = "low",
    needs: tuple[str, ...] = ("rows",),
    reference: str = "",
    citation: str = "",
    presets: Mapping[str, Mapping[str, Any]] | None = None,
) -> Component:
    return Component(
        "metric",
        name,
        f"phys_samplers.metrics.{target}",
        summary=summary,
        reference=reference,
        citation=citation,
        needs=set(needs),
        presets=presets,
        traits={"best": best},
    )


AGENT = ("experience", "model")
"""What scores of return models and of agents need."""

SETS = "arXiv:2310.13102, App. D; Xu 2024, Eq. B.1"
SET_METRICS: tuple[Component, ...] = tuple(
    _metric(
        name,
        f"sets:{attribute}",
        summary,
        best=best,
        needs=("rows", "sets", *more),
        reference=SETS,
        citation="corso2023particle",
    )
    for name, attribute, best, more, summary in (
        ("set-modes", "SetModes", "high", ("modes",), "modes that a set of samples reaches"),
        ("off-mode", "OffMode", "low", ("modes",), "share of samples in no mode"),
        ("set-similarity", "SetSimilarity", "low", (), "mean similarity of the pairs of a set"),
        ("set-recall", "SetRecall", "high", (), "share of exact rows with a sample of the set near by"),
        ("set-precision", "SetPrecision", "high", (), "share of samples with an exact row near by"),
        ("set-marginal", "SetMarginal", "low", (), "W2 of all samples of all sets: the error of the marginal law"),
    )
)
"""Of samples that come in sets."""

METRICS: tuple[Component, ...] = (
    _metric(
        "w1",
        "transport:W1",
        "exact Wasserstein-1 distance of two equally weighted point sets",
        reference="POT, ot.emd2",
        citation="flamary2021pot",
    ),
    _metric(
        "w2",
        "transport:W2",
        "exact Wasserstein-2 distance (root of the squared cost) of two equally weighted point sets",
        reference="POT, ot.emd2",
        citation="flamary2021pot",
    ),
    _metric(
        "sliced-w2",
        "transport:SlicedW2",
        "Wasserstein-2 distance averaged over random one-dimensional projections",
        reference="Bonneel et al. 2015",
        citation="bonneel2015sliced",
    ),
    _metric(
        "sinkhorn",
        "sinkhorn:Sinkhorn",
        "entropic Wasserstein distance, not debiased; run until converged, or cut short (preset vgs)",
        reference="Cuturi 2013",
        citation="cuturi2013sinkhorn flamary2021pot",
        presets={
            "vgs": {"power": 1, "regularisation": 0.001, "absolute": True, "tolerance": None, "max_iterations": 100}
        },
    ),
    _metric(
        "frechet",
        "summaries:Frechet",
        "squared Fréchet distance of the Gaussians fitted to features, or to coordinates without features",
        reference="Heusel et al. 2017, Eq. 6; Dowson and Landau 1982",
        citation="heusel2017gans dowson1982frechet",
    ),
    _metric(
        "mmd2",
        "two_sample:MMD2",
        "unbiased squared maximum mean discrepancy, sum of Gaussian kernels; can be negative",
        best="zero",
        reference="Gretton et al. 2012, Eq. 3",
        citation="gretton2012kernel",
    ),
    _metric(
        "energy-distance",
        "two_sample:EnergyDistance",
        "unbiased energy distance, no root; can be negative",
        best="zero",
        reference="Székely and Rizzo 2013",
        citation="szekely2013energy",
    ),
    _metric(
        "1nn",
        "two_sample:OneNearestNeighbour",
        "leave-one-out nearest-neighbour two-sample accuracy; one half for equal laws",
        best="half",
        reference="Lopez-Paz and Oquab 2017, Section 3",
        citation="lopezpaz2017revisiting",
    ),
    _metric(
        "variance-ratio",
        "summaries:VarianceRatio",
        "variance of samples over variance of reference, mean over coordinates",
        best="one",
    ),
    _metric(
        "memorisation",
        "two_sample:Memorisation",
        "median distance to the nearest training row, of samples over that of held-out rows",
        best="one",
        needs=("rows", "samples"),
        reference="after Meehan et al. 2020",
        citation="meehan2020nonparametric",
    ),
    _metric(
        "mode-tv",
        "summaries:ModeTV",
        "total variation distance between mode frequencies and exact mode weights",
        needs=("modes", "rows"),
    ),
    _metric(
        "tvd-e",
        "summaries:EnergyTVD",
        "total variation distance of energy histograms, 200 bins over the reference's range",
        needs=("log_prob", "rows"),
        reference="He et al. 2024; Value Gradient Sampler, Appendix E.2",
        citation="he2024training",
        presets={"fixed": {"bins": 200, "low": -100.0, "high": 100.0}},
    ),
    _metric(
        "tvd-d",
        "summaries:DistanceTVD",
        "total variation distance of histograms of distances between particles, 200 bins over the reference's",
        needs=("particles", "rows"),
        reference="He et al. 2024; Value Gradient Sampler, Appendix E.2",
        citation="he2024training",
        presets={"fixed": {"bins": 200, "low": -100.0, "high": 100.0}},
    ),
    _metric(
        "delta-std",
        "summaries:DeltaStd",
        "absolute error of the marginal standard deviations, mean over coordinates",
        reference="Richter and Berner 2024",
        citation="richter2024improved",
    ),
    _metric(
        "tail-quantiles",
        "tails:TailQuantiles",
        "absolute log errors of four quantiles, .5 to .999, of all coordinates and of the distance, summed",
    ),
    _metric(
        "tail-index",
        "tails:TailIndex",
        "log of the Hill tail index of samples over the reference's; below 0 where tails are too heavy",
        best="zero",
        reference="Hill 1975, Eq. 2.5",
        citation="hill1975simple",
    ),
    _metric(
        "mean-error",
        "summaries:MeanError",
        "largest error of a coordinate's mean, in standard deviations of the reference",
    ),
    _metric(
        "resampled",
        "densities:Resampled",
        "another metric (option metric, else w1) of samples resampled by their importance weights, if any",
        needs=("draw", "rows"),
    ),
    _metric(
        "by-class",
        "classes:ByClass",
        "another metric (option metric, else w2) of samples drawn given a class: mean over classes, or of one (only)",
        needs=("conditions", "rows"),
    ),
    _metric(
        "log-z-error",
        "densities:LogZError",
        "error of the sampler's own estimate of log Z, signed",
        best="zero",
        needs=("draw", "log_z"),
    ),
    _metric("elbo-gap", "densities:ElboGap", "log Z minus the sampler's lower bound of it", needs=("draw", "log_z")),
    _metric(
        "ess",
        "densities:ESS",
        "effective independent draws per sample, as the sampler states it",
        best="high",
        needs=("draw",),
    ),
    _metric(
        "ess-per-gradient",
        "densities:ESSPerGradient",
        "effective independent draws per evaluation of the energy or its gradient, training included",
        best="high",
        needs=("costs", "draw"),
    ),
    _metric(
        "ess-per-second",
        "densities:ESSPerSecond",
        "effective independent draws per second of training and sampling",
        best="high",
        needs=("costs", "draw"),
    ),
    _metric(
        "nll",
        "densities:NLL",
        "mean negative log-likelihood of held-out rows under the model, in nats",
        needs=("model", "rows"),
    ),
    _metric(
        "energy-tv",
        "densities:DensityTV",
        "total variation distance of the model's own density from the true one, in one or two dimensions",
        needs=("log_prob", "model", "rows"),
    ),
    _metric(
        "ksd",
        "densities:KSD",
        "squared kernelised Stein discrepancy, inverse multiquadric kernel, unbiased; can be negative",
        best="zero",
        needs=("score",),
        reference="Liu et al. 2016, Eq. 14; Gorham and Mackey 2017",
        citation="liu2016kernelized gorham2017measuring",
    ),
    _metric(
        "return-auc",
        "learning:AreaUnderCurve",
        "mean of an agent's learning curve (greedy returns) over its training",
        best="high",
        needs=AGENT,
    ),
    _metric(
        "late-return",
        "learning:LateReturn",
        "mean greedy return over the last fifth of an agent's training",
        best="high",
        needs=AGENT,
    ),
    _metric(
        "steps-to",
        "learning:StepsTo",
        "environment steps until the greedy return first reaches a level; all of them if it never does",
        needs=AGENT,
    ),
    _metric(
        "final-return",
        "learning:FinalReturn",
        "mean greedy return of the finished agent, or of its worst episodes",
        best="high",
        needs=AGENT,
    ),
    _metric(
        "return-w1",
        "returns:ReturnW1",
        "Wasserstein-1 distance of learned laws of returns to the exact ones, mean over states, range 1",
        needs=AGENT,
    ),
    _metric(
        "return-cramer",
        "returns:ReturnCramer",
        "squared Cramér distance of learned laws of returns to the exact ones, mean over states",
        needs=AGENT,
    ),
    _metric(
        "return-mean-error",
        "returns:ReturnMeanError",
        "error of expected returns, mean over states (option largest), as a share of the range",
        needs=AGENT,
    ),
    _metric(
        "return-quantile-error",
        "returns:ReturnQuantileError",
        "error of five quantiles of the return, mean over them and over states",
        needs=AGENT,
    ),
    _metric(
        "return-tail-error",
        "returns:ReturnTailError",
        "error of the mean of the worst tenth of returns, mean over states",
        needs=AGENT,
        reference="Rockafellar and Uryasev 2000",
        citation="rockafellar2000optimization",
    ),
    _metric(
        "return-mass-error",
        "returns:ReturnMassError",
        "how far the weights of learned laws are from summing to one",
        needs=AGENT,
    ),
    _metric(
        "expected-return",
        "learning:ExpectedReturn",
        "discounted return that an agent expects of its best action in one state of a finite environment",
        best="high",
        needs=AGENT,
    ),
    _metric(
        "choice-regret",
        "learning:ChoiceRegret",
        "what an agent's choices are worth less than the best ones, where worth is exactly known",
        needs=AGENT,
    ),
    _metric(
        "choice-error",
        "learning:ChoiceError",
        "error of an agent's idea of what actions are worth, where that is exactly known",
        needs=AGENT,
    ),
)
