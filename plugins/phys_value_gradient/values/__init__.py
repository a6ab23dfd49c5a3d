"""Value networks V^t(z): stacked, with a hand-derived input gradient, and specs that build them.

Names are imported when they are first used, so that listing the components costs no import of torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_value_gradient.values.network import ValueNetwork as ValueNetwork
    from phys_value_gradient.values.specs import ValueDistances as ValueDistances
    from phys_value_gradient.values.specs import ValueEnvironments as ValueEnvironments
    from phys_value_gradient.values.specs import ValueField as ValueField
    from phys_value_gradient.values.specs import ValueFourierMLP as ValueFourierMLP
    from phys_value_gradient.values.specs import ValueInverseDistances as ValueInverseDistances
    from phys_value_gradient.values.specs import ValueMLP as ValueMLP

__getattr__, __dir__ = lazy(__name__)
