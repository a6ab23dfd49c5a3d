"""Names of a package that are imported when they are first used, so that importing the package costs nothing.

A package writes its names once, for type checkers; the same lines tell where to find them at run time:

    if TYPE_CHECKING:
        from phys_mine.sampler import Mine as Mine

    __getattr__, __dir__ = lazy(__name__)
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

_IMPORT = re.compile(r"^    from ([\w.]+) import (\w+) as (\w+)$", re.MULTILINE)


def lazy(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's ``__getattr__`` and ``__dir__`` from its imports for type checkers.

    Args:
        package: Its name. Each of its names stands on a line ``from module import name as name``, indented by four
            spaces; ``import package as name`` of a submodule is written ``from package import name as name``.

    Returns:
        The two functions. ``__all__`` is among the names unless the package defines it.
    """

    @cache
    def homes() -> dict[str, tuple[str, str]]:
        source = Path(str(sys.modules[package].__file__)).read_text(encoding="utf-8")
        return {name: (module, attribute) for module, attribute, name in _IMPORT.findall(source)}

    def find(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, attribute = homes()[name]
        own = module == package
        value = import_module(f"{package}.{attribute}") if own else getattr(import_module(module), attribute)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted(vars(sys.modules[package]).get("__all__") or homes())

    return find, names
