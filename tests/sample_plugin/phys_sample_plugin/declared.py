"""What this package registers; it imports no torch, so that listing stays instant."""

from __future__ import annotations

from collections.abc import Iterable

from phys_registry import Component, hookimpl


@hookimpl
def phys_components() -> Iterable[Component]:
    """One sampler and one metric."""
    yield Component(
        "sampler",
        "sample-gaussian",
        "phys_sample_plugin.sampler:GaussianFit",
        summary="draws from the Gaussian that has the mean and the variances of the training rows",
        needs={"samples"},
    )
    yield Component(
        "metric",
        "mean-distance",
        "phys_sample_plugin.metric:MeanDistance",
        summary="Euclidean distance of the means",
    )
