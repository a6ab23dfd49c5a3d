"""How files are read that somebody else may have written: their sizes first, then what they hold, then its schema.

Only ordinary files are opened, so that no pipe or device makes a reader wait or read without end. Nothing is unpickled.
"""

from __future__ import annotations

import io
import math
import os
import re
import stat
from collections.abc import Iterator
from json import JSONDecoder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phys_registry.errors import brief
from phys_samplers.errors import ConfigurationError, FileError
from phys_samplers.schema import Malformed, Shape, short

if TYPE_CHECKING:
    import numpy as np

DEEPEST = 64
"""Lists and mappings within one another."""
MOST_DIGITS = 600
"""Of an integer: Python may refuse to write one of 640."""
MIB = 2**20
ROWS = (".csv", ".npy", ".npz", ".parquet")
"""Suffixes of files of rows."""
LARGEST_DATA = 16 * 1024 * MIB
"""Bytes of a file of rows, and of what it unpacks to."""
MOST_MEMBERS = 1_000
"""Files in an archive."""


def as_path(value: object, what: str) -> Path:
    """A path from what somebody gave as one.

    Args:
        value: a text or a path.
        what: it is of, ``a checkpoint's folder``.

    Raises:
        ConfigurationError: if it is neither.
    """
    if isinstance(value, str | os.PathLike):
        return Path(value)
    raise ConfigurationError(f"{what} is {brief(value)}; expected a path, as text or pathlib.Path")


def read_bytes(path: Path, largest: int, error: type[FileError] = FileError) -> bytes:
    """The content of an ordinary file (or of one that a link leads to).

    Args:
        path: of the file.
        largest: bytes; a larger file is refused before anything is read.
        error: class of what is raised.

    Raises:
        FileNotFoundError: if there is none.
        FileError: of class ``error``, if it is no ordinary file, is too large, or cannot be read.
    """
    if "\0" in str(path):
        raise error(f"{str(path)!a} is no name of a file: it holds a null character")
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(handle, "rb") as stream:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):
                raise error.about(path, "is no ordinary file; expected one that can be read to its end")
            if found.st_size > largest:
                raise error.about(path, f"has {found.st_size:,} bytes; expected at most {largest:,}")
            size = found.st_size
            content = stream.read(size + 1)  # not more: as much memory is taken at once
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"{path} does not exist") from None
    except OSError as problem:
        raise error.about(path, f"cannot be read ({problem.strerror or type(problem).__name__})") from None
    except MemoryError:
        raise error.about(path, "does not fit into memory") from None
    if len(content) > size:
        raise error.about(path, f"grows beyond {size:,} bytes while it is read")
    return content


def parse_json(payload: bytes | str) -> Any:
    """Strict JSON: no key twice, no NaN or infinity, no half of a surrogate pair, bounded depth and integers.

    Raises:
        Malformed: if it is not that; the message goes on after "it " or the file's name.
    """
    try:
        given = payload.decode("utf-8") if isinstance(payload, bytes) else payload
        data = _DECODE(given)
    except Malformed:
        raise
    except RecursionError:
        raise Malformed("is nested too deeply for JSON that is read here") from None
    except ValueError as problem:
        raise Malformed(f"is not whole JSON ({problem})") from None
    level, depth = [data], 0
    while level:
        depth += 1
        if depth > DEEPEST + 1:
            raise Malformed(f"is nested more than {DEEPEST} deep")
        inner = [i for c in level if type(c) in _HOLDERS for i in (c.values() if type(c) is dict else c)]
        level = [item for item in inner if type(item) in _HOLDERS]
    if _ESCAPED_HALF.search(given):
        _refuse_halves(data)
    return data


def read_json(path: Path, shape: Shape, *, largest: int, error: type[FileError] = FileError) -> Any:
    """The JSON of a file, of a certain shape.

    Raises:
        FileNotFoundError: if there is no file.
        FileError: of class ``error``, naming the file and the field.
    """
    payload = read_bytes(path, largest, error)
    try:
        data = parse_json(payload)
        shape(data, "")
    except Malformed as problem:
        raise error.about(path, said(problem)) from None
    return data


def said(problem: Malformed) -> str:
    """The problem as it goes on after a file's name."""
    words = str(problem)
    return words if words.startswith(("is ", "lacks ", "has ")) else f"is damaged: {words}"


def read_npy(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file.

    Raises:
        FileNotFoundError: if there is no file.
        FileError: if it holds no array, one of objects, or not as many bytes as its header says.
    """
    payload = read_bytes(path, LARGEST_DATA)
    try:
        return _array(payload)
    except Malformed as problem:
        raise FileError.about(path, f"is not a plain .npy array of numbers: {problem}") from None


def read_npz(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file by name.

    Raises:
        FileNotFoundError: if there is no file.
        FileError: if it is no archive, unpacks to too much, or holds anything but arrays; it names the member.
    """
    payload, found = read_bytes(path, LARGEST_DATA), {}
    name = ""
    try:
        for name, content in unpacked(payload, LARGEST_DATA):
            if (plain := name.removesuffix(".npy")) in found:
                raise Malformed("there are two arrays of this name")
            found[plain] = _array(content)
    except Malformed as problem:
        place = f", member {short(name)}" if name else ""
        raise FileError.about(path, f"cannot be read as .npz{place}: {problem}") from None
    return found


def unpacked(payload: bytes, largest: int) -> Iterator[tuple[str, bytes]]:
    """The members of a zip archive with their names, folders left out; their sizes are looked at first.

    Raises:
        Malformed: if it is none, is damaged, or unpacks to more than ``largest`` bytes.
    """
    import zipfile

    try:
        with zipfile.ZipFile(io.BytesIO(payload)) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
            if (total := sum(member.file_size for member in members)) > largest or len(members) > MOST_MEMBERS:
                raise Malformed(
                    f"it unpacks to {total:,} bytes in {len(members):,} files; expected at most {largest:,} bytes in "
                    f"{MOST_MEMBERS:,}"
                )
            if len({member.filename for member in members}) < len(members):
                raise Malformed("it holds two files of one name")
            for member in members:
                # The other ways to pack give no bound to what a few bytes become.
                if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise Malformed(f"{short(member.filename)} is packed in a way that is not read here; use deflate")
                with archive.open(member) as stream:  # which ends where the size says, whatever there is to unpack
                    content = stream.read(member.file_size)
                    if len(content) < member.file_size or stream.read(1):
                        raise Malformed(f"{short(member.filename)} has another size than the archive says")
                yield member.filename, content
    except Malformed:
        raise
    except Exception as problem:  # zipfile raises many kinds on damaged archives
        raise Malformed(f"it is no whole archive ({type(problem).__name__}: {problem})") from None


def _array(payload: bytes) -> np.ndarray:
    """The array that bytes hold.

    Raises:
        Malformed: if they hold none.
    """
    import numpy as np

    form = np.lib.format
    try:
        stream = io.BytesIO(payload)
        version = form.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise Malformed(f"its version is {version[0]}.{version[1]}; expected 1.0 or 2.0")
        read = form.read_array_header_1_0 if version == (1, 0) else form.read_array_header_2_0
        shape, _, dtype = read(stream)
        if dtype.hasobject or dtype.itemsize == 0:
            raise Malformed(f"it holds {dtype}; expected numbers")
        said, there = math.prod(shape) * dtype.itemsize, len(payload) - stream.tell()
        if said != there or any(size < 0 for size in shape):
            raise Malformed(f"its header says {short(shape)} of {dtype}, {short(said)} bytes; it has {there:,}")
        array: np.ndarray = np.load(io.BytesIO(payload), allow_pickle=False)
    except Malformed:
        raise
    except Exception as problem:  # numpy raises many kinds
        raise Malformed(f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}") from None
    return array


_HOLDERS = (dict, list)
_ESCAPED_HALF = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile(r"[\ud800-\udfff]")


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"is damaged: it says {short(twice)} twice")
    return found


def _constant(token: str) -> Any:
    raise Malformed(f"is damaged: it holds {token}, which is no number of JSON")


def _integer(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise Malformed(f"is damaged: it holds an integer of {len(digits):,} digits; expected at most {MOST_DIGITS}")
    return int(digits)


def _number(digits: str) -> float:
    found = float(digits)
    if found in (float("inf"), float("-inf")):
        raise Malformed(f"is damaged: it holds {short(digits)}, which is no finite number")
    return found


_DECODE = JSONDecoder(
    object_pairs_hook=_pairs, parse_constant=_constant, parse_int=_integer, parse_float=_number
).decode


def _refuse_halves(data: Any) -> None:
    """Refuse texts that hold half of a surrogate pair, which no file and no terminal can take."""
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if type(item) is dict:
            waiting += [*item, *item.values()]
        elif type(item) is list:
            waiting += item
        elif type(item) is str and _HALF.search(item):
            raise Malformed(f"is damaged: it holds {short(item)}, a text with half of a surrogate pair")
