"""Distributional reinforcement learning: return models, the loops that train them, and what is exactly known.

Needs the extra ``rl`` (gymnasium) where environments are involved.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from phys_samplers.rl.agent import Agent
    from phys_samplers.rl.control import Control
    from phys_samplers.rl.fitted import FittedReturns, PredictedReturns
    from phys_samplers.rl.law import ReturnLaw
    from phys_samplers.rl.markov import MarkovChain
    from phys_samplers.rl.prediction import Prediction
    from phys_samplers.rl.recipe import ReturnModel, ReturnNetwork
    from phys_samplers.rl.task import ReturnTask
    from phys_samplers.rl.transitions import ReturnScale, Transitions

_WHERE = {
    "Agent": "agent",
    "Control": "control",
    "FittedReturns": "fitted",
    "MarkovChain": "markov",
    "PredictedReturns": "fitted",
    "Prediction": "prediction",
    "ReturnLaw": "law",
    "ReturnModel": "recipe",
    "ReturnNetwork": "recipe",
    "ReturnScale": "transitions",
    "ReturnTask": "task",
    "Transitions": "transitions",
}
__all__ = [
    "Agent",
    "Control",
    "FittedReturns",
    "MarkovChain",
    "PredictedReturns",
    "Prediction",
    "ReturnLaw",
    "ReturnModel",
    "ReturnNetwork",
    "ReturnScale",
    "ReturnTask",
    "Transitions",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
