"""What the family of distributional baselines registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

MODELS = (
    (
        "dqn",
        "expected:DQNReturns",
        "the expected return alone, by squared temporal differences",
        "doi:10.1038/nature14236, Algorithm 1",
        "mnih2015dqn",
    ),
    (
        "c51",
        "categorical:C51Returns",
        "softmax weights of 51 fixed atoms, by cross entropy to the projected backup",
        "arXiv:1707.06887, Algorithm 1",
        "bellemare2017c51",
    ),
    (
        "categorical-l2",
        "categorical:CategoricalL2Returns",
        "linear weights of fixed atoms that sum to one, by squared distance to the projected backup",
        "arXiv:1902.03149, with the mass kept exactly",
        "bellemare2019linear",
    ),
    (
        "qr-dqn",
        "quantile_regression:QRDQNReturns",
        "51 equally likely points, by quantile regression",
        "arXiv:1710.10044, Algorithm 1",
        "dabney2018qrdqn",
    ),
    (
        "iqn",
        "implicit:IQNReturns",
        "quantiles at random levels, which the network sees through cosines",
        "arXiv:1806.06923, Eq. 3 and 4",
        "dabney2018iqn",
    ),
)


@hookimpl
def phys_components() -> Iterable[Component]:
    """The return models."""
    for name, where, summary, reference, citation in MODELS:
        yield Component(
            "return_model",
            name,
            f"phys_distributional.{where}",
            summary=summary,
            reference=reference,
            needs={"experience"},
            citation=citation,
            presets={"default": {}},
        )
