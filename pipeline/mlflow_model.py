"""The model in MLflow's format: this file, the two packages in a zip file, and the weights as
safetensors.

model = mlflow.pyfunc.load_model("runs:/<run id>/bert")
model.predict(["to be or not to [MASK]"])
"""

import json
import sys
from pathlib import Path
from typing import Any

import mlflow
import numpy as np


class TrainedTransformer(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mypy skips MLflow
    """What a model takes and answers is in the view of its task: strings with [MASK] and the most
    likely words for each, strings and the next tokens, images (N, C, H, W) of bytes and their
    classes, or words and their pronunciations; always with probabilities.
    """

    def load_context(self, context: Any) -> None:
        """Build the model from the artifacts of the run, with their code."""
        sys.path.insert(0, context.artifacts["code"])
        from pipeline.paths import CONFIG
        from pipeline.views import view

        artifacts = {name: Path(path) for name, path in context.artifacts.items()}
        task = json.loads((artifacts["model"] / CONFIG).read_text())["task"]
        self.answer = view(task).answering(artifacts)

    # MLflow infers a schema from most type hints, but not from this one; the models' inputs differ.
    def predict(self, context, model_input: np.ndarray, params=None):  # type: ignore[no-untyped-def]
        """Answers to each input: a table with a column of strings, or an array of images."""
        return self.answer(model_input)


mlflow.models.set_model(TrainedTransformer())
