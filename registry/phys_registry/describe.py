"""`Description`: everything a listing or a help page says about one component."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .component import Component
from .errors import InvalidComponent
from .frozen import FrozenDict
from .options import OptionInfo, option_table


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
