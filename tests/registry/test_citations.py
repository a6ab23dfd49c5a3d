"""BibTeX of components: split into entries, and looked up beside the plugin when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from phys_registry import Component, InvalidComponent, Registry
from phys_registry.component import entries

FIRST = "@article{a2020,\n  title = {The {Deep} One},\n  note = {ends}\n}"
SECOND = "@misc{b2021, title = {B}}"
PLUGIN = """
from phys_registry import Component, hookimpl

@hookimpl
def phys_components():
    yield Component("sampler", "both", dict, summary="", citation="b2021 a2020")
    yield Component("sampler", "text", dict, summary="", citation=" @misc{x, title = {X}} ")
    yield Component("sampler", "wrong", dict, summary="", citation="a202")
"""


def test_entries_are_split_at_their_braces() -> None:
    assert entries(f"{FIRST}\n\n{SECOND} between {SECOND}\n  {FIRST}  ") == {"a2020": FIRST, "b2021": SECOND}
    assert entries("no entry") == {}
    assert entries("@misc{open, title = {never closed") == {"open": "@misc{open, title = {never closed"}


@pytest.fixture
def load(folder: Path, empty: Registry) -> Callable[[], Registry]:
    def run() -> Registry:
        (folder / "citing_plugin.py").write_text(PLUGIN)
        empty.load_file(folder / "citing_plugin.py")
        return empty

    return run


def test_keys_are_looked_up_beside_the_plugin(load: Callable[[], Registry], folder: Path) -> None:
    registry = load()  # without the file: nothing reads it yet
    (folder / "references.bib").write_text(f"{FIRST}\n{SECOND}\n")
    assert registry.get("sampler", "both").bibtex == f"{SECOND}\n\n{FIRST}"
    assert registry.describe("sampler", "both").citation == f"{SECOND}\n\n{FIRST}"
    assert registry.get("sampler", "text").bibtex == "@misc{x, title = {X}}"
    with pytest.raises(InvalidComponent, match=r"sampler 'wrong': citation key 'a202' is not in .* 'a2020'"):
        _ = registry.get("sampler", "wrong").bibtex
    assert registry.describe("sampler", "wrong").citation == "a202", "a listing goes on"


def test_a_missing_or_unreadable_file_is_said(load: Callable[[], Registry], folder: Path) -> None:
    both = load().get("sampler", "both")
    with pytest.raises(InvalidComponent, match=r"names a2020, b2021, but there is no file .*references\.bib"):
        _ = both.bibtex
    (folder / "references.bib").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidComponent, match="cannot be read as UTF-8"):
        _ = both.bibtex


def test_components_of_running_code_may_cite_too(empty: Registry) -> None:
    @empty.component("sampler", "here", summary="", citation="nobody1999")
    class Here: ...

    with pytest.raises(InvalidComponent, match=r"registry.references\.bib"):
        _ = empty.get("sampler", "here").bibtex
    assert Component("sampler", "none", dict, summary="").bibtex == ""
    with pytest.raises(InvalidComponent, match="was not declared in a file"):
        _ = Component("sampler", "loose", dict, summary="", citation="key").bibtex
