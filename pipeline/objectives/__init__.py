"""The three tasks: batches, losses and metrics of BERT, GPT and ViT."""

from pathlib import Path

import torch

from pipeline.objectives.base import Objective
from pipeline.params import Params


def build(name: str, params: Params, seed: int, data: Path, device: torch.device) -> Objective:
    """The objective of the model `name` on the prepared data in the folder `data`.

    seed: random seed of the training.
    """
    # Imported on demand, so that a language model does not import torchvision.
    if name == "bert":
        from pipeline.objectives.masked_lm import MaskedLanguageModelling as kind
    elif name == "gpt":
        from pipeline.objectives.next_token import NextTokenPrediction as kind
    else:
        from pipeline.objectives.classification import Classification as kind
    return kind(params, seed, data, device)
