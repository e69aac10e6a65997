"""Failed downloads from a real server: an error, and no files remain."""

import contextlib
import hashlib
import http.server
import threading
import time
from collections.abc import Callable

import pytest

from pipeline.data import sources
from pipeline.data.sources import File, cache_folder, fetch
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


def silence(answer: Handler) -> None:
    time.sleep(2)


FAULTS = [
    (cut_off, "wrong content"),
    (cut_off_in_a_chunk, "IncompleteRead"),
    (cut_off_without_a_length, "wrong content\n  expected SHA-256"),
    (one_byte_altered, "wrong content"),
    (web_page, "wrong content, probably a web page"),
    (no_http, "SSH-2.0"),
    (nothing, "closed connection without response"),
    (silence, "timed out"),
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
def test_a_download_that_goes_wrong_is_an_error(project, serve, monkeypatch, answer, message):
    monkeypatch.setattr(sources, "TIMEOUT", 0.5)
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
    with pytest.raises(UserError, match="wrong content"):
        fetch(file)
    assert fetch(file).read_bytes() == CONTENT
    assert [path.name for path in cache_folder().iterdir()] == ["a.bin"]
