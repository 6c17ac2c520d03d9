"""What makes a request that was sent twice happen once, and one that failed unheard be heard of."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pisyft.transport.frames import Call, Failure, Request, Result
from pisyft.transport.store import Holding

# Of callers that are not connected. One that comes back after this many others, or after others with answers of more
# bytes than these, starts anew.
_REMEMBERED_SESSIONS = 256
_REMEMBERED_BYTES = 16 * 2**20

Execute = Callable[[Request | Call], Result | Failure]


class Session:
    """How far the requests of one caller have been executed, and what the last one answered.

    Attributes:
        holding: the objects that the caller has on the worker.
        send: sends bytes over the caller's newest connection; to nobody, where there is none.
    """

    def __init__(self) -> None:
        self.holding = Holding()
        self.send: Callable[[bytes], object] = _to_nobody
        self._lock = threading.Lock()
        self._number = 0
        self._answer: Result | Failure | None = None
        self._unreported: Failure | None = None

    @property
    def answer_bytes(self) -> int:
        """How many bytes are kept in case that the caller asks again."""
        return len(self._answer.value) if isinstance(self._answer, Result) else 0

    def answer(self, request: Request | Call, execute: Execute) -> Result | Failure | None:
        """Execute a new request; answer a repeated one as before.

        A caller that lost its connection repeats its requests over a new one while the first connection's thread may
        still execute them: the lock makes the second wait for the first.

        Returns:
            The answer; None for a request that does not wait for one, or was answered long ago.
        """
        with self._lock:
            if request.number > self._number:
                self._answer = self._execute(request, execute)
                self._number = request.number
            return self._answer if request.number == self._number else None

    def _execute(self, request: Request | Call, execute: Execute) -> Result | Failure | None:
        if not request.waits:
            answer = execute(request)
            if isinstance(answer, Failure):
                self._unreported = self._unreported or answer
            return None
        if (unreported := self._unreported) is not None:
            # Executing this one would lose its result: the caller hears of the failure in its place.
            self._unreported = None
            return replace(unreported, number=request.number)
        return execute(request)


def _to_nobody(data: bytes) -> None:
    pass


class Sessions:
    """The sessions of all callers, by who they are and the random bytes in their `Hello`."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def joined(self, name: Hashable, send: Callable[[bytes], object]) -> Iterator[Session]:
        """The session of that name, for a connection as long as the `with` lasts.

        Args:
            send: sends bytes over that connection.
        """
        with self._lock:
            session = self._sessions.setdefault(name, Session())
            self._sessions.move_to_end(name)
            session.send = send
            session.holding.connections += 1
        try:
            yield session
        finally:
            with self._lock:
                session.holding.connections -= 1
                session.holding.left = time.monotonic()
                if not session.holding.connections:
                    session.send = _to_nobody  # a session is remembered for longer than a connection should be
                self._forget_the_oldest()

    def _forget_the_oldest(self) -> None:
        gone = [name for name, session in self._sessions.items() if not session.holding.connections]
        kept_bytes = 0
        for count, name in enumerate(reversed(gone), 1):
            kept_bytes += self._sessions[name].answer_bytes
            if count > _REMEMBERED_SESSIONS or kept_bytes > _REMEMBERED_BYTES:
                del self._sessions[name]
