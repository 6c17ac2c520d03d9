"""The server of the page: who is let in, what is sent, and that nothing runs in the browser but its own files."""

import json
import logging
import re
from collections.abc import Iterator

import pytest

from pisyft.page import app
from pisyft.page.app import Door, is_loopback, new_token
from tests.helpers import wait_until
from tests.page.serving import Server, next_event

TOKEN = "open sesame, twice"
CLASSROOM = {"classroom": {"name": "room 2", "pis": [], "hint": ""}}


@pytest.fixture
def open_server() -> Iterator[Server]:
    server = Server(Door())
    yield server
    server.stop()


@pytest.fixture
def locked(monkeypatch) -> Iterator[Server]:
    monkeypatch.setattr(app, "_AFTER_WRONG_TOKEN_SECONDS", 0.0)
    server = Server(Door(TOKEN))
    yield server
    server.stop()


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript"), ("/icon.svg", "image/svg+xml")],
)
def test_the_pages_files_are_served_with_a_policy_that_allows_nothing_else(open_server, path, kind):
    response, body = open_server.request("GET", path)

    assert response.status == 200 and body
    assert response.getheader("Content-Type").startswith(kind)
    policy = response.getheader("Content-Security-Policy")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert response.getheader("X-Content-Type-Options") == "nosniff"
    assert response.getheader("Cache-Control") == "no-store"
    assert response.getheader("Server") is None


@pytest.mark.parametrize("path", ["/app.py", "/static/page.js", "/../app.py", "/%2e%2e/app.py", "/page.js/", "/docs"])
def test_nothing_else_is_served(open_server, path):
    assert open_server.request("GET", path)[0].status in (404, 307)


def test_the_page_loads_nothing_from_elsewhere_and_has_nothing_inline(open_server):
    files = {path: open_server.request("GET", path)[1].decode() for path in ("/", "/page.css", "/page.js")}

    for text in files.values():
        addresses = re.findall(r"https?://[^\s\"'`]+", text)
        assert addresses in ([], ["http://www.w3.org/2000/svg"])  # which is a name, and not looked up
    assert not re.search(r"\sstyle=|\son\w+=|<script>|<style", files["/"])
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", files["/page.js"])


def test_whoever_watches_gets_everything_then_changes_and_a_beat(open_server):
    connection, response = open_server.stream()
    try:
        assert response.getheader("Content-Type").startswith("text/event-stream")
        assert next_event(response, "sections") == CLASSROOM
        assert next_event(response, "beat") > 1.7e9
        open_server.sections.put({"pi:alice": {"online": True}})
        assert next_event(response, "sections") == {"pi:alice": {"online": True}}
    finally:
        connection.close()
    assert open_server.viewers == [1]


def test_many_may_watch_and_no_more_than_the_limit(open_server, monkeypatch):
    monkeypatch.setattr(app, "_VIEWERS", 2)
    streams = [open_server.stream() for _ in range(2)]
    try:
        for _, response in streams:
            assert next_event(response, "sections")
        assert open_server.request("GET", "/events")[0].status == 503
    finally:
        for connection, response in streams:
            response.close()
            connection.close()

    # Who leaves makes room.
    wait_until(lambda: _status_of_a_stream(open_server) == 200, "there is room again")


def _status_of_a_stream(server: Server) -> int:
    connection, response = server.stream()
    response.close()
    connection.close()
    return response.status


def test_a_server_stops_while_somebody_watches():
    server = Server(Door())
    connection, response = server.stream()
    next_event(response, "sections")

    server.stop()

    connection.close()


# Who is let in


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_without_a_token_this_machine_may_watch(open_server, host):
    assert json.loads(open_server.request("GET", "/enter", Host=f"{host}:{open_server.port}")[1]) == {"open": True}


def test_without_a_token_a_web_site_that_points_its_own_name_here_may_not(open_server):
    """DNS rebinding: a page of evil.example, whose name now has the address 127.0.0.1."""
    response, body = open_server.request("GET", "/events", Host=f"evil.example:{open_server.port}")

    assert (response.status, b"room 2" in body) == (403, False)


def test_with_a_token_nobody_watches_without_it(locked):
    for headers in (
        {},
        {"Cookie": f"pisyft-page-{locked.port}=guess"},
        {"Cookie": f"pisyft-page-{locked.port}={TOKEN}"},
    ):
        response, body = locked.request("GET", "/events", **headers)
        assert (response.status, b"room 2" in body) == (403, False)
    assert json.loads(locked.request("GET", "/enter")[1]) == {"open": False}


def test_the_token_gives_a_cookie_that_does_not_tell_it_and_opens_the_page(locked):
    response, _ = locked.request("POST", "/enter", {"token": TOKEN})
    cookie = response.getheader("Set-Cookie")

    assert response.status == 200
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    connection, stream = locked.stream(Cookie=cookie.split(";")[0])
    try:
        assert next_event(stream, "sections") == CLASSROOM
    finally:
        connection.close()


@pytest.mark.parametrize(
    "body",
    [
        {"token": "open sesame"},
        {"token": ""},
        {"token": None},
        {"token": [TOKEN]},
        {},
        [TOKEN],
        b"",
        b"{",
        b"\xff" * 2000,
    ],
)
def test_another_token_gives_nothing(locked, body):
    response, _ = locked.request("POST", "/enter", body)

    assert (response.status, response.getheader("Set-Cookie")) == (403, None)


def test_an_open_page_has_no_token_to_guess(open_server):
    assert open_server.request("POST", "/enter", {"token": ""})[0].getheader("Set-Cookie") is None


def test_the_token_is_never_logged(locked, caplog):
    with caplog.at_level(logging.DEBUG):
        locked.request("POST", "/enter", {"token": TOKEN})
        locked.request("POST", "/enter", {"token": f"{TOKEN}!"})
        locked.request("GET", "/events")

    assert TOKEN not in caplog.text


def test_tokens_are_compared_in_constant_time(locked, monkeypatch):
    compared = []
    compare = app.hmac.compare_digest
    monkeypatch.setattr(app.hmac, "compare_digest", lambda *pair: compared.append(pair) or compare(*pair))

    locked.request("POST", "/enter", {"token": "wrong"})
    locked.request("GET", "/events", Cookie=f"pisyft-page-{locked.port}=wrong")

    assert [pair[0] for pair in compared] == [b"wrong", b"wrong"]


def test_a_short_token_is_refused_and_a_new_one_is_long():
    with pytest.raises(ValueError, match="7 characters can be guessed: take 8 or more"):
        Door("seven..")
    assert len(new_token()) >= 16
    assert new_token() != new_token()


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("192.168.1.5", False),
        ("pi", False),
    ],
)
def test_loopback_is_known(host, expected):
    assert is_loopback(host) is expected
