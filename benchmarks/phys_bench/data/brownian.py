"""Thirty steps of a Brownian path seen through noise, the middle ten of them not seen.

The numbers are those of the data set brownian_motion_missing_middle_observations of Inference Gym 0.0.5, copyright 2020
The TensorFlow Probability Authors, licensed under the Apache License 2.0 (https://www.apache.org/licenses/LICENSE-2.0),
NaN where nothing was seen. They were made with innovations of standard deviation .1 and noise of .15.
"""

from __future__ import annotations

import math

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
