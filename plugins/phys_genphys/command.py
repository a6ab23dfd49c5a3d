"""``phys-samplers genphys``: verdicts on dispersion relations and on the tables of the thesis."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import click

from phys_samplers.errors import ConfigurationError
from phys_samplers.layout import examples, heading, table

if TYPE_CHECKING:
    from phys_genphys.classify import Classification


def command() -> click.Group:
    """The command, as a component of kind ``command``."""
    return genphys


@click.group()
def genphys() -> None:
    """Which equations can be generative models, by their dispersion relations (GenPhys)."""


@genphys.command(
    context_settings={"ignore_unknown_options": True},  # a relation may begin with a minus
    epilog=examples(
        ("phys-samplers genphys classify 'w = -I*k**2'", "w as a function of k"),
        ("phys-samplers genphys classify 'w**2 + 2*I*eps*w - k**2 = 0' --set eps=2", "its roots are the branches"),
        ("phys-samplers genphys classify 'dt**2 + lap - m**2' --set m=0.5", "a PDE: dt is d/dt, lap the Laplacian"),
        ("phys-samplers genphys classify 'w = k, -k' --json", "two branches, for other programs"),
    ),
)
@click.argument("relation")
@click.option("--set", "settings", metavar="NAME=VALUE", multiple=True, help="Value of a name in it; repeatable.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
def classify(relation: str, settings: tuple[str, ...], as_json: bool) -> None:
    """Judge every branch of a dispersion RELATION: yes, conditional, unchecked or no, with reasons.

    Eq. 9.8 by itself is not enough: yes is said only if a kernel was made and is positive, unchecked if none could be.
    Numbers, w, k, dt, lap, I, pi, + - * / **, sqrt, exp, log, sin, cos, tan, sinh, cosh, tanh, abs and names with
    --set are understood; the text is read, never run.
    """
    from phys_genphys.classify import classify as judge

    given = [_setting(text) for text in settings]
    values = dict(given)
    if twice := [name for name in values if sum(name == other for other, _ in given) > 1]:
        raise ConfigurationError(f"--set gives {', '.join(twice)} more than once; expected one value a name")
    found = judge(relation, **values)
    click.echo(json.dumps(found.to_dict(), indent=2, ensure_ascii=False) if as_json else _report(found))


def _setting(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise ConfigurationError(f"--set {text!r} is not NAME=VALUE with a number, e.g. --set m=0.5") from None


def _report(found: Classification) -> str:
    rows = []
    for branch in found.branches:
        start = f"{branch.omega_0:.4g}" if math.isfinite(abs(branch.omega_0)) else "none"
        facts = [branch.verdict, start, branch.smooth, "yes" if branch.fading else "no", branch.density, branch.mass]
        rows.append((*facts, branch.reasons[0]))
        rows += [("", "", "", "", "", "", reason) for reason in branch.reasons[1:]]
    header = ("branch", "w(0)", "Eq. 9.8", "fading", "kernel", "mass", "why")
    low, high = found.asked
    asked = f"asked of {low:.2g} < k < {high:.2g}"
    return f"{heading(found.verdict)}  {found.relation}  ({asked})\n{table(rows, header, indent='  ')}"


@genphys.command(epilog=examples(("phys-samplers genphys tables", "printed and found, row by row")))
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for other programs.")
def tables(as_json: bool) -> None:
    """Judge the equations of Tables 9.1 and 9.2 of the thesis, and others; say where the tables are contradicted."""
    from phys_genphys.equations import EQUATIONS

    rows: list[dict[str, Any]] = []
    for one in EQUATIONS:
        found = one.classify()
        rows.append(
            {"table": one.table, "equation": one.name, "printed": one.printed, "note": one.note, **found.to_dict()}
        )
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
        return
    lines = [
        (
            row["table"],
            row["equation"],
            row["relation"],
            row["printed"] or "",
            row["verdict"],
            row["note"] or row["branches"][0]["reasons"][0],
        )
        for row in rows
    ]
    click.echo(table(lines, ("table", "equation", "relation", "printed", "found", "why")))
