"""MLflow: a copy of the record, for browsing and comparing. The record is what the stages write."""

from pipeline.tracking.tracker import Tracker, mark_killed

__all__ = ["Tracker", "mark_killed"]
