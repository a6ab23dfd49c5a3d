"""The 10,000 test images of MNIST with their labels, in the format of their publication.

An idx file is a header of big-endian numbers, two zero bytes, a byte for the type (8: unsigned bytes), a byte for the
number of axes, four bytes for the length of each, and then the values, the last axis running fastest.

Source: Y. LeCun, C. Cortes and C. J. C. Burges, The MNIST Database of Handwritten Digits.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass

import torch
from torch import Tensor

from phys_bench.data.files import PinnedBytes

_MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")
UNSIGNED_BYTES = 8


@dataclass(frozen=True, kw_only=True)
class PinnedIdx(PinnedBytes):
    """A compressed idx file of unsigned bytes; its name may carry ``mnist-`` in front, since other sets share it."""

    def read(self) -> Tensor:
        """The values, uint8.

        Raises:
            DataUnavailable: if the file is nowhere, or what is there has other bytes.
        """
        return parse_idx(self.content())

    def _forms(self) -> tuple[tuple[str, str], ...]:
        return ((f"mnist-{self.original}", self.original_sha256), *super()._forms())


IMAGES = PinnedIdx(
    original="t10k-images-idx3-ubyte.gz",
    original_sha256="8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    urls=tuple(f"{mirror}/t10k-images-idx3-ubyte.gz" for mirror in _MIRRORS),
)
LABELS = PinnedIdx(
    original="t10k-labels-idx1-ubyte.gz",
    original_sha256="f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    urls=tuple(f"{mirror}/t10k-labels-idx1-ubyte.gz" for mirror in _MIRRORS),
)


def mnist_images() -> tuple[Tensor, Tensor]:
    """Grey levels (10000, 28, 28), uint8, and the digits (10000,), int64, that they show.

    Raises:
        DataUnavailable: if a file is nowhere, or what is there has other bytes.
    """
    return IMAGES.read(), LABELS.read().to(torch.int64)


def parse_idx(content: bytes) -> Tensor:
    """The values (uint8) of an idx file, compressed by gzip.

    Raises:
        ValueError: if the bytes are not that.
    """
    try:
        content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{len(content)} bytes are no gzip file ({error}); expected a compressed idx file") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTES:
        raise ValueError(
            f"the idx file begins with {content[:4]!r}; expected two zeros, {UNSIGNED_BYTES}, number of axes"
        )
    axes = content[3]
    start = 4 * (1 + axes)
    if len(content) < start:
        raise ValueError(f"the idx file has {len(content)} bytes; its header alone, of {axes} axes, has {start}")
    shape = struct.unpack(f">{axes}I", content[4:start])
    values = torch.frombuffer(bytearray(content), dtype=torch.uint8)[start:]
    if len(values) != torch.Size(shape).numel():
        raise ValueError(f"the idx file holds {len(values)} values; its header says {' x '.join(map(str, shape))}")
    return values.reshape(shape)
