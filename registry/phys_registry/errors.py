"""Every error this package raises, in one small hierarchy.

A message says what was given, what is allowed and how to put it right; unknown names get the nearest known ones.
"""

# ruff: noqa: N818 - the names say what is wrong; "Error" would only lengthen them

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


class PhysError(Exception):
    """Base of all errors of phys-samplers; catching it catches every error a user can cause."""


class RegistryError(PhysError):
    """Base of the errors of the registry."""


class InvalidComponent(RegistryError, ValueError):
    """A component is declared wrongly: unknown kind, bad name, malformed target, or a fact of the wrong type."""


class UnknownComponent(RegistryError, LookupError):
    """No component of this kind and name, or no such kind."""


class DuplicateComponent(RegistryError, ValueError):
    """Two owners claim the same kind and name."""


class BadOption(RegistryError, TypeError):
    """An option (or preset) that a component does not have, lacks, or cannot take with this value."""


class TargetError(RegistryError, ImportError):
    """A component's target cannot be imported: module or attribute missing, or the import itself fails."""


class PluginError(RegistryError):
    """A plugin cannot be loaded, or implements the hooks wrongly."""


class SpecError(RegistryError, ValueError):
    """A component text such as ``bellman[kernel=gaussian,slice]`` cannot be read."""


class RenamedWarning(FutureWarning):
    """A component or an option was asked for by its former name."""


class PluginWarning(UserWarning):
    """A plugin misbehaved and was set aside; the rest goes on."""


def suggest(given: str, allowed: Iterable[str]) -> str:
    """Phrase the names nearest to a wrong one.

    Args:
        given: The name that is not known.
        allowed: The names that are.

    Returns:
        `` Did you mean 'a' or 'b'?`` with a leading space, or an empty string when nothing is near.
    """
    import difflib  # seldom needed

    choices = {name.casefold(): name for name in sorted(allowed)}
    near = difflib.get_close_matches(given.casefold(), choices, n=3, cutoff=0.6)
    if not near:
        return ""
    return f" Did you mean {' or '.join(repr(choices[name]) for name in near)}?"


def brief(value: object) -> str:
    """A value for a message, on one line however long it is.

    Args:
        value: What was given.

    Returns:
        Its ``repr``, cut after 200 letters.
    """
    if isinstance(value, int) and value.bit_length() > 1_990:  # which Python may refuse to write
        return f"an integer of {value.bit_length():,} bits"
    text = printable(" ".join(_spoken(repr, value).split()))
    return text if len(text) <= 200 else text[:197] + "..."


def listing(names: Iterable[str], *, empty: str = "none") -> str:
    """Phrase a set of names as a sorted, comma-separated list.

    Args:
        names: The names.
        empty: What to say when there are none.

    Returns:
        One line of text.
    """
    return ", ".join(sorted(names)) or empty


_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def printable(text: str) -> str:
    r"""Spell out what commands a terminal or fits into no file: control characters and lone surrogates.

    Args:
        text: From a plugin, a file or a person.

    Returns:
        The text with ``\x1b`` for the escape character, and so on; line ends and tabs stay.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def one_line(error: BaseException) -> str:
    """Phrase an exception on one line, its type first.

    Args:
        error: Any exception.

    Returns:
        For example ``ModuleNotFoundError: No module named 'jax'``.
    """
    text = printable(" ".join(_spoken(str, error).split()))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _spoken(write: Callable[[object], str], value: object) -> str:
    """The text of any object, even of one whose own text raises: an error must not hide behind another one."""
    try:
        return write(value)
    except KeyboardInterrupt:
        raise
    except BaseException as problem:
        return f"<{type(value).__name__} whose text raises {type(problem).__name__}>"
