"""The one training loop and who listens to it."""

from phys_samplers.training.callbacks import Callback, ProgressBar
from phys_samplers.training.loop import TrainingPlan, train
from phys_samplers.training.report import TrainingReport
from phys_samplers.training.state import Resumable

__all__ = ["Callback", "ProgressBar", "Resumable", "TrainingPlan", "TrainingReport", "train"]
