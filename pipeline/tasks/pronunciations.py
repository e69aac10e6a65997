"""Pronunciations as names of sounds: their error rates, and baselines that need no training."""

from bisect import bisect
from itertools import takewhile

from rapidfuzz.distance import Levenshtein

from pipeline.tasks.dictionary import Sounds

STRESS = "012"  # at the end of a vowel: none, primary, secondary


def without_stress(sounds: Sounds) -> tuple[str, ...]:
    """Sounds without the stress marks of vowels: AH0 and AH1 are AH."""
    return tuple(sound.rstrip(STRESS) for sound in sounds)


def error_rates(answers: list[Sounds], listed: list[list[Sounds]]) -> dict[str, float]:
    """`wer` and `per` without stress marks, `stressed_wer` and `stressed_per` with them.

    wer: the share of words whose answer is none of the listed pronunciations. per: edit distances
    to the nearest listed pronunciation, over the number of its sounds, both summed over words.
    """
    rates: dict[str, float] = {}
    for prefix, seen in (("", without_stress), ("stressed_", tuple)):
        wrong = distance = sounds = 0
        for answer, right in zip(answers, listed, strict=True):
            said, choices = seen(answer), [seen(each) for each in right]
            nearest, size = min((Levenshtein.distance(said, each), len(each)) for each in choices)
            wrong += nearest > 0
            distance += nearest
            sounds += size
        rates |= {f"{prefix}wer": wrong / len(answers), f"{prefix}per": distance / sounds}
    return rates


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
