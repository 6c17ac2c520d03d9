"""A worker that serves others over websockets: PySyft's WebsocketServerWorker on this transport."""

from __future__ import annotations

import errno
import logging
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from syft.messaging.message import ForceObjectDeleteMessage
from syft.workers.virtual import VirtualWorker
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.sync.server import Server, ServerConnection, serve

from pisyft import untrusted
from pisyft.audit import DONE, FAILED, REFUSED, AuditLog
from pisyft.credentials import Credentials, CredentialsError
from pisyft.limits import Limits, OverLimit
from pisyft.refusals import NotPermitted
from pisyft.transport.client import PeerWorker
from pisyft.transport.door import Door, Listener
from pisyft.transport.errors import ProtocolError
from pisyft.transport.failures import describe
from pisyft.transport.frames import (
    NOT_LET_IN,
    OVER_LIMIT,
    PROTOCOL,
    Batch,
    Call,
    Failure,
    Frame,
    Id,
    Progress,
    Request,
    Result,
    decode,
    encode,
)
from pisyft.transport.greeting import Caller, Greeter, NotLetIn
from pisyft.transport.sessions import Session, Sessions
from pisyft.transport.store import WorkerStore
from pisyft.transport.tls import WIRE, server_context
from pisyft.transport.turn import Turn
from pisyft.transport.values import pack, unpack

logger = logging.getLogger(__name__)

# After so long without a request, the audit log is complete.
_SETTLE_SECONDS = 5
# What a websocket's closing frame has room for.
_REASON_BYTES = 123


class Calling(NamedTuple):
    """What a verb is told beside its arguments.

    Attributes:
        caller: who calls.
        report: tells the caller something while the verb is at work: a plain value.
    """

    caller: Caller
    report: Callable[[object], None]


class _Serving(threading.local):
    """What a thread serves.

    Attributes:
        caller, address: who sent the message that is executed, and where from.
        is_greeted: whether the caller has said who it is, and that is true.
        doing: what it asks for, as the audit log calls it.
        error: what came of it.
        reported: bytes of what the caller was told before the answer.
    """

    def __init__(self, worker: Id) -> None:
        self.caller, self.address = Caller(worker, is_peer=False), "-"
        self.is_greeted = False
        self.doing, self.reported = "", 0
        self.error: Exception | None = None


class PortInUse(OSError):
    """The address a worker was told to listen on is taken, or not this machine's."""


class WebsocketServerWorker(VirtualWorker):
    """A worker that holds objects and executes what coordinators and peers ask of it.

        server = WebsocketServerWorker(hook, host="127.0.0.1", port=8777, id="alice")
        server.start()      # serves until stop()

    Every connection has a thread of its own; one at a time executes. While the worker waits for a peer the others go
    on, so that two workers can ask each other at the same time.

    Args:
        hook: the TorchHook.
        host: address to listen on.
        port: TCP port to listen on; 0 lets the system choose one, which `port` then tells.
        id: the worker's id, by which coordinators and peers know it.
        log_msgs, verbose, data: as for every PySyft worker.
        loop: ignored; PySyft's transport needed an event loop.
        cert_path, key_path: files with certificate and private key, for TLS.
        credentials: the worker's in a classroom. Who calls must then have a certificate of the same classroom, and is
            who that says.
        peers: the addresses, `(host, port)`, of the other workers that this one may talk to, by id.
        verbs: what coordinators may call by name: functions of a `Calling` and the arguments. They do not take turns,
            so that a long one holds up nobody.
        peer_verbs: the same, for peers.
        listener: a socket that listens already, in place of host and port.
        limits: how much of the worker its callers may take.
        audit: where all requests are taken down.

    Raises:
        PortInUse: the address is taken, or not this machine's.
    """

    def __init__(
        self,
        hook,
        host: str,
        port: int,
        id: Id = 0,
        log_msgs: bool = False,
        verbose: bool = False,
        data=None,
        loop=None,
        cert_path: str | None = None,
        key_path: str | None = None,
        *,
        peers: Mapping[Id, tuple[str, int]] | None = None,
        verbs: Mapping[str, Callable] | None = None,
        peer_verbs: Mapping[str, Callable] | None = None,
        credentials: Credentials | None = None,
        listener: socket.socket | None = None,
        limits: Limits | None = None,
        audit: AuditLog | None = None,
    ) -> None:
        self.host, self.port = host, port
        self._audit = audit
        self._limits = limits or Limits()
        self._turn = Turn()
        self._sessions = Sessions()
        self._server: Server | None = None
        self._stopping = False
        super().__init__(hook=hook, id=id, log_msgs=log_msgs, verbose=verbose)
        self.object_store = WorkerStore(self, self._limits)
        made = self.message_handlers
        self.message_handlers: list = [type(handler)(self.object_store, self) for handler in made]
        self.load_data(data)
        self._peers = [
            PeerWorker(
                hook, self.id, self._turn, peer_host, peer_port, peer, credentials=credentials, limits=self._limits
            )
            for peer, (peer_host, peer_port) in (peers or {}).items()
        ]
        self._verbs, self._peer_verbs = dict(verbs or {}), dict(peer_verbs or {})
        self._listener = listener
        tls = server_context(cert_path, key_path) if cert_path and key_path else None
        if credentials:
            if credentials.id != self.id:
                raise CredentialsError(f"{credentials.certificate} is of {credentials.id}, not of {self.id}")
            tls = credentials.server_context()
        self._door = Door(self._limits, tls, self._take_down_refusal)
        self._greeter = Greeter(self.id, self._door, self._limits, tls is not None, credentials)
        # What a thread serves. While it waits for a peer, other threads serve others.
        self._serving = _Serving(self.id)

    @property
    def _caller(self) -> Caller:
        """Who sent the message that this thread executes."""
        return self._serving.caller

    @property
    def peers(self) -> dict[Id, PeerWorker]:
        """The other workers that this one may talk to, by id."""
        return {peer.id: peer for peer in self._peers}

    # Serving

    def bind(self) -> None:
        """Start to listen; calls are answered from `start()` on."""
        if not isinstance(self._listener, Listener):
            self._listener = Listener(self._listener or _listen(self.host, self.port), self._door)
        self.host, self.port = self._listener.getsockname()[:2]

    def start(self) -> None:
        """Serve until `stop()` is called, or SIGINT raises KeyboardInterrupt."""
        self.bind()
        self._server = serve(
            self._serve,
            sock=self._listener,
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            process_request=self._greeter.check_request,
            server_header=None,
            compression=None,
            open_timeout=self._limits.handshake_seconds,
            max_size=self._limits.frame_bytes,
            logger=WIRE,
        )
        self._server.handler = self._door.attended(self._server.handler)
        try:
            if self._stopping:
                self._server.socket.close()  # has serve_forever() return at once; shutdown() waits for it to return
            self._server.serve_forever()
        except KeyboardInterrupt:
            logger.info("interrupted")
        except (OSError, ValueError):  # from websockets before 17, when the socket is closed already
            if not self._stopping:
                raise
        finally:
            self._server.shutdown()
            for peer in self._peers:
                peer.close()
            if self._audit:
                self._audit.settle()

    def stop(self) -> None:
        """Have `start()` return once the requests under way are answered. May be called in a signal handler.

        Called before `start()`, it has that return at once.
        """
        self._stopping = True  # before the look at _server, which start() sets before it looks at this
        server = self._server
        if server is not None:
            # serve_forever(), in the thread that a signal handler interrupts, must go on for shutdown() to return.
            threading.Thread(target=server.shutdown, daemon=True).start()

    def _serve(self, connection: ServerConnection) -> None:
        """Answer one connection's requests, in its thread."""
        serving = self._serving
        serving.address = connection.remote_address[0]
        try:
            serving.caller, session_name = self._greeter.greet(connection)
            serving.is_greeted = True
            self._take_down("connect")
            with self._sessions.joined((serving.caller, session_name), connection.send) as session:
                self.object_store.serving.holding = session.holding
                while (data := self._next_message(connection)) is not None:
                    for request in _requests(decode(data), self._limits.operations_per_message):
                        answer = session.answer(request, lambda request: self._answer(request, session))
                        if answer is not None:
                            connection.send(encode(answer))
        except ConnectionClosed:
            logger.debug("a connection ended")
        except NotLetIn as error:
            self._close(connection, NOT_LET_IN, error)
        except OverLimit as error:
            self._take_down("message", error=error)
            self._close(connection, OVER_LIMIT, error)
        except (ProtocolError, TimeoutError) as error:
            self._take_down("message", error=error)
            self._close(connection, CloseCode.PROTOCOL_ERROR, error)
        finally:
            if self._audit:
                self._audit.settle()

    def _next_message(self, connection: ServerConnection) -> bytes | str | None:
        """What the caller sends next; None if it has nothing to say for so long that the connection is closed."""
        seconds = self._limits.idle_seconds
        soon = min(seconds, _SETTLE_SECONDS)
        try:
            if self._audit:
                with suppress(TimeoutError):
                    return connection.recv(timeout=soon)
                self._audit.settle()
            return connection.recv(timeout=seconds - soon if self._audit else seconds)
        except TimeoutError:
            connection.close(CloseCode.NORMAL_CLOSURE, f"limit idle_seconds: nothing was said for {seconds} s")
            return None

    def _close(self, connection: ServerConnection, code: int, reason: Exception) -> None:
        logger.warning("closing the connection from %s: %s", connection.remote_address[0], reason)
        connection.close(code, str(reason).encode("ascii", "replace")[:_REASON_BYTES].decode())

    def _answer(self, request: Request | Call, session: Session) -> Result | Failure:
        """Execute a request or call, and take it down."""
        serving = self._serving
        serving.error, serving.reported = None, 0
        if isinstance(request, Call):
            serving.doing, received = "call", len(request.arguments)
            answer = self._call_verb(request, session)
        else:
            serving.doing, received = "pointer: delete", len(request.message)
            answer = self._execute(request)
        sent = serving.reported
        if request.waits:
            sent += len(answer.value if isinstance(answer, Result) else answer.text)
        # No more of an error than its type: its text, and what is in its traceback, could be about names.
        outcome = type(serving.error).__name__ if serving.error else "done"
        logger.debug("request %d of %s, %s: %s", request.number, serving.caller.id, serving.doing, outcome)
        self._take_down(serving.doing, received, sent, serving.error)
        return answer

    def _take_down(self, what: str, received: int = 0, sent: int = 0, error: Exception | None = None) -> None:
        """Put what this thread serves into the audit log."""
        if self._audit is None:
            return
        serving, rule = self._serving, getattr(error, "rule", None)
        decision = DONE if error is None else REFUSED if rule else FAILED
        who, role = (serving.caller.id, serving.caller.role) if serving.is_greeted else ("-", "-")
        self._audit.record(who, role, serving.address, what, received, sent, decision, rule)

    def _take_down_refusal(self, host: str, rule: str) -> None:
        """Put somebody that the door does not let in into the audit log."""
        if self._audit is not None:
            self._audit.record("-", "-", host, "connect", decision=REFUSED, rule=rule)

    def _execute(self, request: Request) -> Result | Failure:
        with self._turn:
            try:
                if request.discard:
                    self.discard_objects(request.discard)
                if not request.message:
                    return Result(request.number, b"")
                self._serving.doing = "pointer: message"
                return Result(request.number, self.recv_msg(request.message))
            except OverLimit:
                raise
            except Exception as error:
                self._serving.error = error
                self.object_store.poison(request.returns, error)
                return describe(request.number, error)

    def recv_msg(self, bin_message: bytes) -> bytes:
        """Execute a serialized PySyft message; the serialized answer."""
        return super().recv_msg(self.decompressed(bin_message))

    def decompressed(self, message: bytes) -> bytes:
        """A serialized message as one that is not compressed.

        Raises:
            ValueError: it would be larger than a message may be.
        """
        if message.startswith(untrusted.UNCOMPRESSED):
            return message
        return untrusted.UNCOMPRESSED + untrusted.decompress(message, self._limits.frame_bytes)

    def _call_verb(self, call: Call, session: Session) -> Result | Failure:
        caller = self._caller

        def report(value: object) -> None:
            packed = pack(value)
            self._serving.reported += len(packed)
            # Over the newest connection, since the one that the call came over may have broken. Where there is none,
            # this is lost; the answer waits.
            with suppress(ConnectionClosed):
                session.send(encode(Progress(call.number, packed)))

        try:
            verb = self.find_verb(call.verb, caller)
            self._serving.doing = call.verb
            arguments = unpack(call.arguments)
            if not isinstance(arguments, dict):
                raise ProtocolError("a call's arguments have names")
            return Result(call.number, pack(verb(Calling(caller, report), **arguments)))
        except OverLimit:
            raise
        except Exception as error:
            self._serving.error = error
            return describe(call.number, self.as_told(call.verb, error))

    def as_told(self, verb: str, error: Exception) -> Exception:
        """What a caller is told of what went wrong in a verb."""
        return error

    def find_verb(self, name: str, caller: Caller) -> Callable:
        """The verb of that name, as far as this caller may call it.

        Raises:
            GetNotPermittedError: there is none.
        """
        verbs = self.verbs_for(caller)
        if name not in verbs:
            listed = ", ".join(sorted(verbs)) or "none at all"
            raise NotPermitted("verb", f"{self.id} has no verb {name[:40]!r} for a {caller.role}, only {listed}")
        return verbs[name]

    def verbs_for(self, caller: Caller) -> Mapping[str, Callable]:
        """What a caller may call, by name."""
        return self._peer_verbs if caller.is_peer else self._verbs

    def discard_objects(self, object_ids: tuple[Id, ...]) -> None:
        """Remove objects that a caller holds no pointer to any more."""
        message = ForceObjectDeleteMessage(list(object_ids))
        for handler in self.message_handlers:
            if handler.supports(message):
                handler.handle(message)
                return


def _requests(frame: Frame, most: int) -> Iterator[Request | Call]:
    """The requests and calls in a frame.

    Raises:
        OverLimit: there are more than `most`.
        ProtocolError: it is none and holds none.
    """
    if isinstance(frame, Batch) and len(frame.requests) > most:
        raise OverLimit("operations_per_message", f"{len(frame.requests)} requests; {most} is the most")
    for request in map(decode, frame.requests) if isinstance(frame, Batch) else (frame,):
        if not isinstance(request, (Request, Call)):
            raise ProtocolError(f"unexpected {type(request).__name__}")
        yield request


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except socket.gaierror as error:
        raise PortInUse(error.errno, f"cannot listen on {host}: there is no host of that name") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(
                error.errno, f"port {port} on {host} is in use: stop what listens there, or choose another with --port"
            ) from error
        raise PortInUse(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener
