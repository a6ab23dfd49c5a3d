"""Where 126 Finnish pine saplings stand, scaled to the unit square: the point pattern ``finpines`` of spatstat.

The pattern comes with the R package spatstat (GPL >= 2); it is read here from the copy that samplers are compared on.
"""

from __future__ import annotations

from torch import Tensor

from phys_bench.data.files import PinnedFile

PINES = PinnedFile(
    original="pines.csv",
    original_sha256="c57af2e9f2a38ed99a3884fbf81ad1b0c607adcf7749bad53a6df66ef313c89a",
    plain="finpines.csv",
    plain_sha256="18aadabd98175fe0417aacc24fb00069fb96a4a2cf4dc17a0eb15b632ec2b9ec",
    urls=(
        "https://raw.githubusercontent.com/juliusberner/sde_sampler/e199bdaa3bced9cc4d26f9ed7f769c9c235d35c7/data/pines.csv",
    ),
)


def pine_positions() -> Tensor:
    """Positions (126, 2) in [0, 1]², float64.

    Raises:
        DataUnavailable: if the file cannot be had.
    """
    table = PINES.read()
    return table.numbers(table.names[-2:])  # the published file numbers its rows in a column of its own
