"""Runs the examples of Markdown files in the order in which they stand: python run_document.py FILE...

The Python blocks of a file share one namespace, console lines that begin with ``$ phys-samplers`` are run in the same
process, a block after ``<!-- file: NAME -->`` becomes the file NAME, and one after ``<!-- skip: reason -->`` is left
out. Every document has a folder of its own under the current one, and the components it registers go with it. All run
in one process, because importing torch takes longer than most examples.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
import traceback
import types
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*) *$")
_MARK = re.compile(r"^<!-- (?P<what>file|skip): (?P<value>.+) -->$")
PROGRAM = "$ phys-samplers"


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: after the opening fence.
        text: what stands between the fences.
        line: of its first line of text, counted from 1.
        file: the file it becomes, if any.
        skip: why it is not run; empty if it is.
    """

    language: str
    text: str
    line: int
    file: str = ""
    skip: str = ""


def blocks(markdown: str) -> list[Block]:
    """The fenced blocks of a document."""
    found: list[Block] = []
    opened: re.Match[str] | None = None
    marks: dict[str, str] = {}
    start = 0
    lines = markdown.splitlines()
    for number, line in enumerate(lines, 1):
        fence = _FENCE.match(line)
        if opened is None and fence:
            opened, start = fence, number + 1
        elif opened is None and (mark := _MARK.match(line)):
            marks = {mark["what"]: mark["value"]}
        elif opened is None and line.strip():
            marks = {}
        elif opened is not None and fence and not fence["language"]:
            indent = len(opened["indent"])
            text = "".join(f"{row[indent:]}\n" for row in lines[start - 1 : number - 1])
            found.append(Block(opened["language"], text, start, **marks))
            opened, marks = None, {}
    if opened is not None:
        raise ValueError(f"the block of line {start - 1} is not closed")
    return found


def commands(block: Block) -> list[list[str]]:
    """The words of every ``phys-samplers`` command of a console block, without the program's name."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [shlex.split(line.removeprefix(PROGRAM)) for line in lines if line.startswith(PROGRAM)]


def run(path: Path) -> int:
    """Run a document in the current folder; return the number of examples."""
    from phys_samplers.cli import main

    module = types.ModuleType("document")
    sys.modules["document"] = module  # where dataclasses look for the module of their fields' types
    count = 0
    for block in blocks(path.read_text(encoding="utf-8")):
        where = f"{path.name}, line {block.line}"
        if block.skip:
            continue
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            print(f"--- {where}", flush=True)
            exec(compile("\n" * (block.line - 1) + block.text, str(path), "exec"), vars(module))
            count += 1
        elif block.language in ("console", "bash"):
            for words in commands(block):
                print(f"--- {where}: phys-samplers {shlex.join(words)}", flush=True)
                try:
                    main(words)
                except SystemExit as leave:
                    if leave.code not in (0, None):
                        raise RuntimeError(f"{where}: exit code {leave.code}") from leave
                count += 1
    return count


def run_apart(path: Path) -> bool:
    """Run a document in a folder of its own and forget what it registered; whether it went well."""
    from phys_samplers.catalogue import registry

    home, known = Path.cwd(), set(registry.components())
    folder = home / path.stem
    folder.mkdir()
    os.chdir(folder)
    print(f"=== {path}", flush=True)
    try:
        print(f"{run(path)} examples ran", flush=True)
    except Exception:
        traceback.print_exc(file=sys.stdout)
        return False
    finally:
        os.chdir(home)
        for component in set(registry.components()) - known:
            registry.unregister(component.kind, component.name)
    return True


if __name__ == "__main__":
    outcomes = [run_apart(Path(file).resolve()) for file in sys.argv[1:]]
    sys.exit(0 if all(outcomes) else 1)
