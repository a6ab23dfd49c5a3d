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

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_samplers.testing.conformance import SamplerConformance as SamplerConformance
    from phys_samplers.testing.gaussian import DiagonalNormal as DiagonalNormal
    from phys_samplers.testing.gaussian import gaussian_target as gaussian_target
    from phys_samplers.testing.kit import check_names as check_names
    from phys_samplers.testing.kit import check_sampler as check_sampler
    from phys_samplers.testing.kit import iter_checks as iter_checks
    from phys_samplers.testing.subject import CheckResult as CheckResult
    from phys_samplers.testing.subject import ConformanceError as ConformanceError
    from phys_samplers.testing.subject import NotApplicableError as NotApplicableError

__getattr__, __dir__ = lazy(__name__)
