"""What makes a request that was sent twice, over two connections, happen once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable

from pisyft.transport.frames import Failure, Request, Result

# A session costs its last answer. A caller that comes back after this many others starts anew.
_REMEMBERED_SESSIONS = 256


class Session:
    """The last request of one caller, and its answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._answer: Result | Failure | None = None

    def answer(self, request: Request, execute: Callable[[Request], Result | Failure]) -> Result | Failure | None:
        """Execute a new request; answer a repeated one as before.

        A caller that lost its connection repeats its request over a new one while the first connection's thread may
        still execute it: the lock makes the second wait for the first.

        Returns:
            The answer, or None for a request that was answered long ago.
        """
        with self._lock:
            if request.number > self._number:
                self._answer = execute(request)
                self._number = request.number
            return self._answer if request.number == self._number else None


class Sessions:
    """The sessions of all callers, by the random bytes in their `Hello`."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[bytes, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: bytes) -> Session:
        with self._lock:
            session = self._sessions.setdefault(name, Session())
            self._sessions.move_to_end(name)
            if len(self._sessions) > _REMEMBERED_SESSIONS:
                self._sessions.popitem(last=False)
            return session
