"""Who may connect to a worker at all, by address, before anything is known of them but that."""

from __future__ import annotations

import errno
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import Any

from pisyft.limits import Limits
from pisyft.transport.patience import limit_unacknowledged

logger = logging.getLogger(__name__)

# So many beyond the limit are let in for as long as it takes to tell them why they may not stay.
_TOLD = 8
_MINUTE_SECONDS = 60.0
# Addresses whose failed logins are remembered. Whoever has more of them than this is not stopped by counting.
_REMEMBERED_ADDRESSES = 1024
# A caller that takes no answer, or is gone, is given up after this time.
_UNACKNOWLEDGED_SECONDS = 60
_LOOK_UP_SECONDS = 0.2
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}

Address = Any  # a socket's: (host, port), or (host, port, flow, scope)


class _Secured(ssl.SSLSocket):
    """Closed when nobody has it: `wrap_socket` leaves one open whose caller hung up at the right moment."""

    def __del__(self) -> None:
        self.close()


class Door:
    """Counts connections and failed logins by address, and decides who may come in.

    Args:
        limits: of the worker.
        tls: what the worker proves who it is with; None is no TLS.
        refused: told of everybody who does not come in: the host, and by which rule.
    """

    def __init__(
        self,
        limits: Limits,
        tls: ssl.SSLContext | None = None,
        refused: Callable[[str, str], object] = lambda host, rule: None,
    ) -> None:
        self._limits, self._tls, self._refused = limits, tls, refused
        if tls is not None:
            tls.sslsocket_class = _Secured
        self._lock = threading.Lock()
        # Why each of those inside may not stay; None for those who may.
        self._inside: dict[Address, str | None] = {}
        self._by_host: Counter[str] = Counter()
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, address: Address) -> bool:
        """Whether who calls from there may come in, at least to be told why it may not stay (`refusal`)."""
        host = _network(address)
        with self._lock:
            refusal = self._why_not(host)
            comes_in = not refusal or sum(each is not None for each in self._inside.values()) < _TOLD
            if comes_in:
                self._inside[address] = refusal
                self._by_host[host] += 1
        if refusal:
            self._refused(address[0], "limit")
            logger.info("not letting in %s: %s", address[0], refusal)
        return comes_in

    def leave(self, address: Address) -> None:
        """Who called from there is gone."""
        host = _network(address)
        with self._lock:
            if address in self._inside:
                del self._inside[address]
                self._by_host -= Counter([host])

    def refusal(self, address: Address) -> str | None:
        """Why somebody inside may not stay."""
        return self._inside.get(address)

    def login_failed(self, address: Address) -> None:
        """Remember that who calls from there is not who it says, or does not say."""
        host = _network(address)
        self._refused(address[0], "login")
        with self._lock:
            self._failures.setdefault(host, deque(maxlen=self._limits.failed_logins_per_minute)).append(
                time.monotonic()
            )
            self._failures.move_to_end(host)
            if len(self._failures) > _REMEMBERED_ADDRESSES:
                self._failures.popitem(last=False)

    def attended(self, handle: Callable[[socket.socket, Address], None]) -> Callable[[socket.socket, Address], None]:
        """What to do with each connection, in its thread: prove who the worker is, `handle`, and count it out.

        Args:
            handle: closes the socket when it is done, or finds it closed.
        """

        def attend(caller: socket.socket, address: Address) -> None:
            try:
                limit_unacknowledged(caller, _UNACKNOWLEDGED_SECONDS)
                handle(self._secured(caller, address) if self._tls else caller, address)
            finally:
                self.leave(address)

        return attend

    def _why_not(self, host: str) -> str | None:
        limits, failures = self._limits, self._failures.get(host)
        if (
            failures is not None
            and len(failures) == failures.maxlen
            and time.monotonic() - failures[0] < _MINUTE_SECONDS
        ):
            return f"limit failed_logins_per_minute: {limits.failed_logins_per_minute} failed; wait a minute"
        if self._by_host[host] >= limits.connections_per_address:
            return f"limit connections_per_address: {limits.connections_per_address} are open from your address"
        if len(self._inside) >= limits.connections:
            return f"limit connections: {limits.connections} are open"
        return None

    def _secured(self, caller: socket.socket, address: Address) -> socket.socket:
        """The caller's connection in TLS; closed, if there is none."""
        assert self._tls is not None
        secured = caller
        try:
            secured = self._tls.wrap_socket(caller, server_side=True, do_handshake_on_connect=False)
            secured.settimeout(self._limits.handshake_seconds)
            secured.do_handshake()
            secured.settimeout(None)
        except (OSError, ValueError) as error:
            secured.close()
            # Who only looks whether something listens here hangs up, and has not failed.
            if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
                self.login_failed(address)
            logger.info("no TLS with %s: %s", address[0], getattr(error, "reason", None) or type(error).__name__)
        return secured


class Listener(socket.socket):
    """A listening socket that accepts whom a door admits, and goes on whatever becomes of a caller.

    (With `ssl.SSLSocket.accept`, a caller that hangs up at the right moment ends the loop that accepts.)

    Args:
        listening: which is closed, and goes on as this one.
    """

    def __init__(self, listening: socket.socket, door: Door) -> None:
        super().__init__(listening.family, listening.type, listening.proto, fileno=listening.detach())
        self.settimeout(_LOOK_UP_SECONDS)  # to notice when it is closed
        self._door = door

    def accept(self) -> tuple[socket.socket, Address]:
        """The next caller that is admitted.

        Raises:
            OSError: this socket was closed.
        """
        while True:
            try:
                caller, address = super().accept()
            except OSError as error:
                if self.fileno() < 0 or error.errno == errno.EBADF:
                    raise
                if error.errno in _OUT_OF_RESOURCES:
                    time.sleep(_LOOK_UP_SECONDS)
                continue
            if self._door.admit(address):
                return caller, address
            caller.close()


def _network(address: Address) -> str:
    """What counts as one address: for IPv6 the network, of which a caller has all addresses."""
    host = str(address[0]).partition("%")[0]
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return host
    if parsed.version == 6:
        if parsed.ipv4_mapped:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return host
