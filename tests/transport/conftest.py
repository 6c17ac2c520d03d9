"""Two unguarded workers in processes of their own, which execute and give back whatever they are asked for."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from pisyft.transport import WebsocketClientWorker, WebsocketServerWorker, tls
from tests.helpers import PATIENCE_SECONDS, forget_workers

SERVE = """
import socket, sys
import pisyft, syft, torch
from syft.workers.websocket_server import WebsocketServerWorker

torch.set_num_threads(1)
id, fd, *peers = sys.argv[1:]
peers = {peer: (host, int(port)) for peer, host, port in (each.split(",") for each in peers)}
hook = syft.TorchHook(torch)
server = WebsocketServerWorker(hook, "", 0, id=id, peers=peers, listener=socket.socket(fileno=int(fd)))
print("ready", flush=True)
server.start()
"""


@pytest.fixture(autouse=True)
def no_certificate_was_seen_before(monkeypatch):
    """Ports come back within a test run, with other workers behind them."""
    monkeypatch.setattr(tls, "_seen_first", {})


@dataclass
class OpenWorkers:
    """Workers without a guard, by id: their addresses and processes."""

    addresses: dict[str, tuple[str, int]]
    processes: dict[str, subprocess.Popen]

    def kill(self, worker: str) -> None:
        """End a worker without warning."""
        self.processes[worker].send_signal(signal.SIGKILL)
        self.processes[worker].wait(60)


def start(*ids: str, address: tuple[str, int] = ("127.0.0.1", 0)) -> OpenWorkers:
    """Start workers that know each other, and wait until each is ready."""
    listeners = {id: socket.create_server(address) for id in ids}
    addresses = {id: listener.getsockname() for id, listener in listeners.items()}
    workers = OpenWorkers(addresses, {})
    for id, listener in listeners.items():
        peers = [f"{peer},{host},{port}" for peer, (host, port) in addresses.items() if peer != id]
        command = [sys.executable, "-c", SERVE, id, str(listener.fileno()), *peers]
        workers.processes[id] = subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=subprocess.PIPE)
        listener.close()
    for process in workers.processes.values():
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    return workers


def stop(workers: OpenWorkers) -> None:
    for process in workers.processes.values():
        process.kill()
        process.wait(60)
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(scope="session")
def open_workers() -> Iterator[OpenWorkers]:
    """Alice and bob, for the whole session. A test that ends one starts its own with `start_open_workers`."""
    workers = start("open-alice", "open-bob")
    yield workers
    stop(workers)


@pytest.fixture
def start_open_workers() -> Iterator[Callable[..., OpenWorkers]]:
    """Starts workers for one test."""
    started: list[OpenWorkers] = []

    def start_for_test(*ids: str, **kwargs) -> OpenWorkers:
        started.append(start(*ids, **kwargs))
        return started[-1]

    yield start_for_test
    for workers in started:
        stop(workers)


@pytest.fixture
def connect(hook) -> Iterator[Callable[..., WebsocketClientWorker]]:
    """Connects to a worker for one test: `connect("alice", ("127.0.0.1", 8777))`."""
    connected: list[WebsocketClientWorker] = []

    def connect_for_test(id: str, address: tuple[str, int], **kwargs) -> WebsocketClientWorker:
        host, port = address
        connected.append(WebsocketClientWorker(hook, host, port, id=id, **kwargs))
        return connected[-1]

    yield connect_for_test
    for worker in connected:
        worker.close()
        forget_workers(hook, worker.id)


@pytest.fixture
def serve(hook) -> Iterator[Callable[..., WebsocketServerWorker]]:
    """Starts a worker of this process, in a thread, for one test: `serve("alice", limits=...)`."""
    started: list[tuple[WebsocketServerWorker, threading.Thread]] = []

    def serve_for_test(id: str, **options) -> WebsocketServerWorker:
        forget_workers(hook, id)
        server = WebsocketServerWorker(hook, "127.0.0.1", 0, id=id, **options)
        server.bind()
        thread = threading.Thread(target=server.start)
        thread.start()
        started.append((server, thread))
        forget_workers(hook, id)
        return server

    yield serve_for_test
    for server, _ in started:
        server.stop()
    for server, thread in started:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
        forget_workers(hook, server.id)


@pytest.fixture
def alice(open_workers, connect) -> WebsocketClientWorker:
    return connect("open-alice", open_workers.addresses["open-alice"])


@pytest.fixture
def bob(open_workers, connect) -> WebsocketClientWorker:
    return connect("open-bob", open_workers.addresses["open-bob"])
