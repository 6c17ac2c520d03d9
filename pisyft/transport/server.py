"""A worker that serves others over websockets: PySyft's WebsocketServerWorker on this transport."""

from __future__ import annotations

import errno
import logging
import os
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import NamedTuple

from syft.exceptions import GetNotPermittedError
from syft.generic.object_storage import ObjectStore
from syft.messaging.message import ForceObjectDeleteMessage
from syft.workers.virtual import VirtualWorker
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import Server, ServerConnection, serve

from pisyft.transport.client import PeerWorker
from pisyft.transport.credentials import COORDINATOR, PI, Credentials, CredentialsError, Identity, identity_of
from pisyft.transport.errors import ProtocolError
from pisyft.transport.failures import describe
from pisyft.transport.frames import (
    MAX_FRAME_BYTES,
    PROTOCOL,
    REFUSED,
    Batch,
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
from pisyft.transport.sessions import Sessions
from pisyft.transport.tls import server_context
from pisyft.transport.turn import Turn
from pisyft.transport.values import pack, unpack

logger = logging.getLogger(__name__)

_HANDSHAKE_SECONDS = 10


class Caller(NamedTuple):
    """Who sent a message: a worker id, and whether it is a peer or a coordinator."""

    id: Id
    is_peer: bool

    @property
    def role(self) -> str:
        return "peer" if self.is_peer else "coordinator"


class Calling(NamedTuple):
    """What a verb is told beside its arguments.

    Attributes:
        caller: who calls.
        report: tells the caller something while the verb is at work: a plain value.
    """

    caller: Caller
    report: Callable[[object], None]


class NotLetIn(Exception):
    """A caller is not who it says. The text is for the caller, too."""


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
    ) -> None:
        self.host, self.port = host, port
        self._turn = Turn()
        self._sessions = Sessions()
        self._incarnation = os.urandom(16)
        self._server: Server | None = None
        self._stopping = False
        super().__init__(hook=hook, id=id, log_msgs=log_msgs, verbose=verbose)
        self.object_store = PoisonableStore(owner=self)
        made = self.message_handlers
        self.message_handlers: list = [type(handler)(self.object_store, self) for handler in made]
        self.load_data(data)
        self._peers = [
            PeerWorker(hook, self.id, self._turn, peer_host, peer_port, peer, credentials=credentials)
            for peer, (peer_host, peer_port) in (peers or {}).items()
        ]
        self._verbs, self._peer_verbs = dict(verbs or {}), dict(peer_verbs or {})
        self._listener = listener
        self._tls = server_context(cert_path, key_path) if cert_path and key_path else None
        if credentials:
            if credentials.id != self.id:
                raise CredentialsError(f"{credentials.certificate} is of {credentials.id}, not of {self.id}")
            self._tls = credentials.server_context()
        self._knows_members = credentials is not None
        self._caller = Caller(self.id, is_peer=False)

    @property
    def peers(self) -> dict[Id, PeerWorker]:
        """The other workers that this one may talk to, by id."""
        return {peer.id: peer for peer in self._peers}

    # Serving

    def bind(self) -> None:
        """Start to listen; calls are answered from `start()` on."""
        if self._listener is None:
            self._listener = _listen(self.host, self.port)
        self.host, self.port = self._listener.getsockname()[:2]

    def start(self) -> None:
        """Serve until `stop()` is called, or SIGINT raises KeyboardInterrupt."""
        self.bind()
        self._server = serve(
            self._serve,
            sock=self._listener,
            ssl=self._tls,
            subprotocols=[PROTOCOL],  # type: ignore[list-item]
            compression=None,
            open_timeout=_HANDSHAKE_SECONDS,
            max_size=MAX_FRAME_BYTES,
            logger=logger,
        )
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
        try:
            caller, session_name = self._greet(connection)
            session = self._sessions.get((caller, session_name))
            for data in connection:
                for request in _requests(decode(data)):
                    answer = session.answer(request, lambda request: self._execute(request, caller, connection))
                    if answer is not None:
                        connection.send(encode(answer))
        except ConnectionClosed:
            logger.debug("a connection ended")
        except NotLetIn as error:
            logger.warning("not letting in %s: %s", connection.remote_address, error)
            connection.close(REFUSED, str(error)[:100])
        except (ProtocolError, TimeoutError) as error:
            logger.warning("closing the connection from %s: %s", connection.remote_address, error)
            connection.close(1002, str(error)[:100])

    def _greet(self, connection: ServerConnection) -> tuple[Caller, bytes]:
        if connection.subprotocol != PROTOCOL:
            raise ProtocolError(f"the caller does not speak {PROTOCOL}")
        hello = decode(connection.recv(timeout=_HANDSHAKE_SECONDS))
        if not isinstance(hello, Hello):
            raise ProtocolError(f"expected Hello, not {type(hello).__name__}")
        caller = Caller(hello.sender, hello.peer)
        if self._knows_members:
            _check_identity(identity_of(connection.socket), caller)
        connection.send(encode(Welcome(self.id, self._incarnation)))
        return caller, hello.session

    def _execute(self, request: Request | Call, caller: Caller, connection: ServerConnection) -> Result | Failure:
        if isinstance(request, Call):
            return self._call_verb(request, caller, connection)
        with self._turn:
            self._caller = caller
            try:
                if request.discard:
                    self.discard_objects(request.discard)
                return Result(request.number, self.recv_msg(request.message) if request.message else b"")
            except Exception as error:
                logger.debug("request %d of %s failed", request.number, caller.id, exc_info=True)
                self.object_store.poison(request.returns, error)
                return describe(request.number, error)
            finally:
                self._caller = Caller(self.id, is_peer=False)

    def _call_verb(self, call: Call, caller: Caller, connection: ServerConnection) -> Result | Failure:
        def report(value: object) -> None:
            with suppress(ConnectionClosed):  # the answer waits for the caller's next connection
                connection.send(encode(Progress(call.number, pack(value))))

        try:
            verb = self.find_verb(call.verb, caller)
            arguments = unpack(call.arguments)
            if not isinstance(arguments, dict):
                raise ProtocolError("a call's arguments have names")
            return Result(call.number, pack(verb(Calling(caller, report), **arguments)))
        except Exception as error:
            logger.debug("%s, called by %s, failed", call.verb, caller.id, exc_info=True)
            return describe(call.number, error)

    def find_verb(self, name: str, caller: Caller) -> Callable:
        """The verb of that name, as far as this caller may call it.

        Raises:
            GetNotPermittedError: there is none.
        """
        verbs = self._peer_verbs if caller.is_peer else self._verbs
        if name not in verbs:
            listed = ", ".join(sorted(verbs)) or "none at all"
            raise GetNotPermittedError(f"{self.id} has no verb {name!r} for a {caller.role}, only {listed}")
        return verbs[name]

    def discard_objects(self, object_ids: tuple[Id, ...]) -> None:
        """Remove objects that a caller holds no pointer to any more."""
        message = ForceObjectDeleteMessage(list(object_ids))
        for handler in self.message_handlers:
            if handler.supports(message):
                handler.handle(message)
                return


class PoisonableStore(ObjectStore):
    """An object store that remembers why an object is not there: the operation that should have made it failed."""

    _REMEMBERED = 10_000

    def __init__(self, owner) -> None:
        super().__init__(owner)
        self._reasons: OrderedDict[Id, BaseException] = OrderedDict()

    def poison(self, ids: Iterable[Id], reason: BaseException) -> None:
        """Have the use of these ids raise `reason`."""
        for id_ in ids:
            self._reasons[id_] = reason.with_traceback(None)
            if len(self._reasons) > self._REMEMBERED:
                self._reasons.popitem(last=False)

    def get_obj(self, obj_id: Id):
        if obj_id in self._reasons and obj_id not in self._objects:
            raise self._reasons[obj_id]
        return super().get_obj(obj_id)

    def rm_obj(self, obj_id: Id, force: bool = False) -> None:
        self._reasons.pop(obj_id, None)
        super().rm_obj(obj_id, force)


def _check_identity(identity: Identity | None, caller: Caller) -> None:
    """Make sure that a caller is who it says, by its certificate.

    Raises:
        NotLetIn: it is not.
    """
    if identity is None:
        raise NotLetIn("your certificate does not say who you are")
    if identity.role != (PI if caller.is_peer else COORDINATOR):
        raise NotLetIn(f"you call as a {caller.role}, with the certificate of a {identity.role}")
    if caller.is_peer and caller.id != identity.id:
        raise NotLetIn(f"you call as {caller.id}, with the certificate of {identity.id}")


def _requests(frame: Frame) -> Iterator[Request | Call]:
    """The requests and calls in a frame.

    Raises:
        ProtocolError: it is none and holds none.
    """
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
