"""Verbs, called by name over a real connection: arguments, results, progress, failures, and who may call what."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from syft.exceptions import GetNotPermittedError

from pisyft.transport import WebsocketClientWorker, WebsocketServerWorker
from pisyft.transport.client import PeerWorker
from pisyft.transport.failures import carry
from pisyft.transport.patience import Patience
from pisyft.transport.turn import Turn
from tests.helpers import forget_workers, wait_until
from tests.proxy import Proxy

WAIT_SECONDS = 60


@carry
class Unwell(Exception):
    """A failure of this file's own."""


class Verbs:
    """What the worker of these tests can do."""

    def __init__(self) -> None:
        self.added = 0
        self.entered, self.leave = threading.Event(), threading.Event()

    def add(self, calling, values: np.ndarray, to: int = 0) -> dict:
        self.added += 1
        return {"sum": values.sum() + to, "doubled": values * 2, "caller": calling.caller.id}

    def count(self, calling, to: int) -> str:
        for number in range(to):
            calling.report({"number": number})
        return "counted"

    def fail(self, calling, kind: str):
        raise {"unwell": Unwell("not today"), "odd": ArithmeticError("odd"), "strange": StopAsyncIteration()}[kind]

    def wait(self, calling) -> None:
        self.entered.set()
        assert self.leave.wait(WAIT_SECONDS)

    def tell(self, calling, twice: bool = False) -> str:
        calling.report("begun")
        if twice:
            assert self.entered.wait(WAIT_SECONDS)
            calling.report("still at work")
        assert self.leave.wait(WAIT_SECONDS)
        return "done"

    def all(self) -> dict:
        return {"add": self.add, "count": self.count, "fail": self.fail, "wait": self.wait, "tell": self.tell}


@pytest.fixture
def verbs() -> Verbs:
    return Verbs()


@pytest.fixture
def server(serve, verbs) -> Iterator[WebsocketServerWorker]:
    """A worker of this process, with verbs for coordinators and one for peers."""
    yield serve("verbal", verbs=verbs.all(), peer_verbs={"deliver": lambda calling: calling.caller.id})
    verbs.leave.set()


@pytest.fixture
def client(hook, server) -> Iterator[WebsocketClientWorker]:
    forget_workers(hook, "verbal")
    client = WebsocketClientWorker(hook, server.host, server.port, id="verbal")
    yield client
    client.close()


def test_a_verb_takes_arguments_by_name_and_returns_values(client):
    answer = client.call("add", values=np.arange(4, dtype=np.float32), to=1)
    assert (answer["sum"], answer["caller"]) == (7.0, "me")
    assert answer["doubled"].tolist() == [0, 2, 4, 6]


def test_a_verb_tells_its_progress_in_order(client):
    told = []
    assert client.call("count", told.append, to=5) == "counted"
    assert told == [{"number": number} for number in range(5)]


def test_progress_that_nobody_asked_for_is_passed_over(client):
    assert client.call("count", to=3) == "counted"


def test_a_failure_keeps_its_type_and_names_the_worker(client):
    with pytest.raises(Unwell, match="not today .on worker verbal"):
        client.call("fail", kind="unwell")
    with pytest.raises(ArithmeticError, match="odd"):
        client.call("fail", kind="odd")


def test_after_a_failure_the_next_call_is_answered(client):
    with pytest.raises(TypeError):
        client.call("add", nonsense=1)
    assert client.call("count", to=0) == "counted"


def test_an_unknown_verb_is_refused_and_the_known_ones_are_listed(client):
    with pytest.raises(GetNotPermittedError, match="verbal has no verb 'stop' for a coordinator, only add, count"):
        client.call("stop")


def test_a_coordinator_may_not_call_what_is_for_peers(client):
    with pytest.raises(GetNotPermittedError, match="has no verb 'deliver' for a coordinator"):
        client.call("deliver")


def test_a_peer_calls_the_verbs_for_peers_and_no_others(hook, server):
    forget_workers(hook, "verbal")
    peer = PeerWorker(hook, "bob", Turn(), server.host, server.port, "verbal")
    try:
        assert peer.call("deliver") == "bob"
        with pytest.raises(GetNotPermittedError, match="has no verb 'add' for a peer, only deliver"):
            peer.call("add", values=np.zeros(1))
    finally:
        peer.close()


def test_a_long_verb_holds_up_nobody_else(hook, server, client, verbs):
    waiting = threading.Thread(target=client.call, args=("wait",))
    waiting.start()
    assert verbs.entered.wait(WAIT_SECONDS)
    forget_workers(hook, "verbal")
    other = WebsocketClientWorker(hook, server.host, server.port, id="verbal")
    try:
        assert other.call("count", to=1) == "counted"
    finally:
        other.close()
        verbs.leave.set()
        waiting.join(WAIT_SECONDS)


def test_a_call_whose_answer_is_lost_is_executed_once(hook, server, verbs):
    """The connection breaks while the answer is on its way; the client asks again over a new one."""
    forget_workers(hook, "verbal")
    with Proxy((server.host, server.port)) as proxy:
        client = WebsocketClientWorker(hook, *proxy.address, id="verbal")
        try:
            proxy.cut_at_next_answer()
            assert client.call("add", values=np.ones(3))["sum"] == 3
            assert verbs.added == 1
        finally:
            client.close()


def test_progress_follows_its_caller_to_a_new_connection(hook, server, verbs):
    """The verb ends when what it told after the break has been heard."""
    told = []

    def hear(value):
        told.append(value)
        if value == "begun":
            proxy.cut()
        else:
            verbs.leave.set()

    def go_on_when_the_call_has_come_again():
        wait_until(lambda: sessions() and sessions()[0].holding.connections == 2, "the client is there again")
        verbs.entered.set()

    def sessions():
        return list(server._sessions._sessions.values())

    forget_workers(hook, "verbal")
    with Proxy((server.host, server.port)) as proxy:
        client = WebsocketClientWorker(hook, *proxy.address, id="verbal")
        watching = threading.Thread(target=go_on_when_the_call_has_come_again)
        watching.start()
        try:
            assert client.call("tell", hear, twice=True) == "done"
            assert told == ["begun", "still at work"]
            assert proxy.connections == 2
        finally:
            client.close()
            watching.join(WAIT_SECONDS)


def test_a_call_that_was_heard_of_outlasts_a_break_after_more_than_the_time_out(hook, server, verbs, monkeypatch):
    now, passed = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now() + passed[0])

    def hear(value):
        passed[0] += 100
        proxy.cut()
        verbs.leave.set()

    forget_workers(hook, "verbal")
    with Proxy((server.host, server.port)) as proxy:
        client = WebsocketClientWorker(hook, *proxy.address, id="verbal", timeout=60)
        try:
            assert client.call("tell", hear) == "done"
            assert proxy.connections == 2
        finally:
            client.close()


def test_a_break_that_is_noticed_late_leaves_all_the_time_to_connect_again(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("pisyft.transport.patience.time.monotonic", lambda: now[0])
    patience = Patience(60)
    patience.hear()
    now[0] = 59

    assert patience.pause()

    assert patience.left_seconds == 60


def test_a_worker_that_is_not_heard_of_again_is_given_up(monkeypatch):
    monkeypatch.setattr("pisyft.transport.patience.time.sleep", lambda seconds: None)
    patience = Patience(60)
    patience.hear()

    tries = 0
    while patience.pause():
        tries += 1

    assert tries == 5
