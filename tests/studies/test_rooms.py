"""The picture of the rooms is that of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
PRINT = "import runpy; print(runpy.run_path('benchmarks/studies/rooms.py')['draw']())"


def texts(picture: str) -> list[str]:
    """What is written in it, and what its lines say."""
    return [text.strip() for text in ElementTree.fromstring(picture).itertext() if text.strip()]


def test_the_picture_is_that_of_the_code() -> None:
    done = subprocess.run([sys.executable, "-c", PRINT], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found, drawn = texts(PICTURE.read_text(encoding="utf-8")), texts(done.stdout)
    assert sorted(found) == sorted(drawn), "make it anew: python benchmarks/studies/rooms.py"


def test_the_picture_shows_every_family_and_no_line_between_them() -> None:
    shown = texts(PICTURE.read_text(encoding="utf-8"))
    families = {path.name for path in (ROOT / "plugins").glob("phys_*")}
    assert families <= set(shown)
    pairs = [match.groups() for text in shown if (match := re.fullmatch(r"(\S+) imports (\S+)", text))]
    assert len(pairs) > 20
    assert [pair for pair in pairs if set(pair) <= families] == []
