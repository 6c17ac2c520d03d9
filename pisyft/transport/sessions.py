"""What makes a request that was sent twice happen once, and one that failed unheard be heard of."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import replace

from pisyft.transport.frames import Call, Failure, Request, Result

# A session costs its last answer. A caller that comes back after this many others starts anew.
_REMEMBERED_SESSIONS = 256

Execute = Callable[[Request | Call], Result | Failure]


class Session:
    """How far the requests of one caller have been executed, and what the last one answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self._answer: Result | Failure | None = None
        self._unreported: Failure | None = None

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


class Sessions:
    """The sessions of all callers, by who they are and the random bytes in their `Hello`."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[Hashable, Session] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, name: Hashable) -> Session:
        with self._lock:
            session = self._sessions.setdefault(name, Session())
            self._sessions.move_to_end(name)
            if len(self._sessions) > _REMEMBERED_SESSIONS:
                self._sessions.popitem(last=False)
            return session
