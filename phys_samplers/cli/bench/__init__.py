"""``bench``: the benchmark, reached when a command runs."""

from __future__ import annotations

import click

from phys_samplers.cli.bench.records import compare, export, merge, report, status
from phys_samplers.cli.bench.run import list_suites, run
from phys_samplers.layout import examples

__all__ = ["bench"]


@click.group(
    epilog=examples(
        ("phys-samplers bench list", "the suites"),
        ("phys-samplers bench run quick", "run one; finished cells are never run again"),
        ("phys-samplers bench status", "how far it is"),
        ("phys-samplers bench report", "tables here, report.html beside the records"),
        ("phys-samplers bench export --csv", "every score, for other programs"),
        ("phys-samplers bench compare runs/a runs/b", "what changed between two runs"),
    ),
)
def bench() -> None:
    """Score samplers side by side: run suites, look at runs, compare and merge them.

    A suite is tasks × samplers × seeds; each combination is a cell with a record of its own in the run folder. A cell
    that fails, hangs or runs out of memory costs itself only.
    """


for command in (run, status, report, export, compare, merge, list_suites):
    bench.add_command(command)
