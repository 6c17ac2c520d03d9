"""Whose turn it is to run PySyft on a worker.

PySyft keeps state in module globals and is not thread-safe, so that one thread at a time may run it. But a worker
that waits for a peer must let its other threads go on: the peer may be waiting for one of them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Turn:
    """A lock that its holder can give away while it waits for another worker.

    with turn:                       # this thread runs PySyft
        with turn.given_away():      # others may
            reply = wait()
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._holder: int | None = None

    def __enter__(self) -> None:
        self._lock.acquire()
        self._holder = threading.get_ident()

    def __exit__(self, *exception: object) -> None:
        self._holder = None
        self._lock.release()

    @contextmanager
    def given_away(self) -> Iterator[None]:
        """Let other threads take their turn inside the `with`. Does nothing in a thread whose turn it is not."""
        if self._holder != threading.get_ident():
            yield
            return
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()
