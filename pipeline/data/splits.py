"""Splits labelled images into training and test, and checks the two splits."""

import hashlib

import numpy as np

from pipeline.errors import UserError

MAX_BYTES = 2 * 2**30  # for all pixels of a split
NAMED = 5  # classes listed in an error
# Images as (H, W) or (H, W, 3) bytes, and the class name of each.
Split = tuple[list[np.ndarray], list[str]]


def check_size(count: int, size: int, channels: int) -> None:
    """Check the size of all images before decoding them.

    Raises:
        UserError: they would take more than MAX_BYTES.
    """
    if count * size**2 * channels > MAX_BYTES:
        raise UserError(
            f"{count:,} images of {size} x {size} pixels take {count * size**2 * channels:,} "
            f"bytes, more than {MAX_BYTES:,}: use a smaller image_size or fewer images"
        )


def split(images: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Training and test split, with the same share of each class; both keep the order of files."""
    labels = np.array(images[1])
    # Ranks by hash: the same split on all platforms and versions.
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
    """Check that both splits have images of the same classes, and of at least two.

    train, test: the class of each image. fraction: the test fraction, if `split` made the splits.

    Raises:
        UserError: a split lacks classes; the message lists them with their numbers of images.
    """
    if not test or not train:
        empty = "test" if not test else "training"
        raise UserError(f"{source}: the {empty} split is empty; add images or change test_fraction")
    classes = sorted({*train, *test})
    if len(classes) < 2:
        raise UserError(f"{source}: only one class ('{train[0]}'); a classifier needs two")
    counts = {name: (train.count(name), test.count(name)) for name in classes}
    lacking = [name for name in classes if 0 in counts[name]]
    if not lacking:
        return
    named = ", ".join(
        f"{name!r} ({counts[name][0]} for training, {counts[name][1]} for testing)"
        for name in lacking[:NAMED]
    )
    named += f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
    advice = "each class needs images in both"
    if fraction is not None:
        enough = next((n for n in range(2, 10**5) if 0 < _held_out(n, fraction) < n), "more")
        advice = (
            f"with test_fraction {fraction} a class needs {enough} images; add images, remove the "
            "class, or change test_fraction"
        )
    raise UserError(f"{source}: classes that are not in both splits: {named}; {advice}")


def copies(train: Split, test: Split) -> int:
    """The number of test images that are pixel by pixel equal to a training image."""
    known = {hashlib.sha256(image.tobytes()).digest() for image in train[0]}
    return sum(hashlib.sha256(image.tobytes()).digest() in known for image in test[0])
