"""Reads folders of images: one folder for each class, optionally inside train/ and test/.

An ambiguous layout raises an error, so that 'train' and 'val' never become classes by mistake.
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.data.decoding import SUFFIXES, read, resize
from pipeline.data.splits import Split, check_size
from pipeline.errors import UserError
from pipeline.wording import wrapped

# Files and folders that other systems add, such as thumbnails. See .dvcignore.
LITTER = (
    "#recycle", "$RECYCLE.BIN", "@eaDir", "Desktop.ini", "System Volume Information", "Thumbs.db",
    "__MACOSX", "desktop.ini", "ehthumbs.db", "lost+found", "thumbnails",
)  # fmt: skip
# Names of splits, also with a suffix: 'training_set'.
ROLES = {
    "train": "train", "training": "train",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
    "eval": "validation", "evaluation": "validation",
    "test": "test", "testing": "test", "holdout": "test",
}  # fmt: skip
SUFFIX = re.compile(r"[ _-]?(set|data|images|split)$")


@dataclass(frozen=True)
class Folder:
    """The images of a folder.

    test: None without a test split.
    sizes: (width, height) of each image in its file.
    colour: share of images that are not grey.
    """

    train: Split
    test: Split | None
    sizes: list[tuple[int, int]]
    colour: float


def read_folder(folder: Path, size: int) -> Folder:
    """All images, resized to size x size; classes in the order of torchvision's ImageFolder.

    Raises:
        UserError: there are no images, one is not readable, they need too much memory, or
            folders may be either classes or splits.
    """
    train, test = _split_folders(folder)
    sizes: list[tuple[int, int]] = []
    splits = [_walk(each, size, sizes) for each in (train, test) if each]
    spreads = [np.ptp(image, axis=2).mean() for images, _ in splits for image in images]
    # Compression adds a little colour to grey images.
    colour = float(np.mean([spread > 4 for spread in spreads]))
    return Folder(splits[0], splits[1] if test else None, sizes, colour)


def is_litter(path: Path) -> bool:
    """Whether a path, relative to the folder of images, is hidden or added by another system."""
    return any(part.startswith(".") or part in LITTER for part in path.parts)


def image_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Images (by suffix) and other files, at any depth, sorted by folder; without litter.

    Raises:
        UserError: the folder cannot be read.
    """
    files: list[Path] = []
    other: list[Path] = []
    _inside(folder)  # raises an error; rglob would silently skip an unreadable folder
    for path in folder.rglob("*"):
        if not is_litter(path.relative_to(folder)) and (path.is_symlink() or not path.is_dir()):
            (files if path.suffix.lower() in SUFFIXES else other).append(path)
    return sorted(files, key=lambda path: (str(path.parent), path.name)), sorted(other)


def _split_folders(folder: Path) -> tuple[Path, Path | None]:
    """The folders of the training and the test split; (folder, None) without splits."""
    directories = [path for path in _visible(folder) if path.is_dir()]
    named = {path: role for path in directories if (role := _role(path.name))}
    # A folder `train` with images, and without a test or val folder beside it, is a class.
    certain = bool({"validation", "test"} & set(named.values()))
    splits = [path for path in named if _folders(path) and (certain or not _images(path))]
    if not named and (inner := _inner(folder)) != folder:
        raise UserError(
            f"{folder}: its only folder is {directories[0].name}/, and the classes or splits are "
            f"deeper: use {inner}"
        )
    if not splits and certain:
        names = ", ".join(f"{path.name}/" for path in named)
        raise UserError(
            f"{folder}: {names}: the name of a split, but without folders for the classes; "
            f"expected {next(iter(named)).name}/<class>/1.jpg, or another name for a class"
        )
    if not splits:
        return folder, None
    found: dict[str, Path] = {}
    for path in splits:
        if twin := found.get(named[path]):
            raise UserError(f"{folder}: {twin.name}/ and {path.name}/ are names of the same split")
        found[named[path]] = path
    rest = [f"{path.name}/" for path in directories if path not in splits]
    if "train" not in found:
        names = ", ".join(f"{path.name}/" for path in splits)
        raise UserError(f"{folder}: {names} without a train/")
    test = found.get("test") or found.get("validation")
    if test is None and set(directories) - named.keys():
        raise UserError(
            f"{folder}: {found['train'].name}/ is the name of a split, but not {', '.join(rest)}: "
            "call the held-out split test/ or val/, and put classes inside the splits"
        )
    if {"test", "validation"} <= found.keys():
        rest.append(f"{found['validation'].name}/")
    if rest:
        used = f"{found['train'].name}/" + (f" and {test.name}/" if test else "")
        print(wrapped(f"note: {folder}: using {used}, ignoring {', '.join(sorted(rest))}"))
    return found["train"], test


def _inner(folder: Path) -> Path:
    """The folder of classes or splits inside an extra folder, as in many archives; or `folder`."""
    inner = folder
    while len(found := _folders(inner)) == 1 and not _images(found[0]):
        (inner,) = found
    return inner if len(found) > 1 else folder


def _role(name: str) -> str | None:
    return ROLES.get(SUFFIX.sub("", name.lower()))


def _folders(directory: Path) -> list[Path]:
    return [path for path in _visible(directory) if path.is_dir()]


def _images(directory: Path) -> list[Path]:
    return [path for path in _visible(directory) if path.suffix.lower() in SUFFIXES]


def _visible(directory: Path) -> list[Path]:
    return [path for path in _inside(directory) if not is_litter(Path(path.name))]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise UserError(f"{folder}: cannot be read: {error.strerror}") from None


def _walk(folder: Path, size: int, sizes: list[tuple[int, int]]) -> Split:
    """The images of a split, class by class; adds their sizes to `sizes`."""
    classes: dict[str, list[Path]] = {}
    for directory in _folders(folder):
        # macOS may store é as two characters, other systems as one.
        name = unicodedata.normalize("NFC", directory.name)
        if name in classes:
            raise UserError(f"{folder}: two folders are named {name!r}, in two Unicode forms")
        classes[name] = _class_files(directory)
    if not classes:
        raise UserError(f"{folder}: no images; expected a folder of images for each class")
    if stray := _images(folder):
        example = stray[0].name
        where = "images outside the class folders"
        print(wrapped(f"note: {folder}: ignoring {where}, such as {example!r}"))
    check_size(sum(map(len, classes.values())), size, 3)
    images, labels = [], []
    for name, files in classes.items():
        for path in files:
            image = read(path)
            sizes.append(image.size)
            images.append(resize(image, size))
        labels += [name] * len(files)
    return images, labels


def _class_files(directory: Path) -> list[Path]:
    """The images of a class."""
    if not directory.name.isprintable():  # includes names that are not UTF-8
        raise UserError(f"{str(directory)!r}: the name of a class must be printable")
    roles = {_role(path.name) for path in _folders(directory)} - {None}
    if "train" in roles and len(roles) > 1:
        raise UserError(f"{directory}: splits inside a class; expected classes inside the splits, "
                        "such as train/<class>/1.jpg")  # fmt: skip
    files, other = image_files(directory)
    if not files:
        known = ", ".join(sorted(SUFFIXES))
        raise UserError(f"{directory}: a class without images; expected {known}")
    if other:
        what = f"other files ({len(other)}), such as {other[0].name!r}"
        print(wrapped(f"note: {directory}: ignoring {what}"))
    return files
