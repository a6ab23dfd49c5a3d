"""``bench list``: the suites that are shipped."""

from __future__ import annotations

import click

from phys_samplers.cli.bench.reach import benchmark
from phys_samplers.cli.documents import echo_json, json_option
from phys_samplers.layout import examples, table


@click.command(
    "list",
    epilog=examples(
        ("phys-samplers bench list", "what can be run"),
        ("phys-samplers bench run quick --dry-run", "what a suite consists of"),
    ),
)
@json_option
def list_suites(as_json: bool) -> None:
    """List the shipped suites; a TOML file of your own is run by its path."""
    suites = benchmark("suite").list_suites()
    if as_json:
        echo_json([suite.to_dict() for suite in suites])
        return
    rows = [
        (s.name, str(len(s.tasks)), str(len(s.samplers)), str(len(s.seeds)), f"{s.budget.seconds:g} s", s.summary)
        for s in suites
    ]
    click.echo(table(rows, ("suite", "tasks", "samplers", "seeds", "limit per cell", "summary")))
