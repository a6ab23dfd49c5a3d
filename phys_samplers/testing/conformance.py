"""The checks as a pytest class for plugin authors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from phys_samplers.sampler import Sampler
from phys_samplers.target import Target
from phys_samplers.testing.checks import CHECKS, Check
from phys_samplers.testing.kit import run_check
from phys_samplers.testing.subject import QUICK, SMALL, Subject


class SamplerConformance:
    """One test per check. Subclass it under a name that begins with ``Test`` and set ``recipe``.

    Attributes:
        recipe: the sampler.
        target: see ``check_sampler``.
        device: where to compute.
        quick: whether training and sampling are reduced.
        quick_options: options of the checks on quality, as far as the recipe has them.
        small_options: further ones of the checks on form.
        mean_tolerance: of the Gaussian check, in standard deviations.
        variance_tolerance: of the Gaussian check, relative.
    """

    recipe: ClassVar[Sampler]
    target: ClassVar[Target | None] = None
    device: ClassVar[str] = "cpu"
    quick: ClassVar[bool] = True
    quick_options: ClassVar[Mapping[str, Any]] = QUICK
    small_options: ClassVar[Mapping[str, Any]] = SMALL
    mean_tolerance: ClassVar[float] = 0.2
    variance_tolerance: ClassVar[float] = 0.3

    _subject: ClassVar[Subject]

    @classmethod
    def subject(cls) -> Subject:
        """The recipe with its fits, shared by the checks of this class."""
        if "_subject" not in cls.__dict__:
            if not hasattr(cls, "recipe"):
                pytest.fail(f"{cls.__name__} has no recipe; set the class attribute, e.g. recipe = Mine()")
            cls._subject = Subject(
                cls.recipe,
                target=cls.target,
                device=cls.device,
                quick=cls.quick,
                quick_options=cls.quick_options,
                small_options=cls.small_options,
                mean_tolerance=cls.mean_tolerance,
                variance_tolerance=cls.variance_tolerance,
            )
        return cls._subject

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, check: Check) -> None:
        """The sampler keeps its contract."""
        result = run_check(check, self.subject())
        if result.skipped:
            pytest.skip(result.detail)
        if not result.passed:
            pytest.fail(f"{result.name}: {result.detail}", pytrace=False)
