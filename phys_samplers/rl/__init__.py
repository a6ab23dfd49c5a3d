"""Distributional reinforcement learning: return models, the loops that train them, and what is exactly known.

Needs the extra ``rl`` (gymnasium) where environments are involved.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from phys_registry.lazy import lazy

if TYPE_CHECKING:
    from phys_samplers.rl.agent import Agent as Agent
    from phys_samplers.rl.control import Control as Control
    from phys_samplers.rl.fitted import FittedReturns as FittedReturns
    from phys_samplers.rl.fitted import HeadNetwork as HeadNetwork
    from phys_samplers.rl.fitted import PredictedReturns as PredictedReturns
    from phys_samplers.rl.fitted import ReturnNetwork as ReturnNetwork
    from phys_samplers.rl.law import ReturnLaw as ReturnLaw
    from phys_samplers.rl.law import ReturnScale as ReturnScale
    from phys_samplers.rl.markov import MarkovChain as MarkovChain
    from phys_samplers.rl.prediction import Prediction as Prediction
    from phys_samplers.rl.recipe import ReturnModel as ReturnModel
    from phys_samplers.rl.recipe import ReturnTask as ReturnTask
    from phys_samplers.rl.transitions import Transitions as Transitions

__getattr__, __dir__ = lazy(__name__)
