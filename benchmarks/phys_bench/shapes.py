"""What the files of a run folder hold, and what workers send: records, floors, ``run.json``, the lock, and events.

All of it is data of ``phys_samplers.schema``. Ids are hashes, since files are found by them. What records say beyond
this is shown as it is, and decides nothing. What an event says makes a record that can be read again.
"""

from __future__ import annotations

from phys_samplers.reading import MIB
from phys_samplers.schema import Shape, anything, flag, mapping, maybe, number, one_of, rows, table, text, whole

FORMAT = 1
LARGEST = 64 * MIB
"""Bytes of a record, a floor or ``run.json``."""
LARGEST_ARRAYS = 1024 * MIB
"""Bytes of the arrays of a cell."""
STATUSES = ("ok", "failed", "timeout", "diverged", "incompatible")
"""``ok``            scored;
``failed``        raised, died, or used more memory than allowed;
``timeout``       took longer than allowed;
``diverged``      training or sampling left the finite numbers;
``incompatible``  the task does not offer what the sampler needs."""

_ID = text("a hash, 32 hexadecimal digits", pattern="[0-9a-f]{32}")
_ARRAYS = table(
    {"checksum": _ID},
    {"event_shape": maybe(rows(whole(0, 2**40), most=64)), "samples": whole(0), "reference": whole(0)},
)
_COMPONENT = maybe(table({"target": text()}, {"source": maybe(text())}))
"""Of one that cannot be imported there is no source."""
IDENTITY = table(
    {"task": text(), "sampler": text(), "seed": whole(0), "component": text()},
    {
        "kind": text(),
        "options": maybe(mapping()),
        "parts": maybe(mapping(_COMPONENT)),
        "task_component": _COMPONENT,
        "sampler_component": _COMPONENT,
        "library": text(),
        "device": text(),
    },
)
COSTS: dict[str, Shape] = {
    **dict.fromkeys(
        (
            "fit_densities",
            "fit_gradients",
            "fit_seconds",
            "cpu_seconds",
            "peak_memory_mib",
            "peak_device_memory_mib",
            "training_steps",
            "parameters",
            "energy_densities",
            "energy_gradients",
            "sample_seconds",
            "score_seconds",
            "nfe",
        ),
        maybe(number(0)),
    ),
    "stacked_seeds": whole(1),
    "shared_fit": flag,
}
"""Of a cell, by name."""
_HIT_LIMITS = one_of(None, "memory", "seconds", "outside")
_FLOOR = {"mean": maybe(number()), "std": maybe(number(0)), "source": maybe(text())}
RECORD = table(
    {
        "format": one_of(FORMAT),
        "id": _ID,
        "identity": IDENTITY,
        "status": one_of(*STATUSES),
        "reason": text(),
        "primary": text(),
        "best": mapping(one_of("low", "high", "zero", "half", "one")),
        "scores": mapping(maybe(number())),
        "score_errors": mapping(text()),
        "floors": mapping(maybe(table({}, _FLOOR))),
        "costs": table({}, COSTS),
        "arrays": maybe(_ARRAYS),
    },
    {
        "traceback": maybe(text()),
        "diagnostics": maybe(mapping()),
        "history": maybe(rows(mapping())),
        "environment": maybe(mapping()),
        "budget": maybe(table({}, {"seconds": number(0), "memory_mib": number(0)})),
        "hit_limit": _HIT_LIMITS,
        "started": maybe(text()),
        "finished": maybe(text()),
    },
)
FLOOR = table({"id": _ID}, _FLOOR)
SEARCH = table(
    {
        "id": _ID,
        "task": text(),
        "sampler": text(),
        "metric": text(),
        "best": one_of("low", "high", "zero", "half", "one"),
        "seed": whole(0),
        "space": rows(
            table(
                {"name": text(), "choices": rows(anything)},
                {"low": anything, "high": anything, "whole": flag, "log": flag},
            )
        ),
        "trials": rows(table({"options": mapping(), "score": maybe(number()), "reason": text()})),
    }
)
"""Of tuning: what was searched, and what each trial came to."""
_PAPER = {"task": text(), "metric": text(), "source": text()}
_NOTES = {"reason": text(), "note": text()}
HEAD = table(
    {},
    {
        "format": one_of(FORMAT),
        "suite": maybe(
            table(
                {},
                {
                    "name": text("the name of a suite", longest=200),
                    "summary": text(),
                    "tasks": rows(text()),
                    "samplers": rows(text()),
                    "seeds": rows(whole(0)),
                    "published": rows(
                        table(
                            {**_PAPER, "sampler": text(), "value": number()},
                            {**_NOTES, "unit": number(), "tolerance": number(0), "comparable": flag},
                        )
                    ),
                    "claims": rows(table({**_PAPER, "better": text(), "worse": text()}, _NOTES)),
                },
            )
        ),
        "cells": rows(table({"id": _ID, "task": text(), "sampler": text(), "seed": whole(0)})),
        "best": maybe(mapping(one_of("low", "high", "zero", "half", "one"))),
        "primary": maybe(mapping(text())),
        "environment": maybe(mapping()),
        "started": maybe(text()),
        "tuning": maybe(mapping()),
    },
)
LOCK = table({"host": text(), "process": whole(0), "since": text(), "born": number()})

_TEXT = maybe(text())
_ENDED = {"reason": _TEXT, "traceback": _TEXT, "hit_limit": _HIT_LIMITS, "started": _TEXT, "finished": _TEXT}
OUTCOME = table({"status": one_of(*STATUSES)}, _ENDED)
"""Of a job that gave no model."""
SCORED_OUTCOME = table(
    {"status": one_of(*STATUSES)},
    {
        **_ENDED,
        "scores": maybe(mapping()),
        "score_errors": maybe(mapping(text())),
        "costs": maybe(table({}, {**COSTS, "nfe": number(0)})),
        "diagnostics": maybe(mapping()),
        "environment": maybe(mapping()),
        "history": maybe(rows(mapping())),
        "arrays": maybe(_ARRAYS),
    },
)
EVENTS = {
    "ready": table({}),
    "shared": table({"seconds": number(0)}),
    "done": table({"resident_mib": number(0), "changed": rows(text())}),
    "floor": table({"metric": text()}, {**_FLOOR, "error": _TEXT, "values": maybe(rows(number()))}),
    "step": table({"step": whole(0), "seeds": rows(whole(0)), "values": mapping(rows(maybe(number())))}),
    "cell": table({"seed": number(0), "outcome": mapping()}),
    "error": table({"outcome": mapping()}),
}
"""What workers send, by the event's name."""
EVENTS_OF: dict[str | None, tuple[str, ...]] = {
    None: ("ready",),
    "floors": ("floor", "done"),
    "cells": ("shared", "step", "cell", "error", "done"),
}
"""By what a worker does; before its first job it does nothing."""
