"""What the benchmark registers: its tasks. Nothing here imports torch, so that listings stay instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.components import VALUE_GRADIENT

BELLMAN = """@misc{li2024bellman,
  title = {Bellman Diffusion: Generative Modeling as Learning a Linear Operator in the Distribution Space},
  author = {Li, Yangming and Lai, Chieh-Hsin and Sch{\\"o}nlieb, Carola-Bibiane and Mitsufuji, Yuki and Ermon, Stefano},
  year = {2024}, eprint = {2410.01796}, archiveprefix = {arXiv}
}"""

SLICE_SAMPLING = """@article{neal2003slice,
  title = {Slice Sampling}, author = {Neal, Radford M.},
  journal = {The Annals of Statistics}, volume = {31}, number = {3}, pages = {705--767}, year = {2003},
  doi = {10.1214/aos/1056562461}
}"""

ANNEALED_FLOW = """@inproceedings{midgley2023flow,
  title = {Flow Annealed Importance Sampling Bootstrap},
  author = {Midgley, Laurence Illing and Stimper, Vincent and Simm, Gregor N. C. and Sch{\\"o}lkopf, Bernhard and
    Hern{\\'a}ndez-Lobato, Jos{\\'e} Miguel},
  booktitle = {International Conference on Learning Representations}, year = {2023}
}"""

EQUIVARIANT_FLOWS = """@inproceedings{kohler2020equivariant,
  title = {Equivariant Flows: Exact Likelihood Generative Learning for Symmetric Densities},
  author = {K{\\"o}hler, Jonas and Klein, Leon and No{\\'e}, Frank},
  booktitle = {International Conference on Machine Learning}, year = {2020}, eprint = {2006.02425},
  archiveprefix = {arXiv}
}"""

LEAST_ANGLE = """@article{efron2004least,
  title = {Least Angle Regression},
  author = {Efron, Bradley and Hastie, Trevor and Johnstone, Iain and Tibshirani, Robert},
  journal = {The Annals of Statistics}, volume = {32}, number = {2}, pages = {407--499}, year = {2004},
  doi = {10.1214/009053604000000067}
}"""


def _uci(key: str, title: str, author: str, year: int, doi: str) -> str:
    """BibTeX of a data set of the UCI Machine Learning Repository."""
    return (
        f"@misc{{{key},\n  title = {{{title}}}, author = {{{author}}}, year = {{{year}}},\n"
        f"  howpublished = {{UCI Machine Learning Repository}}, doi = {{{doi}}}\n}}"
    )


ABALONE = _uci(
    "nash1994abalone",
    "Abalone",
    "Nash, Warwick and Sellers, Tracy and Talbot, Simon and Cawthorn, Andrew and Ford, Wes",
    1994,
    "10.24432/C55C7W",
)
TELEMONITORING = _uci(
    "tsanas2009telemonitoring",
    "{P}arkinsons Telemonitoring",
    "Tsanas, Athanasios and Little, Max",
    2009,
    "10.24432/C5ZS3N",
)
PARKINSONS = _uci("little2007parkinsons", "{P}arkinsons", "Little, Max", 2007, "10.24432/C59C74")
MUSHROOM = _uci("uci1981mushroom", "Mushroom", "{UCI Machine Learning Repository}", 1981, "10.24432/C5959T")
WINE_QUALITY = _uci(
    "cortez2009wine",
    "Wine Quality",
    "Cortez, Paulo and Cerdeira, A. and Almeida, F. and Matos, T. and Reis, J.",
    2009,
    "10.24432/C56S3T",
)
WINE = _uci("aeberhard1992wine", "Wine", "Aeberhard, Stefan and Forina, M.", 1992, "10.24432/C5PC7J")
BREAST_CANCER = _uci(
    "wolberg1993breast",
    "Breast Cancer {W}isconsin (Diagnostic)",
    "Wolberg, William and Mangasarian, Olvi and Street, Nick and Street, W.",
    1993,
    "10.24432/C5DW2B",
)
IRIS = _uci("fisher1936iris", "Iris", "Fisher, R. A.", 1936, "10.24432/C56C76")
DIGITS = _uci(
    "alpaydin1998digits",
    "Optical Recognition of Handwritten Digits",
    "Alpaydin, E. and Kaynak, C.",
    1998,
    "10.24432/C50P49",
)

IONOSPHERE = _uci(
    "sigillito1989ionosphere",
    "Ionosphere",
    "Sigillito, V. and Wing, S. and Hutton, L. and Baker, K.",
    1989,
    "10.24432/C5W01B",
)
SONAR = _uci(
    "sejnowski1988sonar",
    "Connectionist Bench (Sonar, Mines vs. Rocks)",
    "Sejnowski, Terry and Gorman, R.",
    1988,
    "10.24432/C5T01Q",
)
GERMAN_CREDIT = _uci("hofmann1994german", "Statlog (German Credit Data)", "Hofmann, Hans", 1994, "10.24432/C5NC77")

GYMNASIUM = """@misc{towers2024gymnasium,
  title = {Gymnasium: A Standard Interface for Reinforcement Learning Environments},
  author = {Towers, Mark and Kwiatkowski, Ariel and Terry, Jordan and others},
  year = {2024}, eprint = {2407.17032}, archiveprefix = {arXiv}
}"""

INFERENCE_GYM = """@misc{sountsov2020inference,
  title = {Inference {G}ym}, author = {Sountsov, Pavel and Radul, Alexey and contributors}, year = {2020},
  url = {https://pypi.org/project/inference_gym}
}"""

COX_PROCESS = """@article{moller1998log,
  title = {Log {G}aussian {C}ox Processes},
  author = {M{\\o}ller, Jesper and Syversveen, Anne Randi and Waagepetersen, Rasmus Plenge},
  journal = {Scandinavian Journal of Statistics}, volume = {25}, number = {3}, pages = {451--482}, year = {1998}
}

@inproceedings{arbel2021annealed,
  title = {Annealed Flow Transport {M}onte {C}arlo},
  author = {Arbel, Michael and Matthews, Alexander G. D. G. and Doucet, Arnaud},
  booktitle = {International Conference on Machine Learning}, year = {2021}, eprint = {2102.07501},
  archiveprefix = {arXiv}
}"""

MNIST = """@article{lecun1998gradient,
  title = {Gradient-Based Learning Applied to Document Recognition},
  author = {LeCun, Yann and Bottou, L{\\'e}on and Bengio, Yoshua and Haffner, Patrick},
  journal = {Proceedings of the IEEE}, volume = {86}, number = {11}, pages = {2278--2324}, year = {1998},
  doi = {10.1109/5.726791}
}"""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The tasks of the benchmark."""
    yield _task("normal", "normal:normal", 2, "standard normal law, dimension 2 unless dim says otherwise")
    yield _task(
        "spans",
        "uniform:spans",
        1,
        "uniform law on three disjoint spans of the line, dimension 1",
        reference="arXiv:2410.01796, Sec. 6.1, Fig. 1",
        citation=BELLMAN,
    )
    yield _task(
        "mixture-2d",
        "mixtures:mixture_2d",
        2,
        "three Gaussians with weights .45, .45, .1, dimension 2",
        reference="arXiv:2410.01796, Sec. 6.1, Fig. 2",
        citation=BELLMAN,
    )
    yield _task(
        "moons",
        "moons:moons",
        2,
        "two half circles with Gaussian noise 0.1, dimension 2",
        reference="arXiv:2410.01796, Sec. 6.1, Fig. 3",
        citation=BELLMAN,
    )
    yield _task(
        "gmm9",
        "mixtures:gmm9",
        2,
        "nine equal Gaussians of variance 0.3 at {-5, 0, 5}^2, dimension 2",
        reference="arXiv:2502.13280, App. E.1",
        citation=VALUE_GRADIENT,
    )
    yield _task(
        "funnel",
        "funnel:funnel",
        10,
        "Neal's funnel, x1 ~ N(0, 9) and xi ~ N(0, exp x1), dimension 10",
        reference="Neal (2003), Sec. 8",
        citation=SLICE_SAMPLING,
    )
    yield _task(
        "gmm40",
        "mixtures:gmm40",
        2,
        "forty equal Gaussians of standard deviation 1.313 on [-40, 40]^2, dimension 2",
        reference="arXiv:2208.01893",
        citation=ANNEALED_FLOW,
    )
    yield _task(
        "many-well-32",
        "many_well:many_well_32",
        32,
        "sixteen pairs of a double well and a normal coordinate, dimension 32",
        reference="arXiv:2208.01893",
        citation=ANNEALED_FLOW,
    )
    for name, function, dim, summary in (
        ("dw4", "dw4", 8, "four particles in the plane with a double-well pair potential, dimension 8 (6 of motion)"),
        ("lj13", "lj13", 39, "thirteen particles with a Lennard-Jones potential, dimension 39 (36 of motion)"),
    ):
        reference = "arXiv:2006.02425; arXiv:2502.13280, App. E.1"
        citation = f"{EQUIVARIANT_FLOWS}\n\n{VALUE_GRADIENT}"
        yield _task(name, f"particles:{function}", dim, summary, reference=reference, citation=citation)
    yield _task("8gaussians", "mixtures:eight_gaussians", 2, "eight equal Gaussians on a circle, dimension 2")
    yield _task("checkerboard", "uniform:checkerboard", 2, "uniform law on every other square of a board, dimension 2")
    paper = "arXiv:2410.01796, Sec. 6.2, Table 1"
    for name, function, dim, summary, citation in (
        ("abalone", "abalone", 7, "7 measures of 4,177 abalones", ABALONE),
        ("telemonitoring", "telemonitoring", 16, "16 voice measures of 5,875 recordings", TELEMONITORING),
        ("parkinsons", "parkinsons", 15, "15 voice measures of 195 recordings", PARKINSONS),
        ("mushroom", "mushroom", 5, "five attributes of 8,124 mushrooms as dequantised ranks", MUSHROOM),
        ("red-wine", "red_wine", 10, "10 measures of 1,359 red wines", WINE_QUALITY),
    ):
        citations = f"{BELLMAN}\n\n{citation}"
        yield _task(name, f"tables:{function}", dim, f"UCI table: {summary}", reference=paper, citation=citations)
    for name, function, dim, summary, reference, citation in (
        ("wine", "wine", 13, "13 measures of 178 wines", "doi:10.24432/C5PC7J", WINE),
        ("breast-cancer", "breast_cancer", 30, "30 measures of 569 cell nuclei", "doi:10.24432/C5DW2B", BREAST_CANCER),
        ("diabetes", "diabetes", 10, "10 measures of 442 people", "Efron et al. (2004), Sec. 1", LEAST_ANGLE),
        ("iris", "iris", 4, "4 measures of 149 irises", "doi:10.24432/C56C76", IRIS),
    ):
        yield _task(
            name, f"tables:{function}", dim, f"table of scikit-learn: {summary}", reference=reference, citation=citation
        )
    yield _task(
        "digits",
        "digits:digits",
        64,
        "1,797 handwritten digits of 8 x 8 pixels, from scikit-learn",
        reference="doi:10.24432/C50P49",
        citation=DIGITS,
    )
    yield _task(
        "mnist",
        "mnist:mnist",
        784,
        "the 10,000 test images of MNIST, 28 x 28 pixels, split anew",
        reference="arXiv:2410.01796, App. F.1, Fig. 7",
        citation=f"{BELLMAN}\n\n{MNIST}",
    )
    for name, function, dim, summary, reference, citation in (
        ("ionosphere", "ionosphere", 35, "logistic regression of 351 radar returns", "doi:10.24432/C5W01B", IONOSPHERE),
        ("sonar", "sonar", 61, "logistic regression of 208 sonar echoes", "doi:10.24432/C5T01Q", SONAR),
        (
            "german-credit",
            "german_credit",
            25,
            "logistic regression of 1,000 loans",
            "doi:10.24432/C5NC77",
            GERMAN_CREDIT,
        ),
        (
            "brownian-motion",
            "brownian_motion",
            32,
            "Brownian path and scales seen through noise",
            "Inference Gym",
            INFERENCE_GYM,
        ),
        (
            "cox-process",
            "cox_process",
            1600,
            "log-Gaussian Cox process of 126 pines",
            "arXiv:2102.07501, App. G.4",
            COX_PROCESS,
        ),
    ):
        summary = f"Bayesian posterior: {summary}, dimension {dim}"
        yield _task(name, f"posteriors:{function}", dim, summary, reference=reference, citation=citation)
    what = "choices to be judged by their worst tenth, for return models: gambles with known laws"
    yield _task("risky-choices", "risky:risky_choices", 1, what, contestants="return_model")
    for name, function, summary, reference in (
        ("cart-pole", "cart_pole", "CartPole-v1, 12,000 steps", "Barto, Sutton and Anderson 1983"),
        ("acrobot", "acrobot", "Acrobot-v1, 20,000 steps", "Sutton 1996"),
        ("frozen-lake-control", "frozen_lake_control", "FrozenLake-v1, slippery, 20,000 steps", ""),
        ("lunar-lander", "lunar_lander", "LunarLander-v3, 60,000 steps (needs the extra rl)", ""),
    ):
        what = f"an environment to act in, for return models: {summary}"
        yield _task(
            name, f"control:{function}", 1, what, reference=reference, citation=GYMNASIUM, contestants="return_model"
        )
    for name, function, dim, what, reference in (
        ("frozen-lake", "returns:frozen_lake", 11, "a slippery lake", "arXiv:2410.01796, Sec. 6.3"),
        ("cliff-walking", "returns:cliff_walking", 37, "a walk along a cliff", ""),
        ("taxi", "returns:taxi", 64, "a taxi, at 64 of its 400 states", ""),
        ("cart-pole-returns", "cart_pole:cart_pole_returns", 8, "pushing a pole where it leans", ""),
        ("shaped-returns", "returns:shaped_returns", 11, "a chain with close modes and rare, heavy losses", ""),
    ):
        yield _task(
            name,
            function,
            dim,
            f"returns of a given policy: {what}",
            reference=reference,
            citation="" if name == "shaped-returns" else GYMNASIUM,
            contestants="return_model",
        )


def _task(
    name: str,
    target: str,
    dim: int,
    summary: str,
    *,
    reference: str = "",
    citation: str = "",
    contestants: str = "sampler",
) -> Component:
    return Component(
        "task",
        name,
        f"phys_bench.tasks.{target}",
        summary=summary,
        reference=reference,
        citation=citation,
        traits={"dim": dim, "contestants": contestants},
    )
