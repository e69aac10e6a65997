"""What a reader sees of a task: a file for each, with its rows and pictures in the report, samples,
and answers to new input for the commands and for MLflow's model.

Each has the name of its task's file in `pipeline/tasks`, and an instance VIEW. Parts that views
share stand beside. May import what decides and loads models (`tasks`, `training`, `data`,
`inference`, `provenance`), `parameters` and `results`; nothing here decides a weight.
"""

from importlib import import_module

from pipeline.views.base import View


def view(task: str) -> View:
    """The view of a task, by its name."""
    return import_module(f"pipeline.views.{task}").VIEW
