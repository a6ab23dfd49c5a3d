"""Checks on what a sampler does to the rest of the process; they look back on all fits and draws made so far."""

from __future__ import annotations

from phys_samplers.testing.result import expect
from phys_samplers.testing.subject import Subject


def global_state_is_untouched(subject: Subject) -> None:
    """Global random states, default dtype, grad mode and thread count are as before."""
    subject.sample(subject.model(), 7)
    changed = sorted(subject.disturbed)
    expect(
        not changed,
        f"fitting or drawing changed {', '.join(changed)}; draw from make_generator(seed, ...), and set torch's modes "
        "by context managers only",
    )


def inputs_are_untouched(subject: Subject) -> None:
    """The caller's tensors are as before."""
    subject.model()
    changed = sorted(subject.overwritten)
    expect(not changed, f"fitting or drawing wrote into {', '.join(changed)}; copy before operating in place")


CHECKS = (global_state_is_untouched, inputs_are_untouched)
