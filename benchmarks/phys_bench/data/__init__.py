"""Where the benchmark's real data come from: pinned files of the UCI repository, and what scikit-learn ships."""

from phys_bench.data.bundled import bundled_table, digit_images
from phys_bench.data.errors import DataUnavailable
from phys_bench.data.files import PinnedFile
from phys_bench.data.table import Table

__all__ = ["DataUnavailable", "PinnedFile", "Table", "bundled_table", "digit_images"]
