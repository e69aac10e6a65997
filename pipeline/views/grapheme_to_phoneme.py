"""Pronounced words: the rows of the report, samples, alignments, and sounds of new words."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from pipeline.errors import UserError
from pipeline.inference.loading import trained
from pipeline.markup import fenced
from pipeline.paths import data_dir, read_json
from pipeline.tasks.dictionary import END, named
from pipeline.tasks.grapheme_to_phoneme import BEAM, GraphemeToPhoneme, pronounce
from pipeline.tasks.pronunciations import without_stress
from pipeline.tasks.text import evenly
from pipeline.training import models
from pipeline.views.alignment import alignment, draw
from pipeline.views.base import HELD_OUT, PICTURES, Curve, Panel, View, picture
from transformer import Transformer

if TYPE_CHECKING:  # it imports pandas, which evaluations do not need
    from pipeline.results import Result

CANDIDATES = 200  # words of the test split, of which the report shows some
SAMPLES, WRONG = 16, 10  # words in the report, and the most of them that are wrong
ALIGNED = 4  # words in the picture of alignments
TOP = 5
QUOTE = "\N{RIGHT SINGLE QUOTATION MARK}"  # in pasted text, an apostrophe


@dataclass(frozen=True)
class Speaker:
    """A model that pronounces words. letters, sounds: the names of its tokens, from 1 on."""

    model: Transformer
    letters: Sequence[str]
    sounds: Sequence[str]
    length: int

    @classmethod
    def read(cls, folder: Path, meta: Path) -> Speaker:
        """The trained model in `folder`, with the description of its data."""
        model, config = models.load(folder)
        about = read_json(meta)
        return cls(model, about["letters"], about["sounds"], config["length"])

    def numbers(self, word: str) -> list[int]:
        """The letters of a word in any case.

        Raises:
            UserError: it is empty, too long, or has a character that the model does not know.
        """
        letters = unicodedata.normalize("NFC", word.strip().lower()).replace(QUOTE, "'")
        if not any(letter.isalpha() for letter in letters):
            raise UserError(f"{word!r} is no word: it needs at least one letter")
        unknown = [letter for letter in dict.fromkeys(letters) if letter not in self.letters]
        if unknown:
            raise UserError(
                f"{word!r}: the model does not know {', '.join(map(repr, unknown))}; it takes one "
                f"word of these characters: {' '.join(self.letters)}"
            )
        if len(letters) >= self.length:
            raise UserError(
                f"{word!r} has {len(letters)} letters, but the model takes at most "
                f"{self.length - 1}"
            )
        return [self.letters.index(letter) + 1 for letter in letters]

    def say(self, words: list[str], top: int) -> list[list[tuple[str, float]]]:
        """The likeliest pronunciations of each word and their probabilities, best first.

        Raises:
            UserError: see `numbers`.
        """
        rows = [[*self.numbers(word), END] for word in words]
        longest = max(map(len, rows), default=0)
        letters = torch.tensor([row + [END] * (longest - len(row)) for row in rows])
        found = pronounce(self.model, letters, self.length, max(BEAM, top), top) if rows else []
        return [
            [(spoken(named(best.tokens, self.sounds)), np.exp(best.log_probability).item())
             for best in each]
            for each in found
        ]  # fmt: skip


def pronunciations(word: str, name: str, top: int) -> list[tuple[str, float]]:
    """The likeliest pronunciations of a word and their probabilities, by the trained model `name`.

    Raises:
        UserError: the model cannot be used, or see `Speaker.numbers`.
    """
    return Speaker.read(trained(name), data_dir(name) / "meta.json").say([word], top)[0]


class GraphemeToPhonemeView(View):
    family = "G2P"
    known = "sound"
    drawn = "loss by words seen"
    panels = (
        Panel(
            "loss (nats per sound)",
            (Curve("loss", "validation words", HELD_OUT),),
            (),
            "baseline_loss",
            minimised="loss",
        ),
    )
    rows: ClassVar = {
        "wer": "word error rate, beam search",
        "per": "phoneme error rate, beam search",
        "stressed_wer": "word error rate, with stress",
        "stressed_per": "phoneme error rate, with stress",
        "greedy_wer": "word error rate, greedy",
        "greedy_per": "phoneme error rate, greedy",
        "greedy_stressed_wer": "word error rate, greedy, with stress",
        "greedy_stressed_per": "phoneme error rate, greedy, with stress",
        "baseline_letters_wer": "word error rate of each letter's likeliest sound",
        "baseline_letters_per": "phoneme error rate of each letter's likeliest sound",
        "baseline_suffix_wer": "word error rate of the longest common suffix",
        "baseline_suffix_per": "phoneme error rate of the longest common suffix",
        "loss": "validation loss (nats per sound)",
        "baseline_loss": "validation loss of only sound frequencies",
    }

    def samples(self, task: GraphemeToPhoneme, model: Any) -> dict[str, Any]:
        """Words of the test split, with the model's and the listed sounds, and some alignments."""
        first, count = task.dictionary.words("test")
        tried = evenly(torch.arange(count), CANDIDATES)
        words, right = (
            [every[index] for index in tried.tolist()]
            for every in (task.dictionary.spelling("test"), task.dictionary.listed("test"))
        )
        answers = task.answers(model, first + tried, BEAM)
        wrong = torch.tensor(
            [
                without_stress(answer) not in map(without_stress, listed)
                for answer, listed in zip(answers, right, strict=True)
            ]
        )
        bad, good = (which.nonzero().squeeze(1) for which in (wrong, ~wrong))
        bad = evenly(bad, max(WRONG, SAMPLES - len(good)))
        good = evenly(good, SAMPLES - len(bad))
        chosen = [*good.tolist(), *bad.tolist()]
        longest = sorted(chosen, key=lambda index: -len(words[index]))[:ALIGNED]

        def weights(index: int) -> list[list[float]]:
            letters = task.dictionary.letters[first + tried[index]][: len(words[index]) + 1]
            rows = alignment(model, letters, _numbered(answers[index], task)).tolist()
            return [[round(weight, 3) for weight in row] for row in rows]

        return {
            "words": [
                {
                    "word": words[index],
                    "said": list(answers[index]),
                    "listed": [list(each) for each in right[index]],
                }
                for index in chosen
            ],
            "alignments": [
                {"word": words[index], "said": list(answers[index]), "weights": weights(index)}
                for index in longest
            ],
        }

    def pictures(self, result: Result) -> dict[str, Callable[[Any], None]]:
        return {
            "alignment": partial(
                draw, aligned=result.samples["alignments"], title=self.title(result.name)
            )
        }

    def shown(self, result: Result) -> str:
        title, samples = self.title(result.name), result.samples
        width = max(len(each["word"]) for each in samples["words"])
        lines = []
        for each in samples["words"]:
            said, listed = each["said"], each["listed"]
            right = without_stress(said) in map(without_stress, listed)
            nearest = min(listed, key=partial(_differences, said))
            lines.append(
                f"{'+' if right else '-'} {each['word']:<{width}}  {_marked(said, nearest)}"
            )
            if not right:
                lines.append(f"  {'listed:':>{width}}  {_marked(nearest, said)}")
        return (
            "Some right words of the test split and some wrong ones, by beam search and without "
            "stress marks, with the nearest listed pronunciation; sounds that differ are in "
            "brackets:\n\n"
            + fenced("\n".join(lines))
            + f"\n![{title}: cross-attention]({PICTURES}/{picture(result, 'alignment')})\n\n"
            "The weights of cross-attention, as means over layers and heads: which letters the "
            "decoder looks at when it writes a sound.\n"
        )

    def notes(self, result: Result, judged: bool) -> list[str]:
        untargeted = (
            " No published result is a target: we could not confirm the rates of the paper "
            "(Yolchuyeva et al. 2019), whose split of the dictionary is another."
        )
        return [
            f"{self.title(result.name)}: a word is right if the answer equals any pronunciation in "
            "the dictionary; the phoneme error rate counts the differences from the nearest one. "
            f"{result.data['words_left_out']:,} words with other characters than letters and "
            f"apostrophes are left out.{'' if judged else untargeted}"
        ]

    def answering(self, artifacts: dict[str, Path]) -> Callable[[Any], list[Any]]:
        """Words to the likeliest pronunciations of each."""
        speaker = Speaker.read(artifacts["model"], artifacts["meta"])
        # Because of the signature, MLflow passes strings as a column of a table.
        return lambda table: speaker.say(list(table.iloc[:, 0]), TOP)

    def export(self, name: str, folder: Path) -> tuple[str, str]:
        raise ValueError(
            "transformers has no encoder-decoder with these blocks: its encoder-decoders of this "
            "kind (BART, T5, Marian) have biases, norms or positions in other places, so that "
            "outputs would differ"
        )


def _numbered(said: Sequence[str], task: GraphemeToPhoneme) -> Tensor:
    """The tokens of a pronunciation with its end: (T,)."""
    numbers = [task.meta["sounds"].index(sound) + 1 for sound in said]
    return torch.tensor([*numbers, END], device=task.device)


def _differences(said: Sequence[str], other: Sequence[str]) -> int:
    """The edit distance of two pronunciations, besides stress."""
    return Levenshtein.distance(without_stress(said), without_stress(other))


def _marked(sounds: Sequence[str], other: Sequence[str]) -> str:
    """Sounds as text, in brackets if they differ from the other pronunciation, besides stress."""
    ours, theirs = without_stress(sounds), without_stress(other)
    parts = []
    for kind, start, end, _, _ in difflib.SequenceMatcher(None, ours, theirs, False).get_opcodes():
        part = " ".join(sounds[start:end])
        parts += [part if kind == "equal" else f"[{part}]"] if part else []
    return spoken(parts)


def spoken(sounds: Sequence[str]) -> str:
    """Sounds as text."""
    return " ".join(sounds) or "(nothing)"


VIEW = GraphemeToPhonemeView()
