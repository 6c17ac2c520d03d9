"""Requests on their way: numbered, put into batches, and kept until the worker has answered a later one.

A pure data structure: it sends nothing and waits for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from pisyft.transport.frames import Batch, Call, Request, encode

# More than this without an answer, and the caller should wait for one: what is kept must not grow for ever.
_MAX_REQUESTS = 1024
_MAX_BYTES = 16 * 2**20
# Small requests travel together, up to this size.
_BATCH_BYTES = 32 * 2**10
_BATCH_REQUESTS = 24


@dataclass(frozen=True)
class Origin:
    """Where a request came from, for the text of an error that surfaces later."""

    operation: str
    line: str

    def __str__(self) -> str:
        return f"{self.operation}, {self.line}"


@dataclass(frozen=True)
class _Kept:
    number: int
    data: bytes
    origin: Origin | None


class Outbox:
    """The requests of one session that have not been answered, by themselves or by a later one's answer."""

    def __init__(self) -> None:
        self._kept: deque[_Kept] = deque()
        self._unsent = self._unsent_bytes = 0
        self._bytes = 0

    def add(self, request: Request | Call, origin: Origin | None = None) -> None:
        """Take a request; its number must be higher than those before."""
        data = encode(request)
        self._kept.append(_Kept(request.number, data, origin))
        self._unsent += 1
        self._unsent_bytes += len(data)
        self._bytes += len(data)

    @property
    def wants_to_be_sent(self) -> bool:
        """Whether there is enough for a batch."""
        return self._unsent >= _BATCH_REQUESTS or self._unsent_bytes > _BATCH_BYTES

    @property
    def is_full(self) -> bool:
        """Whether the caller should wait for an answer before it adds more."""
        return len(self._kept) >= _MAX_REQUESTS or self._bytes >= _MAX_BYTES

    def take(self) -> Iterator[bytes]:
        """What has not been sent, as websocket messages; each counts as sent once the next is asked for."""
        while self._unsent:
            batch: list[bytes] = []
            size = 0
            start = len(self._kept) - self._unsent
            for index in range(start, len(self._kept)):
                data = self._kept[index].data
                if batch and size + len(data) > _BATCH_BYTES:
                    break
                batch.append(data)
                size += len(data)
            yield batch[0] if len(batch) == 1 else encode(Batch(tuple(batch)))
            self._unsent -= len(batch)
            self._unsent_bytes -= size

    def rewind(self) -> None:
        """Count everything as unsent: the connection broke, and nobody knows what arrived."""
        self._unsent, self._unsent_bytes = len(self._kept), self._bytes

    def answered(self, number: int) -> None:
        """Forget the requests up to `number`: they have been executed, or are not to be."""
        while self._kept and self._kept[0].number <= number:
            kept = self._kept.popleft()
            self._bytes -= len(kept.data)
            if self._unsent > len(self._kept):
                self._unsent -= 1
                self._unsent_bytes -= len(kept.data)

    def withdraw(self, number: int) -> None:
        """Take back the last request, which its caller has given up; the ones before stay on their way."""
        if self._kept and self._kept[-1].number == number:
            kept = self._kept.pop()
            self._bytes -= len(kept.data)
            if self._unsent:
                self._unsent -= 1
                self._unsent_bytes -= len(kept.data)

    def origin(self, number: int) -> Origin | None:
        """Where a request that is still kept came from."""
        return next((kept.origin for kept in self._kept if kept.number == number), None)

    def clear(self) -> None:
        """Forget everything: the worker that it was meant for is gone."""
        self._kept.clear()
        self._unsent = self._unsent_bytes = self._bytes = 0
