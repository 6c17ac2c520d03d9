"""A TCP proxy that breaks connections when it is told to: for tests of what a network does."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import TracebackType


class Proxy:
    """Passes connections on to a target until `cut()` closes them.

    Attributes:
        address: where it listens, `(host, port)`.
        connections: how many connections it has passed on so far.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.connections = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._drop_answers = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # Closing alone does not wake accept() up.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(60)

    def cut(self) -> None:
        """Close all connections, as a Wi-Fi that drops out does."""
        with self._lock:
            for each in self._open:
                _close(each)
            self._open.clear()

    def cut_at_next_answer(self) -> None:
        """Let requests through, and break the connection in place of passing the next answer on."""
        self._drop_answers = True

    def _accept(self) -> None:
        while True:
            try:
                caller, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:
                _close(caller)
                continue
            with self._lock:
                self._open += [caller, server]
                self.connections += 1
            for source, sink, answers in ((caller, server, False), (server, caller, True)):
                thread = threading.Thread(target=self._pass_on, args=(source, sink, answers), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        try:
            while data := source.recv(65536):
                if answers and self._drop_answers:
                    self._drop_answers = False
                    break
                sink.sendall(data)
        except OSError:
            pass  # one side is gone; so is the other, below
        for each in (source, sink):
            _close(each)


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by the other side already
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
