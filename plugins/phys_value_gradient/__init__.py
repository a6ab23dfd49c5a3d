"""The value gradient sampler: a discrete-time sampler of energies whose drift is the gradient of a learned value.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_value_gradient.landscapes import ExactLandscape as ExactLandscape
    from phys_value_gradient.negatives import ValueNegatives as ValueNegatives
    from phys_value_gradient.policy import Policy as Policy
    from phys_value_gradient.policy import walk as walk
    from phys_value_gradient.process import AuxiliaryProcess as AuxiliaryProcess
    from phys_value_gradient.replay import ReplaySampler as ReplaySampler
    from phys_value_gradient.vgs import ValueGradientModel as ValueGradientModel
    from phys_value_gradient.vgs import ValueGradientSampler as ValueGradientSampler

__getattr__, __dir__ = lazy(__name__)
