"""What the posterior tasks are given: a noisy Brownian path, and where pines stand.

The path has thirty steps, the middle ten of them not seen. Its numbers are those of the data set
brownian_motion_missing_middle_observations of Inference Gym 0.0.5, copyright 2020 The TensorFlow Probability Authors,
licensed under the Apache License 2.0 (https://www.apache.org/licenses/LICENSE-2.0), NaN where nothing was seen. They
were made with innovations of standard deviation .1 and noise of .15.

The pines are 126 Finnish saplings, scaled to the unit square: the point pattern ``finpines`` of the R package spatstat
(GPL >= 2), read here from the copy that samplers are compared on.
"""

from __future__ import annotations

import math

from torch import Tensor

from phys_bench.data.files import PinnedFile

OBSERVATIONS: tuple[float, ...] = (
    0.21592641,
    0.118771404,
    -0.07945447,
    0.037677474,
    -0.27885845,
    -0.1484156,
    -0.3250906,
    -0.22957903,
    -0.44110894,
    -0.09830782,
    *(math.nan,) * 10,
    -0.8786016,
    -0.83736074,
    -0.7384849,
    -0.8939254,
    -0.7774566,
    -0.70238715,
    -0.87771565,
    -0.51853573,
    -0.6948214,
    -0.6202789,
)
INNOVATION_SCALE, OBSERVATION_SCALE = 0.1, 0.15


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
