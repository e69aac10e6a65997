"""The model as MLflow keeps it: this file, the two packages, and the weights as safetensors.

    model = mlflow.pyfunc.load_model("runs:/<run id>/bert")
    model.predict(["to be or not to [MASK]"])
"""

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np

TOP = 5  # predictions that are returned for each input


class TrainedTransformer(mlflow.pyfunc.PythonModel):
    """BERT takes strings with [MASK], GPT takes strings, ViT takes images (N, C, H, W) of bytes.

    Returns for each input the likeliest words (for every [MASK]), next tokens or classes, with
    their probabilities.
    """

    def load_context(self, context: Any) -> None:
        """Build the model from the artifacts of the run."""
        from pipeline import models

        artifacts = context.artifacts
        self.model, self.config = models.load(Path(artifacts["model"]))
        self.meta = json.loads(Path(artifacts["meta"]).read_text())
        if "tokenizer" in artifacts:
            from tokenizers import Tokenizer

            self.tokenizer = Tokenizer.from_file(artifacts["tokenizer"])

    def predict(self, context: Any, model_input: Any, params: dict | None = None) -> list:
        """Predictions for each input."""
        if self.config["kind"] == "vit":
            return self._classify(np.asarray(model_input))
        return [self._words(text) for text in model_input]

    def _classify(self, images: np.ndarray) -> list:
        import torch

        scale = torch.tensor([self.meta["mean"], self.meta["std"]])[:, None, :, None, None]
        inputs = (torch.from_numpy(images).float() / 255 - scale[0]) / scale[1]
        with torch.inference_mode():
            chances = self.model(inputs).softmax(-1)
        return [self._best(row, self.meta["classes"].__getitem__) for row in chances]

    def _words(self, text: str) -> list:
        import torch

        ids = self.tokenizer.encode(text, add_special_tokens=False).ids[: self.config["length"]]
        tokens = torch.tensor([ids])
        with torch.inference_mode():
            logits = self.model(tokens)[0]
        if self.config["kind"] == "gpt":
            return self._best(logits[-1].softmax(-1), self.tokenizer.id_to_token)
        hidden = (tokens[0] == self.meta["special"]["mask"]).nonzero()[:, 0]
        chances = logits[hidden].softmax(-1)
        return [self._best(row, self.tokenizer.id_to_token) for row in chances]

    def _best(self, chances: Any, name: Any) -> list:
        best = chances.topk(min(TOP, len(chances)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(name(index), chance) for index, chance in pairs]


mlflow.models.set_model(TrainedTransformer())
