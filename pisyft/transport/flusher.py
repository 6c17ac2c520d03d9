"""A thread that sends, a moment later, what was put aside to be sent together with more."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Protocol

# Long enough for a burst of operations to gather, short enough not to be noticed.
_MOMENT_SECONDS = 0.002


class Flushable(Protocol):
    def flush(self) -> None: ...


class Flusher:
    """Calls `flush()` on clients a moment after they ask for it, from one daemon thread that is started when needed."""

    def __init__(self) -> None:
        self._asked: weakref.WeakSet = weakref.WeakSet()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wake(self, client: Flushable) -> None:
        with self._lock:
            self._asked.add(client)
            if self._thread is None or not self._thread.is_alive():  # a forked child has no threads
                self._thread = threading.Thread(target=self._run, name="pisyft-flusher", daemon=True)
                self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            time.sleep(_MOMENT_SECONDS)
            with self._lock:
                clients = list(self._asked)
                self._asked.clear()
            for client in clients:
                client.flush()
