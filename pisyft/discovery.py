"""Workers announce themselves on the local network, and others find their addresses: DNS-SD over multicast DNS.

(RFC 6762, RFC 6763; the service is `_pisyft._tcp`.) Anybody can announce anything. So what is found here is where to
look, never whom to trust: a classroom's certificates say who a worker is.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import queue
import secrets
import threading
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass

import ifaddr
from zeroconf import (
    BadTypeInNameException,
    InterfaceChoice,
    IPVersion,
    ServiceBrowser,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)

import pisyft
from pisyft import board
from pisyft.untrusted import printable

SERVICE = "_pisyft._tcp.local."
_INFO_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 10.0  # at this machine's own addresses, which change with the network
_LOOK_SECONDS = 3.0
_LONGEST_TEXT = 60
TWINS_MEND = "If two Pis have the same folder of the classroom, give each its own (pisyft classroom create)."
_LONGEST_ID_IN_NAME = 40  # a part of a name in DNS has at most 63 bytes; the whole id is in the text beside it

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """What a worker, or whoever says to be one, announces.

    Attributes:
        id: the worker's id.
        host, port: where it listens.
        model: what machine it runs on.
        version: of PiSyft.
        policy: "strict" or "teach".
        announcement: its name, each time another: it tells two workers of one id from one with two addresses.
    """

    id: str
    host: str
    port: int
    model: str
    version: str
    policy: str
    announcement: str = ""

    def as_answer(self) -> dict[str, str | int]:
        answer = asdict(self)
        del answer["announcement"]
        return answer


class Announcement:
    """Announces a worker, in a thread of its own, until it is closed; again when this machine's addresses change.

    Args:
        worker_id, port, policy: of the worker.
        host: where it listens; 0.0.0.0 announces all of this machine's addresses but loopback.
    """

    def __init__(self, worker_id: str, host: str, port: int, policy: str) -> None:
        self._id, self._host, self._port = worker_id, host, port
        self._told = {"id": worker_id, "version": pisyft.__version__, "policy": policy}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="announcement", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Say goodbye."""
        self._closed.set()
        self._thread.join(10)

    def _run(self) -> None:
        announced: list[str] = []
        with contextlib.ExitStack() as stack:
            while True:
                addresses = own_addresses(self._host)
                is_new = addresses != announced
                if is_new:
                    stack.close()
                    announced = addresses if addresses and self._announce(stack, addresses) else []
                if self._closed.wait(_LOOK_AGAIN_SECONDS):
                    return
                if is_new and announced:
                    self._look_for_a_twin(announced)

    def _look_for_a_twin(self, addresses: list[str]) -> None:
        own = {(address, self._port) for address in addresses}
        twins = set(find(self._id, time.monotonic() + _LOOK_SECONDS)) - own
        if twins:
            others = ", ".join(f"{host}:{port}" for host, port in sorted(twins))
            logger.warning("%s is announced at %s, too. %s", self._id, others, TWINS_MEND)

    def _announce(self, stack: contextlib.ExitStack, addresses: list[str]) -> bool:
        try:
            network = stack.enter_context(contextlib.closing(Zeroconf(addresses, ip_version=IPVersion.V4Only)))
            # A name of its own, for the service and for the host: of two Pis with one, whose probes cross or are lost,
            # everybody would know the address of either.
            own_name = f"{self._id[:_LONGEST_ID_IN_NAME]}-{secrets.token_hex(4)}"
            info = ServiceInfo(
                SERVICE,
                f"{own_name}.{SERVICE}",
                port=self._port,
                properties={**self._told, "model": str(board.facts()["model"])[:_LONGEST_TEXT]},
                parsed_addresses=addresses,
                server=f"pisyft-{own_name}.local.",
            )
            network.register_service(info)
            stack.callback(network.unregister_service, info)
        except (OSError, BadTypeInNameException) as error:
            logger.warning("%s is not announced: %s", self._id, error)
            stack.close()
            return False
        return True


def discover(seconds: float = _LOOK_SECONDS) -> list[Found]:
    """All workers that announce themselves, by id; the same id twice, where two do so."""
    found = {(each.id, each.host, each.port): each for each in _browse(time.monotonic() + seconds)}
    return [found[key] for key in sorted(found)]


def twins(found: Iterable[Found]) -> dict[str, list[str]]:
    """The ids that more than one worker announces, and all addresses that they are announced at, "host:port"."""
    by_id: dict[str, dict[str, set[str]]] = {}
    for each in found:
        by_id.setdefault(each.id, {}).setdefault(each.announcement, set()).add(f"{each.host}:{each.port}")
    # A worker that was started again may be heard twice, at the same address.
    workers = {worker_id: {frozenset(addresses) for addresses in each.values()} for worker_id, each in by_id.items()}
    return {worker_id: sorted(frozenset().union(*each)) for worker_id, each in workers.items() if len(each) > 1}


def warn_of_twins(ids: Collection[str]) -> None:
    """Listen for a moment, and log a warning for each of these ids that more than one worker announces."""
    try:
        announced = twins(each for each in discover() if each.id in ids)
    except OSError as error:
        logger.warning("whether two workers announce one id cannot be heard here: %s", error)
        return
    for worker_id, addresses in announced.items():
        logger.warning("%s is announced by several workers, at %s. %s", worker_id, " and ".join(addresses), TWINS_MEND)


def find(worker_id: str, deadline: float) -> Iterator[tuple[str, int]]:
    """Where something announces this id, `(host, port)`, one after the other, until the deadline (monotonic)."""
    for each in _browse(deadline):
        if each.id == worker_id:
            yield each.host, each.port


def own_addresses(host: str = "0.0.0.0") -> list[str]:
    """The IPv4 addresses by which others reach a worker that listens on `host`."""
    if not ipaddress.ip_address(host).is_unspecified:
        return [host]
    addresses = {address.ip for adapter in ifaddr.get_adapters() for address in adapter.ips if address.is_IPv4}
    return sorted(str(address) for address in addresses if not ipaddress.ip_address(str(address)).is_loopback)


def _browse(deadline: float) -> Iterator[Found]:
    names: queue.Queue[str] = queue.Queue()

    def changed(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed:
            names.put(name)

    with contextlib.closing(Zeroconf(InterfaceChoice.All, ip_version=IPVersion.V4Only)) as network:
        browser = ServiceBrowser(network, SERVICE, handlers=[changed])
        try:
            while (left := deadline - time.monotonic()) > 0:
                try:
                    name = names.get(timeout=left)
                except queue.Empty:
                    return
                info = network.get_service_info(SERVICE, name, timeout=int(1000 * min(_INFO_SECONDS, max(left, 0.1))))
                if info is None:
                    names.put(name)  # asked again: on a Wi-Fi, one answer in a hundred does not arrive
                else:
                    yield from _read(info)
        finally:
            browser.cancel()


def _read(info: ServiceInfo) -> Iterator[Found]:
    told = {_plain(key): _plain(value or b"") for key, value in info.properties.items()}
    if not told.get("id") or not info.port:
        return
    facts = (told.get(name, "") for name in ("model", "version", "policy"))
    model, version, policy = facts
    for address in info.parsed_addresses(IPVersion.V4Only):
        yield Found(told["id"], address, info.port, model, version, policy, info.name)


def _plain(text: bytes) -> str:
    """What somebody on the network sent, fit for a terminal: no control characters, and not long."""
    return printable(text.decode("utf-8", errors="replace")[:_LONGEST_TEXT])
