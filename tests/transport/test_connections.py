"""Connections that cannot be made, break, or lead elsewhere: one clear error each, and nothing happens twice."""

import signal
import socket
import threading

import pytest
import syft
import torch
from websockets.sync.server import serve

from pisyft.transport.errors import (
    IdTaken,
    OtherProtocol,
    OtherWorker,
    UnknownHost,
    WorkerLost,
    WorkerRefused,
    WorkerRestarted,
    WorkerTimeout,
)
from tests.helpers import PATIENCE_SECONDS
from tests.proxy import Proxy


def test_a_port_where_nothing_listens(connect):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(
            WorkerRefused, match=rf"worker zoe at 127.0.0.1:{port}: nothing listens.*pisyft worker --id zoe"
        ) as caught:
            connect("zoe", ("127.0.0.1", port))
    assert isinstance(caught.value, ConnectionRefusedError)
    assert (caught.value.worker, caught.value.address) == ("zoe", f"127.0.0.1:{port}")


def test_a_host_that_has_no_address(connect):
    with pytest.raises(UnknownHost, match="worker zoe at no-such-host.invalid:8777: there is no host of that name"):
        connect("zoe", ("no-such-host.invalid", 8777))


def test_a_host_that_does_not_answer(connect):
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(WorkerTimeout, match="no answer within 0.5 s"):
        connect("zoe", silent.getsockname(), timeout=0.5)


def test_a_port_where_something_else_listens(connect):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak_something_else():
            caller, _ = listener.accept()
            with caller:
                caller.recv(1000)
                caller.sendall(b"220 mail.example.org ESMTP\r\n")

        thread = threading.Thread(target=speak_something_else)
        thread.start()
        with pytest.raises(OtherProtocol, match="does not speak pisyft.1"):
            connect("zoe", listener.getsockname())
        thread.join(60)


def test_a_websocket_server_that_is_no_worker(connect):
    with serve(lambda connection: connection.recv(), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with pytest.raises(OtherProtocol, match="does not speak pisyft.1"):
            connect("zoe", server.socket.getsockname())
        server.shutdown()
        thread.join(60)


def test_a_worker_that_has_another_id(open_workers, connect):
    with pytest.raises(OtherWorker, match="the worker there is called open-alice. Use id='open-alice'"):
        connect("zoe", open_workers.addresses["open-alice"])


def test_an_id_that_is_connected_to_another_address(open_workers, alice, connect):
    with pytest.raises(IdTaken, match="the id 'open-alice' is taken by the worker connected to"):
        connect("open-alice", open_workers.addresses["open-bob"])


def test_a_notebooks_cell_that_connects_can_be_run_again(open_workers, alice, connect):
    x = torch.tensor([1.0]).send(alice)
    again = connect("open-alice", open_workers.addresses["open-alice"])
    assert syft.local_worker.get_worker("open-alice") is again
    assert torch.equal(x.get(), torch.tensor([1.0]))


def test_a_closed_connection_is_made_again_at_the_next_use(alice):
    x = torch.tensor([1.0]).send(alice)
    alice.close()
    assert torch.equal((x + 1).get(), torch.tensor([2.0]))


def test_a_connection_that_breaks_between_calls_is_made_again(open_workers, connect):
    with Proxy(open_workers.addresses["open-alice"]) as proxy:
        alice = connect("open-alice", proxy.address)
        x = torch.tensor([1.0]).send(alice)
        alice.objects_count_remote()
        proxy.cut()
        assert torch.equal((x + 1).get(), torch.tensor([2.0]))
        assert proxy.connections == 2


def test_what_was_sent_while_the_worker_could_not_be_reached_arrives_when_it_can(open_workers, connect):
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        nowhere = listener.getsockname()
    alice = connect("open-alice", open_workers.addresses["open-alice"])
    x = torch.tensor([1.0]).send(alice)
    alice.close()
    there, alice.port = alice.port, nowhere[1]
    y = x + 1
    with pytest.raises(WorkerRefused):
        y.get()
    alice.port = there
    assert torch.equal(y.get(), torch.tensor([2.0]))


def test_a_time_out_that_was_changed_is_the_one_that_is_told(open_workers, connect):
    alice = connect("open-alice", open_workers.addresses["open-alice"])
    alice.close()
    there = alice.port
    with socket.create_server(("127.0.0.1", 0)) as silent:
        alice.port, alice.timeout = silent.getsockname()[1], 0.3
        with pytest.raises(WorkerTimeout, match=r"no answer within 0\.3 s"):
            alice.connect()
    alice.port, alice.timeout = there, 60


def test_a_request_whose_answer_is_lost_is_not_executed_twice(open_workers, connect):
    with Proxy(open_workers.addresses["open-alice"]) as proxy:
        alice = connect("open-alice", proxy.address, wait=True)
        x = torch.tensor([1.0]).send(alice)
        for _ in range(5):
            proxy.cut_at_next_answer()
            x.add_(1)
        assert torch.equal(x.get(), torch.tensor([6.0]))
        assert proxy.connections == 6


def test_requests_that_nobody_waited_for_are_executed_once_each_over_a_bad_connection(open_workers, connect):
    with Proxy(open_workers.addresses["open-alice"]) as proxy:
        alice = connect("open-alice", proxy.address)
        x = torch.zeros(1).send(alice)
        for number in range(200):
            x.add_(1)
            if number % 40 == 20:
                proxy.cut()
        assert torch.equal(x.get(), torch.tensor([200.0]))
        assert proxy.connections > 1


def test_a_worker_that_dies_in_the_middle_of_a_call(start_open_workers, connect):
    workers = start_open_workers("carol")
    carol = connect("carol", workers.addresses["carol"], timeout=20)
    x = torch.randn(1200, 1200).send(carol)
    killer = threading.Timer(0.3, workers.kill, ["carol"])
    killer.start()
    with pytest.raises(
        WorkerLost, match="worker carol at .* the connection broke during a call.*Was the worker stopped"
    ):
        while True:
            (x @ x).sum().get()
    killer.join(60)


def test_a_worker_that_was_started_again_has_forgotten_what_it_held_and_the_caller_hears_of_it(
    start_open_workers, connect
):
    workers = start_open_workers("carol")
    carol = connect("carol", workers.addresses["carol"])
    x = torch.tensor([1.0]).send(carol)
    carol.objects_count_remote()
    workers.kill("carol")
    start_open_workers("carol", address=workers.addresses["carol"])

    with pytest.raises(WorkerRestarted, match="started again since the last call, and what was sent to it is gone"):
        x.get()
    assert torch.equal(torch.tensor([2.0]).send(carol).get(), torch.tensor([2.0])), "it can be used again"
    x.child.garbage_collect_data = False


def test_an_answer_that_takes_too_long(alice):
    x = torch.randn(1500, 1500).send(alice)
    alice.objects_count_remote()
    alice.timeout = 0.01
    with pytest.raises(WorkerTimeout, match="no answer within 0.01 s. It may still be at work"):
        for _ in range(20):
            (x @ x @ x).sum().get()
    alice.timeout = 60
    assert torch.equal(torch.tensor([3.0]).send(alice).get(), torch.tensor([3.0])), (
        "a late answer is not taken for this"
    )


def test_a_worker_that_is_stopped_while_much_is_sent_to_it(start_open_workers, connect, monkeypatch):
    """More than the system takes for it, so that sending blocks; in a thread, since what blocks cannot fail."""
    monkeypatch.setattr("pisyft.transport.patience._UNACKNOWLEDGED_SECONDS_AT_LEAST", 0.1)
    workers = start_open_workers("carol")
    carol = connect("carol", workers.addresses["carol"], wait=True)
    raised: list[Exception] = []

    def send_much():
        try:
            torch.rand(2**23).send(carol)
        except Exception as error:
            raised.append(error)

    workers.processes["carol"].send_signal(signal.SIGSTOP)
    carol.timeout = 0.5
    sending = threading.Thread(target=send_much, daemon=True)
    sending.start()
    sending.join(PATIENCE_SECONDS)
    workers.processes["carol"].send_signal(signal.SIGCONT)

    assert [type(error) for error in raised] == [WorkerTimeout]
    assert "worker carol at 127.0.0.1" in str(raised[0])
    assert "no answer within 0.5 s" in str(raised[0])
    carol.timeout = 60
    assert torch.equal(torch.tensor([3.0]).send(carol).get(), torch.tensor([3.0])), "it can be used again"
