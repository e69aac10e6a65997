"""Copies results to MLflow, for browsing and comparing. The record is what the stages write."""

from pipeline.tracking.tracker import Tracker, mark_killed
from pipeline.tracking.trained_model import TrainedModel

__all__ = ["Tracker", "TrainedModel", "mark_killed"]
