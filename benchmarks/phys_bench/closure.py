"""The code behind a module: its own statements and those of every module of ours that it imports, comments aside.

Modules are read, never imported, so that what is found does not depend on what ran before. Followed are import
statements anywhere in a module but under ``TYPE_CHECKING``, ``import_module("name")``, names that a package hands on
when they are first used, and components that the code names in a text (``make_part("loss", "denoising")``).
"""

from __future__ import annotations

import ast
import gc
import importlib.machinery
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from .canonical import digest


@dataclass
class _Source:
    """What a file holds."""

    text: str = ""
    """Hash of its statements, without comments, docstrings and what stands under ``TYPE_CHECKING``."""
    imports: list[tuple[int, str, tuple[str, ...]]] = field(default_factory=list)
    """Level, module and names of its import statements; no names for ``import module``."""
    made: set[str] = field(default_factory=set)
    """Texts handed to ``make`` or ``make_part``: names of components among them."""
    homes: dict[str, set[str]] = field(default_factory=dict)
    """Of a package that hands names on when they are first used: where each lives."""
    late: bool = False
    """Whether it is such a package: its own code decides nothing but where names live, and these are followed."""


class Closures:
    """Closures of modules; files are read once in the life of the object.

    Args:
        folders: of the top-level packages whose modules count, by name.
        named: the modules of the components that bear a name.
    """

    def __init__(self, folders: Mapping[str, Path], named: Callable[[str], Collection[str]]) -> None:
        self._folders, self._named = dict(folders), named
        self._sources: dict[Path, _Source] = {}
        self._edges: dict[tuple[Path, Path | None], tuple[Path, ...]] = {}

    def of_module(self, name: str, *, but: str = "") -> str | None:
        """Hash of the closure of a module; None if its source cannot be found.

        Args:
            name: of the module.
            but: a top-level package whose modules are left out, though they are followed.
        """
        files = self.files(name)
        rows = {label: self._source(path).text for label, path in files.items() if label.partition("/")[0] != but}
        return digest(rows) if files else None

    def files(self, name: str) -> dict[str, Path]:
        """The files of the closure of a module, by a name that is the same on every machine; empty if there is none.

        Beside those of ``folders`` these are files that lie beside or beneath the module's own.
        """
        file = _file_of(sys.modules.get(name)) or self._find(name, (), None)
        if file is None:
            return {}
        home = None if name.partition(".")[0] in self._folders else _home(name, file)
        found, waiting = {file}, [file]
        while waiting:
            for other in self._imported(waiting.pop(), home):
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return {self._label(path, home): path for path in found if not self._source(path).late}

    def _label(self, path: Path, home: Path | None) -> str:
        if home is not None and path.is_relative_to(home):
            return f"./{path.relative_to(home).as_posix()}"
        root = next(folder for folder in self._folders.values() if path.is_relative_to(folder))
        return path.relative_to(root.parent).as_posix()

    def _imported(self, path: Path, home: Path | None) -> tuple[Path, ...]:
        key = (path, home)
        if key not in self._edges:
            self._edges[key] = tuple(dict.fromkeys(self._imports(path, home)))
        return self._edges[key]

    def _imports(self, path: Path, home: Path | None) -> Iterator[Path]:
        source = self._source(path)
        package = _package(path)
        for level, module, names in source.imports:
            base = package[: len(package) - level + 1] if level else ()
            yield from self._statement([*base, *module.split(".")] if module else list(base), names, path, home)
        for text in source.made:
            for module in self._named(text.partition("[")[0]):
                yield from self._statement(module.split("."), (), path, home)

    def _statement(self, parts: list[str], names: tuple[str, ...], path: Path, home: Path | None) -> Iterator[Path]:
        """The files that ``import parts`` or ``from parts import names`` runs."""
        for stop in range(1, len(parts) + 1):
            file = self._find(".".join(parts[:stop]), (path.parent,), home)
            if file is not None:
                yield file
        module = ".".join(parts)
        for name in names:
            below = self._find(f"{module}.{name}", (path.parent,), home)
            if below is not None:
                yield below
                continue
            package = self._find(module, (path.parent,), home)
            if package is None or not (source := self._source(package)).late:
                continue
            for text in source.homes.get(name) or source.homes:
                for full in (text, f"{module}.{text}"):
                    if (file := self._find(full, (), home)) is not None and file != package:
                        yield file

    def _find(self, name: str, beside: tuple[Path, ...], home: Path | None) -> Path | None:
        """The file of a module that counts; None for any other."""
        top, *rest = name.split(".")
        if top in self._folders:
            return _below(self._folders[top], tuple(rest))
        if home is None:
            return None
        for folder in dict.fromkeys((*beside, home)):
            if folder.is_relative_to(home) and (file := _below(folder, (top, *rest))) is not None:
                return file
        return None

    def _source(self, path: Path) -> _Source:
        if path not in self._sources:
            facts = path.stat()
            self._sources[path] = _read(path, facts.st_mtime_ns, facts.st_size)
        return self._sources[path]


def statements(source: str | bytes) -> str:
    """Hash of the statements of a text of Python, without comments and docstrings.

    Raises:
        SyntaxError: if it is none.
    """
    return _Reader(ast.parse(source), package=False).source.text


@cache
def _read(path: Path, changed: int, size: int) -> _Source:
    payload = path.read_bytes()
    collects = gc.isenabled()
    gc.disable()  # syntax trees are many small objects without circles: looking for circles takes half of the time
    try:
        return _Reader(ast.parse(payload), package=path.name == "__init__.py").source
    except (SyntaxError, ValueError, RecursionError):  # it cannot be run either; its bytes stand for it
        return _Source(text=digest(payload))
    finally:
        if collects:
            gc.enable()


class _Reader:
    """Walks a syntax tree once."""

    def __init__(self, tree: ast.Module, *, package: bool) -> None:
        self.source = _Source()
        self._words: list[str] = []
        self.source.late = package and any(_binds_getattr(node) for node in tree.body)
        self._walk(tree)
        self.source.text = digest("\0".join(self._words).encode("utf-8", "surrogatepass"))

    def _walk(self, node: ast.AST) -> None:
        kind = type(node)
        if kind in _NOTED and self._noted(node):
            return
        words = self._words
        words.append(kind.__name__)
        for name in _fields(kind):  # type: ignore[arg-type]
            value = getattr(node, name, None)
            if isinstance(value, ast.AST):
                words.append(name)
                self._walk(value)
            elif isinstance(value, list) and value:  # versions of Python differ in which empty ones there are
                if name == "body" and kind in _WITH_DOCSTRING and value and _is_text(value[0]):
                    value = value[1:]
                words.append(f"{name} {len(value)}")
                for item in value:
                    if isinstance(item, ast.AST):
                        self._walk(item)
                    else:
                        words.append(repr(item))
            elif value is not None and value != []:
                words.append(repr(value))

    def _noted(self, node: ast.AST) -> bool:
        """Take note of what a statement imports or names; True if its own words do not count."""
        source = self.source
        if isinstance(node, ast.Import):
            source.imports += [(0, name.name, ()) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            source.imports.append((node.level, node.module or "", tuple(name.name for name in node.names)))
        elif isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if called == "import_module":
                source.imports += [(0, text, ()) for argument in node.args[:1] for text in _texts(argument)]
            elif called in ("make", "make_part"):
                parts = [part for argument in node.args for part in ast.walk(argument)]
                source.made |= {text for part in parts if isinstance(part, ast.Constant) for text in _texts(part)}
        elif isinstance(node, ast.If) and _is_type_checking(node):
            self._note_homes(node)
            for statement in node.orelse:
                self._walk(statement)
            return True
        elif source.late and isinstance(node, ast.FunctionDef):
            return True  # it fetches names, which are followed one by one
        elif source.late and isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                for name in _texts(key):
                    for other in _texts(value):  # either way round: a name and its module, a module and its names
                        source.homes.setdefault(name, set()).add(other)
                        source.homes.setdefault(other, set()).add(name)
        return False

    def _note_homes(self, node: ast.AST) -> None:
        for row in ast.walk(node):
            if self.source.late and isinstance(row, ast.ImportFrom) and row.module:
                for name in row.names:
                    self.source.homes.setdefault(name.asname or name.name, set()).add(row.module)


_NOTED = frozenset({ast.Import, ast.ImportFrom, ast.Call, ast.If, ast.FunctionDef, ast.Dict})
_WITH_DOCSTRING = frozenset({ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef})


@cache
def _fields(kind: type[ast.AST]) -> tuple[str, ...]:
    """The fields of a node that say something; ``ctx`` follows from where it stands."""
    return tuple(name for name in kind._fields if name not in ("ctx", "type_comment", "kind", "type_ignores"))


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _is_type_checking(node: ast.AST) -> bool:
    test = getattr(node, "test", None)
    return getattr(test, "id", getattr(test, "attr", "")) == "TYPE_CHECKING"


def _binds_getattr(node: ast.stmt) -> bool:
    if isinstance(node, ast.FunctionDef):
        return node.name == "__getattr__"
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(
        isinstance(name, ast.Name) and name.id == "__getattr__" for target in targets for name in ast.walk(target)
    )


def _texts(node: ast.expr | None) -> list[str]:
    rows = node.elts if isinstance(node, ast.List | ast.Tuple | ast.Set) else [node]
    return [row.value for row in rows if isinstance(row, ast.Constant) and isinstance(row.value, str)]


def _file_of(module: object) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file) if file and file.endswith(".py") else None


def _home(name: str, file: Path) -> Path:
    """Where modules beside ``file`` are looked for: its folder, or that of its top-level package."""
    depth = name.count(".") + (file.name == "__init__.py")
    return file.resolve().parents[depth] if depth else file.parent


@cache
def folder_of(name: str) -> Path | None:
    """The folder of a top-level package, which is not imported; None if there is no such package."""
    known = _file_of(sys.modules.get(name))
    if known is None:
        spec = importlib.machinery.PathFinder.find_spec(name)
        known = Path(spec.origin) if spec is not None and spec.origin else None
    return known.parent if known is not None and known.name == "__init__.py" else None


@cache
def _package(path: Path) -> tuple[str, ...]:
    """The names of the packages that hold a file, outermost first."""
    folder = path.parent
    names: list[str] = []
    while (folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return tuple(names)


@cache
def _below(root: Path, parts: tuple[str, ...]) -> Path | None:
    place = root.joinpath(*parts)
    for file in (place / "__init__.py", place.with_name(f"{place.name}.py") if parts else place):
        if file.is_file():
            return file
    return None
