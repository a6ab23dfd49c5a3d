"""BibTeX of the components a run used, from the registry; a component that is not installed here is left out."""

from __future__ import annotations

from .view import Run


def used_components(run: Run) -> list[tuple[str, str]]:
    """(kind, name) of every component that a run names: samplers and their parts, tasks and metrics."""
    used: dict[tuple[str, str], None] = {}
    for cell in run.cells:
        used[(cell.kind, cell.component)] = None
        for part in cell.parts:
            kind, _, name = part.partition("/")
            used[(kind, name)] = None
        used[("task", _base(cell.task))] = None
        for metric in cell.scores:
            used[("metric", _base(metric))] = None
    return list(used)


def _base(label: str) -> str:
    """``name`` of ``name[option=value]``."""
    return label.partition("[")[0]


def citations(run: Run) -> dict[str, list[str]]:
    """BibTeX entry -> the components (``kind/name``) that ask for it."""
    found: dict[str, list[str]] = {}
    for kind, name in used_components(run):
        if text := _citation(kind, name):
            found.setdefault(text, []).append(f"{kind}/{name}")
    return found


def _citation(kind: str, name: str) -> str:
    try:
        from phys_samplers.catalogue import registry

        return str(registry.get(kind, name).bibtex)
    except Exception:  # a record may come from another machine, with plugins that are not here or are broken
        return ""
