"""A worker somewhere else, as a coordinator or a peer sees it: PySyft's WebsocketClientWorker on this transport."""

from __future__ import annotations

import collections
import itertools
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus

import syft
from syft.messaging.message import Message, ObjectRequestMessage, SearchMessage
from syft.workers.base import BaseWorker
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from pisyft.credentials import Credentials
from pisyft.limits import Limits
from pisyft.transport.answers import ids_of_results, needs_none, origin_of
from pisyft.transport.errors import (
    CallerRefused,
    IdTaken,
    LimitExceeded,
    OtherProtocol,
    OtherWorker,
    ProtocolError,
    TransportError,
    UnknownHost,
    UnknownPeer,
    UntrustedWorker,
    WorkerLost,
    WorkerRefused,
    WorkerRestarted,
    WorkerTimeout,
    WorkerUnreachable,
)
from pisyft.transport.failures import rebuild
from pisyft.transport.flusher import Flusher
from pisyft.transport.frames import (
    MAX_FRAME_BYTES,
    NOT_LET_IN,
    OVER_LIMIT,
    PROTOCOL,
    Call,
    Failure,
    Frame,
    Hello,
    Id,
    Progress,
    Request,
    Result,
    Welcome,
    decode,
    encode,
)
from pisyft.transport.operation import Operation
from pisyft.transport.outbox import Origin, Outbox
from pisyft.transport.tls import WIRE, Verifier, why_not_let_in, why_not_trusted
from pisyft.transport.turn import Turn
from pisyft.transport.values import pack, unpack

TIMEOUT_SECONDS = 60
_RAISE_LIMIT = "Its owner can raise the limit, in [limits] of classroom.toml."
# For each: until an id is announced, and until who announces it has answered.
_FIND_SECONDS = 15
# After a connection broke: how often it is made again, and how long in between.
_RECONNECT_AFTER_SECONDS = (0.0, 0.2, 0.5, 1.0, 2.0)


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
            the worker shows first is trusted from then on.
        credentials: who calls, and whom to believe: TLS on both sides, with the certificates of a classroom.
        id: the worker's id, which must be the one it was started with.
        timeout: seconds to wait for a connection, and for each answer (default 60).
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
        self._max_frame_bytes = max_frame_bytes
        self.host, self.port, self.secure = host, int(port), secure or credentials is not None
        if not host and credentials is None:
            raise ValueError(f"where is {id}? An address may be left out in a classroom only, with its certificates")
        self.timeout = TIMEOUT_SECONDS if timeout is None else timeout
        self._credentials = credentials
        self._verifier = Verifier(ca_path) if secure and credentials is None else None
        self._ssl = credentials.client_context() if credentials else None
        if self._verifier:
            self._ssl = self._verifier.context
        self._is_peer_of: Id | None = None
        self._connection: ClientConnection | None = None
        self._leave_connection = ExitStack()
        self._incarnation: bytes | None = None
        self._session = os.urandom(16)
        self._numbers = itertools.count(1)
        self._outbox = Outbox()
        self.wait: bool = os.environ.get("PISYFT_WAIT", "") not in ("", "0")
        self.bytes_sent = self.bytes_received = self.answers_waited_for = 0
        self._exchange_lock = threading.Lock()
        self._awaits_flush = False
        # Filled by pointers that are deleted, which may happen in any thread, in the middle of anything.
        self._discarded: collections.deque[Id] = collections.deque()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}" if self.host else f"the address that {self.id} announces"

    def _url_at(self, host: str, port: int) -> str:
        return f"{'wss' if self.secure else 'ws'}://{host}:{port}"

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
            self._leave_connection.close()
            self._connection = None
            self._outbox.rewind()

    def _open(self, deadline: float) -> None:
        """Make the connection and exchange greetings."""
        if self.host:
            self._open_at(self.host, self.port, deadline)
            return
        from pisyft.discovery import find

        problem: TransportError = UnknownHost(
            self.id,
            self.address,
            "nothing announces it",
            "Is it started, and on the same network? Otherwise write its host into classroom.toml.",
        )
        for host, port in find(str(self.id), min(deadline, time.monotonic() + _FIND_SECONDS)):
            try:
                self._open_at(host, port, min(deadline, time.monotonic() + _FIND_SECONDS))
                return
            except WorkerRestarted:
                raise
            except TransportError as error:  # somebody else may announce the id; the certificate tells
                problem = error
        raise problem

    def _open_at(self, host: str, port: int, deadline: float) -> None:
        shown = self._credentials.authorization(str(self.id)) if self._credentials else None
        with self._explained(), ExitStack() as until_greeted:
            connection = until_greeted.enter_context(
                connect(
                    self._url_at(host, port),
                    ssl=self._ssl,
                    # By its id, which its certificate has, wherever it listens today.
                    server_hostname=str(self.id) if self._credentials else None,
                    subprotocols=[PROTOCOL],  # type: ignore[list-item]
                    compression=None,
                    proxy=None,
                    open_timeout=max(0.1, deadline - time.monotonic()),
                    max_size=self._max_frame_bytes,
                    additional_headers={"Authorization": shown} if shown else None,
                    logger=WIRE,
                )
            )
            welcome = self._greet(connection, deadline)
            self._leave_connection = until_greeted.pop_all()
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

    def _greet(self, connection: ClientConnection, deadline: float) -> Welcome:
        if self._verifier:
            self._verifier.check(connection.socket, f"{self.id} at {self.address}")
        if connection.subprotocol != PROTOCOL:
            raise ProtocolError("it did not agree to speak it")
        sender = "me" if self._is_peer_of is None else self._is_peer_of
        connection.send(encode(Hello(self._session, sender, self._is_peer_of is not None)))
        welcome = decode(connection.recv(timeout=max(0.1, deadline - time.monotonic())))
        if not isinstance(welcome, Welcome):
            raise ProtocolError(f"it answered with {type(welcome).__name__}")
        if welcome.worker != self.id:
            raise OtherWorker(
                self.id,
                self.address,
                f"the worker there is called {welcome.worker}",
                f"Use id={welcome.worker!r}, or the address of {self.id}.",
            )
        return welcome

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what goes wrong while connecting into one error that says what to try."""

        def explained(kind: type[TransportError], problem: str, advice: str) -> TransportError:
            return kind(self.id, self.address, problem, advice)

        try:
            yield
        except TransportError:
            raise
        except socket.gaierror as error:
            raise explained(
                UnknownHost, "there is no host of that name", "Check the spelling, or use the IP address."
            ) from error
        except ConnectionRefusedError as error:
            raise explained(
                WorkerRefused,
                "nothing listens there",
                f"Is the worker running? Start it with: pisyft worker --id {self.id} --port {self.port} --data DIR",
            ) from error
        except TimeoutError as error:
            raise explained(
                WorkerTimeout,
                f"no answer within {self.timeout:g} s",
                "Check that it is switched on and on the same network.",
            ) from error
        except ssl.SSLError as error:
            raise explained(UntrustedWorker, *why_not_trusted(error)) from error
        except (InvalidHandshake, InvalidMessage, ProtocolError, ConnectionClosed) as error:
            raise explained(*self._why_not_greeted(error)) from error
        except OSError as error:
            raise explained(
                WorkerUnreachable, f"no connection ({error})", "Check the address and the network."
            ) from error

    def _why_not_greeted(self, error: Exception) -> tuple[type[TransportError], str, str]:
        """The kind of error, what is wrong, and what to do, when a connection was made and no greeting came."""
        status = error.response.status_code if isinstance(error, InvalidStatus) else None
        told = (error.response.body or b"")[:200].decode("ascii", "replace") if isinstance(error, InvalidStatus) else ""
        if status == HTTPStatus.UNAUTHORIZED:
            advice = "Use the files of one classroom on all machines, as pisyft classroom create made them."
            return CallerRefused, f"it does not let you in: {told}", advice
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            return LimitExceeded, f"it does not let you in ({told})", _RAISE_LIMIT
        if isinstance(error, ConnectionClosedError) and error.rcvd is not None and error.rcvd.code == NOT_LET_IN:
            return (
                CallerRefused,
                f"it does not let you in: {error.rcvd.reason}",
                "Who may call is in its configuration.",
            )
        hung_up = isinstance(error.__cause__, (ssl.SSLError, ConnectionError, EOFError))
        if hung_up and self._ssl is not None:  # a worker checks a certificate after the caller's side of the handshake
            return CallerRefused, *why_not_let_in(error.__cause__, self._credentials is not None)
        advice = "Check the port, and that both sides run the same version of PiSyft"
        if hung_up:  # what a worker with TLS does to somebody without
            advice += " and use the same classroom's certificates, or none"
        problem = f"what listens there does not speak {PROTOCOL} ({error or type(error).__name__})"
        return OtherProtocol, problem, f"{advice}."

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
            return syft.serde.deserialize(self._recv_msg(data), worker=sender)
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
        deadline = time.monotonic() + self.timeout
        broken: Exception | None = None
        for pause in _RECONNECT_AFTER_SECONDS:
            try:
                if self._connection is None:
                    self._open(deadline)
                self._send_outbox()
                return self._answer_to(number, deadline, report)
            except WorkerRestarted:
                raise
            except TransportError as error:
                if broken is None:
                    self._outbox.withdraw(number)  # not to be executed behind the caller's back later on
                    raise
                broken = error
            except TimeoutError as error:
                raise WorkerTimeout(
                    self.id,
                    self.address,
                    f"no answer within {self.timeout:g} s",
                    "It may still be at work: raise timeout=, or look at its log.",
                ) from error
            except (ConnectionClosed, ProtocolError) as error:
                self._drop_connection()
                if (exceeded := self._limit_exceeded(error)) is not None:
                    # Sent again, it would be too much again.
                    self._outbox.clear()
                    raise exceeded from error
                broken = error
            if time.monotonic() + pause > deadline:
                break
            time.sleep(pause)
        self._outbox.withdraw(number)
        raise WorkerLost(
            self.id,
            self.address,
            "the connection broke during a call and cannot be made again",
            "Was the worker stopped, or switched off? Look at the end of its log.",
        ) from broken

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
        return LimitExceeded(self.id, self.address, problem, _RAISE_LIMIT)

    def _answer_to(
        self, number: int, deadline: float, report: Callable[[object], object] | None = None
    ) -> Result | Failure:
        assert self._connection is not None
        while True:
            data = self._connection.recv(timeout=max(0.0, deadline - time.monotonic()))
            self.bytes_received += len(data)
            frame: Frame = decode(data)
            if not isinstance(frame, (Result, Failure, Progress)):
                raise ProtocolError(f"unexpected {type(frame).__name__}")
            if frame.number != number:
                continue  # an answer to an earlier request, which timed out
            if not isinstance(frame, Progress):
                return frame
            deadline = time.monotonic() + self.timeout
            if report is not None:
                report(unpack(frame.value))

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
