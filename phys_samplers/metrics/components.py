"""The metrics, as the registry lists them; this module must not import torch."""

from __future__ import annotations

from phys_registry import Component

POT = """@article{flamary2021pot,
  title = {{POT}: {P}ython {O}ptimal {T}ransport},
  author = {Flamary, R{\\'e}mi and Courty, Nicolas and Gramfort, Alexandre and others},
  journal = {Journal of Machine Learning Research}, volume = {22}, number = {78}, pages = {1--8}, year = {2021}
}"""

SLICED = """@article{bonneel2015sliced,
  title = {Sliced and {R}adon {W}asserstein Barycenters of Measures},
  author = {Bonneel, Nicolas and Rabin, Julien and Peyr{\\'e}, Gabriel and Pfister, Hanspeter},
  journal = {Journal of Mathematical Imaging and Vision}, volume = {51}, number = {1}, pages = {22--45}, year = {2015}
}"""

SINKHORN = """@inproceedings{cuturi2013sinkhorn,
  title = {Sinkhorn Distances: Lightspeed Computation of Optimal Transport},
  author = {Cuturi, Marco},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {26}, year = {2013}
}"""

MMD = """@article{gretton2012kernel,
  title = {A Kernel Two-Sample Test},
  author = {Gretton, Arthur and Borgwardt, Karsten M. and Rasch, Malte J. and Sch{\\"o}lkopf, Bernhard and Smola,
    Alexander},
  journal = {Journal of Machine Learning Research}, volume = {13}, pages = {723--773}, year = {2012}
}"""

ENERGY_DISTANCE = """@article{szekely2013energy,
  title = {Energy Statistics: A Class of Statistics Based on Distances},
  author = {Sz{\\'e}kely, G{\\'a}bor J. and Rizzo, Maria L.},
  journal = {Journal of Statistical Planning and Inference}, volume = {143}, number = {8}, pages = {1249--1272},
  year = {2013}
}"""

ONE_NN = """@inproceedings{lopezpaz2017revisiting,
  title = {Revisiting Classifier Two-Sample Tests},
  author = {Lopez-Paz, David and Oquab, Maxime},
  booktitle = {International Conference on Learning Representations}, year = {2017}
}"""

DATA_COPYING = """@inproceedings{meehan2020nonparametric,
  title = {A Non-Parametric Test to Detect Data-Copying in Generative Models},
  author = {Meehan, Casey and Chaudhuri, Kamalika and Dasgupta, Sanjoy},
  booktitle = {International Conference on Artificial Intelligence and Statistics}, year = {2020}
}"""

TVD_E = """@misc{he2024training,
  title = {Training Neural Samplers with Reverse Diffusive {KL} Divergence},
  author = {He, Jiajun and Chen, Wenlin and Zhang, Mingtian and Barber, David and Hern{\\'a}ndez-Lobato, Jos{\\'e}
    Miguel},
  year = {2024}, eprint = {2410.12456}, archiveprefix = {arXiv}
}"""

DELTA_STD = """@inproceedings{richter2024improved,
  title = {Improved Sampling via Learned Diffusions},
  author = {Richter, Lorenz and Berner, Julius},
  booktitle = {International Conference on Learning Representations}, year = {2024}
}"""

KSD = """@inproceedings{liu2016kernelized,
  title = {A Kernelized {S}tein Discrepancy for Goodness-of-fit Tests},
  author = {Liu, Qiang and Lee, Jason D. and Jordan, Michael I.},
  booktitle = {International Conference on Machine Learning}, year = {2016}
}

@inproceedings{gorham2017measuring,
  title = {Measuring Sample Quality with Kernels},
  author = {Gorham, Jackson and Mackey, Lester},
  booktitle = {International Conference on Machine Learning}, year = {2017}
}"""

FRECHET = """@inproceedings{heusel2017gans,
  title = {{GAN}s Trained by a Two Time-Scale Update Rule Converge to a Local {N}ash Equilibrium},
  author = {Heusel, Martin and Ramsauer, Hubert and Unterthiner, Thomas and Nessler, Bernhard and Hochreiter, Sepp},
  booktitle = {Advances in Neural Information Processing Systems}, volume = {30}, year = {2017}
}

@article{dowson1982frechet,
  title = {The {F}r{\\'e}chet Distance between Multivariate Normal Distributions},
  author = {Dowson, D. C. and Landau, B. V.},
  journal = {Journal of Multivariate Analysis}, volume = {12}, number = {3}, pages = {450--455}, year = {1982},
  doi = {10.1016/0047-259X(82)90077-X}
}"""

TAILS = """@article{rockafellar2000optimization,
  title = {Optimization of Conditional Value-at-Risk}, author = {Rockafellar, R. Tyrrell and Uryasev, Stanislav},
  journal = {Journal of Risk}, volume = {2}, number = {3}, pages = {21--41}, year = {2000}
}"""

METRICS: tuple[Component, ...] = (
    Component(
        "metric",
        "w1",
        "phys_samplers.metrics.wasserstein:W1",
        summary="exact Wasserstein-1 distance of two equally weighted point sets",
        reference="POT, ot.emd2",
        citation=POT,
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "w2",
        "phys_samplers.metrics.wasserstein:W2",
        summary="exact Wasserstein-2 distance (root of the squared cost) of two equally weighted point sets",
        reference="POT, ot.emd2",
        citation=POT,
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "sliced-w2",
        "phys_samplers.metrics.sliced:SlicedW2",
        summary="Wasserstein-2 distance averaged over random one-dimensional projections",
        reference="Bonneel et al. 2015",
        citation=SLICED,
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "sinkhorn",
        "phys_samplers.metrics.sinkhorn:Sinkhorn",
        summary="entropic Wasserstein distance, not debiased; run until converged, or cut short (preset vgs)",
        reference="Cuturi 2013",
        citation=f"{SINKHORN}\n\n{POT}",
        presets={
            "vgs": {"power": 1, "regularisation": 1e-3, "absolute": True, "tolerance": None, "max_iterations": 100}
        },
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "frechet",
        "phys_samplers.metrics.frechet:Frechet",
        summary="squared Fréchet distance of the Gaussians fitted to features, or to coordinates without features",
        reference="Heusel et al. 2017, Eq. 6; Dowson and Landau 1982",
        citation=FRECHET,
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "mmd2",
        "phys_samplers.metrics.mmd:MMD2",
        summary="unbiased squared maximum mean discrepancy, sum of Gaussian kernels; can be negative",
        reference="Gretton et al. 2012, Eq. 3",
        citation=MMD,
        traits={"best": "zero"},
    ),
    Component(
        "metric",
        "energy-distance",
        "phys_samplers.metrics.energy_distance:EnergyDistance",
        summary="unbiased energy distance, no root; can be negative",
        reference="Székely and Rizzo 2013",
        citation=ENERGY_DISTANCE,
        traits={"best": "zero"},
    ),
    Component(
        "metric",
        "1nn",
        "phys_samplers.metrics.one_nn:OneNearestNeighbour",
        summary="leave-one-out nearest-neighbour two-sample accuracy; one half for equal laws",
        reference="Lopez-Paz and Oquab 2017, Section 3",
        citation=ONE_NN,
        traits={"best": "half"},
    ),
    Component(
        "metric",
        "variance-ratio",
        "phys_samplers.metrics.moments:VarianceRatio",
        summary="variance of samples over variance of reference, mean over coordinates",
        traits={"best": "one"},
    ),
    Component(
        "metric",
        "memorisation",
        "phys_samplers.metrics.memorisation:Memorisation",
        summary="median distance to the nearest training row, of samples over that of held-out rows",
        reference="after Meehan et al. 2020",
        needs={"samples"},
        citation=DATA_COPYING,
        traits={"best": "one"},
    ),
    Component(
        "metric",
        "mode-tv",
        "phys_samplers.metrics.mode_weights:ModeTV",
        summary="total variation distance between mode frequencies and exact mode weights",
        needs={"modes"},
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "tvd-e",
        "phys_samplers.metrics.energy_histogram:EnergyTVD",
        summary="total variation distance of energy histograms, 200 bins over the reference's range",
        reference="He et al. 2024; Value Gradient Sampler, Appendix E.2",
        needs={"log_prob"},
        citation=TVD_E,
        presets={"fixed": {"bins": 200, "low": -100.0, "high": 100.0}},
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "tvd-d",
        "phys_samplers.metrics.distance_histogram:DistanceTVD",
        summary="total variation distance of histograms of distances between particles, 200 bins over the reference's",
        reference="He et al. 2024; Value Gradient Sampler, Appendix E.2",
        needs={"particles"},
        citation=TVD_E,
        presets={"fixed": {"bins": 200, "low": -100.0, "high": 100.0}},
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "delta-std",
        "phys_samplers.metrics.moments:DeltaStd",
        summary="absolute error of the marginal standard deviations, mean over coordinates",
        reference="Richter and Berner 2024",
        citation=DELTA_STD,
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "mean-error",
        "phys_samplers.metrics.moments:MeanError",
        summary="largest error of a coordinate's mean, in standard deviations of the reference",
        traits={"best": "low"},
    ),
    Component(
        "metric",
        "resampled",
        "phys_samplers.metrics.resampled:Resampled",
        summary="another metric (option metric, else w1) of samples resampled by their importance weights, if any",
        traits={"best": "low", "needs_draw": True},
    ),
    Component(
        "metric",
        "log-z-error",
        "phys_samplers.metrics.draws:LogZError",
        summary="error of the sampler's own estimate of log Z, signed",
        needs={"log_z"},
        traits={"best": "zero", "needs_draw": True},
    ),
    Component(
        "metric",
        "elbo-gap",
        "phys_samplers.metrics.draws:ElboGap",
        summary="log Z minus the sampler's lower bound of it",
        needs={"log_z"},
        traits={"best": "low", "needs_draw": True},
    ),
    Component(
        "metric",
        "ess",
        "phys_samplers.metrics.draws:ESS",
        summary="effective independent draws per sample, as the sampler states it",
        traits={"best": "high", "needs_draw": True},
    ),
    Component(
        "metric",
        "ess-per-gradient",
        "phys_samplers.metrics.draws:ESSPerGradient",
        summary="effective independent draws per evaluation of the energy or its gradient, training included",
        traits={"best": "high", "needs_draw": True},
    ),
    Component(
        "metric",
        "ess-per-second",
        "phys_samplers.metrics.draws:ESSPerSecond",
        summary="effective independent draws per second of training and sampling",
        traits={"best": "high", "needs_draw": True},
    ),
    Component(
        "metric",
        "nll",
        "phys_samplers.metrics.likelihood:NLL",
        summary="mean negative log-likelihood of held-out rows under the model, in nats",
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "energy-tv",
        "phys_samplers.metrics.energy_grid:DensityTV",
        summary="total variation distance of the model's own density from the true one, in one or two dimensions",
        needs={"log_prob"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "ksd",
        "phys_samplers.metrics.stein:KSD",
        summary="squared kernelised Stein discrepancy, inverse multiquadric kernel, unbiased; can be negative",
        reference="Liu et al. 2016, Eq. 14; Gorham and Mackey 2017",
        needs={"score"},
        citation=KSD,
        traits={"best": "zero"},
    ),
    Component(
        "metric",
        "return-auc",
        "phys_samplers.metrics.learning:AreaUnderCurve",
        summary="mean of an agent's learning curve (greedy returns) over its training",
        needs={"experience"},
        traits={"best": "high", "needs_model": True},
    ),
    Component(
        "metric",
        "late-return",
        "phys_samplers.metrics.learning:LateReturn",
        summary="mean greedy return over the last fifth of an agent's training",
        needs={"experience"},
        traits={"best": "high", "needs_model": True},
    ),
    Component(
        "metric",
        "steps-to",
        "phys_samplers.metrics.learning:StepsTo",
        summary="environment steps until the greedy return first reaches a level; all of them if it never does",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "final-return",
        "phys_samplers.metrics.learning:FinalReturn",
        summary="mean greedy return of the finished agent, or of its worst episodes",
        needs={"experience"},
        traits={"best": "high", "needs_model": True},
    ),
    Component(
        "metric",
        "return-w1",
        "phys_samplers.metrics.returns:ReturnW1",
        summary="Wasserstein-1 distance of learned laws of returns to the exact ones, mean over states, range 1",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "return-cramer",
        "phys_samplers.metrics.returns:ReturnCramer",
        summary="squared Cramér distance of learned laws of returns to the exact ones, mean over states",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "return-mean-error",
        "phys_samplers.metrics.returns:ReturnMeanError",
        summary="error of expected returns, mean over states (option largest), as a share of the range",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "return-quantile-error",
        "phys_samplers.metrics.returns:ReturnQuantileError",
        summary="error of five quantiles of the return, mean over them and over states",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "return-tail-error",
        "phys_samplers.metrics.returns:ReturnTailError",
        summary="error of the mean of the worst tenth of returns, mean over states",
        reference="Rockafellar and Uryasev 2000",
        citation=TAILS,
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "return-mass-error",
        "phys_samplers.metrics.returns:ReturnMassError",
        summary="how far the weights of learned laws are from summing to one",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "expected-return",
        "phys_samplers.metrics.learning:ExpectedReturn",
        summary="discounted return that an agent expects of its best action in one state of a finite environment",
        needs={"experience"},
        traits={"best": "high", "needs_model": True},
    ),
    Component(
        "metric",
        "choice-regret",
        "phys_samplers.metrics.learning:ChoiceRegret",
        summary="what an agent's choices are worth less than the best ones, where worth is exactly known",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
    Component(
        "metric",
        "choice-error",
        "phys_samplers.metrics.learning:ChoiceError",
        summary="error of an agent's idea of what actions are worth, where that is exactly known",
        needs={"experience"},
        traits={"best": "low", "needs_model": True},
    ),
)
