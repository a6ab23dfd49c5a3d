"""The conformance kit: does a sampler keep the contract that the library, the benchmark and its users rely on?

>>> for result in check_sampler(Mine()):
...     print(result)

or, in a test file of your own, one pytest test per check:

>>> from phys_samplers.testing import SamplerConformance
>>> class TestMine(SamplerConformance):
...     recipe = Mine()

Only the class needs pytest; it is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from phys_samplers.testing.gaussian import DiagonalNormal, gaussian_target
from phys_samplers.testing.kit import check_names, check_sampler, iter_checks
from phys_samplers.testing.result import CheckResult, ConformanceError, NotApplicableError

if TYPE_CHECKING:
    from phys_samplers.testing.conformance import SamplerConformance

__all__ = [
    "CheckResult",
    "ConformanceError",
    "DiagonalNormal",
    "NotApplicableError",
    "SamplerConformance",
    "check_names",
    "check_sampler",
    "gaussian_target",
    "iter_checks",
]


def __getattr__(name: str) -> Any:
    if name == "SamplerConformance":
        from phys_samplers.testing.conformance import SamplerConformance

        return SamplerConformance
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
