"""What can go wrong between two workers: one exception a fact, each with the worker, the address and the next step."""

from __future__ import annotations

import socket

RAISE_LIMIT = "Its owner can raise the limit, in [limits] of classroom.toml."


class TransportError(Exception):
    """Two workers could not talk to each other.

    Attributes:
        worker: the id of the other worker.
        address: where it was looked for, `host:port`.
        problem, advice: the two halves of the text: what is wrong, and what to do.
    """

    def __init__(self, worker: object, address: str, problem: str, advice: str) -> None:
        super().__init__(f"worker {worker} at {address}: {problem}. {advice}")
        self.worker = worker
        self.address = address
        self.problem, self.advice = problem, advice


class UnknownHost(TransportError, socket.gaierror):
    """The host name has no address."""


class WorkerRefused(TransportError, ConnectionRefusedError):
    """The host is there, and nothing listens on the port."""


class WorkerUnreachable(TransportError, ConnectionError):
    """The network has no way to the host, or the connection could not be made for another reason."""


class WorkerTimeout(TransportError, TimeoutError):
    """No connection or no answer within the time-out."""


class WorkerLost(TransportError, ConnectionError):
    """The connection broke during a call and could not be made again."""


class WorkerRestarted(WorkerLost):
    """The worker is another process than before: what was sent to it is gone."""


class UntrustedWorker(TransportError):
    """The worker's certificate is not the one it should be, or there is none."""


class CallerRefused(TransportError):
    """The worker does not believe, or does not know, who calls."""


class LimitExceeded(TransportError):
    """The caller went over one of the worker's limits, and the worker has closed the connection."""


class OtherProtocol(TransportError):
    """What listens there is no PiSyft worker, or one of another version."""


class OtherWorker(TransportError):
    """The worker that listens there has another id than the one that was asked for."""


class UnknownPeer(Exception):
    """A worker was told to talk to another one that its own configuration does not name."""

    def __init__(self, worker: object, peer: object) -> None:
        super().__init__(f"worker {worker} does not know a worker {peer}: start it with --peer {peer}=HOST:PORT")
        self.worker = worker
        self.peer = peer


class IdTaken(ValueError, RuntimeError):
    """The id is another worker's. (PySyft raises RuntimeError for it.)"""

    def __init__(self, worker: object, holder: object, advice: str) -> None:
        super().__init__(f"the id {worker!r} is taken by {holder}: {advice}")
        self.worker = worker


class ProtocolError(ValueError):
    """Bytes that are no frame of this protocol."""

    rule = "protocol"
