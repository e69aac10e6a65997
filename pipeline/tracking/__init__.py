"""Copies results to MLflow, for browsing and comparing. The record is what the stages write.

May import `running`, `training` and `views`, and what describes a run; nothing here decides a
weight, and a training never depends on whether MLflow works.
"""

from pipeline.tracking.tracker import Tracker, mark_killed
from pipeline.tracking.trained_model import TrainedModel

__all__ = ["Tracker", "TrainedModel", "mark_killed"]
