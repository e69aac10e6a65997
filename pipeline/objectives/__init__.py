"""The three tasks: batches, losses and figures of BERT, GPT and ViT."""

from pathlib import Path

import torch

from pipeline.objectives.base import Objective
from pipeline.params import Params


def build(
    name: str, params: Params, seed: int, data: Path, device: torch.device
) -> Objective:
    """The objective of the model `name` on the data that `prepare` left in the folder `data`.

    seed: of all that is random in the training.
    """
    # Imported on demand: a language model does not wait for torchvision.
    if name == "bert":
        from pipeline.objectives.masked_lm import MaskedLanguageModelling as kind
    elif name == "gpt":
        from pipeline.objectives.next_token import NextTokenPrediction as kind
    else:
        from pipeline.objectives.classification import Classification as kind
    return kind(params, seed, data, device)
