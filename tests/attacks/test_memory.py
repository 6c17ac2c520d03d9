"""Attacks on the memory of a Pi, by what is kept and counted nowhere."""

import numpy as np
import pytest
import syft
import torch
from syft.exceptions import GetNotPermittedError
from syft.serde.msgpack import serde
from websockets.exceptions import ConnectionClosed

from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import Request
from tests.attacks.attacker import Attacker, There, code_of, text
from tests.helpers import PATIENCE_SECONDS

LONG = "x" * 10**6


def test_an_id_of_a_megabyte_for_a_result_that_fails(anybody):
    """Wants ten thousand of them kept, each with the reason why it stands for nothing."""
    anybody.send(Request(next(anybody.numbers), True, (), (LONG,), b"no message"))
    with pytest.raises(ConnectionClosed, match="not a frame"):
        anybody.receive()


def test_an_id_of_a_megabyte_to_be_discarded(anybody):
    """The same, of what was never there."""
    anybody.send(Request(next(anybody.numbers), True, (LONG,), (), b""))
    with pytest.raises(ConnectionClosed, match="not a frame"):
        anybody.receive()


@pytest.mark.parametrize(
    "fields",
    [
        {"id": (code_of(str), (LONG.encode(),))},
        {"description": text(LONG)},
        {"tags": (code_of(set), (text(LONG),))},
        {"tags": (code_of(set), tuple(text(f"#{number}") for number in range(10**4)))},
    ],
    ids=["id", "description", "tag", "tags"],
)
def test_a_tensor_of_one_element_with_very_much_to_read(anybody, fields):
    """Wants texts kept that no limit counts."""
    with pytest.raises((GetNotPermittedError, ProtocolError)):
        anybody.put(torch.zeros(1), **fields)


def test_gradients_of_gradients_of_gradients(anybody):
    """Wants memory kept that hangs on memory: a tensor is counted, and what hangs on its gradient is not."""
    _, fields = serde._simplify(syft.local_worker, torch.zeros(1000))
    written = None
    for _ in range(20):
        written = (*fields[:3], written, *fields[4:])
    with pytest.raises((GetNotPermittedError, ProtocolError), match="no gradient of its own|under the policy strict"):
        anybody.put(torch.zeros(1000), grad=written)


def test_an_error_with_a_megabyte_of_ones_own_in_it(whoever):
    """Wants the text of an error kept, which is as long as what was wrong."""
    with pytest.raises(ValueError, match="there is no part 'xxx"):
        whoever.call("evaluate", weights=np.zeros(27_156, np.float32), part=LONG)
    assert len(whoever.last.text) < 10**4


def test_an_echo_that_is_kept_in_case_it_is_asked_for_again(anybody):
    """Wants many answers of many megabytes kept, one for each session."""
    with pytest.raises(ValueError, match="a payload is 1048576 bytes at most"):
        anybody.call("ping", payload=bytes(2**20 + 1))
    with pytest.raises(ValueError, match="a payload is"):
        anybody.call("ping", payload=["a"] * 1000)
    anybody.connection.socket.settimeout(PATIENCE_SECONDS)
    assert len(anybody.call("ping", payload=bytes(2**20))["payload"]) == 2**20


def spread(attacker: Attacker, *shape: int, of: torch.Tensor | None = None) -> There:
    """A tensor of zeros, or of one other number, that takes no memory: a view of one element."""
    return attacker.op("expand", attacker.put(torch.zeros(1) if of is None else of), *shape)


INTEGER, DOUBLE, TRUE = torch.zeros(1).long(), torch.zeros(1).double(), torch.ones(1).bool()


@pytest.mark.parametrize(
    "ask",
    [
        lambda a: a.op("repeat", spread(a, 1), 300_000_000),
        lambda a: a.op("repeat", spread(a, 1), a.put(torch.tensor(300_000_000))),
        lambda a: a.op("matmul", spread(a, 20_000, 1), spread(a, 1, 20_000)),
        lambda a: a.op("add", spread(a, 20_000, 1), spread(a, 1, 20_000)),
        lambda a: a.op("torch.where", None, spread(a, 20_000, 1, of=TRUE), spread(a, 20_000), spread(a, 1)),
        lambda a: a.op("torch.addmm", None, spread(a, 1), spread(a, 20_000, 1), spread(a, 1, 20_000)),
        lambda a: a.op("torch.cat", None, [spread(a, 2_000_000)] * 200),
        lambda a: a.op("torch.stack", None, [spread(a, 2_000_000)] * 200),
        lambda a: a.op("__getitem__", spread(a, 1, 20_000), [0] * 20_000),
        lambda a: a.op("__getitem__", spread(a, 1, 20_000), spread(a, 20_000, of=INTEGER)),
        lambda a: a.op(
            "__getitem__", spread(a, 20_000, 2), (spread(a, 20_000, of=TRUE), spread(a, 20_000, 1, of=INTEGER))
        ),
        lambda a: a.op(
            "__getitem__", spread(a, 20_000, 2), [spread(a, 20_000, of=TRUE), spread(a, 20_000, 1, of=INTEGER)]
        ),
        lambda a: a.op("torch.nn.functional.embedding", None, spread(a, 20_000, of=INTEGER), spread(a, 2, 20_000)),
        lambda a: a.op("double", spread(a, 30_000_000)),
        lambda a: a.op("contiguous", spread(a, 30_000_000, of=DOUBLE)),
        lambda a: a.op("fix_precision", spread(a, 30_000_000)),
        lambda a: a.op("unbind", spread(a, 1_000_000)),
        lambda a: a.op("torch.split", None, spread(a, 2, 1_000_000), 1, dim=1),
        lambda a: a.op("torch.chunk", None, chunks=1_000_000, input=spread(a, 1_000_000)),
    ],
)
def test_a_small_message_that_asks_for_more_memory_than_there_is(anybody, peak_of, ask):
    """Wants a gigabyte, which the worker's limits refuse too late if it has been taken. Results are foretold."""
    before = peak_of(anybody)
    with pytest.raises((ConnectionClosed, GetNotPermittedError), match="limit |under the policy strict"):
        ask(anybody)
    assert peak_of(anybody) < before + 150
