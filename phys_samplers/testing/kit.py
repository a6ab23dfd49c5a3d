"""The kit: which checks there are, and every check on one recipe, none of which stops the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from phys_samplers.testing.checks import CHECKS, Check
from phys_samplers.testing.subject import CheckResult, ConformanceError, NotApplicableError, Subject

if TYPE_CHECKING:
    import torch

    from phys_samplers.sampler import Sampler
    from phys_samplers.target import Target


def check_sampler(
    recipe: Sampler,
    *,
    target: Target | None = None,
    device: torch.device | str = "cpu",
    quick: bool = True,
    **settings: Any,
) -> list[CheckResult]:
    """Check that a sampler keeps the contract of ``phys_samplers.sampler``.

    Args:
        recipe: the sampler.
        target: to fit for all checks but those on the Gaussian; a 2-D Gaussian (``gaussian_target``) by default.
        device: where to compute.
        quick: reduce training and sampling (``steps=300`` where quality is judged, less elsewhere); False keeps the
            recipe as it is.
        settings: ``quick_options``, ``small_options``, ``mean_tolerance``, ``variance_tolerance``; see ``Subject``.

    Returns:
        One result per check, in the order of ``check_names()``. A check that raises has failed; nothing is raised here.
    """
    return list(iter_checks(recipe, target=target, device=device, quick=quick, **settings))


def iter_checks(recipe: Sampler, **settings: Any) -> Iterator[CheckResult]:
    """The results of ``check_sampler`` one by one, as they come."""
    subject = Subject(recipe, **settings)
    for check in CHECKS:
        yield run_check(check, subject)


def run_check(check: Check, subject: Subject) -> CheckResult:
    """The outcome of one check."""
    name = check.__name__
    try:
        return CheckResult(name, True, check(subject) or "")
    except NotApplicableError as reason:
        return CheckResult(name, True, str(reason), skipped=True)
    except ConformanceError as failure:
        return CheckResult(name, False, str(failure))
    except Exception as error:
        return CheckResult(name, False, f"{type(error).__name__}: {error}")


def check_names() -> list[str]:
    """The names of all checks, in order."""
    return [check.__name__ for check in CHECKS]
