"""Feeds malformed messages of PySyft's to a guarded worker in this process, and prints what came of them as JSON.

python messages.py COUNT SEED
"""

from __future__ import annotations

import json
import resource
import sys
from collections import Counter

import pisyft  # noqa: F401

# isort: split
import syft
import torch
from syft.exceptions import GetNotPermittedError, ObjectNotFoundError
from syft.generic.pointers.pointer_tensor import PointerTensor
from syft.messaging.message import (
    ForceObjectDeleteMessage,
    GetShapeMessage,
    IsNoneMessage,
    ObjectMessage,
    ObjectRequestMessage,
    SearchMessage,
    TensorCommandMessage,
)

from pisyft.limits import OverLimit
from pisyft.privacy import GuardedWorker
from pisyft.transport.errors import ProtocolError, UnknownPeer
from tests.fuzzing.mutations import mutated

# What a worker answers that reads no message. Whatever a message that it did read may raise is PyTorch's and PySyft's.
DOCUMENTED = (ProtocolError, GetNotPermittedError, ObjectNotFoundError, UnknownPeer, OverLimit)


def samples(worker: GuardedWorker) -> list[bytes]:
    """Real messages of each kind, as a coordinator writes them."""
    here = syft.local_worker
    held = [torch.ones(4, 4), torch.arange(4)]
    for tensor in held:
        worker.recv_msg(syft.serde.serialize(ObjectMessage(tensor), worker=here))
    matrix, vector = (
        PointerTensor(location=worker, id_at_location=tensor.id, owner=here, garbage_collect_data=False)
        for tensor in held
    )
    parameter = torch.nn.Parameter(torch.ones(2, 2))
    tagged = torch.arange(6).tag("#a", "#b").describe("of the fuzzer's")
    messages = [
        TensorCommandMessage.computation("add", matrix, (matrix,), {"alpha": 2}, (7,)),
        TensorCommandMessage.computation("torch.cat", None, ([matrix, matrix], 0), {}, (8,)),
        TensorCommandMessage.computation("__getitem__", vector, (slice(0, 2),), {}, (9,)),
        TensorCommandMessage.computation("view", matrix, (torch.Size([16]),), {}, (10,)),
        TensorCommandMessage.computation("type", vector, (torch.float32,), {}, (11,)),
        ObjectMessage(tagged),
        ObjectMessage(parameter),
        ObjectRequestMessage(vector.id_at_location, None, ""),
        ForceObjectDeleteMessage([12, 13]),
        GetShapeMessage(matrix.id_at_location),
        IsNoneMessage(matrix.id_at_location),
        SearchMessage(["#a", "#b"]),
    ]
    return [syft.serde.serialize(message, worker=here) for message in messages]


def main(count: int, seed: int) -> None:
    hook = syft.TorchHook(torch)
    worker = GuardedWorker(hook, "127.0.0.1", 0, "alice", policy="teach")
    real = samples(worker)
    kinds: Counter = Counter()
    unexpected: dict[str, str] = {}
    before = 0
    for number, data in enumerate(mutated(real, count, seed)):
        if number == count // 10:  # what is loaded late is loaded by now
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            worker._read(data)
            kinds["read"] += 1
        except DOCUMENTED as error:
            kinds[type(error).__name__] += 1
        except Exception as error:
            unexpected[type(error).__name__] = f"{error} {data!r}"[:300]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    for data in real:  # and all are still read
        worker._read(data)
    print(json.dumps({"kinds": kinds, "unexpected": unexpected, "grown_kilobytes": grown}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
