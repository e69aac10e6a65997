"""Masked words: the rows of the report, samples, and words for the masks of a new text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from pipeline.errors import UserError
from pipeline.inference.loading import Head, TextModel, print_unknown_words, text_model
from pipeline.markup import fenced
from pipeline.prompts import token_name
from pipeline.tasks.masked_lm import MaskedLM
from pipeline.tasks.text import evenly
from pipeline.views import export, readme
from pipeline.views.base import View, language_model_panel
from transformer.heads import MaskedLanguageModelHead
from transformer.selection import TokensAt

if TYPE_CHECKING:  # it imports pandas, which evaluations do not need
    from pipeline.results import Result

HEAD = Head(
    MaskedLanguageModelHead, "a masked language model (BertForMaskedLM or Megatron's)", "[MASK]"
)
SAMPLES, TOP = 6, 5
HIDDEN = "■"


@dataclass(frozen=True)
class Guess:
    """A prediction for a masked word, and its probability."""

    word: str
    probability: float


def fill(model: Any, ids: list[int], mask: int, top: int) -> list[list[tuple[int, float]]]:
    """The most likely tokens and their probabilities for each `mask` in `ids`, best first."""
    tokens = torch.tensor([ids], device=model.embedding.weight.device)  # (1, T)
    indices = (tokens[0] == mask).nonzero()[:, 0]  # (N,)
    with torch.inference_mode():
        logits = model(tokens, keep=TokensAt(indices)).float()  # (N, V)
    best = logits.softmax(-1).topk(min(top, logits.shape[1]))
    return [
        list(zip(*row, strict=True))
        for row in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def fillings(
    masked: str, name: str, source: Path | None, top: int
) -> tuple[str, list[list[Guess]]]:
    """The model's mask token, and the most likely words for each one in a text, best first.

    name: of the model trained here; source: a Hugging Face folder in its place.

    Raises:
        UserError: the model cannot be used, or the text has no mask or is too long.
    """
    text = text_model(HEAD, name, source)
    if text.mask is None or text.tokenizer.token_to_id(text.mask) is None:
        raise UserError(f"{source}: tokenizer_config.json names no mask token of the vocabulary")
    return text.mask, words(text, masked, top)


def words(text: TextModel, masked: str, top: int) -> list[list[Guess]]:
    """The most likely words for each mask in a text, best first.

    Raises:
        UserError: the text has no mask or is too long.
    """
    assert text.mask is not None
    mask = text.tokenizer.token_to_id(text.mask)
    read = text.encode(masked)
    if mask not in read.ids:
        raise UserError(f"no {text.mask} in {masked!r}: write one for each word to predict")
    if len(read.ids) > text.context:
        raise UserError(f"{len(read.ids)} tokens, but the model takes at most {text.context}")
    print_unknown_words(read)
    return [
        [Guess(text.tokenizer.decode([token], skip_special_tokens=False), p) for token, p in row]
        for row in fill(text.model, read.ids, mask, top)
    ]


class MaskedLMView(View):
    family = "BERT"
    known = "word"
    drawn = "loss by tokens seen"
    panels = (language_model_panel("baseline_train_loss", "held-out"),)
    rows: ClassVar = {
        "loss": "held-out loss (nats)",
        "top1": "held-out accuracy",
        "top5": "held-out top-5 accuracy",
        "train_loss": "training loss",
        "baseline_train_loss": "training loss of only word frequencies",
        "baseline_loss": "held-out loss of only word frequencies",
    }

    def samples(self, task: MaskedLM, model: Any) -> list[dict[str, Any]]:
        """Sequences with masked words (held-out ones if there are any), and the five most likely
        words for each."""
        batch = task.held_out or task.train_sample
        chosen = evenly(torch.arange(len(batch["inputs"])), SAMPLES)
        word = partial(token_name, task.tokens.tokenizer)
        mask = task.tokens.meta["special"]["mask"]
        shown = []
        for sequence, masked in zip(
            batch["labels"][chosen].tolist(), batch["masked"][chosen].tolist(), strict=True
        ):
            line = [mask if m else token for token, m in zip(sequence, masked, strict=True)]
            shown.append(
                {
                    "masked": " ".join(map(word, line)),
                    "answer": [word(t) for t, m in zip(sequence, masked, strict=True) if m],
                    "predictions": [
                        [[word(token), round(p, 4)] for token, p in row]
                        for row in fill(model, line, mask, TOP)
                    ],
                }
            )
        return shown

    def shown(self, result: Result) -> str:
        lines = []
        for sample in result.samples:
            lines += ["", sample["masked"].replace("[MASK]", HIDDEN)]
            for answer, guesses in zip(sample["answer"], sample["predictions"], strict=True):
                mark = "+" if answer == guesses[0][0] else "-"
                said = "  ".join(f"{word} {chance:.0%}" for word, chance in guesses)
                lines.append(f"  {mark} {answer:<14} {said}")
        lines_of = "Held-out text" if "loss" in result.metrics else "Training text"
        heading = f"{lines_of}; for each {HIDDEN}, the right word and the most likely words:\n\n"
        return heading + fenced("\n".join(lines[1:]))

    def answering(self, artifacts: dict[str, Path]) -> Callable[[Any], list[Any]]:
        """Strings with [MASK] to the most likely words for each [MASK]."""
        text = TextModel.read(artifacts["model"], artifacts["tokenizer"], HEAD.mask)
        return lambda table: [
            [[(guess.word, guess.probability) for guess in row] for row in words(text, each, TOP)]
            # Because of the signature, MLflow passes strings as a column of a table.
            for each in table.iloc[:, 0]
        ]

    def export(self, name: str, folder: Path) -> tuple[str, str]:
        text = text_model(HEAD, name, None)
        written = export.language_model(text, folder)
        return written, readme.of_masked_lm(name, text, written)


VIEW = MaskedLMView()
