"""Who of a class is there: the coordinator's connections to workers, of which some may be away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import syft
import torch

from pisyft.credentials import Credentials
from pisyft.secure_round import in_parallel
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.client import TIMEOUT_SECONDS
from pisyft.transport.errors import TransportError

# A class does not wait longer than this for somebody who is away.
_CONNECT_SECONDS = 10


class Attendance:
    """Connects to the workers that are there, and asks for the others as often as it is told to.

        with Attendance({"alice": ("192.168.1.21", 8777), "bob": ("192.168.1.22", 8777)}) as attendance:
            present = attendance.ask()
            ...
            returned = attendance.ask()

    Args:
        addresses: `(host, port)` by worker id.
        credentials: the coordinator's in the workers' classroom.

    Attributes:
        present: the connected workers, by id.
        away: why each of the others cannot be reached, by id.
    """

    def __init__(self, addresses: Mapping[str, tuple[str, int]], credentials: Credentials | None = None) -> None:
        self._addresses, self._credentials = dict(addresses), credentials
        self._hook = syft.TorchHook(torch)
        self.present: dict[str, WebsocketClientWorker] = {}
        self.away: dict[str, TransportError] = {}

    def __enter__(self) -> Attendance:
        return self

    def __exit__(self, *exception: object) -> None:
        for worker in self.present.values():
            worker.close()

    def ask(self, tell: Callable[[str], object] = lambda text: None) -> list[WebsocketClientWorker]:
        """Connect to everybody who is not connected yet, at the same time; the workers that this has brought.

        Args:
            tell: called with why a worker is away, once for each reason.
        """
        asked = [worker for worker in self._addresses if worker not in self.present]
        answers = in_parallel(self._connect, asked)
        for worker, answer in answers.items():
            if isinstance(answer, WebsocketClientWorker):
                self.present[worker] = answer
                self.away.pop(worker, None)
        for worker, answer in answers.items():
            if isinstance(answer, TransportError):
                if str(answer) != str(self.away.get(worker)):
                    tell(f"{worker} is away. {answer}")
                self.away[worker] = answer
            elif isinstance(answer, Exception):
                raise answer
        return [self.present[worker] for worker in asked if worker in self.present]

    def _connect(self, worker: str) -> WebsocketClientWorker:
        host, port = self._addresses[worker]
        connected = WebsocketClientWorker(
            self._hook, host, port, id=worker, timeout=_CONNECT_SECONDS, credentials=self._credentials
        )
        connected.timeout = TIMEOUT_SECONDS
        return connected
