"""How a worker is reached: found, connected with, and greeted; what is in the way is told with what to do."""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
)
from websockets.sync.client import ClientConnection, connect

from pisyft.credentials import Credentials
from pisyft.transport.errors import (
    RAISE_LIMIT,
    CallerRefused,
    LimitExceeded,
    OtherProtocol,
    OtherWorker,
    ProtocolError,
    TransportError,
    UnknownHost,
    UntrustedWorker,
    WorkerRefused,
    WorkerTimeout,
    WorkerUnreachable,
)
from pisyft.transport.frames import NOT_LET_IN, PROTOCOL, Hello, Id, Welcome, decode, encode
from pisyft.transport.tls import WIRE, Verifier, why_not_let_in, why_not_trusted

# For each: until an id is announced, and until who announces it has answered.
_FIND_SECONDS = 15


class Destination:
    """A worker that somebody wants to talk to.

    Args:
        id: the worker's.
        host, port: where it listens; host "" finds it where its id is announced.
        secure, ca_path, credentials: as for WebsocketClientWorker.
        max_frame_bytes: how large a message from it may be.

    Raises:
        ValueError: there is neither a host nor a certificate to know the worker by.
    """

    def __init__(
        self,
        id: Id,
        host: str,
        port: int,
        secure: bool,
        ca_path: str | None,
        credentials: Credentials | None,
        max_frame_bytes: int,
    ) -> None:
        if not host and credentials is None:
            raise ValueError(f"where is {id}? An address may be left out in a classroom only, with its certificates")
        self._id, self.host, self.port = id, host, port
        self.is_secure = secure or credentials is not None
        self._credentials = credentials
        self._max_frame_bytes = max_frame_bytes
        self._verifier = Verifier(ca_path) if secure and credentials is None else None
        self._ssl = credentials.client_context() if credentials else None
        if self._verifier:
            self._ssl = self._verifier.context
        self._session = os.urandom(16)

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}" if self.host else f"the address that {self._id} announces"

    def connect(self, deadline: float, timeout: float, peer_of: Id | None) -> tuple[ClientConnection, Welcome]:
        """Connect, and exchange greetings.

        Args:
            deadline: by the monotonic clock, in seconds.
            timeout: how long that was from the beginning, in seconds, to be told.
            peer_of: the worker that calls; None for a coordinator.

        Raises:
            TransportError: one of its kinds.
        """
        if self.host:
            return self._connect_to(self.host, self.port, deadline, timeout, peer_of)
        from pisyft.discovery import find

        problem: TransportError = UnknownHost(
            self._id,
            self.address,
            "nothing announces it",
            "Is it started, and on the same network? Otherwise write its host into classroom.toml.",
        )
        for host, port in find(str(self._id), min(deadline, time.monotonic() + _FIND_SECONDS)):
            try:
                until = min(deadline, time.monotonic() + _FIND_SECONDS)
                return self._connect_to(host, port, until, timeout, peer_of)
            except TransportError as error:  # somebody else may announce the id; the certificate tells
                problem = error
        raise problem

    def _connect_to(
        self, host: str, port: int, deadline: float, timeout: float, peer_of: Id | None
    ) -> tuple[ClientConnection, Welcome]:
        shown = self._credentials.authorization(str(self._id)) if self._credentials else None
        with self._explained(timeout):
            connection = connect(
                f"{'wss' if self.is_secure else 'ws'}://{host}:{port}",
                ssl=self._ssl,
                # By its id, which its certificate has, wherever it listens today.
                server_hostname=str(self._id) if self._credentials else None,
                subprotocols=[PROTOCOL],  # type: ignore[list-item]
                compression=None,
                proxy=None,
                open_timeout=max(0.1, deadline - time.monotonic()),
                max_size=self._max_frame_bytes,
                additional_headers={"Authorization": shown} if shown else None,
                logger=WIRE,
            )
            try:
                if self._verifier:
                    self._verifier.check(connection.socket, self._id, host, port)
                return connection, self._greet(connection, deadline, peer_of)
            except BaseException:
                connection.close()
                raise

    def _greet(self, connection: ClientConnection, deadline: float, peer_of: Id | None) -> Welcome:
        if connection.subprotocol != PROTOCOL:
            raise ProtocolError("it did not agree to speak it")
        connection.send(encode(Hello(self._session, "me" if peer_of is None else peer_of, peer_of is not None)))
        welcome = decode(connection.recv(timeout=max(0.1, deadline - time.monotonic())))
        if not isinstance(welcome, Welcome):
            raise ProtocolError(f"it answered with {type(welcome).__name__}")
        if welcome.worker != self._id:
            raise OtherWorker(
                self._id,
                self.address,
                f"the worker there is called {welcome.worker}",
                f"Use id={welcome.worker!r}, or the address of {self._id}.",
            )
        return welcome

    @contextmanager
    def _explained(self, timeout: float) -> Iterator[None]:
        """Turn what goes wrong while connecting into one error that says what to try."""

        def explained(kind: type[TransportError], problem: str, advice: str) -> TransportError:
            if self._credentials is not None and issubclass(kind, (CallerRefused, UntrustedWorker)):
                advice += f" Your files are in {self._credentials.authority.parent}."
            return kind(self._id, self.address, problem, advice)

        try:
            yield
        except TransportError:
            raise
        except socket.gaierror as error:
            raise explained(
                UnknownHost, "there is no host of that name", "Check the spelling, or use the IP address."
            ) from error
        except ConnectionRefusedError as error:
            command = f"pisyft worker --id {self._id} --port {self.port} --data DIR"
            if self._credentials:
                command = f"sudo systemctl start pisyft-worker@{self._id} (by hand: pisyft worker --classroom DIR)"
            advice = f"Is the worker running? Start it with: {command}"
            raise explained(WorkerRefused, "nothing listens there", advice) from error
        except TimeoutError as error:
            raise explained(
                WorkerTimeout,
                f"no answer within {timeout:g} s",
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
            return LimitExceeded, f"it does not let you in ({told})", RAISE_LIMIT
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
