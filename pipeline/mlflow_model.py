"""The model in MLflow's format: this file, the two packages, and the weights as safetensors.

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

    Returns for each input the most likely words (for every [MASK]), next tokens or classes, with
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

    # MLflow infers a schema from most type hints, but not from this one; the models' inputs differ.
    def predict(self, context, model_input: np.ndarray, params=None):
        """Predictions for each input: a list of strings, or an array of images."""
        if self.config["kind"] == "vit":
            return self._classify(model_input)
        # Because of the signature, MLflow passes strings as a column of a table.
        return [self._words(text) for text in model_input.iloc[:, 0]]

    def _classify(self, images: np.ndarray) -> list:
        import torch

        mean, std = (torch.tensor(self.meta[key]).view(1, -1, 1, 1) for key in ("mean", "std"))
        inputs = (torch.from_numpy(images).float() / 255 - mean) / std
        with torch.inference_mode():
            chances = self.model(inputs).softmax(-1)
        return [self._best(row, self.meta["classes"].__getitem__) for row in chances]

    def _words(self, text: str) -> list:
        import torch

        from pipeline import prompts

        ids = prompts.read(
            self.tokenizer, text, "[MASK]" if self.config["kind"] == "bert" else None
        ).ids
        length, mask = self.config["length"], self.meta["special"]["mask"]
        if not ids:
            raise ValueError("the text is empty: it needs at least one word")
        if self.config["kind"] == "bert":
            if mask not in ids:
                raise ValueError(f"no [MASK] in {text!r}: write one for each word to predict")
            if len(ids) > length:
                raise ValueError(f"{len(ids)} tokens, but the maximum is {length}: {text!r}")
        tokens = torch.tensor([ids[-length:]])
        with torch.inference_mode():
            logits = self.model(tokens)[0]
        if self.config["kind"] == "gpt":
            return self._best(logits[-1].softmax(-1), self.tokenizer.id_to_token)
        chances = logits[tokens[0] == mask].softmax(-1)
        return [self._best(row, self.tokenizer.id_to_token) for row in chances]

    def _best(self, chances: Any, name: Any) -> list:
        best = chances.topk(min(TOP, len(chances)))
        pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return [(name(index), chance) for index, chance in pairs]


mlflow.models.set_model(TrainedTransformer())
