"""Where the benchmark's real data come from: pinned files of their publishers, and what scikit-learn ships."""

from phys_bench.data.bundled import bundled_table, digit_images
from phys_bench.data.files import DataUnavailable, PinnedBytes, PinnedFile, Table
from phys_bench.data.mnist import mnist_images

__all__ = [
    "DataUnavailable",
    "PinnedBytes",
    "PinnedFile",
    "Table",
    "bundled_table",
    "digit_images",
    "mnist_images",
]
