"""Labelled images in two splits: how they are told apart, and whether they can be learnt from."""

import hashlib

import numpy as np

from pipeline.errors import UserError

MAX_BYTES = 2 * 2**30  # of the pixels of a split
NAMED = 5  # classes that an error names
# An image is (H, W) or (H, W, 3) bytes; a split has them in order, with the names of their classes.
Split = tuple[list[np.ndarray], list[str]]


def check_size(count: int, size: int, channels: int) -> None:
    """Refuse more pixels than fit into memory, before any is decoded.

    Raises:
        UserError: they would take more than MAX_BYTES.
    """
    if count * size**2 * channels > MAX_BYTES:
        raise UserError(
            f"{count:,} images of {size} x {size} pixels take {count * size**2 * channels:,} "
            f"bytes, more than {MAX_BYTES:,}; use a smaller image_size or fewer images"
        )


def split(images: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """The same share of every class for the test, chosen by the seed, in the order of the files."""
    labels = np.array(images[1])
    # Ranks by hash: the same split on every platform and version of any random generator.
    key = f"{seed}/split"
    rank = [hashlib.sha256(f"{key}/{i}".encode()).digest() for i in range(len(labels))]
    test: set[int] = set()
    for name in sorted(set(images[1])):
        members = sorted(np.flatnonzero(labels == name).tolist(), key=rank.__getitem__)
        test.update(members[: _held_out(len(members), fraction)])

    def part(chosen: list[int]) -> Split:
        return [images[0][i] for i in chosen], [images[1][i] for i in chosen]

    train = [i for i in range(len(labels)) if i not in test]
    return part(train), part(sorted(test))


def _held_out(count: int, fraction: float) -> int:
    return round(count * fraction)


def check_classes(source: str, train: list[str], test: list[str], fraction: float | None) -> None:
    """Whether both splits have images of the same classes, of two at least.

    train, test: the class of each image. fraction: of the test, if `split` made it.

    Raises:
        UserError: they have not; names the classes with their numbers of images.
    """
    if not test or not train:
        empty = "test" if not test else "training"
        raise UserError(f"{source}: the {empty} split is empty; add images or change test_fraction")
    classes = sorted({*train, *test})
    if len(classes) < 2:
        raise UserError(f"{source}: one class only ('{train[0]}'); a classifier needs two")
    counts = {name: (train.count(name), test.count(name)) for name in classes}
    lacking = [name for name in classes if 0 in counts[name]]
    if not lacking:
        return
    told = ", ".join(
        f"{name!r} ({counts[name][0]} for training, {counts[name][1]} for the test)"
        for name in lacking[:NAMED]
    )
    told += f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    advice = "each class needs images in both"
    if fraction is not None:
        enough = next((n for n in range(2, 10**5) if 0 < _held_out(n, fraction) < n), "more")
        advice = (
            f"with test_fraction {fraction} a class needs {enough} images; add some, leave the "
            "class out, or change test_fraction"
        )
    raise UserError(f"{source}: classes that are not in both splits: {told}; {advice}")


def copies(train: Split, test: Split) -> int:
    """How many images of the test are, pixel by pixel, among those of the training."""
    known = {hashlib.sha256(image.tobytes()).digest() for image in train[0]}
    return sum(hashlib.sha256(image.tobytes()).digest() in known for image in test[0])
