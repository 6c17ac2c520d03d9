"""A worker somewhere else, as a coordinator or a peer sees it: PySyft's WebsocketClientWorker on this transport."""

from __future__ import annotations

import collections
import itertools
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress

import syft
from syft.messaging.message import Message, ObjectRequestMessage, SearchMessage
from syft.workers.base import BaseWorker
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection

from pisyft.credentials import Credentials
from pisyft.limits import Limits
from pisyft.transport.answers import ids_of_results, needs_none, origin_of
from pisyft.transport.connecting import Destination
from pisyft.transport.errors import (
    RAISE_LIMIT,
    IdTaken,
    LimitExceeded,
    ProtocolError,
    TransportError,
    UnknownPeer,
    UntrustedWorker,
    WorkerLost,
    WorkerRestarted,
    WorkerTimeout,
)
from pisyft.transport.failures import rebuild
from pisyft.transport.flusher import Flusher
from pisyft.transport.frames import (
    MAX_FRAME_BYTES,
    OVER_LIMIT,
    Call,
    Failure,
    Frame,
    Id,
    Progress,
    Request,
    Result,
    decode,
)
from pisyft.transport.operation import Operation
from pisyft.transport.outbox import Origin, Outbox
from pisyft.transport.patience import Patience, limit_unacknowledged
from pisyft.transport.serialization import read_answer
from pisyft.transport.turn import Turn
from pisyft.transport.values import pack, unpack

TIMEOUT_SECONDS = 60


class WebsocketClientWorker(BaseWorker):
    """A worker on another machine, to which tensors and models are sent and whose objects are pointed to.

        alice = WebsocketClientWorker(hook=hook, id="alice", host="192.168.1.21", port=8777)
        x = torch.tensor([1.0, 2.0]).send(alice)

    The connection is made at once and kept. When it breaks it is made again, and a request that was under way is
    neither lost nor executed twice.

    Operations whose result is known to be one tensor are sent and not waited for. If one fails, the next operation
    that waits raises its error, which names the operation and the line.

    Args:
        hook: the TorchHook.
        host: host name or IP address of the worker; "" finds it where its id is announced on this network, which says
            nothing of whom to trust: with `credentials` only.
        port: TCP port of the worker.
        secure: use TLS.
        ca_path: file with the certificate of the authority that signed the worker's; without it, the certificate that
            a worker of this id shows first at this address is trusted until this process ends.
        credentials: who calls, and whom to believe: TLS on both sides, with the certificates of a classroom.
        id: the worker's id, which must be the one it was started with.
        timeout: seconds to wait for a connection, and for each answer (default 60). On Linux also for a worker that
            takes nothing of what is sent to it, 5 s at least.
        wait: wait for every operation, so that errors are raised where they were made. For debugging; the environment
            variable PISYFT_WAIT=1 does it for all workers.
        is_client_worker, log_msgs, verbose, data: as for every PySyft worker.

    Attributes:
        bytes_sent, bytes_received: what went over the wire so far, in frames.
        answers_waited_for: how many answers were waited for so far.

    Raises:
        TransportError: one of its kinds, all of which name the worker, the address and what to try.
        IdTaken: another worker has this id.
    """

    def __init__(
        self,
        hook,
        host: str,
        port: int,
        secure: bool = False,
        id: Id = 0,
        is_client_worker: bool = False,
        log_msgs: bool = False,
        verbose: bool = False,
        data=None,
        timeout: float | None = None,
        wait: bool = False,
        ca_path: str | None = None,
        credentials: Credentials | None = None,
    ) -> None:
        self._prepare(host, port, secure, id, timeout, ca_path, credentials)
        self.wait |= wait
        with self._registering:
            _give_up_id(hook, id, self.address)
        # Connected before PySyft hears of the worker: one that cannot be reached is never registered.
        self.connect()
        with self._registering:
            super().__init__(hook, id, data, is_client_worker, log_msgs, verbose)

    def _prepare(
        self,
        host: str,
        port: int,
        secure: bool,
        id: Id,
        timeout: float | None,
        ca_path: str | None = None,
        credentials: Credentials | None = None,
        max_frame_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        self.id = id
        self.timeout = TIMEOUT_SECONDS if timeout is None else timeout
        self._destination = Destination(id, host, int(port), secure, ca_path, credentials, max_frame_bytes)
        self.secure = self._destination.is_secure
        self._is_peer_of: Id | None = None
        self._connection: ClientConnection | None = None
        self._incarnation: bytes | None = None
        self._numbers = itertools.count(1)
        self._outbox = Outbox()
        self.wait: bool = os.environ.get("PISYFT_WAIT", "") not in ("", "0")
        self.bytes_sent = self.bytes_received = self.answers_waited_for = 0
        self._exchange_lock = threading.Lock()
        self._awaits_flush = False
        # Filled by pointers that are deleted, which may happen in any thread, in the middle of anything.
        self._discarded: collections.deque[Id] = collections.deque()

    @property
    def host(self) -> str:
        """Where it is looked for; may be changed, for when it has moved."""
        return self._destination.host

    @host.setter
    def host(self, host: str) -> None:
        self._destination.host = host

    @property
    def port(self) -> int:
        return self._destination.port

    @port.setter
    def port(self, port: int) -> None:
        self._destination.port = port

    @property
    def address(self) -> str:
        return self._destination.address

    # The connection

    def connect(self) -> None:
        """Connect, or connect again. Does nothing where there is a connection."""
        with self._exchange_lock:
            if self._connection is None:
                self._open(time.monotonic() + self.timeout)

    def close(self) -> None:
        """Close the connection. The worker keeps its objects; `connect()`, or the next use, connects again."""
        with self._exchange_lock:
            if self._connection is not None:
                with suppress(ConnectionClosed, TransportError):
                    self._send_outbox()
            self._drop_connection()

    def _drop_connection(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._outbox.rewind()

    def _open(self, deadline: float) -> None:
        """Make the connection, and see whether it is the same worker that is there."""
        connection, welcome = self._destination.connect(deadline, self.timeout, self._is_peer_of)
        restarted = self._incarnation not in (None, welcome.incarnation)
        self._connection, self._incarnation = connection, welcome.incarnation
        if restarted:
            self._discarded.clear()
            self._outbox.clear()
            raise WorkerRestarted(
                self.id,
                self.address,
                "it was started again since the last call, and what was sent to it is gone",
                "Send the tensors and models again.",
            )

    # Requests

    def discard(self, object_id: Id) -> None:
        """Have an object removed there, with the next request: nothing here points to it any more."""
        self._discarded.append(object_id)

    def deliver(self, sender: BaseWorker, message: Message) -> object:
        """Send a PySyft message from `sender` and return what it returns; None where the answer is not waited for.

        Raises:
            TransportError: no answer came.
            Exception: what the message, or an earlier one that was not waited for, raised on the worker.
        """
        try:
            data = syft.serde.serialize(Operation(message, self), worker=sender)
        except (TypeError, OverflowError):  # what it says goes beyond that
            data = syft.serde.serialize(message, worker=sender)
        if self.wait or not needs_none(message):
            return read_answer(self._recv_msg(data), sender)
        self._post(data, ids_of_results(message), origin_of(message))
        return None

    def call(self, verb: str, report: Callable[[object], object] | None = None, **arguments):
        """Call one of the worker's verbs by name, and return what it returns.

        Args:
            report: called with whatever the verb tells while it is at work. As long as it tells something, it is
                waited for.
            arguments: plain values and NumPy arrays (see `values`).

        Raises:
            TransportError: no answer came.
            GetNotPermittedError: the worker refuses.
            Exception: what the verb, or an earlier operation that was not waited for, raised on the worker.
        """
        packed = pack(arguments)
        with self._exchange_lock:
            if discarded := self._take_discarded():
                self._outbox.add(Request(next(self._numbers), False, discarded, (), b""))
            return unpack(self._wait_for_answer_to(Call(next(self._numbers), verb, packed), report))

    def _send_msg(self, message: bytes, location: BaseWorker | None = None) -> bytes:
        return self._recv_msg(message)

    def _recv_msg(self, message: bytes) -> bytes:
        """Send a serialized message to the worker and return the serialized answer."""
        with self._exchange_lock:
            return self._wait_for_answer(message)

    def _post(self, message: bytes, returns: tuple[Id, ...], origin: Origin) -> None:
        """Send a serialized message, now or with the ones that follow."""
        with self._exchange_lock:
            self._outbox.add(Request(next(self._numbers), False, self._take_discarded(), returns, message), origin)
            if self._outbox.is_full:
                self._wait_for_answer(b"")
            elif self._outbox.wants_to_be_sent and self._connection is not None:
                with suppress(ConnectionClosed):  # and sent again by the next one that waits
                    self._send_outbox()
            elif not self._awaits_flush:
                self._awaits_flush = True
                self._flusher.wake(self)

    def flush(self) -> None:
        """Send what is waiting for company. Connects nothing and raises nothing: the next answer tells."""
        with self._exchange_lock:
            self._awaits_flush = False
            if self._connection is not None:
                with suppress(ConnectionClosed):
                    self._send_outbox()

    def _take_discarded(self) -> tuple[Id, ...]:
        discarded = []
        while self._discarded:
            discarded.append(self._discarded.popleft())
        return tuple(discarded)

    def _send_outbox(self) -> None:
        assert self._connection is not None
        limit_unacknowledged(self._connection.socket, self.timeout)  # which may have been changed
        for data in self._outbox.take():
            self._connection.send(data)
            self.bytes_sent += len(data)

    def _wait_for_answer(self, message: bytes) -> bytes:
        return self._wait_for_answer_to(Request(next(self._numbers), True, self._take_discarded(), (), message))

    def _wait_for_answer_to(self, request: Request | Call, report: Callable[[object], object] | None = None) -> bytes:
        self._outbox.add(request)
        self.answers_waited_for += 1
        answer = self._exchange(request.number, report)
        origin = self._outbox.origin(answer.failed) if isinstance(answer, Failure) else None
        self._outbox.answered(request.number)
        if isinstance(answer, Failure):
            raise rebuild(answer, self.id, origin)
        return answer.value

    def _exchange(self, number: int, report: Callable[[object], object] | None = None) -> Result | Failure:
        """Send everything, over as many connections as it takes, and wait for the answer to request `number`."""
        patience = Patience(self.timeout)
        broken: Exception | None = None
        while True:
            try:
                if self._connection is None:
                    self._open(patience.deadline)
                self._send_outbox()
                return self._answer_to(number, patience, report)
            except WorkerRestarted:
                raise
            except TransportError as error:
                if broken is None:
                    self._outbox.withdraw(number)  # not to be executed behind the caller's back later on
                    raise
                broken = error
            except TimeoutError as error:
                raise self._timed_out() from error
            except (ConnectionClosed, ProtocolError) as error:
                self._drop_connection()
                if (exceeded := self._limit_exceeded(error)) is not None:
                    # Sent again, it would be too much again.
                    self._outbox.clear()
                    raise exceeded from error
                broken = error
            if not patience.pause():
                break
        self._outbox.withdraw(number)
        if isinstance(broken, UntrustedWorker):
            raise broken
        if isinstance(broken, ConnectionClosed) and not patience.left_seconds:
            raise self._timed_out() from broken
        raise WorkerLost(
            self.id,
            self.address,
            "the connection broke during a call and cannot be made again",
            "Was the worker stopped, or switched off? Look at the end of its log.",
        ) from broken

    def _timed_out(self) -> WorkerTimeout:
        return WorkerTimeout(
            self.id,
            self.address,
            f"no answer within {self.timeout:g} s",
            "It may still be at work: raise timeout=, or look at its log.",
        )

    def _limit_exceeded(self, error: Exception) -> LimitExceeded | None:
        """What to tell, if the worker has closed the connection since a limit was exceeded."""
        if not isinstance(error, ConnectionClosed) or error.rcvd is None:
            return None
        if error.rcvd.code == CloseCode.MESSAGE_TOO_BIG:
            problem = "limit frame_mb: a message is larger than it takes"
        elif error.rcvd.code == OVER_LIMIT:
            problem = error.rcvd.reason
        else:
            return None
        return LimitExceeded(self.id, self.address, problem, RAISE_LIMIT)

    def _answer_to(
        self, number: int, patience: Patience, report: Callable[[object], object] | None = None
    ) -> Result | Failure:
        assert self._connection is not None
        while True:
            data = self._connection.recv(timeout=patience.left_seconds)
            self.bytes_received += len(data)
            frame: Frame = decode(data)
            if not isinstance(frame, (Result, Failure, Progress)):
                raise ProtocolError(f"unexpected {type(frame).__name__}")
            if frame.number != number:
                continue  # an answer to an earlier request, which timed out
            if not isinstance(frame, Progress):
                return frame
            if report is not None:
                report(unpack(frame.value))
            patience.hear()

    # What PySyft's client offers beside messages

    def search(self, query) -> list:
        """Pointers to the worker's objects that carry all the tags in `query` (one tag or a list)."""
        return syft.local_worker.send_msg(SearchMessage(query), location=self)

    def command(self, command_name: str, **kwargs):
        """Call a method of the remote worker by name and return what it returns."""
        message = self.create_worker_command_message(command_name, **kwargs)
        return syft.local_worker.send_msg(message, location=self)

    def list_tensors_remote(self) -> str:
        return self.command("list_tensors")

    def tensors_count_remote(self) -> int:
        return self.command("tensors_count")

    def list_objects_remote(self) -> str:
        return self.command("list_objects")

    def objects_count_remote(self) -> int:
        return self.command("objects_count")

    def clear_objects_remote(self) -> None:
        return self.command("clear_objects", return_self=False)

    def _get_msg_remote(self, index: int):
        return self.command("_get_msg", index=index)

    def _log_msgs_remote(self, value: bool = True) -> None:
        return self.command("_log_msgs", value=value)

    def fit(self, dataset_key: str, return_ids=None, **kwargs):
        """Have the worker train the `train_config` that was sent to it on its dataset; the loss it returns."""
        return_ids = return_ids or [syft.ID_PROVIDER.pop()]
        message = self.create_worker_command_message("fit", return_ids, dataset_key=dataset_key, **kwargs)
        syft.local_worker.send_msg(message, location=self)
        return syft.local_worker.send_msg(ObjectRequestMessage(return_ids[0], None, ""), location=self)

    def evaluate(self, dataset_key: str, **kwargs):
        """Have the worker evaluate the `train_config` that was sent to it on its dataset."""
        return self.command("evaluate", dataset_key=dataset_key, **kwargs)

    # One thread for all clients sends what waited for company in vain.
    _flusher = Flusher()
    # Workers may be connected at the same time, but PySyft's lists of them are changed by one thread at a time.
    _registering = threading.Lock()

    # On the wire a worker is its id.

    @staticmethod
    def simplify(_worker, worker) -> tuple:
        return BaseWorker.simplify(_worker, worker)

    @staticmethod
    def detail(worker, worker_tuple: tuple):
        return find_worker(worker, syft.serde.msgpack.serde._detail(worker, worker_tuple[0]))

    @staticmethod
    def get_msgpack_code() -> dict[str, int]:
        return {"code": syft.serde.msgpack.serde.msgpack_code_generator("pisyft.WebsocketClientWorker")}

    def __str__(self) -> str:
        state = "connected" if self._connection is not None else "not connected"
        return f"<{type(self).__name__} id:{self.id} {self.address} {state}>"

    __repr__ = __str__


class PeerWorker(WebsocketClientWorker):
    """Another worker of the federation, as a worker sees it: connected when first needed.

    Args:
        hook: the TorchHook.
        owner: the id of the worker whose peer this is.
        turn: whose turn it is on that worker; given away while this one is waited for.
        limits: of that worker.
    """

    def __init__(
        self,
        hook,
        owner: Id,
        turn: Turn,
        host: str,
        port: int,
        id: Id,
        timeout: float | None = None,
        credentials: Credentials | None = None,
        limits: Limits | None = None,
    ) -> None:
        self._prepare(
            host, port, False, id, timeout, credentials=credentials, max_frame_bytes=(limits or Limits()).frame_bytes
        )
        self._is_peer_of = owner
        self._turn = turn
        # Whoever hears that a value has been shared must find the shares where they were sent.
        self.wait = True
        BaseWorker.__init__(self, hook, id)

    def _recv_msg(self, message: bytes) -> bytes:
        # Given away before the connection's lock is taken, and taken again after it is released: a thread that holds
        # the one and waits for the other would wait for ever. (Verbs, which call peers too, do not take turns.)
        with self._turn.given_away():
            return super()._recv_msg(message)


def find_worker(worker: BaseWorker, id: Id) -> BaseWorker:
    """The worker with that id, as `worker` knows it.

    Raises:
        UnknownPeer: `worker` knows none.
    """
    if id == worker.id:
        return worker
    try:
        return worker._known_workers[id]
    except KeyError:
        raise UnknownPeer(worker.id, id) from None


def _give_up_id(hook, id: Id, address: str) -> None:
    """Forget an earlier client of the same id, so that a notebook's cell can be run again.

    PySyft would copy the earlier client's attributes into the new one, its address among them.
    """
    known = hook.local_worker._known_workers
    earlier = known.get(id)
    if earlier is None:
        return
    if not isinstance(earlier, WebsocketClientWorker):
        raise IdTaken(id, earlier, "choose another")
    if earlier._connection is not None and earlier.address != address:
        raise IdTaken(id, f"the worker connected to {earlier.address}", "close() it, or choose another")
    earlier.close()
    for worker in list(known.values()):
        worker._known_workers.pop(id, None)
