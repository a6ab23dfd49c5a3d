"""``claims``: what the sources claim, and what became of it."""

from __future__ import annotations

from pathlib import Path

import click

from phys_samplers.cli.bench.records import benchmark
from phys_samplers.cli.output import Failure, echo_json, json_option
from phys_samplers.layout import examples, terminal_width


@click.command(
    epilog=examples(
        ("phys-samplers claims", "all of them, counts first"),
        ("phys-samplers claims --source vgs --verdict 'does not hold'", "what did not come out of one source"),
        ("phys-samplers claims restart", "those that speak of it"),
        ("phys-samplers claims bellman-fig6-faster", "one of them in full, with its command"),
        ("phys-samplers bench run paper-vgs-fig4", "run a suite of a paper, and then"),
        ("phys-samplers claims --run runs/paper-vgs-fig4", "let its records decide"),
        ("phys-samplers claims --json", "for other programs"),
        ("phys-samplers claims -o docs/claims.md", "the page of the documentation"),
    ),
)
@click.argument("words", metavar="[WORD]...", nargs=-1)
@click.option("--source", metavar="NAME", default="", help="Claims of this source: bellman, slides, thesis or vgs.")
@click.option("--verdict", metavar="TEXT", default="", help="Claims with this verdict, e.g. 'does not hold'.")
@click.option(
    "--run",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Decide the claims that are rows of a suite by the records of this run.",
)
@click.option("-o", "--out", metavar="FILE", type=click.Path(path_type=Path), help="Write the page, as Markdown, here.")
@click.option(
    "--toml", "as_toml", is_flag=True, help="With --run: print what it decided, as rows for a file of sources."
)
@json_option
def claims(
    words: tuple[str, ...],
    source: str,
    verdict: str,
    folder: Path | None,
    out: Path | None,
    as_toml: bool,
    as_json: bool,
) -> None:
    """List what the papers, the thesis and the slides claim, and what became of each claim here.

    A claim has its place in the source, the number in print, what was measured, a verdict, and a command that
    reproduces it. WORDs choose the claims that speak of all of them; an id shows one claim in full.

    Verdicts: holds, holds in part, does not hold, not told at this scale (the difference is smaller than its noise),
    not testable here (it asks for data, models or machines that are not to be had), not run yet.
    """
    found = shipped = benchmark("claims_read").load_claims()
    if folder is not None:
        found = benchmark("claims_run").decided_by(shipped, benchmark("folders").load(folder))
    if as_toml:
        if folder is None:
            raise Failure("--toml says what a run decided; name it, --run DIR")
        click.echo(benchmark("claims_shown").findings(shipped, found))
        return
    one = [claim for claim in found if (claim.id,) == words]
    found = type(found)(found.sources, one) if one else found.select(source, verdict, words)
    if out is not None:
        from phys_samplers.atomic import write_atomically

        write_atomically(out, benchmark("claims_shown").page(found).encode())
        click.echo(f"{len(found)} claims written to {out}")
    elif as_json:
        echo_json([claim.to_dict() for claim in found])
    else:
        click.echo(benchmark("claims_shown").terminal(found, terminal_width(100)))
