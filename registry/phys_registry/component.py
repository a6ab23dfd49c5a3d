"""`Component`: the declaration of one named, swappable part."""

from __future__ import annotations

import copy
import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NoReturn, TypeVar

from .errors import InvalidComponent, TargetError, listing, one_line, suggest

KIND = "kind"
"""The kind of components that declare a kind by their name; their target is the class of its objects."""
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9_+-]*")
V = TypeVar("V")


class FrozenDict(dict[str, V]):
    """A ``dict`` that refuses changes; it still compares, pickles, copies and serialises to JSON as a ``dict``.

    ``copy()`` and ``|`` give an ordinary dictionary.
    """

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise TypeError("this mapping is read-only; take a copy with dict(...) and change that")

    __setitem__ = __delitem__ = __ior__ = _refuse
    pop = popitem = clear = _refuse
    update = setdefault = _refuse  # pyright: ignore[reportAssignmentType] - overloads that always raise

    def __reduce__(self) -> tuple[type[FrozenDict[V]], tuple[dict[str, V]]]:
        """Pickle through the constructor, since items cannot be set afterwards."""
        return type(self), (dict(self),)


@dataclass(frozen=True, init=False)
class Component:
    """One named part: what it is called, where it lives, and the facts that can be known without importing it.

    Attributes:
        kind: A kind that a component of kind ``kind`` declares.
        name: Unique in its kind; lower-case letters, digits, ``_``, ``+`` and ``-``.
        target: ``"module:attribute"``, imported only when made, or the class or factory itself.
        summary: One sentence for listings.
        reference: The source (paper, equation).
        needs: Capabilities it asks of its counterpart, for example ``{"samples"}``.
        citation: Keys, separated by spaces, of entries in the ``references.bib`` beside the module that declares the
            component; or BibTeX text, which begins with ``@``; or an empty string. `bibtex` is the text.
        presets: Named sets of options.
        version: Raised when the same options start to give different results.
        traits: Declared facts of the kind, JSON-like.
        renamed_from: Its former names, which still find it.
        renamed_options: Present name of options by former name.
        gone_options: What to write instead of options that are no more, by their name.
        folder: Where the declaring module is; filled in when the component is registered.
    """

    kind: str
    name: str
    target: str | Callable[..., Any]
    summary: str
    reference: str = ""
    needs: frozenset[str] = frozenset()
    citation: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=FrozenDict, hash=False)
    version: int = 1
    traits: Mapping[str, Any] = field(default_factory=FrozenDict, hash=False)
    renamed_from: frozenset[str] = frozenset()
    renamed_options: Mapping[str, str] = field(default_factory=FrozenDict, hash=False)
    gone_options: Mapping[str, str] = field(default_factory=FrozenDict, hash=False)
    folder: str = field(init=False, default="", compare=False, repr=False)

    def __init__(
        self,
        kind: str,
        name: str,
        target: str | Callable[..., Any],
        *,
        summary: str,
        reference: str = "",
        needs: Iterable[str] = (),
        citation: str = "",
        presets: Mapping[str, Mapping[str, Any]] | None = None,
        version: int = 1,
        traits: Mapping[str, Any] | None = None,
        renamed_from: Iterable[str] = (),
        renamed_options: Mapping[str, str] | None = None,
        gone_options: Mapping[str, str] | None = None,
    ) -> None:
        """Check the declaration and freeze it.

        Args:
            kind: A declared kind.
            name: Unique in its kind; matches ``[a-z0-9][a-z0-9_+-]*``.
            target: ``"module:attribute"`` or a class or factory.
            summary: One sentence for listings.
            reference: The source (paper, equation).
            needs: Any iterable of capability names.
            citation: Keys of the plugin's ``references.bib``, or BibTeX text.
            presets: Named sets of options.
            version: A positive integer.
            traits: Declared facts, JSON-like.
            renamed_from: Its former names.
            renamed_options: Present name of options by former name.
            gone_options: What to write instead of options that are no more.

        Raises:
            InvalidComponent: A value is malformed; the message says which and how to put it right.
        """
        _check_names(kind, name)
        label = f"{kind} {name!r}"
        _check_target(label, target)
        for key, text in (("summary", summary), ("reference", reference), ("citation", citation)):
            if not isinstance(text, str):
                raise InvalidComponent(f"{label}: {key} must be a string, got {text!r}")
        if isinstance(version, bool) or not isinstance(version, int) or version < 1:
            raise InvalidComponent(f"{label}: version must be a positive integer, got {version!r}")
        values = {
            "kind": kind,
            "name": name,
            "target": target,
            "summary": summary,
            "reference": reference,
            "needs": _frozen_names(label, "needs", needs),
            "citation": citation,
            "presets": _frozen_presets(label, presets or {}),
            "version": version,
            "traits": _frozen_traits(label, traits or {}),
            "renamed_from": _frozen_names(label, "renamed_from", renamed_from),
            "renamed_options": _frozen_texts(
                label, "renamed_options", "a former name to the present one", renamed_options or {}
            ),
            "gone_options": _frozen_texts(label, "gone_options", "a name to what to write instead", gone_options or {}),
            "folder": "",
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

    @property
    def key(self) -> str:
        """The component's address in listings, ``kind/name``."""
        return f"{self.kind}/{self.name}"

    @property
    def bibtex(self) -> str:
        """BibTeX of the source, read when it is asked for.

        Raises:
            InvalidComponent: `citation` has a key that is not in the plugin's ``references.bib``.
        """
        text = self.citation.strip()
        return text if text.startswith("@") else resolve(text.split(), self.folder, self.label) if text else ""

    def declared_in(self, folder: str) -> Component:
        """The same component, knowing the folder of the module that declares it."""
        placed = copy.copy(self)
        object.__setattr__(placed, "folder", folder)
        return placed

    @property
    def label(self) -> str:
        """The component as messages name it."""
        return f"{self.kind} {self.name!r}"

    @property
    def target_text(self) -> str:
        """The target as ``module:attribute``, also when it was given as an object."""
        if isinstance(self.target, str):
            return self.target
        module = getattr(self.target, "__module__", None) or type(self.target).__module__
        return f"{module}:{getattr(self.target, '__qualname__', type(self.target).__qualname__)}"

    def load(self) -> Any:
        """Import the target.

        Returns:
            The class or factory that the target names.

        Raises:
            TargetError: Module or attribute does not exist, importing fails, or what it gives is not callable.
        """
        if not isinstance(self.target, str):
            return self.target
        module_name, _, attribute = self.target.partition(":")
        label = f"{self.label} (target {self.target!r})"
        try:
            value: Any = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            missing = error.name or ""
            if module_name == missing or module_name.startswith(f"{missing}."):
                raise TargetError(f"{label}: no module {missing!r}; correct the target or install it") from error
            raise TargetError(f"{label}: it needs the module {missing!r}, which is not installed") from error
        except Exception as error:
            raise TargetError(f"{label}: importing {module_name!r} failed: {one_line(error)}") from error
        for part in attribute.split("."):
            try:
                value = getattr(value, part)
            except AttributeError as error:
                hint = suggest(part, dir(value))
                raise TargetError(f"{label}: {module_name!r} has no attribute {part!r}.{hint}") from error
            except Exception as error:
                raise TargetError(f"{label}: reading {part!r} failed: {one_line(error)}") from error
        if not callable(value):
            raise TargetError(f"{label}: it is a {type(value).__name__}; point the target to a class or function")
        return value


def module_folder(thing: object) -> str:
    """The folder of a module, or of the module in which a class, a function or an object's class was written."""
    name = getattr(thing, "__module__", None) or type(thing).__module__
    module = thing if isinstance(thing, ModuleType) else sys.modules.get(name)
    return os.path.dirname(getattr(module, "__file__", None) or "")


def _check_names(kind: str, name: str) -> None:
    for what, text in (("kind", kind), ("name", name)):
        if not isinstance(text, str) or not NAME_PATTERN.fullmatch(text):
            raise InvalidComponent(
                f"{kind} {name!r}: a {what} begins with a lower-case letter or digit and goes on with those, "
                f"'_', '+' or '-'; got {text!r}"
            )


def _check_target(label: str, target: object) -> None:
    if isinstance(target, str):
        module, colon, attribute = target.partition(":")
        parts = [*module.split("."), *attribute.split(".")]
        if not colon or not all(part.isidentifier() for part in parts):
            raise InvalidComponent(f"{label}: target {target!r} is not of the form 'package.module:attribute'")
    elif not callable(target):
        raise InvalidComponent(f"{label}: target must be 'module:attribute' or a class or function, got {target!r}")


def _frozen_names(label: str, fact: str, given: Iterable[str]) -> frozenset[str]:
    if isinstance(given, str):
        raise InvalidComponent(f"{label}: {fact} must be a set of names, got one string; write {fact}={{{given!r}}}")
    names = list(given) if isinstance(given, Iterable) else [given]
    wrong = [name for name in names if not isinstance(name, str)]
    if wrong:
        raise InvalidComponent(f"{label}: {fact} must be an iterable of strings, got {wrong[0]!r}")
    return frozenset(names)


def _frozen_presets(label: str, presets: Mapping[str, Mapping[str, Any]]) -> FrozenDict[FrozenDict[Any]]:
    if not isinstance(presets, Mapping):
        raise InvalidComponent(f"{label}: presets must map a name to options, got {presets!r}")
    for name, options in presets.items():
        good = isinstance(name, str) and isinstance(options, Mapping) and all(isinstance(key, str) for key in options)
        if not good:
            raise InvalidComponent(f"{label}: preset {name!r} must map option names to values, got {options!r}")
    return FrozenDict({name: FrozenDict(options) for name, options in presets.items()})


def _frozen_traits(label: str, traits: Mapping[str, Any]) -> FrozenDict[Any]:
    if not isinstance(traits, Mapping):
        raise InvalidComponent(f"{label}: traits must map a name to a JSON-like value, got {traits!r}")
    for name, value in traits.items():
        if not isinstance(name, str) or not _is_json_like(value):
            allowed = listing(["null", "booleans", "numbers", "strings", "lists", "mappings with string keys"])
            raise InvalidComponent(f"{label}: trait {name!r} is not JSON-like, got {value!r}; allowed: {allowed}")
    return FrozenDict(traits)


def _frozen_texts(label: str, what: str, expected: str, texts: Mapping[str, str]) -> FrozenDict[str]:
    if not isinstance(texts, Mapping) or not all(isinstance(text, str) for pair in texts.items() for text in pair):
        raise InvalidComponent(f"{label}: {what} must map {expected}, got {texts!r}")
    return FrozenDict(texts)


def _is_json_like(value: object) -> bool:
    if value is None or isinstance(value, bool | int | float | str):
        return True
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_json_like(item) for key, item in value.items())
    return isinstance(value, list | tuple) and all(_is_json_like(item) for item in value)


FILE = "references.bib"
"""The file beside a plugin's module that holds the entries its components name."""
_HEAD = re.compile(r"@\s*\w+\s*\{\s*([^,\s]+)\s*,")
_BRACE = re.compile(r"[{}]")


def entries(text: str) -> dict[str, str]:
    """Split BibTeX into its entries; one ends where its braces close.

    Args:
        text: Any number of entries; what is between them is left out.

    Returns:
        Entries by key, in order; of those with the same key the first.
    """
    found: dict[str, str] = {}
    at = 0
    while head := _HEAD.search(text, at):
        depth, end = 0, len(text)
        for brace in _BRACE.finditer(text, head.start()):
            depth += 1 if brace[0] == "{" else -1
            if depth == 0:
                end = brace.end()
                break
        found.setdefault(head[1], text[head.start() : end].strip())
        at = end
    return found


def resolve(keys: Iterable[str], folder: str, label: str) -> str:
    """Look keys up in the ``references.bib`` of a folder.

    Args:
        keys: Keys of entries.
        folder: Where the file is; empty if the component was registered by code that is in no file.
        label: Whose keys these are, for messages.

    Returns:
        The entries in the order of the keys, an empty line between two.

    Raises:
        InvalidComponent: There is no such file, it cannot be read, or it lacks a key.
    """
    cure = f"add it to {FILE} beside the plugin's module, or give the BibTeX text itself (it begins with '@')"
    path = os.path.join(folder, FILE)
    if not folder or not os.path.isfile(path):
        place = f"there is no file {path!r}" if folder else "it was not declared in a file"
        raise InvalidComponent(f"{label}: citation names {listing(keys)}, but {place}; {cure}")
    known = _read(path, os.stat(path).st_mtime_ns)
    for key in keys:
        if key not in known:
            raise InvalidComponent(f"{label}: citation key {key!r} is not in {path!r}.{suggest(key, known)} {cure}")
    return "\n\n".join(known[key] for key in keys)


@functools.lru_cache(maxsize=64)
def _read(path: str, _changed: int) -> dict[str, str]:
    try:
        with open(path, encoding="utf-8") as file:
            return entries(file.read())
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidComponent(f"{path!r} cannot be read as UTF-8 text: {error}") from error
