"""`Description`: everything a listing or a help page says about one component, its options included.

What is written about an option is read from Google-style docstrings and dataclass field metadata.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .component import Component, FrozenDict
from .errors import InvalidComponent
from .options import Facts, Stage, default_text, facts_of, named_parameters
from .spec import hint_text

_SECTION = re.compile(r"(Args|Arguments|Parameters|Attributes):\s*$")
_ENTRY = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?:\s*(.*)$")


@dataclass(frozen=True, kw_only=True)
class OptionInfo:
    """One option of a component.

    Attributes:
        name: The keyword.
        type: The type hint as text; empty if there is none.
        default: ``repr`` of the default; empty if there is none.
        required: Whether it must be given.
        doc: What the docstring says about it.
        stage: When it acts.
        allowed: Its bounds in words; empty if there are none.
    """

    name: str
    type: str = ""
    default: str = ""
    required: bool = False
    doc: str = ""
    stage: Stage = "fit"
    allowed: str = ""


def option_table(target: Callable[..., Any]) -> tuple[OptionInfo, ...]:
    """List a target's options.

    Args:
        target: A class or factory.

    Returns:
        The options in the order of the signature; ``*args`` and ``**kwargs`` are left out.
    """
    docs, facts = option_docs(target), facts_of(target)
    return tuple(
        OptionInfo(
            name=name,
            type="" if parameter.annotation is parameter.empty else hint_text(parameter.annotation),
            default=default_text(target, parameter),
            required=parameter.default is parameter.empty,
            doc=docs.get(name, ""),
            stage=facts.get(name, Facts()).stage,
            allowed=facts.get(name, Facts()).phrase(""),
        )
        for name, parameter in named_parameters(target).items()
    )


@dataclass(frozen=True, kw_only=True)
class Description:
    """The facts of a component, its owner and its options.

    Attributes:
        kind: The component's kind.
        name: Its name.
        owner: The plugin that registered it.
        target: Where it lives, ``module:attribute``.
        summary: One sentence.
        reference: The source.
        needs: Capabilities it asks for.
        citation: BibTeX of the source; its keys where they cannot be looked up (then `Component.bibtex` says why).
        presets: Named sets of options.
        version: The component's version.
        traits: Declared facts of the kind.
        options: The options in signature order, or ``None`` when they were not asked for.
    """

    kind: str
    name: str
    owner: str
    target: str
    summary: str
    reference: str = ""
    needs: frozenset[str] = frozenset()
    citation: str = ""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=FrozenDict, hash=False)
    version: int = 1
    traits: Mapping[str, Any] = field(default_factory=FrozenDict, hash=False)
    options: tuple[OptionInfo, ...] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Turn the description into plain containers.

        Returns:
            Field values by name; ``needs`` sorted, ``options`` as a list of mappings or ``None``.
        """
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__},
            "needs": sorted(self.needs),
            "presets": {name: dict(options) for name, options in self.presets.items()},
            "traits": dict(self.traits),
            "options": None if self.options is None else [asdict(option) for option in self.options],
        }


def describe(component: Component, owner: str, *, options: bool = True) -> Description:
    """Describe a component.

    Args:
        component: The component.
        owner: The plugin that registered it.
        options: Whether to import the target and list its options.

    Returns:
        The description.

    Raises:
        TargetError: The target cannot be imported.
    """
    return Description(
        kind=component.kind,
        name=component.name,
        owner=owner,
        target=component.target_text,
        summary=component.summary,
        reference=component.reference,
        needs=component.needs,
        citation=_bibtex(component),
        presets=component.presets,
        version=component.version,
        traits=component.traits,
        options=option_table(component.load()) if options else None,
    )


def _bibtex(component: Component) -> str:
    try:
        return component.bibtex
    except InvalidComponent:  # a listing of everything must not stop at one wrong key
        return component.citation


def option_docs(target: Callable[..., Any]) -> dict[str, str]:
    """Collect what is written about each option.

    Sources, the later winning: docstrings of base classes, the class's (or function's) own, that of ``__init__``, and
    ``field(metadata={"doc": ...})``.

    Args:
        target: A class, a function or any callable.

    Returns:
        Text by option name; options nothing is written about are missing.
    """
    docs: dict[str, str] = {}
    owners: list[object] = list(reversed(target.__mro__)) if isinstance(target, type) else [target]
    for owner in owners:
        docs.update(parse(getattr(owner, "__doc__", None)))
        if isinstance(owner, type):
            docs.update(parse(getattr(vars(owner).get("__init__"), "__doc__", None)))
    if isinstance(target, type) and dataclasses.is_dataclass(target):
        for item in dataclasses.fields(target):
            if isinstance(item.metadata.get("doc"), str):
                docs[item.name] = item.metadata["doc"]
    return docs


def parse(text: str | None) -> dict[str, str]:
    """Read the ``Args:`` and ``Attributes:`` sections of a docstring.

    Args:
        text: The docstring.

    Returns:
        Text by name, lines joined by a space.
    """
    docs: dict[str, str] = {}
    inside = False
    indent: int | None = None
    name = ""
    for line in inspect.cleandoc(text or "").splitlines():
        depth = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if depth == 0:
            inside, indent, name = bool(_SECTION.match(line)), None, ""
            continue
        if not inside:
            continue
        indent = depth if indent is None else indent
        entry = _ENTRY.match(line.strip()) if depth == indent else None
        if entry:
            name = entry[1]
            docs[name] = entry[2]
        elif name and depth > indent:
            docs[name] = f"{docs[name]} {line.strip()}".strip()
    return docs
