"""A read-only dictionary, so that frozen dataclasses stay frozen all the way down."""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

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
