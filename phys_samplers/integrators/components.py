"""The built-in integrators as components. Nothing here imports torch, so that listing them stays instant."""

from __future__ import annotations

from typing import Any

from phys_registry import Component

_ALL = ("additive", "diagonal", "isotropic", "none")

MARUYAMA = """@article{maruyama1955,
  author = {Maruyama, Gisiro},
  title = {Continuous {Markov} processes and stochastic equations},
  journal = {Rendiconti del Circolo Matematico di Palermo},
  volume = {4},
  pages = {48--90},
  year = {1955}
}"""

MILSTEIN = """@article{milstein1975,
  author = {Mil'shtejn, G. N.},
  title = {Approximate integration of stochastic differential equations},
  journal = {Theory of Probability and Its Applications},
  volume = {19},
  number = {3},
  pages = {557--562},
  year = {1975}
}

@book{kloeden1992,
  author = {Kloeden, Peter E. and Platen, Eckhard},
  title = {Numerical Solution of Stochastic Differential Equations},
  publisher = {Springer},
  year = {1992}
}"""

ROBERTS = """@misc{roberts2012,
  author = {Roberts, A. J.},
  title = {Modify the Improved {Euler} scheme to integrate stochastic differential equations},
  year = {2012},
  eprint = {1210.0933},
  archiveprefix = {arXiv}
}"""

ROESSLER = """@article{roessler2010,
  author = {R{\\"o}{\\ss}ler, Andreas},
  title = {{Runge--Kutta} Methods for the Strong Approximation of Solutions of Stochastic Differential Equations},
  journal = {SIAM Journal on Numerical Analysis},
  volume = {48},
  number = {3},
  pages = {922--952},
  year = {2010},
  doi = {10.1137/09076636X}
}"""

GILLESPIE = """@article{gillespie1996,
  author = {Gillespie, Daniel T.},
  title = {Exact numerical simulation of the {Ornstein--Uhlenbeck} process and its integral},
  journal = {Physical Review E},
  volume = {54},
  number = {2},
  pages = {2084--2091},
  year = {1996}
}"""

HEUN = """@article{heun1900,
  author = {Heun, Karl},
  title = {Neue {Methoden} zur approximativen {Integration} der {Differentialgleichungen} einer unabh{\\"a}ngigen
           {Ver{\\"a}nderlichen}},
  journal = {Zeitschrift f{\\"u}r Mathematik und Physik},
  volume = {45},
  pages = {23--38},
  year = {1900}
}"""

KUTTA = """@article{kutta1901,
  author = {Kutta, Wilhelm},
  title = {Beitrag zur n{\\"a}herungsweisen {Integration} totaler {Differentialgleichungen}},
  journal = {Zeitschrift f{\\"u}r Mathematik und Physik},
  volume = {46},
  pages = {435--453},
  year = {1901}
}"""

DORMAND = """@article{dormand1980,
  author = {Dormand, J. R. and Prince, P. J.},
  title = {A family of embedded {Runge--Kutta} formulae},
  journal = {Journal of Computational and Applied Mathematics},
  volume = {6},
  number = {1},
  pages = {19--26},
  year = {1980}
}"""


DDIM = """@inproceedings{song2021ddim,
  author = {Song, Jiaming and Meng, Chenlin and Ermon, Stefano},
  title = {Denoising Diffusion Implicit Models},
  booktitle = {ICLR},
  year = {2021},
  eprint = {2010.02502},
  archiveprefix = {arXiv}
}"""

EDM = """@inproceedings{karras2022edm,
  title = {Elucidating the Design Space of Diffusion-Based Generative Models},
  author = {Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli},
  booktitle = {NeurIPS}, year = {2022}, eprint = {2206.00364}, archiveprefix = {arXiv}
}"""


def _integrator(
    name: str,
    target: str,
    summary: str,
    *,
    reference: str,
    citation: str = "",
    equation: str = "both",
    order: float,
    strong: tuple[float | None, float | None] = (None, None),
    weak: float | None = None,
    evaluations: int | None,
    accepts: tuple[str, ...],
) -> Component:
    traits: dict[str, Any] = {
        "equation": equation,
        "order": order,
        "strong_order": strong[0],
        "strong_order_additive": strong[1],
        "weak_order": weak,
        "evaluations_per_step": evaluations,
        "accepts": accepts,
    }
    return Component(
        "integrator",
        name,
        f"phys_samplers.integrators.{target}",
        summary=summary,
        reference=reference,
        citation=citation,
        traits=traits,
    )


INTEGRATORS: tuple[Component, ...] = (
    _integrator(
        "euler-maruyama",
        "euler_maruyama:EulerMaruyama",
        "Euler-Maruyama: the simplest scheme, for every kind of noise.",
        reference="Maruyama 1955",
        citation=MARUYAMA,
        order=1.0,
        strong=(0.5, 1.0),
        weak=1.0,
        evaluations=1,
        accepts=_ALL,
    ),
    _integrator(
        "milstein",
        "milstein:Milstein",
        "Milstein's scheme without derivatives, for diagonal noise.",
        reference="Milstein 1975; Kloeden & Platen 1992, Section 11.1",
        citation=MILSTEIN,
        order=1.0,
        strong=(1.0, 1.0),
        weak=1.0,
        evaluations=2,
        accepts=("additive", "diagonal", "none"),
    ),
    _integrator(
        "stochastic-heun",
        "stochastic_heun:StochasticHeun",
        "Ito-consistent stochastic Heun, for every kind of noise.",
        reference="Roberts 2012, arXiv:1210.0933",
        citation=ROBERTS,
        order=2.0,
        strong=(1.0, 1.0),
        weak=1.0,
        evaluations=2,
        accepts=_ALL,
    ),
    _integrator(
        "sra1",
        "sra1:SRA1",
        "Stochastic Runge-Kutta of strong order 1.5 for additive noise.",
        reference="Roessler 2010, scheme SRA1",
        citation=ROESSLER,
        order=2.0,
        strong=(1.5, 1.5),
        weak=2.0,
        evaluations=2,
        accepts=("additive", "none"),
    ),
    _integrator(
        "exponential-ou",
        "exponential_ou:ExponentialOU",
        "Exponential integrator: solves the Ornstein-Uhlenbeck part of the drift exactly.",
        reference="Gillespie 1996 (exact update)",
        citation=GILLESPIE,
        order=1.0,
        strong=(0.5, 1.0),
        weak=1.0,
        evaluations=1,
        accepts=_ALL,
    ),
    _integrator(
        "euler",
        "runge_kutta:Euler",
        "Euler's method for ODEs.",
        reference="Euler 1768",
        equation="ode",
        order=1.0,
        evaluations=1,
        accepts=("none",),
    ),
    _integrator(
        "heun",
        "runge_kutta:Heun",
        "Heun's method (explicit trapezoidal rule) for ODEs.",
        reference="Heun 1900",
        citation=HEUN,
        equation="ode",
        order=2.0,
        evaluations=2,
        accepts=("none",),
    ),
    _integrator(
        "rk4",
        "runge_kutta:RK4",
        "The classic fourth-order Runge-Kutta method for ODEs.",
        reference="Kutta 1901",
        citation=KUTTA,
        equation="ode",
        order=4.0,
        evaluations=4,
        accepts=("none",),
    ),
    _integrator(
        "dopri5",
        "dopri5:Dopri5",
        "Adaptive Dormand-Prince 5(4) for ODEs, by torchdiffeq.",
        reference="Dormand & Prince 1980",
        citation=DORMAND,
        equation="ode",
        order=5.0,
        evaluations=None,
        accepts=("none",),
    ),
    _integrator(
        "ddim",
        "ddim:DDIM",
        "DDIM: deterministic at eta=0 (exponential Euler), the ancestral step of DDPM at eta=1.",
        reference="arXiv:2010.02502, Eq. 12; arXiv:2006.11239, Eq. 6-7",
        citation=DDIM,
        equation="denoising",
        order=1.0,
        evaluations=1,
        accepts=("none",),
    ),
    _integrator(
        "edm-heun",
        "edm_heun:EDMHeun",
        "EDM's sampler: Heun's method in the noise level, with or without noise added back.",
        reference="arXiv:2206.00364, Algorithms 1 and 2",
        citation=EDM,
        equation="denoising",
        order=2.0,
        evaluations=2,
        accepts=("none",),
    ),
)
"""Every built-in integrator; the traits repeat the class attributes, which a test compares."""
