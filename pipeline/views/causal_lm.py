"""Continued texts: the rows of the report, samples, and the continuation of a new text."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from tokenizers import Tokenizer

from pipeline.errors import UserError
from pipeline.inference.loading import Head, TextModel, print_unknown_words, text_model
from pipeline.markup import fenced
from pipeline.prompts import decode, silent_tokens, token_name
from pipeline.tasks.causal_lm import CausalLM
from pipeline.tasks.text import consecutive_windows, evenly
from pipeline.training.randomness import fixed_generator
from pipeline.views import export, readme
from pipeline.views.base import View, language_model_panel
from pipeline.wording import number
from transformer.generation import Sampling, generate, stream
from transformer.heads import LanguageModelHead

if TYPE_CHECKING:  # it imports pandas, which evaluations do not need
    from pipeline.results import Result

HEAD = Head(
    LanguageModelHead, "a causal language model (GPT2LMHeadModel, LlamaForCausalLM)", generates=True
)
SAMPLES, PROMPT_TOKENS, CONTINUATION_TOKENS, TEMPERATURE = 3, 16, 48, 0.8
TOP = 5


def continuation(
    prompt: str,
    name: str,
    source: Path | None,
    count: int,
    chosen: dict[str, Any],
    seed: int,
    stop: tuple[str, ...],
) -> Iterator[str]:
    """Yield `prompt` and its continuation in pieces.

    name: of the model trained here; source: a Hugging Face folder in its place.
    chosen: fields of Sampling that replace the model's.

    Raises:
        UserError: a number is outside its range, the model cannot be used, the prompt is empty,
            or a stop token does not exist.
    """
    try:
        Sampling(**chosen)
    except ValueError as error:  # such as nan, which the command line's ranges accept
        raise UserError(str(error)) from None
    text = text_model(HEAD, name, source)
    tokenizer, sampling = text.tokenizer, replace(text.generation.sampling, **chosen)
    ends = [*text.generation.stop, *(token for each in stop for token in _tokens(tokenizer, each))]
    read = text.encode(prompt)
    ids = read.ids
    if not ids:
        raise UserError("the prompt is empty: it needs at least one token")
    print_unknown_words(read)
    generator = torch.Generator().manual_seed(seed)
    yield prompt
    silent = silent_tokens(tokenizer)
    written = list(ids)
    # Includes the unknown words of the prompt; otherwise the first new word would have no space.
    shown = whole = tokenizer.decode(written, skip_special_tokens=False)
    for (token,) in stream(text.model, [ids], count, text.context, sampling, generator, ends):
        if token is None or token in silent:
            continue
        written.append(token)
        whole = tokenizer.decode(written, skip_special_tokens=False)
        # An incomplete character: wait for the token that completes it.
        if not whole.endswith("\N{REPLACEMENT CHARACTER}"):
            yield whole[len(shown) :]
            shown = whole
    yield whole[len(shown) :]


def _tokens(tokenizer: Tokenizer, text: str) -> list[int]:
    """The tokens that decode to `text`, whatever their names in the vocabulary.

    Raises:
        UserError: there are none.
    """
    ids = list(tokenizer.get_vocab().values())
    shown = tokenizer.decode_batch([[token] for token in ids], skip_special_tokens=False)
    wanted = (text, unicodedata.normalize("NFC", text))
    found = [token for token, each in zip(ids, shown, strict=True) if each in wanted]
    if not text or not found:
        raise UserError(f"--stop {text!r} is not one token of this model's vocabulary")
    return found


def next_words(text: TextModel, prompt: str, top: int) -> list[tuple[str, float]]:
    """The most likely next tokens of a text and their probabilities, best first.

    Raises:
        UserError: the text is empty.
    """
    ids = text.encode(prompt).ids
    if not ids:
        raise UserError("the text is empty: it needs at least one word")
    with torch.inference_mode():
        chances = text.model(torch.tensor([ids[-text.context :]]))[0, -1].softmax(-1)
    best = chances.topk(min(top, len(chances)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return [(token_name(text.tokenizer, token), chance) for token, chance in pairs]


class CausalLMView(View):
    family = "GPT"
    known = "token"
    drawn = "loss by tokens seen"
    panels = (language_model_panel("baseline_loss", "validation"),)
    rows: ClassVar = {
        "train_loss": "training loss (nats)",
        "loss": "validation loss (nats)",
        "perplexity": "validation perplexity",
        "bits_per_byte": "validation bits per byte",
        "baseline_loss": "validation loss of only token frequencies",
    }

    def samples(self, task: CausalLM, model: Any) -> list[dict[str, str]]:
        """Prompts from the held-out text, and the model's continuations."""
        tokens = task.tokens
        given = min(PROMPT_TOKENS, len(tokens.validation))
        prompts = evenly(consecutive_windows(tokens.validation, given, tokens.length), SAMPLES)
        continuations = generate(
            model,
            prompts.tolist(),
            CONTINUATION_TOKENS,
            tokens.length,
            Sampling(TEMPERATURE),
            fixed_generator("samples"),
        )
        show = partial(decode, tokens.tokenizer)
        return [
            {"prompt": show(prompt), "continuation": show(continuation)}
            for prompt, continuation in zip(prompts.tolist(), continuations, strict=True)
        ]

    def shown(self, result: Result) -> str:
        blocks = [
            fenced(f"{sample['prompt']}\n--> {sample['continuation']}") for sample in result.samples
        ]
        return "Prompts from the validation text, and the model's text:\n\n" + "\n".join(blocks)

    def notes(self, result: Result, judged: bool) -> list[str]:
        metrics, title = result.metrics, self.title(result.name)
        return [
            f"A small {title} training loss with a validation loss near the baseline is "
            f"memorisation. Our lowest validation loss was {number(metrics['best_loss'])}, at step "
            f"{metrics['best_step']:,.0f} of {metrics['steps']:,}."
        ]

    def answering(self, artifacts: dict[str, Path]) -> Callable[[Any], list[Any]]:
        """Strings to the most likely next tokens."""
        text = TextModel.read(artifacts["model"], artifacts["tokenizer"], HEAD.mask)
        # Because of the signature, MLflow passes strings as a column of a table.
        return lambda table: [next_words(text, each, TOP) for each in table.iloc[:, 0]]

    def export(self, name: str, folder: Path) -> tuple[str, str]:
        text = text_model(HEAD, name, None)
        written = export.language_model(text, folder)
        return written, readme.of_causal_lm(name, text, written)


VIEW = CausalLMView()
