"""What the benchmark registers: its tasks. Nothing here imports torch, so that listings stay instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl

BELLMAN = """@misc{li2024bellman,
  title = {Bellman Diffusion: Generative Modeling as Learning a Linear Operator in the Distribution Space},
  author = {Li, Yangming and Lai, Chieh-Hsin and Sch{\\"o}nlieb, Carola-Bibiane and Mitsufuji, Yuki and Ermon, Stefano},
  year = {2024}, eprint = {2410.01796}, archiveprefix = {arXiv}
}"""

VALUE_GRADIENT = """@misc{yoon2025vgs,
  title = {Value Gradient Sampler: Sampling as Sequential Decision Making},
  author = {Yoon, Sangwoong and Hwang, Himchan and Jeong, Hyeokju and Shin, Dong Kyu and Park, Che-Sang and
            Kweon, Sehee and Park, Frank Chongwoo},
  year = {2025}, eprint = {2502.13280}, archiveprefix = {arXiv}
}"""

SLICE_SAMPLING = """@article{neal2003slice,
  title = {Slice Sampling}, author = {Neal, Radford M.},
  journal = {The Annals of Statistics}, volume = {31}, number = {3}, pages = {705--767}, year = {2003},
  doi = {10.1214/aos/1056562461}
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
    yield _task("8gaussians", "mixtures:eight_gaussians", 2, "eight equal Gaussians on a circle, dimension 2")
    yield _task("checkerboard", "uniform:checkerboard", 2, "uniform law on every other square of a board, dimension 2")


def _task(name: str, target: str, dim: int, summary: str, *, reference: str = "", citation: str = "") -> Component:
    return Component(
        "task",
        name,
        f"phys_bench.tasks.{target}",
        summary=summary,
        reference=reference,
        citation=citation,
        traits={"dim": dim},
    )
