"""Published files, found by their SHA-256: in a folder of the user's, in the cache, or downloaded into it.

A folder named by the environment variable ``PHYS_SAMPLERS_DATA`` comes first, then the cache, then the network. Only
the very bytes that are pinned are ever read, so a task's rows are the same wherever they came from.
"""

from __future__ import annotations

import csv
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from phys_bench.data.download import fetch
from phys_bench.data.errors import DataUnavailable
from phys_bench.data.table import Table
from phys_samplers.atomic import write_atomically

FOLDER_VARIABLE = "PHYS_SAMPLERS_DATA"


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
                content = path.read_bytes()
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
