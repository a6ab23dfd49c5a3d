"""Published files, found by their SHA-256: in a folder of the user's, in the cache, or downloaded into it.

A folder named by the environment variable ``PHYS_SAMPLERS_DATA`` comes first, then the cache, then the network. Only
the very bytes that are pinned are ever read or handed on, so a task's rows are the same wherever they came from.
"""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import os
import threading
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import platformdirs
import torch
from torch import Tensor

from phys_registry import PhysError
from phys_samplers.atomic import write_atomically
from phys_samplers.errors import FileError
from phys_samplers.reading import MIB, read_bytes, unpacked

FOLDER_VARIABLE = "PHYS_SAMPLERS_DATA"
TIMEOUT = 20.0
"""Seconds without an answer after which an address is given up."""
LONGEST = 300.0
"""Seconds after which a download that still trickles is given up."""
LARGEST = 32 * MIB
"""Bytes of a file or of a download."""
LARGEST_UNPACKED = 4 * LARGEST
"""Bytes of all that an archive holds."""
FAILURES = (OSError, ValueError, http.client.HTTPException)
"""What a dead network, a bad address, a truncated answer or a broken archive raise."""


class DataUnavailable(PhysError, RuntimeError):  # noqa: N818 - reads as the condition it names
    """A data file or the package that ships it is missing, or is not the one that the benchmark pins.

    Not a ``ConfigurationError``: nobody asked for anything wrong, so a suite goes on with its other tasks.
    """


@dataclass(frozen=True)
class Table:
    """A table as it was published: named columns, cells (texts or numbers) not yet interpreted.

    Args:
        names: of the columns.
        rows: each as long as ``names``.
    """

    names: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def distinct(self) -> Self:
        """Without exact repetitions of a whole row; the first of each stays where it was."""
        return type(self)(self.names, tuple(dict.fromkeys(self.rows)))

    def column(self, name: str) -> list[str | float]:
        """The cells of one column.

        Raises:
            ValueError: if there is no such column.
        """
        index = self.names.index(name)
        return [row[index] for row in self.rows]

    def numbers(self, names: Sequence[str]) -> Tensor:
        """The named columns as float64 (N, len(names)).

        Raises:
            ValueError: if there is no such column, or a cell is not a number.
        """
        columns = [[float(cell) for cell in self.column(name)] for name in names]
        return torch.tensor(columns, dtype=torch.float64).T.contiguous()


def fetch(urls: Sequence[str], sha256: str, *, advice: str) -> bytes:
    """The bytes with this hash, from the first of ``urls`` that has them.

    Args:
        urls: addresses of the file itself, or of a zip archive with it.
        sha256: of the file.
        advice: what else a user can do, for the message.

    Raises:
        DataUnavailable: saying what was wrong with each address.
    """
    problems = []
    for url in urls:
        try:
            content = _download(url)
            for candidate in _candidates(content):
                if hashlib.sha256(candidate).hexdigest() == sha256:
                    return candidate
            problems.append(f"{url}: what it holds has another SHA-256 than the pinned {sha256}")
        except FAILURES as error:
            problems.append(f"{url}: {error}")
    raise DataUnavailable(f"the data cannot be downloaded ({'; '.join(problems)}); {advice}")


def _download(url: str) -> bytes:
    """What an address answers, in bounded time however slowly it comes."""
    found: list[bytes | BaseException] = []

    def read() -> None:
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                found.append(answer.read(LARGEST))
        except BaseException as error:
            found.append(error)

    reader = threading.Thread(target=read, daemon=True, name="download")
    reader.start()
    reader.join(LONGEST)
    if not found:
        raise TimeoutError(f"it was not whole after {LONGEST:g} s")
    if isinstance(found[0], BaseException):
        raise found[0]
    return found[0]


def _candidates(content: bytes) -> Iterator[bytes]:
    """The download itself and, if it is a zip archive, its members."""
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        yield from (member for _, member in unpacked(content, LARGEST_UNPACKED))


def cache_folder() -> Path:
    """Where downloaded files are kept."""
    return Path(platformdirs.user_cache_dir("phys-samplers")) / "data"


@dataclass(frozen=True, kw_only=True)
class PinnedBytes:
    """One published file.

    Args:
        original: name of the file as published.
        original_sha256: of its bytes.
        urls: where the original, or an archive that holds it, is published; tried in this order.
    """

    original: str
    original_sha256: str
    urls: tuple[str, ...]

    def content(self) -> bytes:
        """Its bytes, from wherever they are.

        Raises:
            DataUnavailable: if the file is nowhere, or what is there has other bytes.
        """
        if (content := self._local()) is None:
            content = fetch(self.urls, self.original_sha256, advice=self._advice())
            self._keep(content)
        return content

    def _forms(self) -> tuple[tuple[str, str], ...]:
        """Accepted names of the file, each with the SHA-256 of what must lie there."""
        return ((self.original, self.original_sha256),)

    def _local(self) -> bytes | None:
        """The bytes in the user's folder or in the cache, verified; None if neither has the file."""
        named = os.environ.get(FOLDER_VARIABLE)
        if named and not Path(named).is_dir():
            raise DataUnavailable(
                f"{FOLDER_VARIABLE} is {named!r}, which is not a folder; set it to the folder that holds "
                f"{self.original}, or unset it to have the file downloaded"
            )
        for folder in ([Path(named)] if named else []) + [cache_folder()]:
            for name, expected in self._forms():
                path = folder / name
                if not path.is_file():
                    continue
                try:
                    content = read_bytes(path, LARGEST)
                except FileError as error:
                    raise DataUnavailable(str(error)) from None
                if (found := _sha256(content)) != expected:
                    raise DataUnavailable(
                        f"{path} has SHA-256 {found}; expected {expected}: it is not the published file, so remove or "
                        f"replace it (it can be had from {' or '.join(self.urls)})"
                    )
                return content
        return None

    def _keep(self, content: bytes) -> None:
        folder = cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / self._forms()[0][0], content)
        except OSError as error:
            raise DataUnavailable(
                f"{self.original} was downloaded but cannot be kept in {folder}: {error}; make that folder writable, "
                f"or {self._advice()}"
            ) from error

    def _advice(self) -> str:
        return f"put {' or '.join(name for name, _ in self._forms())} into a folder and name it in {FOLDER_VARIABLE}"


@dataclass(frozen=True, kw_only=True)
class PinnedFile(PinnedBytes):
    """One published table in its two accepted forms.

    Args:
        plain: name of the same table as comma-separated values under one header line, LF line ends.
        plain_sha256: of that file.
        header: column names, where the original has no header line of its own.
        delimiter: between the cells of the original; a blank stands for any number of them.
    """

    plain: str
    plain_sha256: str
    header: tuple[str, ...] | None = None
    delimiter: str = ","

    def read(self) -> Table:
        """The table, from wherever it is.

        Raises:
            DataUnavailable: if it is nowhere, or what is there has other bytes.
        """
        content = self.content()
        published = _sha256(content) == self.original_sha256
        lines = content.decode("ascii").splitlines()
        if published and self.delimiter == " ":
            rows = [tuple(line.split()) for line in lines]
        else:
            rows = [tuple(row) for row in csv.reader(lines, delimiter=self.delimiter if published else ",")]
        names = self.header if published and self.header else rows.pop(0)
        return Table(names, tuple(rows))

    def _forms(self) -> tuple[tuple[str, str], ...]:
        return (*super()._forms(), (self.plain, self.plain_sha256))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
