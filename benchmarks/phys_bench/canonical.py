"""One text for one meaning: JSON whose bytes depend on the values alone, and hashes of it."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import math
import re
from collections.abc import Mapping
from json import JSONEncoder
from pathlib import PurePath
from typing import Any

from phys_registry.errors import printable
from phys_samplers.errors import ConfigurationError
from phys_samplers.schema import LONGEST_INTEGER, short

DEEPEST = 32
"""Lists and mappings within one another in facts; files hold them within others, and are read to twice that depth."""
HUGE, TINY = 1e75, 1e-75
"""From which on a number counts as not finite, and below which as zero: fourth powers of others overflow, or vanish."""
_ENCODE = JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode
_ADDRESS = re.compile(r"\bat 0x[0-9a-fA-F]+")


def digest(data: Any) -> str:
    """BLAKE2b hash (32 hexadecimal digits) of JSON-like data or of bytes."""
    payload = data if isinstance(data, bytes) else canonical_text(data).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(payload, digest_size=16).hexdigest()


def canonical_text(data: Any) -> str:
    """JSON-like data as text: keys sorted, no spaces.

    Raises:
        ValueError: on a number that is not finite.
    """
    return _ENCODE(data)


def identify(value: Any, what: str) -> Any:
    """A JSON-like stand-in for an option value that is equal exactly when the values are.

    Args:
        value: numbers, texts, containers, dataclasses, classes, functions, enums, paths, dtypes, devices, tensors.
        what: how to name it in messages.

    Raises:
        ConfigurationError: for an object of which nothing stable is known.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"float": repr(value)}
    if isinstance(value, enum.Enum):
        return {"enum": f"{type(value).__qualname__}.{value.name}"}
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return {"code": f"{value.__module__}:{value.__qualname__}"}
    if dataclasses.is_dataclass(value):
        rows = {f.name: identify(getattr(value, f.name), f"{what}.{f.name}") for f in dataclasses.fields(value)}
        return {"type": f"{type(value).__module__}:{type(value).__qualname__}", **rows}
    if isinstance(value, Mapping):
        return {str(key): identify(item, f"{what}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identify(item, what) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((identify(item, what) for item in value), key=canonical_text)
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "detach") and hasattr(value, "numpy"):
        array = value.detach().cpu().numpy()
        return {"tensor": digest(array.tobytes()), "shape": list(array.shape), "dtype": str(array.dtype)}
    text = repr(value)
    if _ADDRESS.search(text):
        raise ConfigurationError(
            f"{what} is a {type(value).__name__}, of which nothing is known that stays the same in another process; "
            "make it a dataclass, or give the part by its registered name"
        )
    return text


def plain(value: Any, *, longest: int = 1_000, depth: int = 0) -> Any:
    """Facts as records hold them: numbers that are not finite become null, arrays lists, anything else its text.

    Halves of surrogate pairs, which no file takes, are spelt.

    Args:
        value: diagnostics of a sampler.
        longest: arrays of more elements are left out.
        depth: of the value within others.

    Raises:
        ValueError: if it is nested more than ``DEEPEST`` deep.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _whole(value)
    if isinstance(value, int):
        return int(value) if value.bit_length() <= LONGEST_INTEGER else short(int(value))
    if isinstance(value, float):
        return float(value) if abs(value) < HUGE else None
    if depth > DEEPEST:
        raise ValueError(f"facts are nested more than {DEEPEST} deep")
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    if isinstance(value, Mapping):
        return {_whole(str(key)): plain(item, longest=longest, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item, longest=longest, depth=depth + 1) for item in value]
    if hasattr(value, "numel") and value.numel() > longest:
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    if hasattr(value, "tolist"):
        return plain(value.tolist(), longest=longest, depth=depth + 1)
    return _whole(str(value))


def _whole(text: str) -> str:
    return str(text) if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def escaped(value: Any) -> Any:
    """JSON-like data whose texts any file and terminal can hold: control characters and lone surrogates are spelt."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, Mapping):
        return {escaped(str(key)): escaped(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escaped(item) for item in value]
    return value
