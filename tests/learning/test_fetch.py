"""The corpus, fetched from a server on this machine that behaves as it is told."""

import hashlib
import io
import random
import re
import string
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pisyft.learning import fetch as fetching
from pisyft.learning.fetch import DIGESTS, LANGUAGES, FetchError, fetch, is_whole
from pisyft.learning.names import read_folder
from tests.helpers import run_pisyft


def made_up_names(count: int, seed: str) -> list[str]:
    generator = random.Random(seed)
    return ["".join(generator.choices(string.ascii_lowercase, k=9)).capitalize() for _ in range(count)]


# As large as the corpus, and of other names.
CONTENTS = {
    f"data/names/{language}.txt": "\n".join(made_up_names(9000 if language == "Russian" else 600, language)).encode()
    for language in LANGUAGES
}


def archive(contents: dict[str, bytes]) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in contents.items():
            opened.writestr(name, content)
    return written.getvalue()


WHOLE = archive({**CONTENTS, "data/eng-fra.txt": b"Go.\tVa !\n" * 1000})


class Server(ThreadingHTTPServer):
    """Serves `content` under every path, and records the Range of each request.

    Attributes:
        later: so many requests are answered with 503 first.
        break_off: so many answers end after a third of what they promised.
        etag: of the content; None for none.
        ranges: whether it can send a part.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.etag, self.ranges = WHOLE, '"1"', True
        self.later = self.break_off = 0
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/tutorial/data.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        server.asked.append(self.headers["Range"])
        if server.later:
            server.later -= 1
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.send_header("Retry-After", "3600")
            self.end_headers()
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        if asked and server.ranges and self.headers["If-Range"] == server.etag:
            start = int(asked[1])
            if start >= len(server.content):
                self.send_error(416)
                return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        if server.etag:
            self.send_header("ETag", server.etag)
        self.end_headers()
        if server.break_off:
            server.break_off -= 1
            body = body[: len(body) // 3]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """The server is on this machine, whatever proxy the machine uses."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_corpus_is_fetched_with_its_digests_and_nothing_else(server, tmp_path):
    folder = fetch(server.url, tmp_path / "names")

    assert {f"data/names/{file.name}": file.read_bytes() for file in folder.glob("*.txt")} == CONTENTS
    digests = (folder / DIGESTS).read_text().splitlines()
    assert f"{hashlib.sha256(CONTENTS['data/names/Greek.txt']).hexdigest()}  Greek.txt" in digests
    assert f"# {hashlib.sha256(WHOLE).hexdigest()}  the archive" in digests
    assert left_in(folder) == sorted([DIGESTS, *(f"{language}.txt" for language in LANGUAGES)])
    assert left_in(tmp_path) == ["names"]
    assert is_whole(folder)


def test_progress_is_told_up_to_the_whole(server, tmp_path):
    told = []

    fetch(server.url, tmp_path / "names", lambda received, size: told.append((received, size)))

    assert told[0] == (0, len(WHOLE)) and told[-1] == (len(WHOLE), len(WHOLE))
    assert told == sorted(told)


def test_a_download_that_breaks_off_goes_on_where_it_was(server, tmp_path):
    server.break_off = 2

    fetch(server.url, tmp_path / "names", pause_seconds=0)

    first, *others = server.asked
    starts = [int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) for asked in others]
    assert first is None
    assert len(WHOLE) // 4 < starts[0] <= len(WHOLE) // 3 < starts[1]
    assert is_whole(tmp_path / "names")


def test_a_download_goes_on_in_a_later_call(server, tmp_path):
    server.break_off = fetching.ATTEMPTS

    with pytest.raises(FetchError, match="broke off 5 times: try again, which goes on"):
        fetch(server.url, tmp_path / "names", pause_seconds=0)
    server.asked.clear()
    fetch(server.url, tmp_path / "names")

    assert len(server.asked) == 1 and server.asked[0] is not None
    assert is_whole(tmp_path / "names")


@pytest.mark.parametrize("change", ["another file", "no validator", "no ranges"])
def test_parts_of_two_files_are_never_mixed(server, tmp_path, change):
    other = archive({**CONTENTS, "data/README.txt": b"a later edition"})
    server.break_off = fetching.ATTEMPTS
    if change == "no validator":
        server.etag = None
    with pytest.raises(FetchError):
        fetch(server.url, tmp_path / "names", pause_seconds=0)

    server.content, server.etag = other, '"2"'
    server.ranges = change != "no ranges"
    fetch(server.url, tmp_path / "names")

    assert f"# {hashlib.sha256(other).hexdigest()}  the archive" in (tmp_path / "names" / DIGESTS).read_text()


def test_a_download_that_was_whole_but_never_unpacked_is_fetched_again(server, tmp_path):
    (tmp_path / "names.zip.part").write_bytes(WHOLE)
    (tmp_path / "names.zip.validator").write_text('"1"')

    fetch(server.url, tmp_path / "names", pause_seconds=0)

    assert server.asked == [f"bytes={len(WHOLE)}-", None]
    assert is_whole(tmp_path / "names")


def test_a_server_that_says_later_is_asked_again(server, tmp_path):
    server.later = 2

    fetch(server.url, tmp_path / "names", pause_seconds=0)

    assert server.asked == [None] * 3
    assert is_whole(tmp_path / "names")


def test_a_server_that_says_later_for_ever_is_told(server, tmp_path):
    server.later = 1000

    with pytest.raises(FetchError, match="is not available now, asked 5 times: try again later"):
        fetch(server.url, tmp_path / "names", pause_seconds=0)


def test_without_a_network_that_is_told(server, tmp_path):
    server.shutdown()
    server.server_close()

    with pytest.raises(FetchError, match=f"{server.url} cannot be reached: check the network"):
        fetch(server.url, tmp_path / "names", pause_seconds=0)

    assert left_in(tmp_path) == []


def replaced(**files: bytes | None) -> bytes:
    """The archive with other contents for some languages, or without them."""
    changed = {**CONTENTS, **{f"data/names/{language}.txt": content for language, content in files.items()}}
    return archive({name: content for name, content in changed.items() if content is not None})


def lying_about_size() -> bytes:
    """A zip bomb that claims to be small: what is unpacked is bounded by what is read, not by what is claimed."""
    bomb = archive({**CONTENTS, "data/names/Greek.txt": b"a" * 30_000_000})
    return bomb.replace((30_000_000).to_bytes(4, "little"), (600).to_bytes(4, "little"))


BAD = {
    "an error page": (b"<html>sold out</html>", "no whole zip archive"),
    "nothing": (b"", "no whole zip archive"),
    "truncated": (WHOLE[:-4000], "no whole zip archive"),
    "damaged": (WHOLE[:5000] + bytes(100) + WHOLE[5100:], "no whole zip archive"),
    "another archive": (archive({"cats/tom.txt": b"meow"}), "has no data/names/Arabic.txt (0 of 18 files)"),
    "a language missing": (replaced(Greek=None), "has no data/names/Greek.txt (17 of 18 files)"),
    "a language more": (replaced(Klingon=b"Worf"), "a file 'data/names/Klingon.txt' that the corpus has not"),
    "too few names": (replaced(Greek=b"Dimas\n"), "it has 1 Greek names"),
    "too many names": (replaced(Greek=b"Dimas\n" * 20_000), "it has 20000 Greek names"),
    "too few in all": (replaced(**dict.fromkeys(LANGUAGES, b"Dimas\n" * 50)), "it has 900 names, not about 20,000"),
    "not UTF-8": (replaced(German="Müller\n".encode("latin-1") * 600), "German.txt is not UTF-8"),
    "no names": (replaced(Greek=b"12345\n" * 600), "Greek.txt, line 1: no letter of '12345' is known"),
    "a path outside": (archive({**CONTENTS, "data/names/../../../evil.txt": b"x"}), "a path that leads outside"),
    "an absolute path": (archive({**CONTENTS, "/tmp/evil.txt": b"x"}), "a path that leads outside"),
    "a path of Windows": (archive({**CONTENTS, "..\\evil.txt": b"x"}), "a path that leads outside"),
    "a bomb": (archive({**CONTENTS, "data/zeros": bytes(201_000_000)}), "claims to hold far more"),
    "a large file": (replaced(Greek=b"a" * 2_000_000), "larger than any file of the corpus"),
    "a bomb that claims to be small": (lying_about_size(), "no whole zip archive|not the corpus"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_the_corpus_is_refused_and_what_was_there_stays(server, tmp_path, kind):
    fetch(server.url, tmp_path / "names")
    server.content, message = BAD[kind]
    server.etag = '"2"'

    with pytest.raises(FetchError, match=message if "|" in message else re.escape(message)):
        fetch(server.url, tmp_path / "names", pause_seconds=0)

    assert is_whole(tmp_path / "names")
    assert left_in(tmp_path) == ["names"]  # nothing to go on with, either
    assert not list(tmp_path.parent.glob("evil*"))


def test_an_archive_far_too_large_is_not_received_to_its_end(server, tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MAX_ARCHIVE_BYTES", 70_000)

    with pytest.raises(FetchError, match="it is not the corpus"):
        fetch(server.url, tmp_path / "names")

    assert left_in(tmp_path) == []


def test_a_corpus_that_was_changed_is_not_whole(server, tmp_path):
    folder = fetch(server.url, tmp_path / "names")

    with (folder / "Greek.txt").open("a") as file:
        file.write("\nDimas")

    assert not is_whole(folder)
    assert not is_whole(tmp_path / "nowhere")


def test_the_command_brings_the_corpus_once_and_split_deals_it_then(server, tmp_path):
    environment = {"XDG_DATA_HOME": str(tmp_path / "data"), "HOME": str(tmp_path), "NO_PROXY": "127.0.0.1"}

    done = run_pisyft("data", "fetch", "--url", server.url, **environment)
    again = run_pisyft("data", "fetch", "--url", server.url, **environment)
    dealt = run_pisyft("data", "split", "--into", tmp_path / "dealt", "--workers", 2, **environment)

    assert done.returncode == again.returncode == dealt.returncode == 0, done.stderr
    (folder,) = (path.parent for path in tmp_path.rglob(DIGESTS))
    assert f"{folder}: 19200 different names of 18 languages" in done.stdout
    assert "the corpus is here" in again.stdout and len(server.asked) == 1
    assert dealt.stdout.startswith(f"Dealing out the names in {folder}\n")
    assert len(read_folder(tmp_path / "dealt" / "pi-1" / "names")["Greek"]) == 300


def test_the_command_says_what_is_used_where_there_is_no_network(server, tmp_path):
    server.content = b"sold out"

    done = run_pisyft("data", "fetch", "--url", server.url, "--into", tmp_path / "corpus", NO_PROXY="127.0.0.1")

    assert done.returncode == 2
    assert "Until then, the names in data/names/ are used" in done.stderr


def test_the_command_never_replaces_a_folder_of_something_else(server, tmp_path):
    (tmp_path / "letter.txt").write_text("Dear Ada")

    done = run_pisyft("data", "fetch", "--url", server.url, "--into", tmp_path)

    assert done.returncode == 2
    assert f"{tmp_path} holds something else" in done.stderr
    assert left_in(tmp_path) == ["letter.txt"]
