"""What the family of distributional baselines registers."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

DQN = """@article{mnih2015dqn,
  title = {Human-level control through deep reinforcement learning},
  author = {Mnih, Volodymyr and Kavukcuoglu, Koray and Silver, David and others},
  journal = {Nature}, volume = {518}, pages = {529--533}, year = {2015}
}"""

C51 = """@inproceedings{bellemare2017c51,
  title = {A Distributional Perspective on Reinforcement Learning},
  author = {Bellemare, Marc G. and Dabney, Will and Munos, R{\\'e}mi},
  booktitle = {ICML}, year = {2017}, eprint = {1707.06887}, archiveprefix = {arXiv}
}"""

LINEAR = """@inproceedings{bellemare2019linear,
  title = {Distributional reinforcement learning with linear function approximation},
  author = {Bellemare, Marc G. and Le Roux, Nicolas and Castro, Pablo Samuel and Moitra, Subhodeep},
  booktitle = {AISTATS}, year = {2019}, eprint = {1902.03149}, archiveprefix = {arXiv}
}"""

QR_DQN = """@inproceedings{dabney2018qrdqn,
  title = {Distributional Reinforcement Learning with Quantile Regression},
  author = {Dabney, Will and Rowland, Mark and Bellemare, Marc G. and Munos, R{\\'e}mi},
  booktitle = {AAAI}, year = {2018}, eprint = {1710.10044}, archiveprefix = {arXiv}
}"""

IQN = """@inproceedings{dabney2018iqn,
  title = {Implicit Quantile Networks for Distributional Reinforcement Learning},
  author = {Dabney, Will and Ostrovski, Georg and Silver, David and Munos, R{\\'e}mi},
  booktitle = {ICML}, year = {2018}, eprint = {1806.06923}, archiveprefix = {arXiv}
}"""

MODELS = (
    (
        "dqn",
        "expected:DQNReturns",
        "the expected return alone, by squared temporal differences",
        "doi:10.1038/nature14236, Algorithm 1",
        DQN,
    ),
    (
        "c51",
        "categorical:C51Returns",
        "softmax weights of 51 fixed atoms, by cross entropy to the projected backup",
        "arXiv:1707.06887, Algorithm 1",
        C51,
    ),
    (
        "categorical-l2",
        "categorical:CategoricalL2Returns",
        "linear weights of fixed atoms that sum to one, by squared distance to the projected backup",
        "arXiv:1902.03149, with the mass kept exactly",
        LINEAR,
    ),
    (
        "qr-dqn",
        "quantile_regression:QRDQNReturns",
        "51 equally likely points, by quantile regression",
        "arXiv:1710.10044, Algorithm 1",
        QR_DQN,
    ),
    (
        "iqn",
        "implicit:IQNReturns",
        "quantiles at random levels, which the network sees through cosines",
        "arXiv:1806.06923, Eq. 3 and 4",
        IQN,
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
