"""A classroom's Wi-Fi in user space: hosts with networks of their own, and an access point between them.

Each host is a network namespace whose interface is a TAP device; what it sends, this process passes on, over one medium
that all share, later, and not always. The kernel's own shaper (`tc netem`) would do the last two, where it is compiled
in, but not the first.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import secrets
import selectors
import struct
import subprocess
import threading
import time
from collections.abc import Sequence

_TUNSETIFF, _IFF_TAP, _IFF_NO_PI = 0x400454CA, 0x0002, 0x1000  # linux/if_tun.h
_INTERFACE = "wlan0"
_LONGEST_FRAME = 2048
_MULTICAST_BIT = 1


def cannot() -> str | None:
    """Why this machine cannot have such rooms; None where it can."""
    if os.geteuid():
        return "network namespaces need root"
    try:
        descriptor = _tap(f"try{secrets.token_hex(3)}")
    except OSError as error:
        return f"there is no /dev/net/tun to use ({error.strerror})"
    os.close(descriptor)
    name = f"try-{secrets.token_hex(4)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"network namespaces cannot be made here ({made.stderr.strip()})"
    subprocess.run(["ip", "netns", "del", name], check=True)
    return None


class AccessPoint:
    """A room with a Wi-Fi, for as long as the `with` lasts.

        with AccessPoint() as wifi:
            alice = wifi.join("alice")
            subprocess.run(wifi.on("alice", "ping", "-c1", bob))

    Args:
        bits: a second, of all hosts together.
        delay: seconds by which every frame arrives later.
        loss: the probability with which one does not arrive.
        seed: of the losses.

    Attributes:
        frames, lost: how many were sent so far, and how many of them did not arrive.
    """

    # What an access point keeps while the medium is busy, in seconds; more is dropped.
    _BUFFER_SECONDS = 0.25

    def __init__(self, bits: float = 20e6, delay: float = 0.008, loss: float = 0.01, seed: int = 0) -> None:
        self.bits, self.delay, self.loss = bits, delay, loss
        self.frames = self.lost = 0
        self._random = random.Random(seed)
        self._room = secrets.token_hex(3)
        self._hosts: dict[str, int] = {}
        self._addresses: dict[bytes, int] = {}
        self._unplugged: set[int] = set()
        self._selector = selectors.DefaultSelector()
        self._arriving: list[tuple[float, int, int, bytes]] = []
        self._numbers = itertools.count()
        self._medium_is_free = 0.0
        self._closed = False
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="access point", daemon=True)

    def __enter__(self) -> AccessPoint:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        os.write(self._woken, b".")
        self._thread.join()
        for descriptor in (*self._hosts.values(), self._wake, self._woken):
            os.close(descriptor)
        for host in self._hosts:
            subprocess.run(["ip", "netns", "del", self._namespace(host)], check=False)
        self._selector.close()

    def join(self, host: str) -> str:
        """A new host in the room; its address."""
        number = len(self._hosts) + 1
        device, address = f"t{self._room}{number}", f"10.77.0.{number}"
        descriptor = _tap(device)
        self._hosts[host] = descriptor
        namespace = self._namespace(host)
        _ip("netns", "add", namespace)
        _ip("link", "set", device, "netns", namespace, "name", _INTERFACE)
        inside = ("-n", namespace)
        _ip(*inside, "link", "set", "lo", "up")
        _ip(*inside, "address", "add", f"{address}/24", "dev", _INTERFACE)
        _ip(*inside, "link", "set", _INTERFACE, "up", "txqueuelen", "100")
        _ip(*inside, "route", "add", "224.0.0.0/4", "dev", _INTERFACE)
        self._selector.register(descriptor, selectors.EVENT_READ)
        os.write(self._woken, b".")
        return address

    def on(self, host: str, *command: str) -> list[str]:
        """A command that runs `command` on a host."""
        return ["ip", "netns", "exec", self._namespace(host), *command]

    def unplug(self, host: str) -> None:
        """Let nothing through from or to a host, as when its plug is pulled, but its programs live on."""
        self._unplugged.add(self._hosts[host])

    def replug(self, host: str) -> None:
        self._unplugged.discard(self._hosts[host])

    def _namespace(self, host: str) -> str:
        return f"room-{self._room}-{host}"

    def _run(self) -> None:
        while not self._closed:
            now = time.monotonic()
            while self._arriving and self._arriving[0][0] <= now:
                _, _, receiver, frame = heapq.heappop(self._arriving)
                if receiver not in self._unplugged:
                    with contextlib.suppress(OSError):  # its interface is not up yet
                        os.write(receiver, frame)
            pause = max(0.0, self._arriving[0][0] - now) if self._arriving else None
            for key, _ in self._selector.select(pause):
                if key.fd == self._wake:
                    os.read(self._wake, 64)
                    continue
                with contextlib.suppress(OSError):
                    self._take(key.fd, os.read(key.fd, _LONGEST_FRAME))

    def _take(self, sender: int, frame: bytes) -> None:
        to, by = frame[:6], frame[6:12]
        self._addresses[by] = sender
        if sender in self._unplugged:
            return
        self.frames += 1
        now = time.monotonic()
        begin = max(now, self._medium_is_free)
        if self._random.random() < self.loss or begin - now > self._BUFFER_SECONDS:
            self.lost += 1
            return
        self._medium_is_free = begin + 8 * len(frame) / self.bits
        receivers: Sequence[int]
        if to[0] & _MULTICAST_BIT or to not in self._addresses:
            receivers = [each for each in self._hosts.values() if each != sender]
        else:
            receivers = [self._addresses[to]]
        for receiver in receivers:
            due = self._medium_is_free + self.delay
            heapq.heappush(self._arriving, (due, next(self._numbers), receiver, frame))


def _tap(name: str) -> int:
    """A new TAP device, as the descriptor that its frames are read from and written to."""
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _ip(*arguments: str) -> None:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
