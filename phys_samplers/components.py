"""What the library itself registers: field models, kernels, losses, integrators, metrics and the exact sampler."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl
from phys_samplers.integrators.components import INTEGRATORS
from phys_samplers.metrics.components import METRICS

EDM = """@inproceedings{karras2022edm,
  title = {Elucidating the Design Space of Diffusion-Based Generative Models},
  author = {Karras, Tero and Aittala, Miika and Aila, Timo and Laine, Samuli},
  booktitle = {NeurIPS}, year = {2022}, eprint = {2206.00364}, archiveprefix = {arXiv}
}"""

STABLE_TARGET = """@inproceedings{xu2023stable,
  title = {Stable Target Field for Reduced Variance Score Estimation in Diffusion Models},
  author = {Xu, Yilun and Tong, Shangyuan and Jaakkola, Tommi},
  booktitle = {ICLR}, year = {2023}, eprint = {2302.00670}, archiveprefix = {arXiv}
}"""

BELLMAN = """@misc{li2024bellman,
  title = {Bellman Diffusion: Generative Modeling as Learning a Linear Operator in the Distribution Space},
  author = {Li, Yangming and Lai, Chieh-Hsin and Sch{\\"o}nlieb, Carola-Bibiane and Mitsufuji, Yuki and Ermon, Stefano},
  year = {2024}, eprint = {2410.01796}, archiveprefix = {arXiv}
}"""

FOURIER = """@inproceedings{tancik2020fourier,
  title = {Fourier Features Let Networks Learn High Frequency Functions in Low Dimensional Domains},
  author = {Tancik, Matthew and others}, booktitle = {NeurIPS}, year = {2020}
}"""


@hookimpl
def phys_components() -> Iterable[Component]:
    """The library's own components."""
    yield Component(
        "sampler",
        "exact",
        "phys_samplers.exact:ExactSampler",
        summary="draws from the target's own exact sampler: the floor of every table",
        needs={"sample"},
    )
    for name, attribute, summary, citation in (
        ("mlp", "MLP", "multilayer perceptron with a choice of activation", ""),
        ("residual-mlp", "ResidualMLP", "perceptron whose hidden layers add to a running state", ""),
        ("fourier-mlp", "FourierMLP", "perceptron conditioned on time through random Fourier features", FOURIER),
    ):
        yield Component("field", name, f"phys_samplers.fields:{attribute}", summary=summary, citation=citation)
    for name, attribute, summary in (
        ("gaussian", "GaussianKernel", "full Gaussian kernel, bandwidth by the median heuristic unless given"),
        ("sliced", "SlicedGaussianKernel", "Gaussian of sampled 1-D projections (the paper's slice trick)"),
        ("slice-average", "SliceAverageKernel", "the exact average over all slices, heavy-tailed"),
        ("constant", "ConstantKernel", "constant mobility: Langevin dynamics"),
    ):
        yield Component(
            "kernel",
            name,
            f"phys_samplers.kernels:{attribute}",
            summary=summary,
            reference="arXiv:2410.01796, Sec. 3",
            citation=BELLMAN,
        )
    yield Component(
        "loss",
        "denoising",
        "phys_samplers.losses:DenoisingLoss",
        summary="denoising score matching over noise levels with EDM weights and stable targets",
        reference="arXiv:2206.00364, Sec. 5; arXiv:2302.00670",
        citation=f"{EDM}\n\n{STABLE_TARGET}",
    )
    yield from INTEGRATORS
    yield from METRICS
