"""What a plugin may implement: the pluggy markers and the specification of every hook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pluggy

from .component import Component

PROJECT = "phys_samplers"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class HookSpecs:
    """The hooks; a plugin implements any of them as functions (or methods) marked ``@hookimpl``.

    An implementation may leave out arguments it does not need. Payloads are plain JSON-like mappings and are not to be
    changed. A hook that raises is reported and set aside; the run and the other plugins go on.
    """

    @hookspec
    def phys_components(self) -> Iterable[Component]:
        """Declare the plugin's components; called once, when the plugin is loaded.

        Returns:
            The components, usually yielded one by one. If any is wrong, none is kept.
        """
        raise NotImplementedError

    @hookspec
    def phys_run_started(self, run: Mapping[str, Any]) -> None:
        """A benchmark or training run begins.

        Args:
            run: What is going to be run.
        """

    @hookspec
    def phys_step_logged(self, cell: Mapping[str, Any], step: int, values: Mapping[str, Any]) -> None:
        """A training loop logged values.

        Args:
            cell: Which (task, method, seed) is training.
            step: The optimiser step, counted from 1.
            values: Scalars by name.
        """

    @hookspec
    def phys_cell_finished(self, record: Mapping[str, Any]) -> None:
        """One (task, method, seed) cell is finished, whether it succeeded or failed.

        Args:
            record: The cell's run record.
        """

    @hookspec
    def phys_run_finished(self, run: Mapping[str, Any]) -> None:
        """A run ends.

        Args:
            run: What was run, with its outcome.
        """


HOOKS: Mapping[str, tuple[str, ...]] = {
    name: function.__code__.co_varnames[1 : function.__code__.co_argcount]
    for name, function in vars(HookSpecs).items()
    if name.startswith("phys_")
}
"""Argument names by hook name."""

LIFECYCLE = tuple(name for name in HOOKS if name != "phys_components")
"""The hooks that `Registry.emit` calls."""
