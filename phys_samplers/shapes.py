"""Shapes of tensors in annotations, by the letters of the docstrings. Tests check them whenever a function is called.

Names that appear more than once in a signature stand for one size: ``State`` in and out is one shape.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

State = Float[Tensor, "*state"]
"""Particles (B, *event_shape), or with more leading axes, that a step, a drift or a denoiser keeps the shape of."""

Coefficient = Float[Tensor, "*#state"]
"""What broadcasts to a ``State``: a diffusion (B, 1), or one number."""

Points = Float[Tensor, "*B D"]
"""Points of a law (B, D)."""

Values = Float[Tensor, "*B"]
"""One number a point (B,), such as a log-density."""

Draws = Float[Tensor, "n D"]
"""``n`` points of a law."""
