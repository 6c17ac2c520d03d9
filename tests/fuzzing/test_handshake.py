"""Malformed beginnings of connections: some hundred, over real sockets. The worker tells nothing, and goes on."""

import contextlib
import os
import random
import socket
import ssl
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import connect

from pisyft.transport.frames import PROTOCOL, Hello, encode
from tests.attacks.conftest import assert_serves, strict_lab  # noqa: F401
from tests.fuzzing.mutations import mutated
from tests.helpers import wait_until

_PATIENCE_SECONDS = 60
_MAY_GROW_KILOBYTES = 48 * 1024
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: alice\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Protocol: " + PROTOCOL.encode() + b"\r\n\r\n"
)


def resident_kilobytes(lab, worker: str) -> int:
    status = Path(f"/proc/{lab._processes[worker].pid}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:")))


def threads(lab, worker: str) -> int:
    return len(os.listdir(f"/proc/{lab._processes[worker].pid}/task"))


def said_to(address, data: bytes) -> bytes:
    """What a worker answers to raw bytes, after which nothing more comes from here."""
    with socket.create_connection(address, _PATIENCE_SECONDS) as raw, contextlib.suppress(ConnectionError):
        raw.sendall(data)
        raw.shutdown(socket.SHUT_WR)
        return raw.recv(65536)
    return b""


def assert_tells_nothing(answer: bytes) -> None:
    assert not any(each in answer for each in (b"Traceback", b".py", b"/work", b"/home", b"/tmp", b"site-packages"))


@pytest.fixture
def goes_on(lab):
    """Alice has as much memory, and as many threads, afterwards, about; and serves."""
    assert_serves(lab)
    memory, before = resident_kilobytes(lab, "alice"), threads(lab, "alice")
    yield
    wait_until(lambda: threads(lab, "alice") <= before + 2, "the threads of broken connections have ended")
    assert resident_kilobytes(lab, "alice") - memory < _MAY_GROW_KILOBYTES
    assert_serves(lab)


def test_malformed_requests_of_http(lab, goes_on):
    chance = random.Random(5)
    inputs = [*mutated([UPGRADE], 150, seed=6), *(chance.randbytes(chance.randrange(200)) for _ in range(50))]
    inputs += [b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 500, b"A" * 100_000, UPGRADE[:40], b"\x16\x03\x01\x02\x00\x01\x00"]
    for data in inputs:
        assert_tells_nothing(said_to(lab.addresses["alice"], data))


def test_malformed_frames_after_the_upgrade(lab, goes_on):
    """Bytes that are no websocket frames, or wrong ones: unmasked, fragmented, reserved, oversized."""
    chance = random.Random(7)
    inputs = [b"\x82\x7f" + b"\xff" * 8, b"\x82\xff" + b"\x7f" * 8 + b"mask", b"\xf2\x80mask", b"\x02\x80mask" * 50]
    inputs += [b"\x89\xfe\x00\xff" + bytes(300), b"\x88\x81maskx", b"\x82\x05hello"]
    inputs += [chance.randbytes(chance.randrange(1, 120)) for _ in range(60)]
    for data in inputs:
        assert_tells_nothing(said_to(lab.addresses["alice"], UPGRADE + data))


def test_malformed_greetings(lab, goes_on):
    host, port = lab.addresses["alice"]
    real = encode(Hello(bytes(16), "me", False))
    inputs = [*mutated([real], 100, seed=8), b"", b"\xc1", encode(Hello(bytes(10**5), "me", False))]
    inputs += [encode(Hello(bytes(16), name, False)) for name in ("m" * 10**5, "ü" * 80, "a\nb", "\x1b[31m", 2**63)]
    for data in inputs:
        with (
            contextlib.suppress(ConnectionClosed, InvalidHandshake),
            connect(
                f"ws://{host}:{port}", subprotocols=[PROTOCOL], proxy=None, open_timeout=_PATIENCE_SECONDS
            ) as caller,
        ):
            caller.send(data)
            caller.send("text")
            while True:
                assert_tells_nothing(caller.recv(timeout=_PATIENCE_SECONDS))


def test_tls_that_ends_in_the_middle(strict_lab):  # noqa: F811
    """Handshakes that are cut off. (What is no TLS at all counts as a failed login, of which a minute has ten.)"""
    address = strict_lab.addresses["carla"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="carla").do_handshake()
    hello = outgoing.read()
    for length in (0, 1, 5, 6, 50, len(hello) // 2, len(hello) - 1):
        assert_tells_nothing(said_to(address, hello[:length]))
    assert_serves(strict_lab)


def test_callers_that_say_nothing_hold_up_nobody(lab, goes_on):
    """Slow loris: connections that are opened and then say little or nothing, while others are served."""
    address = lab.addresses["alice"]
    with contextlib.ExitStack() as held:
        for data in (b"", b"GET ", UPGRADE[:-2], UPGRADE, UPGRADE + b"\x82"):
            raw = held.enter_context(socket.create_connection(address, _PATIENCE_SECONDS))
            raw.sendall(data)
        assert_serves(lab)
