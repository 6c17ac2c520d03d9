"""The beginning of a connection on a worker: who calls, and whether that is true."""

from __future__ import annotations

import http
import ipaddress
import logging
import os
from typing import NamedTuple

from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection

from pisyft.credentials import COORDINATOR, PI, Credentials, Identity, identity_of
from pisyft.limits import Limits
from pisyft.transport.door import Door
from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import PROTOCOL, Hello, Id, Welcome, decode, encode

logger = logging.getLogger(__name__)

# Longer than any id or session is.
_MAX_ID_LETTERS = 64


class Caller(NamedTuple):
    """Who sent a message: a worker id, and whether it is a peer or a coordinator."""

    id: Id
    is_peer: bool

    @property
    def role(self) -> str:
        return "peer" if self.is_peer else "coordinator"


class NotLetIn(Exception):
    """A caller is not who it says. The text is for the caller, too."""

    rule = "login"


class Greeter:
    """Finds out who calls a worker.

    Args:
        me: the worker's id.
        door: is told of who is not who it says.
        limits: of the worker.
        is_secure: whether callers come over TLS.
        credentials: the worker's in a classroom; callers then prove that they are of it.
    """

    def __init__(self, me: Id, door: Door, limits: Limits, is_secure: bool, credentials: Credentials | None) -> None:
        self._me, self._door, self._limits = me, door, limits
        self._is_secure, self._credentials = is_secure, credentials
        self._incarnation = os.urandom(16)

    def check_request(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer whoever may not stay, before anything else is read. `process_request` of the server."""
        if refusal := self._door.refusal(connection.remote_address):
            return connection.respond(http.HTTPStatus.TOO_MANY_REQUESTS, refusal)
        if self._credentials is None or identity_of(connection.socket) is not None:
            return None
        shown = request.headers.get_all("Authorization")
        if len(shown) == 1 and self._credentials.accepts(shown[0]):
            return None
        self._door.login_failed(connection.remote_address)
        problem = "your token is not the one that it knows" if shown else "you show neither certificate nor token"
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, problem)

    def greet(self, connection: ServerConnection) -> tuple[Caller, bytes]:
        """Exchange greetings; who calls, and the name of its session.

        Raises:
            NotLetIn: it is not who it says.
            ProtocolError: it does not speak the protocol.
            TimeoutError: it says nothing.
        """
        if connection.subprotocol != PROTOCOL:
            raise ProtocolError(f"the caller does not speak {PROTOCOL}")
        hello = decode(connection.recv(timeout=self._limits.handshake_seconds))
        if not isinstance(hello, Hello):
            raise ProtocolError(f"expected Hello, not {type(hello).__name__}")
        if len(str(hello.sender)) > _MAX_ID_LETTERS or len(hello.session) > _MAX_ID_LETTERS:
            raise ProtocolError("a Hello that is too long")
        if not str(hello.sender).isprintable():
            raise ProtocolError("an id that cannot be printed")  # it would write lines of its own into logs
        caller = Caller(hello.sender, hello.peer)
        address = connection.remote_address
        if not self._is_secure and not ipaddress.ip_address(address[0]).is_loopback:
            logger.warning("%s is connected in the clear, and could be anybody", address[0])
        if self._credentials is not None:
            try:
                # Who has no certificate has shown the token, which makes nobody a peer.
                _check_identity(identity_of(connection.socket) or Identity(COORDINATOR, COORDINATOR), caller)
            except NotLetIn:
                self._door.login_failed(address)
                raise
        connection.send(encode(Welcome(self._me, self._incarnation)))
        return caller, hello.session


def _check_identity(identity: Identity, caller: Caller) -> None:
    """Make sure that a caller is who it proved to be.

    Raises:
        NotLetIn: it is not.
    """
    if identity.role != (PI if caller.is_peer else COORDINATOR):
        raise NotLetIn(f"you call as a {caller.role}, with the certificate of a {identity.role}")
    if caller.is_peer and caller.id != identity.id:
        raise NotLetIn(f"you call as {caller.id}, with the certificate of {identity.id}")
