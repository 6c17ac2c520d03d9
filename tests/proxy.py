"""A TCP proxy that breaks connections when it is told to: for tests of what a network does."""

from __future__ import annotations

import contextlib
import queue
import random
import socket
import threading
import time
from types import TracebackType


class Proxy:
    """Passes connections on to a target, as well or as badly as it is told.

    Args:
        target: where to pass them on to.
        delay: seconds by which everything arrives later, each way.
        resets: the probability with which a connection is reset in place of passing a piece of data on.
        seed: of these resets.
        port: where to listen; 0 has the system choose a free one.

    Attributes:
        address: where it listens, `(host, port)`.
        connections: how many connections it has passed on so far.
        broken: how many it has reset.
    """

    def __init__(
        self, target: tuple[str, int], delay: float = 0.0, resets: float = 0.0, seed: int = 0, port: int = 0
    ) -> None:
        self._target = target
        self.delay, self.resets = delay, resets
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", port))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.connections = self.broken = 0
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self._drop_answers = False
        self._whole = threading.Event()
        self._whole.set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # Closing alone does not wake accept() up.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._whole.set()
        self.cut()
        for thread in self._threads:
            thread.join(60)

    def cut(self) -> None:
        """Close all connections, as a Wi-Fi that drops out does."""
        with self._lock:
            for each in self._open:
                _close(each)
            self._open.clear()

    def lead_to(self, target: tuple[str, int]) -> None:
        """Pass on what connects from now on to another target, as somebody who gets in between does."""
        self._target = target

    def part(self) -> None:
        """Let nothing through in either direction until `heal()`; what is sent meanwhile arrives then, as with TCP."""
        self._whole.clear()

    def heal(self) -> None:
        """Let everything through again."""
        self._whole.set()

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
        arriving: queue.Queue[tuple[float, bytes]] = queue.Queue()
        sender = threading.Thread(target=self._send, args=(arriving, sink), daemon=True)
        sender.start()
        try:
            while data := source.recv(65536):
                if answers and self._drop_answers:
                    self._drop_answers = False
                    break
                if self.resets and self._random.random() < self.resets:
                    self.broken += 1
                    break
                arriving.put((time.monotonic() + self.delay, data))
        except OSError:
            pass  # one side is gone; so is the other, below
        arriving.put((0.0, b""))
        sender.join()
        for each in (source, sink):
            _close(each)

    def _send(self, arriving: queue.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        while True:
            due, data = arriving.get()
            self._whole.wait()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    return
                sink.sendall(data)
            except OSError:
                return


def _close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):  # closed by the other side already
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
