"""What the benchmark registers: its tasks. Nothing here imports torch, so that listings stay instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl


@hookimpl
def phys_components() -> Iterable[Component]:
    """The tasks of the benchmark."""
    for name, what in (("rows", "the rows of a file"), ("density", "what a Python file holds, a density or a target")):
        yield _task(name, f"own:{name}", None, f"a task of your own: {what}")
    yield _task("normal", "laws:normal", 2, "standard normal law, dimension 2 unless dim says otherwise")
    yield _task(
        "spans",
        "laws:spans",
        1,
        "uniform law on three disjoint spans of the line, dimension 1",
        reference="arXiv:2410.01796, Sec. 6.1, Fig. 1",
        citation="li2024bellman",
    )
    yield _task(
        "mixture-2d",
        "laws:mixture_2d",
        2,
        "three Gaussians with weights .45, .45, .1, dimension 2",
        reference="arXiv:2410.01796, Sec. 6.1, Fig. 2",
        citation="li2024bellman",
    )
    yield _task(
        "moons",
        "laws:moons",
        2,
        "two half circles with Gaussian noise 0.1, dimension 2",
        reference="arXiv:2410.01796, Sec. 6.1, Fig. 3",
        citation="li2024bellman",
    )
    yield _task(
        "gmm9",
        "laws:gmm9",
        2,
        "nine equal Gaussians of variance 0.3 at {-5, 0, 5}^2, dimension 2",
        reference="arXiv:2502.13280, App. E.1",
        citation="yoon2025vgs",
    )
    yield _task(
        "gmm25",
        "laws:gmm25",
        2,
        "twenty-five equal Gaussians of variance 0.3 at {-10, -5, 0, 5, 10}^2, dimension 2",
        reference="arXiv:2402.05098",
        citation="sendera2024improved",
    )
    yield _task(
        "funnel",
        "laws:funnel",
        10,
        "Neal's funnel, x1 ~ N(0, 9) and xi ~ N(0, exp x1), dimension 10",
        reference="Neal (2003), Sec. 8",
        citation="neal2003slice",
    )
    yield _task(
        "gmm40",
        "laws:gmm40",
        2,
        "forty equal Gaussians of standard deviation 1.313 on [-40, 40]^2, dimension 2",
        reference="arXiv:2208.01893",
        citation="midgley2023flow",
    )
    yield _task(
        "many-well-32",
        "laws:many_well_32",
        32,
        "sixteen pairs of a double well and a normal coordinate, dimension 32",
        reference="arXiv:2208.01893",
        citation="midgley2023flow",
    )
    for name, function, dim, summary in (
        ("dw4", "dw4", 8, "four particles in the plane with a double-well pair potential, dimension 8 (6 of motion)"),
        ("lj13", "lj13", 39, "thirteen particles with a Lennard-Jones potential, dimension 39 (36 of motion)"),
    ):
        reference = "arXiv:2006.02425; arXiv:2502.13280, App. E.1"
        citation = "kohler2020equivariant yoon2025vgs"
        yield _task(name, f"particles:{function}", dim, summary, reference=reference, citation=citation)
    for name, function, dim, summary, reference, citation in (
        (
            "student",
            "student",
            10,
            "Student-t law, three degrees of freedom and spherical unless nu, radial, skewness or dim say otherwise",
            "Fernández & Steel (1998), Eq. 1, for skewness",
            "fernandez1998bayesian",
        ),
        (
            "horseshoe",
            "horseshoe",
            21,
            "ten sparse normal means and their scales under the horseshoe prior, dimension 21",
            "Carvalho, Polson & Scott (2010), Sec. 1",
            "carvalho2010horseshoe",
        ),
        (
            "robust-regression",
            "robust_regression",
            3,
            "linear regression with Cauchy noise and outliers, dimension 3",
            "Lange, Little & Taylor (1989)",
            "lange1989robust",
        ),
    ):
        yield _task(name, f"heavy:{function}", dim, summary, reference=reference, citation=citation)
    yield _task(
        "ring-sets",
        "laws:ring_sets",
        2,
        "ten narrow Gaussians on the unit circle, scored in sets of ten, dimension 2",
        reference="arXiv:2310.13102, App. D",
        citation="corso2023particle",
    )
    yield _task("8gaussians", "laws:eight_gaussians", 2, "eight equal Gaussians on a circle, dimension 2")
    yield _task("checkerboard", "laws:checkerboard", 2, "uniform law on every other square of a board, dimension 2")
    yield _task(
        "plane-by-class",
        "classes:plane_by_class",
        2,
        "four classes of two Gaussians on a circle, scored class by class",
    )
    paper = "arXiv:2410.01796, Sec. 6.2, Table 1"
    for name, function, dim, summary, citation in (
        ("abalone", "abalone", 7, "7 measures of 4,177 abalones", "nash1994abalone"),
        ("telemonitoring", "telemonitoring", 16, "16 voice measures of 5,875 recordings", "tsanas2009telemonitoring"),
        ("parkinsons", "parkinsons", 15, "15 voice measures of 195 recordings", "little2007parkinsons"),
        ("mushroom", "mushroom", 5, "five attributes of 8,124 mushrooms as dequantised ranks", "uci1981mushroom"),
        ("red-wine", "red_wine", 10, "10 measures of 1,359 red wines", "cortez2009wine"),
    ):
        citations = f"li2024bellman {citation}"
        yield _task(name, f"tables:{function}", dim, f"UCI table: {summary}", reference=paper, citation=citations)
    for name, function, dim, summary, reference, citation in (
        ("wine", "wine", 13, "13 measures of 178 wines", "doi:10.24432/C5PC7J", "aeberhard1992wine"),
        (
            "breast-cancer",
            "breast_cancer",
            30,
            "30 measures of 569 cell nuclei",
            "doi:10.24432/C5DW2B",
            "wolberg1993breast",
        ),
        ("diabetes", "diabetes", 10, "10 measures of 442 people", "Efron et al. (2004), Sec. 1", "efron2004least"),
        ("iris", "iris", 4, "4 measures of 149 irises", "doi:10.24432/C56C76", "fisher1936iris"),
    ):
        yield _task(
            name, f"tables:{function}", dim, f"table of scikit-learn: {summary}", reference=reference, citation=citation
        )
    yield _task(
        "digits",
        "images:digits",
        64,
        "1,797 handwritten digits of 8 x 8 pixels, from scikit-learn",
        reference="doi:10.24432/C50P49",
        citation="alpaydin1998digits",
    )
    yield _task(
        "digits-by-class",
        "classes:digits_by_class",
        64,
        "the digits of 8 x 8 pixels given which digit, scored class by class",
        reference="doi:10.24432/C50P49",
        citation="alpaydin1998digits",
    )
    yield _task(
        "mnist",
        "images:mnist",
        784,
        "the 10,000 test images of MNIST, 28 x 28 pixels, split anew",
        reference="arXiv:2410.01796, App. F.1, Fig. 7",
        citation="li2024bellman lecun1998gradient",
    )
    for name, function, dim, summary, reference, citation in (
        (
            "ionosphere",
            "ionosphere",
            35,
            "logistic regression of 351 radar returns",
            "doi:10.24432/C5W01B",
            "sigillito1989ionosphere",
        ),
        ("sonar", "sonar", 61, "logistic regression of 208 sonar echoes", "doi:10.24432/C5T01Q", "sejnowski1988sonar"),
        (
            "german-credit",
            "german_credit",
            25,
            "logistic regression of 1,000 loans",
            "doi:10.24432/C5NC77",
            "hofmann1994german",
        ),
        (
            "brownian-motion",
            "brownian_motion",
            32,
            "Brownian path and scales seen through noise",
            "Inference Gym",
            "sountsov2020inference",
        ),
        (
            "cox-process",
            "cox_process",
            1600,
            "log-Gaussian Cox process of 126 pines",
            "arXiv:2102.07501, App. G.4",
            "moller1998log arbel2021annealed",
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
            name,
            f"control:{function}",
            1,
            what,
            reference=reference,
            citation="towers2024gymnasium",
            contestants="return_model",
        )
    for name, function, dim, what, reference in (
        ("frozen-lake", "returns:frozen_lake", 11, "a slippery lake", "arXiv:2410.01796, Sec. 6.3"),
        ("cliff-walking", "returns:cliff_walking", 37, "a walk along a cliff", ""),
        ("taxi", "returns:taxi", 64, "a taxi, at 64 of its 400 states", ""),
        ("cart-pole-returns", "cart_pole:cart_pole_returns", 16, "pushing a pole where it leans", ""),
        ("shaped-returns", "returns:shaped_returns", 11, "a chain with close modes and rare, heavy losses", ""),
    ):
        yield _task(
            name,
            function,
            dim,
            f"returns of a given policy: {what}",
            reference=reference,
            citation="" if name == "shaped-returns" else "towers2024gymnasium",
            contestants="return_model",
        )


def _task(
    name: str,
    target: str,
    dim: int | None,
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
        traits={"contestants": contestants, **({} if dim is None else {"dim": dim})},
    )
