"""The one training loop and who listens to it."""

from phys_samplers.training.loop import Callback, ProgressBar, TrainingPlan, train
from phys_samplers.training.state import Resumable, TrainingReport

__all__ = ["Callback", "ProgressBar", "Resumable", "TrainingPlan", "TrainingReport", "train"]
