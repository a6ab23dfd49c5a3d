"""Verified downloads: bytes with another hash than the pinned one are never handed on."""

from __future__ import annotations

import hashlib
import http.client
import io
import urllib.request
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from phys_bench.data.errors import DataUnavailable

TIMEOUT = 20.0
"""Seconds without an answer after which an address is given up."""
LARGEST = 32 * 2**20
"""Bytes read at most, of a download or of a member of an archive."""

FAILURES = (OSError, ValueError, http.client.HTTPException, zipfile.BadZipFile, zlib.error, RuntimeError)
"""What a dead network, a bad address, a truncated answer or a broken archive raise."""


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
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                content = answer.read(LARGEST)
            for candidate in _candidates(content):
                if hashlib.sha256(candidate).hexdigest() == sha256:
                    return candidate
            problems.append(f"{url}: what it holds has another SHA-256 than the pinned {sha256}")
        except FAILURES as error:
            problems.append(f"{url}: {error}")
    raise DataUnavailable(f"the data cannot be downloaded ({'; '.join(problems)}); {advice}")


def _candidates(content: bytes) -> Iterator[bytes]:
    """The download itself and, if it is a zip archive, its members."""
    yield content
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.infolist():
                if not member.is_dir() and member.file_size <= LARGEST:
                    yield archive.read(member)
