"""A picture of the rooms of this project, made from the imports of its code: docs/images/rooms.svg.

A room is a package, or a folder of the library or the benchmark; a line goes from a room down to one that it imports.
Floors are those of the packages, since imports point one way: the registry at the bottom, the library on it, then the
families, then the benchmark. Inside the library a room stands above all that it imports.

python benchmarks/studies/rooms.py
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[2]
PICTURE = ROOT / "docs" / "images" / "rooms.svg"
WIDTH, HEIGHT, ACROSS, DOWN = 132, 30, 150, 100
"""Of a box, and from box to box, in pixels."""
Room = tuple[str, str]
"""Floor and name."""
COLOURS = {"registry": "#e8e3d9", "library": "#dbe7f3", "families": "#dff0dd", "benchmark": "#f6e3cf"}
SINGLE = "basics"
"""The room of the library's modules that lie in no folder."""


def room_of(module: str) -> Room | None:
    """Floor and room of an import name; None for what is not ours."""
    top, _, rest = module.partition(".")
    if top == "phys_registry":
        return "registry", top
    if top == "phys_bench":
        folder = rest.partition(".")[0]
        inner = folder if (ROOT / "benchmarks" / top / folder).is_dir() and folder else "run"
        return "benchmark", f"bench: {inner}"
    if top == "phys_samplers":
        folder = rest.partition(".")[0]
        return "library", folder if folder and (ROOT / top / folder).is_dir() else SINGLE
    return ("families", top) if (ROOT / "plugins" / top).is_dir() else None


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Name and syntax tree of every module of the four packages."""
    for folder in ("registry", "", "plugins", "benchmarks"):
        packages = [ROOT / "phys_samplers"] if not folder else sorted((ROOT / folder).glob("phys_*"))
        for package in packages:
            for path in sorted(package.rglob("*.py")):
                parts = path.relative_to(package.parent).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                yield name, ast.parse(path.read_text(encoding="utf-8"))


def imported(name: str, tree: ast.Module) -> set[str]:
    """Full names that a module imports from, of ours or not; relative ones are resolved within its package."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = name.split(".")
            package = ".".join(parents[: max(1, len(parents) - node.level)])
            found |= {f"{package}.{node.module or alias.name}" for alias in node.names}
    return found


def survey() -> tuple[dict[Room, int], Counter[tuple[Room, Room]]]:
    """Modules in each room, and how many modules of one room import another."""
    sizes: Counter[Room] = Counter()
    doors: Counter[tuple[Room, Room]] = Counter()
    for name, tree in modules():
        home = room_of(name)
        assert home is not None
        sizes[home] += 1
        others = {room for other in imported(name, tree) if (room := room_of(other)) is not None}
        doors.update((home, other) for other in others - {home})
    return dict(sizes), doors


def heights(rooms: set[Room], doors: Mapping[tuple[Room, Room], int]) -> dict[str, int]:
    """How many floors each room of the library stands above its lowest, so that lines lead down where they can.

    Two rooms that import each other (by different modules) count as one way: the one that more modules take.
    """
    below = {
        room: {b for (a, b), count in doors.items() if a == room and b in rooms and count > doors.get((b, a), 0)}
        for room in rooms
    }
    found: dict[Room, int] = {}

    def height(room: Room, path: tuple[Room, ...] = ()) -> int:
        if room in path:
            return 0
        if room not in found:
            found[room] = 1 + max((height(other, (*path, room)) for other in sorted(below[room])), default=-1)
        return found[room]

    return {room[1]: height(room) for room in sorted(rooms)}


def layout(sizes: Mapping[Room, int], doors: Mapping[tuple[Room, Room], int]) -> list[list[Room]]:
    """Rows of rooms from top to bottom."""
    library = {room for room in sizes if room[0] == "library"}
    level = heights(library, doors)
    rows = [sorted(room for room in sizes if room[0] == floor) for floor in ("benchmark", "families")]
    for height in sorted(set(level.values()), reverse=True):
        rows.append(sorted(room for room in library if level[room[1]] == height))
    rows.append(sorted(room for room in sizes if room[0] == "registry"))
    for upper in (*range(1, len(rows)), *reversed(range(len(rows) - 1)), *range(1, len(rows))):  # fewer crossings
        place = {room: i - (len(row) - 1) / 2 for row in rows for i, room in enumerate(row)}
        rows[upper].sort(key=lambda room: (_centre(room, doors, place), room))
    return rows


def _centre(room: Room, doors: Mapping[tuple[Room, Room], int], place: Mapping[Room, float]) -> float:
    """The mean place of the rooms that a line joins this one to."""
    joined = [b if a == room else a for a, b in doors if room in (a, b) and SINGLE not in (a[1], b[1])]
    joined = [other for other in joined if other[0] != "registry"]
    return round(sum(place[other] for other in joined) / len(joined), 6) if joined else 0.0


def draw() -> str:
    """The picture as SVG text; the same for the same code."""
    sizes, doors = survey()
    rows = layout(sizes, doors)
    width = ACROSS * max(map(len, rows)) + 120
    height = DOWN * len(rows) + 40
    corner = {
        room: (round((width + 80 - ACROSS * len(row)) / 2 + ACROSS * i + (ACROSS - WIDTH) / 2), 30 + DOWN * r)
        for r, row in enumerate(rows)
        for i, room in enumerate(row)
    }
    shapes = []
    for a, b in sorted(doors):
        (x1, y1), (x2, y2) = corner[a], corner[b]
        if b[0] == "registry" or b[1] == SINGLE:
            continue  # everybody imports these: the caption says so
        if y1 == y2:
            path = f"M{x1 + WIDTH // 2},{y1 + HEIGHT} q{(x2 - x1) // 2},{DOWN // 2} {x2 - x1},0"
        else:
            path = f"M{x1 + WIDTH // 2},{y1 + HEIGHT} C{x1 + WIDTH // 2},{y1 + HEIGHT + DOWN // 2} "
            path += f"{x2 + WIDTH // 2},{y2 - DOWN // 2} {x2 + WIDTH // 2},{y2}"
        shapes.append(f'<path d="{path}"><title>{escape(f"{a[1]} imports {b[1]}")}</title></path>')
    boxes = []
    for floor, colour in COLOURS.items():
        top = min(y for room, (_, y) in corner.items() if room[0] == floor)
        boxes.append(f'<text x="46" y="{top + 19}" fill="#333" font-style="italic">{floor}</text>')
        boxes.append(f'<rect x="6" y="{top}" width="5" height="{HEIGHT}" fill="{colour}"/>')
    for room, (x, y) in sorted(corner.items()):
        floor, name = room
        boxes.append(
            f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="5" fill="{COLOURS[floor]}"/>'
            f'<text x="{x + WIDTH // 2}" y="{y + 19}" font-weight="bold">{escape(name)}</text>'
        )
    caption = (
        f"Every room may import {SINGLE} (the library's single modules) and the registry: those lines are left out."
    )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
            'font-size="12" text-anchor="middle">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            '<g fill="none" stroke="#7a8ba0" stroke-width="1.4" stroke-opacity="0.6">',
            *shapes,
            "</g>",
            '<g stroke="none">',
            *boxes,
            f'<text x="{width // 2}" y="{height - 8}" fill="#333">{escape(caption)}</text>',
            "</g>",
            "</svg>\n",
        ]
    )


def main() -> None:
    """Write the picture."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    PICTURE.write_text(draw(), encoding="utf-8")
    print(PICTURE)


if __name__ == "__main__":
    main()
