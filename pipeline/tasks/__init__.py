"""What decides the weights of a task: a file for each, with its data, batches, loss and evaluation.

Each has the name of its file in `pipeline/parameters`, and a class TASK. Parts that tasks
share stand beside. May import `training`, `transformer` and the types of parameters; what a reader
sees of a task is in `pipeline/views`, in a file of the same name.
"""

from importlib import import_module
from typing import Any

from pipeline.training.task import Task


def task_class(task: str) -> type[Task[Any]]:
    """The class of a task, by its name. Imported on demand, so that a language model does not
    import torchvision."""
    return import_module(f"pipeline.tasks.{task}").TASK
