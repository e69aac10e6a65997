"""Grapheme-to-phoneme conversion: from letters to sounds, by an encoder and a decoder
(Vaswani et al. 2017, "Attention Is All You Need"; Yolchuyeva et al. 2019, "Transformer based
Grapheme-to-Phoneme Conversion").
"""

import json
from bisect import bisect
from collections.abc import Iterable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any, ClassVar

import torch
from safetensors.torch import load_file
from torch import Tensor

import transformer
from pipeline.parameters.grapheme_to_phoneme import GraphemeToPhonemeSection
from pipeline.training.task import Batch, Measure, Task, block_weights
from transformer import Hypothesis, Transformer, beam_search, flops_per_step

BEAM = 5
EVALUATION_BATCH = 512  # words
COUNTED = 8  # batches for the mean cost of a step
END = 0  # ends a word and a pronunciation, begins the decoder's input, and is the padding
STRESS = "012"  # at the end of a vowel: none, primary, secondary
Sounds = Sequence[str]


class GraphemeToPhoneme(Task[GraphemeToPhonemeSection]):
    """Predict the sounds of a word from its letters.

    An example is a word with one of its pronunciations, and each listed pronunciation is an
    example, counted as a word seen. In the test split, a word is right if the answer equals any of
    its pronunciations.
    """

    unit = "words"
    units_per_example = 1
    headline = ("wer", "per", "loss")
    measures: ClassVar = {
        "loss": Measure("validation", dropout=False, mean_over="sounds and ends"),
        "wer": Measure("test", dropout=False, mean_over="words"),
        "per": Measure("test", dropout=False, mean_over="sounds of the nearest pronunciations"),
    }

    def __init__(
        self, section: GraphemeToPhonemeSection, seed: int, data: Path, device: torch.device
    ):
        super().__init__(section, seed, data, device)
        self.meta: dict[str, Any] = json.loads((data / "meta.json").read_text())
        tensors = load_file(data / "pronunciations.safetensors")
        self.letters, self.sounds = (
            tensors[key].long().to(device) for key in ("letters", "sounds")
        )
        self.word = tensors["word"].long().to(device)  # the row in `letters` of each in `sounds`
        # Of each pronunciation, with the end: (pronunciations,)
        self.sizes = [(each != END).sum(1) + 1 for each in (self.letters[self.word], self.sounds)]
        self.examples = self.meta["train_pronunciations"]
        self.steps_per_epoch = -(-self.examples // self.batch_size)
        share = section.objective.label_smoothing
        size = len(self.meta["sounds"]) + 1
        self.smoothing = torch.full((size,), share / size, device=device) if share else None
        self._epoch: tuple[int, list[Tensor]] = (-1, [])

    def examples_seen(self, steps: int) -> int:
        """The number of examples; the smaller batch of each epoch counts as a whole one within it,
        since it may be any of them."""
        epochs, rest = divmod(steps, self.steps_per_epoch)
        return epochs * self.examples + min(rest * self.batch_size, self.examples)

    @staticmethod
    def work(section: GraphemeToPhonemeSection, meta: dict[str, Any]) -> float:
        blocks, shape = block_weights(section), section.architecture
        crossing = 4 * shape.n_layer * shape.d_model**2
        letters, sounds = (meta[f"train_{key}"] for key in ("letters", "sounds"))
        epochs = section.train.steps * section.train.batch_size / meta["train_pronunciations"]
        return 6.0 * epochs * (blocks * letters + (blocks + crossing) * sounds)

    def build_model(self) -> Transformer:
        return transformer.encoder_decoder(
            self.section.architecture,
            len(self.meta["letters"]) + 1,
            len(self.meta["sounds"]) + 1,
            self.meta["length"],
            tie_embeddings=self.section.model.tie_embeddings,
            generator=self.generator("initialization"),
        )

    def batch(self, step: int) -> Batch:
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch[0] != epoch:
            self._epoch = epoch, self._batches(epoch)
        return self._examples(self._epoch[1][position])

    def _batches(self, epoch: int) -> list[Tensor]:
        """The examples of each batch of an epoch, in random order.

        A batch has examples of nearly equal length, so that padding costs little: the shuffled
        examples are sorted by their numbers of letters and sounds, then cut into batches.
        """
        random = self.generator("data order", epoch)
        batches = self._by_length(torch.randperm(self.examples, generator=random))
        return [batches[index] for index in torch.randperm(len(batches), generator=random)]

    def _by_length(self, chosen: Tensor) -> Sequence[Tensor]:
        letters, sounds = (sizes.cpu()[chosen] for sizes in self.sizes)
        order = (letters * self.meta["length"] + sounds).argsort(stable=True)
        return chosen[order].to(self.device).split(self.batch_size)

    def _examples(self, chosen: Tensor) -> Batch:
        """The batch of the pronunciations `chosen` (B,): source, source_mask (B, S); inputs,
        labels, spoken (B, T), with S letters and T sounds, ends included.

        spoken: False at padding.
        """
        source, source_mask = spelled(self.letters[self.word[chosen]])
        sizes = self.sizes[1][chosen]  # (B,)
        labels = self.sounds[chosen, : int(sizes.max())]  # (B, T)
        spoken = torch.arange(labels.shape[1], device=self.device) < sizes[:, None]
        begin = torch.full_like(labels[:, :1], END)  # (B, 1)
        inputs = torch.cat((begin, labels[:, :-1]), dim=1)  # (B, T)
        return {
            "source": source, "source_mask": source_mask, "inputs": inputs, "labels": labels,
            "spoken": spoken,
        }  # fmt: skip

    def weight(self, batch: Batch) -> int:
        return int(batch["spoken"].sum())

    def model_inputs(self, batch: Batch) -> dict[str, Any]:
        # The inputs need no mask: padding follows the sounds, so that no sound sees it.
        return {key: batch[key] for key in ("inputs", "source", "source_mask")} | {
            "head_inputs": {"indices": self._indices(batch)}
        }

    def _indices(self, batch: Batch) -> Tensor:
        """Indices of the sounds and ends in the flattened batch: (N,)."""
        return batch["spoken"].flatten().nonzero().squeeze(1)

    def loss(self, model: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return self._loss(model, batch, self.smoothing), {}

    def _loss(self, model: Any, batch: Batch, smoothing: Tensor | None) -> Tensor:
        inputs = self.model_inputs(batch)
        indices = inputs.pop("head_inputs")["indices"]
        labels = batch["labels"].flatten()[indices]  # (N,)
        return model.head.loss(model.encode(**inputs), labels, indices=indices, smoothing=smoothing)

    def flops_per_step(self, model: Transformer) -> int:
        """Mean over batches of all lengths."""
        batches = self._by_length(torch.arange(self.examples))
        some = torch.linspace(0, len(batches) - 1, min(COUNTED, len(batches))).long().tolist()
        inputs = (self.model_inputs(self._examples(batches[index])) for index in some)
        return sum(flops_per_step(model, **each) for each in inputs) // len(some)

    def validate(self, model: Any) -> dict[str, float]:
        return {"loss": self._validation_loss(model)}

    @torch.inference_mode()
    def _validation_loss(self, model: Any) -> float:
        """Mean loss in nats over the sounds and ends of the validation split."""
        rows = self.split("validation")
        total = torch.zeros((), dtype=torch.float64, device=self.device)
        chosen = rows[(self.sizes[0] * self.meta["length"] + self.sizes[1])[rows].argsort()]
        for part in chosen.split(EVALUATION_BATCH):
            batch = self._examples(part)
            total += self._loss(model, batch, None).double() * self.weight(batch)
        return (total / self.sizes[1][rows].sum()).item()

    def split(self, name: str) -> Tensor:
        """The pronunciations of a split."""
        first, count = self.words(name)
        return ((self.word >= first) & (self.word < first + count)).nonzero().squeeze(1)

    def words(self, name: str) -> tuple[int, int]:
        """The first word of a split, and their number."""
        counts = {each: self.meta[f"{each}_words"] for each in ("train", "validation", "test")}
        before = takewhile(lambda each: each != name, counts)
        return sum(counts[each] for each in before), counts[name]

    def spelling(self, name: str) -> list[str]:
        """The words of a split."""
        first, count = self.words(name)
        rows = self.letters[first : first + count].tolist()
        return ["".join(named(row, self.meta["letters"])) for row in rows]

    def listed(self, name: str) -> list[list[Sounds]]:
        """The pronunciations of each word of a split."""
        first, count = self.words(name)
        found: list[list[Sounds]] = [[] for _ in range(count)]
        for row in self.split(name).tolist():
            found[int(self.word[row]) - first].append(
                named(self.sounds[row].tolist(), self.meta["sounds"])
            )
        return found

    def answers(self, model: Any, words: Tensor, width: int) -> list[Sounds]:
        """The model's likeliest pronunciation of each word, by beam search.

        words: the rows of `letters` (N,).
        """
        found = pronounce(model, self.letters[words], self.meta["length"], width)
        return [named(best[0].tokens, self.meta["sounds"]) for best in found]

    def evaluate(self, model: Any) -> dict[str, float]:
        words, right = self.spelling("test"), self.listed("test")
        first, count = self.words("test")
        tested = torch.arange(first, first + count)
        beam, greedy = (self.answers(model, tested, width) for width in (BEAM, 1))
        known = dict(zip(self.spelling("train"), self.listed("train"), strict=True))
        return {
            "loss": self._validation_loss(model),
            "baseline_loss": self._baseline_loss(),
            **error_rates(beam, right),
            **{f"greedy_{key}": value for key, value in error_rates(greedy, right).items()},
            **{
                f"baseline_{how}_{key}": value
                for how, said in (
                    ("letters", by_letters(words, known)),
                    ("suffix", by_suffix(words, known)),
                )
                for key, value in error_rates(said, right).items()
            },
        }

    def _baseline_loss(self) -> float:
        """The validation loss of predicting only frequencies of sounds and ends."""
        train, held_out = (
            self.sounds[rows][
                torch.arange(self.sounds.shape[1], device=self.device) < self.sizes[1][rows, None]
            ]
            for rows in (self.split("train"), self.split("validation"))
        )
        counts = torch.bincount(train, minlength=len(self.meta["sounds"]) + 1).double() + 1
        return -(counts / counts.sum()).log()[held_out].mean().item()

    def line(self, step: int, rows: list[dict[str, float]]) -> str:
        loss = sum(row["loss"] for row in rows) / len(rows)
        return f"step {step:>10} | loss {loss:.4f}"

    def evaluation_line(self, validation: dict[str, float]) -> str:
        return f"validation loss {validation['loss']:.4f}"


def spelled(letters: Tensor) -> tuple[Tensor, Tensor]:
    """The encoder's input of words, with their ends, and its mask: both (B, S).

    letters: (B, L), with zeros behind each word.
    """
    sizes = (letters != END).sum(1) + 1
    source = letters[:, : int(sizes.max())]
    return source, torch.arange(source.shape[1], device=letters.device) < sizes[:, None]


def pronounce(
    model: Any, letters: Tensor, length: int, width: int, best: int = 1
) -> list[list[Hypothesis]]:
    """The `best` pronunciations of each word, the likeliest first; see `beam_search`.

    letters: (B, L), with zeros behind each word. length: the most tokens of the model.
    """
    order = (letters != END).sum(1).argsort(stable=True)  # little padding
    found: list[list[Hypothesis]] = []
    for part in order.split(EVALUATION_BATCH):
        source, mask = spelled(letters[part])
        found += beam_search(
            model, [[END]] * len(part), length - 1, length, width, best, (END,), source, mask
        )
    return [found[place] for place in order.argsort().tolist()]


def named(numbers: Iterable[int], names: Sequence[str]) -> tuple[str, ...]:
    """The names of numbers from 1, up to the end."""
    return tuple(names[number - 1] for number in takewhile(END.__ne__, numbers))


def without_stress(sounds: Sounds) -> tuple[str, ...]:
    """Sounds without the stress marks of vowels: AH0 and AH1 are AH."""
    return tuple(sound.rstrip(STRESS) for sound in sounds)


def error_rates(answers: list[Sounds], listed: list[list[Sounds]]) -> dict[str, float]:
    """`wer` and `per` without stress marks, `stressed_wer` and `stressed_per` with them.

    wer: the share of words whose answer is none of the listed pronunciations. per: edit distances
    to the nearest listed pronunciation, as a share of the sounds of these.
    """
    rates: dict[str, float] = {}
    for prefix, seen in (("", without_stress), ("stressed_", tuple)):
        wrong = distance = sounds = 0
        for answer, right in zip(answers, listed, strict=True):
            said, choices = seen(answer), [seen(each) for each in right]
            nearest, size = min((edit_distance(said, each), len(each)) for each in choices)
            wrong += nearest > 0
            distance += nearest
            sounds += size
        rates |= {f"{prefix}wer": wrong / len(answers), f"{prefix}per": distance / sounds}
    return rates


def edit_distance(first: Sounds, second: Sounds) -> int:
    """The fewest insertions, deletions and substitutions from one to the other (Levenshtein)."""
    row = list(range(len(second) + 1))
    for count, sound in enumerate(first, 1):
        diagonal, row[0] = row[0], count
        for place, other in enumerate(second, 1):
            change = diagonal + (sound != other)
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, change)
    return row[-1]


def by_letters(words: list[str], known: dict[str, list[Sounds]]) -> list[Sounds]:
    """A baseline: each letter has its likeliest sound, counted where a known word has as many
    sounds as letters; a letter without one is silent."""
    counts: dict[str, dict[str, int]] = {}
    for word, listed in known.items():
        for letter, sound in (
            zip(word, listed[0], strict=False) if len(word) == len(listed[0]) else ()
        ):
            of_letter = counts.setdefault(letter, {})
            of_letter[sound] = of_letter.get(sound, 0) + 1
    best = {letter: max(sorted(found), key=found.__getitem__) for letter, found in counts.items()}
    return [tuple(best[letter] for letter in word if letter in best) for word in words]


def by_suffix(words: list[str], known: dict[str, list[Sounds]]) -> list[Sounds]:
    """A baseline: the pronunciation of the known word with the longest suffix in common."""
    backwards = sorted(word[::-1] for word in known)
    answers = []
    for word in words:
        place = bisect(backwards, word[::-1])
        # In alphabetical order, the longest common beginning is a neighbour's.
        nearest = max(
            backwards[max(0, place - 1) : place + 1], key=lambda each: _common(each, word[::-1])
        )
        answers.append(known[nearest[::-1]][0])
    return answers


def _common(first: str, second: str) -> int:
    """The length of the common beginning."""
    pairs = zip(first, second, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


TASK = GraphemeToPhoneme
