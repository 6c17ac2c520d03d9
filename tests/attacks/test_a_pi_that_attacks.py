"""Attacks by a Pi on whoever calls it: a coordinator, or another Pi. What it answers is no code either."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import msgpack
import pytest
import syft
import torch
from syft.serde.compression import NO_COMPRESSION
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import serve

from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import PROTOCOL, Failure, Frame, Result, Welcome, decode, encode
from tests.attacks.attacker import code_of, text
from tests.attacks.test_deserialisers import KINDS, mark, payloads  # noqa: F401
from tests.helpers import PATIENCE_SECONDS, forget_workers

ID = "eve"
Answer = Callable[[int], Frame]


def failure(number: int, text: str, attributes: bytes) -> Failure:
    return Failure(number, number, "builtins", "ValueError", text, attributes)


def serialized(simple: object) -> bytes:
    return bytes([NO_COMPRESSION]) + msgpack.packb(simple)


@pytest.fixture
def caller(hook) -> Iterator[Callable[[Answer], WebsocketClientWorker]]:
    """Calls a Pi that answers every request as it likes: `caller(lambda number: Result(number, b"..."))`."""
    until_closed: list[Callable[[], object]] = []

    def call(answer: Answer) -> WebsocketClientWorker:
        def converse(connection) -> None:
            with suppress(ConnectionClosed):
                decode(connection.recv())
                connection.send(encode(Welcome(ID, bytes(16))))
                while True:
                    connection.send(encode(answer(decode(connection.recv()).number)))

        server = serve(converse, "127.0.0.1", 0, subprotocols=[PROTOCOL], compression=None)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        forget_workers(hook, ID)
        client = WebsocketClientWorker(hook, *server.socket.getsockname(), id=ID)
        until_closed.extend((client.close, server.shutdown, lambda: thread.join(PATIENCE_SECONDS)))
        return client

    yield call
    for close in until_closed:
        close()
    forget_workers(hook, ID)


def test_a_program_for_an_answer(caller, monkeypatch):
    """Wants TorchScript loaded on the laptop, as PySyft loads it."""
    loaded: list[object] = []
    monkeypatch.setattr(torch.jit, "load", loaded.append)
    program = torch.jit.trace(torch.nn.functional.relu, torch.ones(1)).save_to_buffer()
    written = (code_of(torch.jit.TopLevelTracedModule), (program,))
    with pytest.raises(ProtocolError, match="with a program in it"):
        caller(lambda number: Result(number, serialized(written))).search("#surnames")
    with pytest.raises(ProtocolError, match="with a program in it"):
        caller(lambda number: Result(number, serialized((code_of(list), (written,))))).search("#surnames")
    assert loaded == []


def test_a_type_for_an_answer_whose_module_would_have_to_be_imported(caller, monkeypatch, tmp_path):
    """Wants a module run that lies on the laptop: a name stands for what is loaded, and for nothing else."""
    (tmp_path / "planted_module.py").write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\nclass Evil: pass\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    client = caller(lambda number: Result(number, serialized((code_of(type), b"planted_module.Evil"))))
    with pytest.warns(Warning, match="can't be located"):
        assert client.search("#surnames") is object
    assert not (tmp_path / "was-run").exists()


@pytest.mark.parametrize(
    ("module", "name"), [("os", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "SystemExit")]
)
def test_an_error_of_a_type_that_is_none(caller, module, name):
    """Wants something called by name: an error is of a known type, or a RuntimeError."""
    client = caller(lambda number: Failure(number, number, module, name, "touch /tmp/x", b""))
    with pytest.raises(RuntimeError, match="touch /tmp/x"):
        client.call("describe")


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_in_every_answer(caller, mark, kind):  # noqa: F811
    """Wants an object made of bytes, wherever an answer has bytes."""
    payload = payloads(mark)[kind]
    numbers = [msgpack.packb({"a": msgpack.ExtType(code, payload)}) for code in (1, 42)]
    for value in (payload, *numbers):
        with pytest.raises(ProtocolError):
            caller(lambda number, value=value: Result(number, value)).call("describe")
    with pytest.raises(Exception) as caught:
        caller(lambda number: Result(number, b"(" + payload)).search("#surnames")
    assert not isinstance(caught.value, AssertionError)
    for attributes in (payload, serialized((code_of(torch.jit.TopLevelTracedModule), (payload,)))):
        with pytest.raises(ValueError, match="no such part"):
            caller(lambda number, told=attributes: failure(number, "no such part", told)).call("describe")


def test_what_an_error_brings_along_is_what_pysyft_reads_and_no_more(caller):
    """Wants attributes of its choice on an error, or a failure that fails to be one."""
    attributes = serialized((code_of(dict), ((text("args"), text("forged")), (text("__class__"), 7))))
    client = caller(lambda number: failure(number, "as it was", attributes))
    with pytest.raises(ValueError, match="as it was") as caught:
        client.call("describe")
    assert type(caught.value) is ValueError
    assert "forged" not in caught.value.args
    assert syft.local_worker is not None
