"""A denoiser of laws given a condition: D(x, σ | c), and the conditions that a model is asked for.

    D_w(x, σ | c) = (1 + w) D(x, σ | c) − w D(x, σ)

is classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598, Eq. 6): w = 0 is the law given c, w = −1 the law of
all rows. For w > 0 it is the score of p(x) p(c | x)^{1+w} at every level, up to a constant, and of no noising process
between levels: what comes out is near that, sharper than p(x | c), and has not its moments.
"""

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from phys_samplers.conditions import Code
from phys_samplers.denoisers.denoiser import denoise_at
from phys_samplers.denoisers.reverse import ReverseProcess
from phys_samplers.errors import ConfigurationError
from phys_samplers.randomness import make_generator
from phys_samplers.standardise import Standardiser


def denoise_given(module: nn.Module, x: Tensor, sigma: float, code: Tensor | None, weight: float) -> Tensor:
    """D_w(x, σ | c) (B, D), in one evaluation of the network for w = 0 and w = −1, in two for others.

    Args:
        module: a stacked denoiser of one replica that takes codes.
        x: (B, D).
        sigma: the level.
        code: of the condition, (B, K) or (1, K); None where w = −1.
        weight: w.
    """
    none = x.new_zeros(1, int(module.code_width))  # type: ignore[arg-type]
    if weight == -1:
        return denoise_at(module, x, sigma, none)
    assert code is not None
    if weight == 0:
        return denoise_at(module, x, sigma, code)
    both = torch.cat((code.expand(len(x), -1), none.expand(len(x), -1)))
    given, alone = denoise_at(module, x.repeat(2, 1), sigma, both).chunk(2)
    return given.lerp(alone, -weight)


class Conditional:
    """What a model with a denoiser adds for conditions.

    Attributes:
        code: of the conditions that it was fitted with; None if it was fitted without.
        asked: codes (B, K) or (1, K) of the conditions that it is asked for; None if it is not: draws then take them
            from their law, where they have one, and all else is of the law of all rows.
    """

    recipe: ReverseProcess
    module: nn.Module
    standardiser: Standardiser
    code: Code | None = None
    asked: Tensor | None = None

    def given(self, condition: Any) -> Self:
        """This model with a condition: all that it can be asked for is then of the law given it.

        Args:
            condition: one for all samples or points, or one for each: class labels, or covariates, as it was fitted to.

        Raises:
            ConfigurationError: if it was fitted without conditions, or to others.
        """
        if self.code is None:
            raise ConfigurationError(
                "condition is given, but the model was fitted without; fit it to rows with conditions: "
                "Samples(rows, condition=...)"
            )
        twin = copy.copy(self)
        twin.asked = self.code(condition)
        return twin

    def denoise(self, x: Tensor, sigma: float) -> Tensor:
        """D(x, σ) at standardised x (B, D), given what is asked for."""
        if self.code is None:
            return denoise_at(self.module, x, sigma)
        self.check_condition(len(x))
        weight = -1.0 if self.asked is None else self.recipe.guidance_weight
        return denoise_given(self.module, x, sigma, self.asked, weight)

    def drawn_for(self, n: int, seed: int) -> Self:
        """This model asked for ``n`` conditions of their law, where they have one and it is not asked for others."""
        if self.code is None or not self.code.has_law or self.asked is not None or self.recipe.guidance_weight == -1:
            return self
        return self.given(self.code.draw(n, make_generator(seed, "conditions", device=self.standardiser.mean.device)))

    @property
    def evaluations_each(self) -> int:
        """Evaluations of the network for one of D."""
        return 1 if self.code is None or self.recipe.guidance_weight in (0, -1) else 2

    def check_condition(self, n: int) -> None:
        """Refuse to be asked for ``n`` samples or points without a condition, or with another number of them.

        Raises:
            ConfigurationError: naming what is missing.
        """
        weight = self.recipe.guidance_weight
        if self.code is None and weight != 0:
            raise ConfigurationError(
                f"guidance_weight is {weight:g}, but the model was fitted without conditions; expected 0, or a fit to "
                "rows with conditions: Samples(rows, condition=...)"
            )
        if self.code is None or (self.asked is None and (weight == -1 or self.code.has_law)):
            return
        if self.asked is None:
            raise ConfigurationError(
                "condition is missing, and the model was fitted with conditions; give one for all samples or one each, "
                "sample(n, condition=...) or model.given(...), or ask for the law of all rows by guidance_weight=-1"
            )
        if len(self.asked) not in (1, n):
            raise ConfigurationError(
                f"condition has {len(self.asked):,} entries for {n:,} samples; expected 1 or {n:,}"
            )
