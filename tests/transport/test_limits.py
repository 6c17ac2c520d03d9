"""Who goes over a limit loses its connection and hears why; the worker and all others go on."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import fields

import msgpack
import pytest
import torch
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from pisyft.classroom import Classroom, create
from pisyft.limits import Limits, LimitsError
from pisyft.transport import WebsocketClientWorker, WebsocketServerWorker
from pisyft.transport.errors import CallerRefused, LimitExceeded, OtherProtocol
from pisyft.transport.frames import OVER_LIMIT, PROTOCOL, Batch, Hello, Request, Result, Welcome, decode, encode
from tests.helpers import PATIENCE_SECONDS, forget_workers, wait_until

ID = "limited-alice"


@pytest.fixture
def start(serve) -> Callable[..., WebsocketServerWorker]:
    """Starts a worker with some limits: `start(objects=3)`."""

    def start_worker(credentials=None, **limits: int) -> WebsocketServerWorker:
        verbs = {"greet": lambda calling: "good day"}
        return serve(ID, verbs=verbs, credentials=credentials, limits=Limits().with_changes(limits))

    return start_worker


@pytest.fixture
def client(hook) -> Iterator[Callable[..., WebsocketClientWorker]]:
    made: list[WebsocketClientWorker] = []

    def make(server: WebsocketServerWorker, **options) -> WebsocketClientWorker:
        forget_workers(hook, ID)
        made.append(WebsocketClientWorker(hook, server.host, server.port, id=ID, **options))
        return made[-1]

    yield make
    for each in made:
        each.close()
    forget_workers(hook, ID)


def raw(server: WebsocketServerWorker) -> ClientConnection:
    """A caller that has said hello, and can then say anything."""
    connection = connect(
        f"ws://{server.host}:{server.port}", subprotocols=[PROTOCOL], compression=None, max_size=None, proxy=None
    )
    connection.send(encode(Hello(b"session", "me", False)))
    assert isinstance(decode(connection.recv(timeout=PATIENCE_SECONDS)), Welcome)
    return connection


def why_closed(connection: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=PATIENCE_SECONDS)
    return closed.value.rcvd.code, closed.value.rcvd.reason


def test_a_good_caller_is_served_while_and_after_another_goes_over_a_limit(start, client):
    server = start(objects=3)
    good = client(server)
    x = torch.tensor([1.0]).send(good)
    greedy = client(server)
    kept = [torch.tensor([float(number)]).send(greedy) for number in range(3)]

    with pytest.raises(LimitExceeded, match=r"limit objects: you hold 3 already; delete pointers. Its owner can raise"):
        (kept[0] + 1).get()

    assert torch.equal(x.get(), torch.tensor([1.0]))
    assert good.call("greet") == "good day"


def test_who_went_over_a_limit_may_come_back_and_finds_what_it_had(start, client):
    greedy = client(start(objects=2))
    kept = [torch.tensor([float(number)]).send(greedy) for number in range(2)]
    with pytest.raises(LimitExceeded):
        (kept[0] + 1).get()

    assert torch.equal(kept.pop().get(), torch.tensor([1.0]))
    assert torch.equal((kept[0] + 1).get(), torch.tensor([1.0]))


def test_objects_that_are_deleted_count_no_more(start, client):
    alice = client(start(objects=3))
    for number in range(10):
        x = torch.tensor([float(number)]).send(alice)
        assert torch.equal((x + 1).get(), torch.tensor([number + 1.0]))


def test_memory_is_counted_once_for_all_views_of_it(start, client):
    alice = client(start(objects_mb=5, objects_mb_together=100))
    x = torch.zeros(2**20).send(alice)
    views = [x.view(2**10, 2**10), x[:5], x.t()]
    assert views[0].shape

    with pytest.raises(LimitExceeded, match="limit objects_mb: your objects would be more than 5 MB"):
        (x + 1).get()


def test_what_nobody_is_connected_for_makes_room_for_others(start, client):
    server = start(objects_mb=5, objects_mb_together=5)
    gone = client(server)
    x = torch.zeros(2**20).send(gone)
    gone.call("greet")
    gone.close()
    alice = client(server)
    wait_until(lambda: not any(each.connections for each in server.object_store._holdings), "the first has left")

    y = torch.zeros(2**20).send(alice)

    assert y.get().shape == (2**20,)
    x.garbage_collect_data = x.child.garbage_collect_data = False


def test_what_others_are_connected_for_stays(start, client):
    server = start(objects_mb=5, objects_mb_together=5)
    first = client(server)
    x = torch.zeros(2**20).send(first)
    first.call("greet")
    second = client(server)

    with pytest.raises(LimitExceeded, match="limit objects_mb_together"):
        torch.zeros(2**20).send(second)
        second.call("greet")

    assert x.get().shape == (2**20,)


def test_a_tensor_that_has_no_memory_of_its_own_is_no_way_to_a_huge_one(start, client):
    alice = client(start(array_values=10**6))
    x = torch.zeros(1).send(alice)
    with pytest.raises(LimitExceeded, match="limit array_values: a tensor of 10000000000 elements"):
        x.expand(10**10).sum().get()


def test_a_message_that_is_too_large_is_told_and_not_sent_again(start, client):
    alice = client(start(frame_mb=1))
    with pytest.raises(LimitExceeded, match="limit frame_mb: a message is larger than it takes"):
        torch.rand(2**20).send(alice)
        alice.call("greet")

    assert alice.call("greet") == "good day"


@pytest.mark.parametrize("compress", ["zlib", "lz4"])
def test_a_message_that_becomes_large_when_it_is_decompressed_is_refused(start, client, compress):
    import zlib

    import lz4.frame

    server = start(frame_mb=1)
    bomb = b"*" + zlib.compress(bytes(2**24)) if compress == "zlib" else b")" + lz4.frame.compress(bytes(2**24))
    with raw(server) as connection:
        connection.send(encode(Request(1, True, (), (), bomb)))
        answer = decode(connection.recv(timeout=PATIENCE_SECONDS))

    assert "more than 1048576 bytes when it is decompressed" in answer.text
    assert client(server).call("greet") == "good day"


def test_requests_beyond_the_limit_in_one_message_are_not_executed(start):
    server = start(operations_per_message=2)
    requests = tuple(encode(Request(number, True, (), (), b"")) for number in range(1, 4))
    with raw(server) as connection:
        connection.send(encode(Batch(requests[:2])))
        answers = [decode(connection.recv(timeout=PATIENCE_SECONDS)) for _ in range(2)]
        connection.send(encode(Batch(requests)))
        closed = why_closed(connection)

    assert answers == [Result(1, b""), Result(2, b"")]
    assert closed == (OVER_LIMIT, "limit operations_per_message: 3 requests; 2 is the most")


@pytest.mark.parametrize(
    "bomb", [[[]] * 2**19, [[[]] * 2**12] * 2**7, {str(number): {} for number in range(2**18)}, [None] * 2**19]
)
def test_a_message_of_very_many_things_is_refused_before_they_are_made(start, client, bomb):
    server = start()
    with raw(server) as connection:
        connection.send(msgpack.packb((3, 1, True, bomb, (), b"")))
        code, reason = why_closed(connection)

    assert code == 1002
    assert "not a frame" in reason
    assert client(server).call("greet") == "good day"


def test_an_idle_connection_is_closed_and_its_caller_goes_on_when_it_returns(start, client):
    server = start(idle_seconds=1)
    alice = client(server)
    x = torch.tensor([1.0]).send(alice)
    alice.call("greet")
    with raw(server) as idle:
        assert why_closed(idle) == (1000, "limit idle_seconds: nothing was said for 1 s")

    assert torch.equal((x + 1).get(), torch.tensor([2.0]))


def test_connections_beyond_the_limit_are_told_why(start, client):
    server = start(connections_per_address=2)
    first, _second = raw(server), raw(server)

    with pytest.raises(LimitExceeded, match=r"limit connections_per_address: 2 are open from your address"):
        client(server)

    first.close()
    wait_until(lambda: len(server._door._inside) < 2, "the first has left")
    assert client(server).call("greet") == "good day"
    _second.close()


def test_connections_beyond_the_limit_take_no_threads(start):
    server = start(connections=2, handshake_seconds=60)
    before = threading.active_count()
    callers = [socket.create_connection((server.host, server.port)) for _ in range(60)]
    wait_until(lambda: sum(_is_closed(each) for each in callers) >= 50, "most are hung up on")

    assert len(server._door._inside) <= 10
    assert threading.active_count() < before + 40
    for caller in callers:
        caller.close()


def _is_closed(caller: socket.socket) -> bool:
    caller.setblocking(False)
    try:
        return caller.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_who_says_nothing_is_hung_up_on(start):
    server = start(handshake_seconds=1)
    with socket.create_connection((server.host, server.port)) as caller:
        caller.settimeout(PATIENCE_SECONDS)
        assert caller.recv(1000) == b""


class TestWithCertificates:
    """A worker whose callers must have certificates."""

    @pytest.fixture(scope="class")
    def room(self, tmp_path_factory) -> dict:
        made = create(
            tmp_path_factory.mktemp("classroom") / "room", {ID: ("127.0.0.1", 1), "limited-bob": ("127.0.0.1", 2)}
        )
        return {member: Classroom.load(file).credentials for member, file in made.items()}

    def test_callers_that_hang_up_at_once_do_not_end_the_worker(self, start, client, room):
        """With SSLSocket.accept(), one that is gone before it is accepted ended the loop that accepts."""
        server = start(room[ID], failed_logins_per_minute=1000)
        for said in (b"", b"hello") * 20:
            caller = socket.create_connection((server.host, server.port))
            caller.sendall(said)
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not an end
            caller.close()

        assert client(server, credentials=room["coordinator"]).call("greet") == "good day"

    def test_a_slow_handshake_holds_up_nobody(self, start, client, room):
        server = start(room[ID], handshake_seconds=600)
        slow = [socket.create_connection((server.host, server.port)) for _ in range(5)]
        for each in slow:
            each.sendall(b"\x16\x03\x01")  # the beginning of a TLS handshake

        assert client(server, credentials=room["coordinator"]).call("greet") == "good day"
        for each in slow:
            each.close()

    def test_a_handshake_takes_so_long_and_no_longer(self, start, room):
        server = start(room[ID], handshake_seconds=1)
        with socket.create_connection((server.host, server.port)) as slow:
            slow.settimeout(PATIENCE_SECONDS)
            slow.sendall(b"\x16\x03\x01")
            assert slow.recv(1000) == b""

    def test_who_fails_to_log_in_too_often_waits(self, start, client, room, monkeypatch):
        server = start(room[ID], failed_logins_per_minute=3)
        for _ in range(3):
            with pytest.raises(CallerRefused, match="with the certificate of a pi"):
                client(server, credentials=room["limited-bob"])
        with pytest.raises(LimitExceeded, match="limit failed_logins_per_minute: 3 failed; wait a minute"):
            client(server, credentials=room["coordinator"])

        now = time.monotonic
        monkeypatch.setattr("pisyft.transport.door.time.monotonic", lambda: now() + 61)
        assert client(server, credentials=room["coordinator"]).call("greet") == "good day"

    def test_a_caller_without_tls_has_failed_to_log_in(self, start, client, room):
        server = start(room[ID], failed_logins_per_minute=2)
        for _ in range(2):
            with pytest.raises(OtherProtocol):
                client(server)
        with pytest.raises(LimitExceeded, match="limit failed_logins_per_minute"):
            client(server, credentials=room["coordinator"])


def test_every_limit_is_explained():
    for field in fields(Limits):
        assert f"\n        {field.name}: " in Limits.__doc__


@pytest.mark.parametrize("values", [{"frame_mb": 0}, {"frame_mb": -1}, {"frame_mb": 1.5}, {"frame_mb": True}])
def test_a_limit_that_cannot_be_is_told(values):
    with pytest.raises(LimitsError, match="the limit frame_mb is .*: it must be a whole number from 1 up"):
        Limits().with_changes(values)


def test_a_limit_that_there_is_none_of_is_told():
    with pytest.raises(LimitsError, match="there is no limit 'frame', only frame_mb, operations_per_message"):
        Limits().with_changes({"frame": 1})
