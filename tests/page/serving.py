"""A server of the page in this process, for tests."""

from __future__ import annotations

import http.client
import json
import threading

from pisyft.page.app import Door, listen, make_server
from pisyft.page.sections import Sections
from tests.helpers import PATIENCE_SECONDS


class Server:
    """A server on this machine, and a client for it.

    Args:
        port: 0 is a free one.
    """

    def __init__(self, door: Door, port: int = 0) -> None:
        self.sections = Sections()
        self.sections.put({"classroom": {"name": "room 2", "pis": [], "hint": ""}})
        self.viewers: list[int] = []
        listener = listen("127.0.0.1", port)
        self.port = listener.getsockname()[1]
        self._server = make_server(self.sections, door, lambda: self.viewers.append(1))
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def request(
        self, method: str, path: str, body: object = None, **headers: str
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            sent = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, sent, headers)
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def stream(self, **headers: str) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        connection.request("GET", "/events", headers=headers)
        return connection, connection.getresponse()


def next_event(response: http.client.HTTPResponse, kind: str) -> object:
    """The data of the next event of a kind."""
    while True:
        lines = []
        while line := response.readline().decode().rstrip("\n"):
            lines.append(line)
        fields = dict(line.split(": ", 1) for line in lines)
        if fields["event"] == kind:
            return json.loads(fields["data"])
