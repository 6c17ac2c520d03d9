"""Attacks that want code to run: no pickle, no code on the wire.

One test reads the source of everything that makes objects of what a socket gives; the others plant a payload of each
kind in each place, and look whether it has run.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import struct
import types
from pathlib import Path

import msgpack
import numpy as np
import pytest
import syft
import torch
from syft.exceptions import GetNotPermittedError
from syft.messaging.message import ObjectMessage, PlanCommandMessage, TensorCommandMessage, WorkerCommandMessage
from syft.serde.msgpack import serde

import pisyft
from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import Request
from tests.attacks.attacker import Written, code_of, text
from tests.helpers import run_python

FORBIDDEN = {
    *("eval", "exec", "compile", "__import__", "torch.load", "torch.jit.load", "torch.save", "pickle.loads"),
    *("pickle.load", "dill.loads", "marshal.loads", "importlib.import_module", "pydoc.locate", "torch.hub.load"),
    *("shelve.open", "joblib.load", "yaml.load", "jsonpickle.decode", "numpy.save", "os.system"),
}
NO_CODE_IN = ("pickle", "dill", "marshal", "cloudpickle", "joblib", "pydoc", "importlib", "shelve", "runpy")


def calls_in(source: str) -> set[str]:
    """The dotted names of what a piece of Python calls, and the modules it imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            found.add(ast.unparse(node.func))
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


READERS = """
import inspect, json, textwrap
import pisyft, syft, torch
syft.TorchHook(torch)
from pisyft.privacy import GuardedWorker, reading
from syft.serde.msgpack import serde
GuardedWorker(syft.local_worker.hook, "127.0.0.1", 0, "alice")
readers = {}
waiting = list(serde.msgpack_global_state.detailers.values())
while waiting:
    reader = waiting.pop()
    reader = inspect.unwrap(reader)
    name = f"{reader.__module__}.{reader.__qualname__}"
    if name in readers:
        continue
    readers[name] = textwrap.dedent(inspect.getsource(reader))
    # What it calls, as far as it is a function of PySyft's or PiSyft's that its module knows by name.
    for called in reader.__code__.co_names:
        each = reader.__globals__.get(called)
        if inspect.isfunction(each) and each.__module__.split(".")[0] in ("syft", "pisyft"):
            waiting.append(each)
print(json.dumps({"codes": sorted(serde.msgpack_global_state.detailers), "readers": readers}))
"""


@pytest.fixture(scope="module")
def readers() -> dict:
    """What a guarded worker's process makes objects with: the codes, and the source of each function."""
    done = run_python("-c", READERS)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_every_reader_of_messages_makes_plain_objects(readers):
    """PySyft's detailers that a guarded worker has left, and what they call."""
    assert len(readers["codes"]) == 23, "whoever adds one looks at what it makes"
    for name, source in readers["readers"].items():
        called = calls_in(source)
        assert not called & FORBIDDEN, name
        assert not {each for each in called if each.split(".")[0] in NO_CODE_IN}, name


@pytest.mark.parametrize("kind", [torch.jit.ScriptModule, syft.Plan, syft.Protocol, type, np.ndarray])
def test_kinds_that_bring_code_along_have_no_reader(readers, kind):
    """Plans, protocols, TorchScript, types and arrays of a dtype that is named."""
    assert code_of(kind) not in readers["codes"]


def test_no_module_of_pisyft_knows_how_to_run_what_it_reads():
    """Over all of the package's source: `eval` and its like are called nowhere, and NumPy is never told to unpickle."""
    folder = Path(pisyft.__file__).parent
    allowed = {"importlib", "importlib.util", "importlib.abc", "importlib.machinery", "importlib.metadata", "compile"}
    for file in folder.rglob("*.py"):
        source = file.read_text(encoding="utf-8")
        called = calls_in(source)
        of_interest = called & (FORBIDDEN | set(NO_CODE_IN)) - allowed
        if "importlib.import_module" in of_interest and file.is_relative_to(folder / "compat"):
            of_interest.discard("importlib.import_module")  # repairs name PySyft's modules
        if file.parent.name in ("transport", "privacy", "aggregation") or file.name in ("release.py", "participant.py"):
            assert not of_interest, file
        assert "allow_pickle=True" not in source, file
        assert not called & {"eval", "exec", "pickle.loads", "pickle.load", "torch.load", "dill.loads"}, file


# Payloads


class Evil:
    """A pickle of it writes a file when it is read."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self):
        return Path.write_text, (self.file, "code was run")


def payloads(mark: Path) -> dict[str, bytes]:
    """Bytes of each kind that would write the file `mark`, if anything made an object of them."""
    pickled = pickle.dumps(Evil(mark))
    saved, arrays, archive = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"evil": types.SimpleNamespace()}, saved)
    legacy = saved.getvalue().replace(b"types", b"posix")
    np.save(arrays, np.array([Evil(mark)], dtype=object), allow_pickle=True)
    np.savez(archive, weights=np.array([Evil(mark)], dtype=object))
    scripted = torch.jit.trace(torch.nn.functional.relu, torch.ones(1)).save_to_buffer()
    return {
        "pickle": pickled,
        "torch.save": legacy,
        "npy": arrays.getvalue(),
        "npz": archive.getvalue(),
        "torchscript": scripted,
        "python": f"__import__('pathlib').Path({str(mark)!r}).write_text('x')".encode(),
    }


KINDS = ("pickle", "torch.save", "npy", "npz", "torchscript", "python")


@pytest.fixture
def mark(tmp_path):
    """A file that no payload has written, at the end."""
    file = tmp_path / "code-was-run"
    assert pickle.loads(pickle.dumps(Evil(tmp_path / "works"))) and (tmp_path / "works").exists(), "it would work"
    yield file
    assert not file.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_a_payload_in_every_place(anybody, mark, kind):
    """Wants an object made of bytes, wherever bytes go: in messages, tensors, arguments, arrays, releases, shares."""
    payload = payloads(mark)[kind]
    attempts = [
        lambda: anybody.ask_bytes(payload),
        lambda: anybody.ask_bytes(b"(" + payload),
        lambda: anybody.ask_bytes(b")" + payload),
        lambda: anybody.ask(payload),
        lambda: anybody.ask((code_of(torch.jit.ScriptModule), (payload,))),
        lambda: anybody.ask((code_of(type), payload)),
        lambda: anybody.put(torch.zeros(1), bytes=payload),
        lambda: anybody.put(torch.zeros(1), bytes=payload, serializer=text("numpy")),
        lambda: anybody.put(torch.zeros(1), bytes=(6, (payload, text("x"), text("y"))), serializer=text("all")),
        lambda: anybody.op("torch.load", None, payload),
        lambda: anybody.op("clone", None, Written((code_of(torch.jit.ScriptModule), (payload,)))),
        lambda: anybody.call("evaluate", weights=payload),
        lambda: anybody.call("evaluate", weights=np.frombuffer(payload, np.uint8)),
        lambda: anybody.call("fit", round="0" * 32, model="tutorial", weights=payload, settings={"optimizer": payload}),
        lambda: anybody.call("release", step="stage", card={}, weights=payload, signer=payload, signature=payload),
        lambda: anybody.call("aggregate", round="0" * 32, step="join", message={"agreement": payload}),
    ]
    for attempt in attempts:
        with pytest.raises(Exception) as caught:
            attempt()
        assert "Traceback" not in str(caught.value)
        assert not isinstance(caught.value, AssertionError), caught.value


@pytest.mark.parametrize("code", [-1, 0, 1, 5, 42, 127])
def test_extension_types_of_msgpack(anybody, mark, code):
    """Wants an extension type unpacked: of all codes, one is an array of numbers."""
    data = payloads(mark)["pickle"]
    header = struct.pack("<BBQ", 255, 1, len(data))
    for value in (data, header + data, b"\x0b\x00" + data, b""):
        argument = msgpack.packb({"weights": msgpack.ExtType(code, value)}) if code >= 0 else b"\xd6\xff" + bytes(4)
        frame = msgpack.packb([7, next(anybody.numbers), "evaluate", argument])
        anybody.send(frame)
        assert type(anybody.receive()).__name__ == "Failure"


@pytest.mark.parametrize("dtype", ["O", "object", "V8", "U10", "M8[s]", "complex128"])
def test_arrays_of_objects(anybody, dtype):
    """Wants an array of Python objects. NumPy's dtypes have no names here, and PySyft's arrays are not read."""
    written = (code_of(np.ndarray), (bytes(16), (code_of(tuple), (1,)), text(dtype)))
    with pytest.raises((GetNotPermittedError, ProtocolError)):
        anybody.op("torch.add", None, anybody.put(torch.zeros(1)), Written(written))


def test_every_kind_of_object_that_pysyft_knows(anybody):
    """Wants any of PySyft's sixty kinds read that is not on the list; each is refused by its number alone."""
    state = serde.msgpack_global_state
    known = {code for code, _ in state.simplifiers.values()} | {64, 9999, -1, 2**40}
    for code in sorted(known):
        with pytest.raises((GetNotPermittedError, ProtocolError, LookupError, TypeError, ValueError)):
            anybody.ask((code, (b"x", b"y")))


@pytest.mark.parametrize("name", ["antigravity", "this", "os.system", "pisyft.cli.worker", "builtins.eval"])
def test_a_type_that_has_to_be_imported(anybody, name):
    """Wants a module imported, which runs it."""
    with pytest.raises((GetNotPermittedError, ProtocolError)):
        anybody.op("type", anybody.put(torch.zeros(1)), Written((code_of(type), name.encode())))


@pytest.fixture(scope="module")
def plan(hook) -> syft.Plan:
    """Operations that a worker that had it would execute, as often as somebody asks."""

    @syft.func2plan(args_shape=[(1,)])
    def double(x):
        return x + x

    return double


@pytest.mark.parametrize(
    "message",
    [
        lambda plan: ObjectMessage(plan),
        lambda plan: PlanCommandMessage("fetch_plan", (plan.id, False)),
        lambda plan: PlanCommandMessage("run", (plan.id, (), 7)),
        lambda plan: WorkerCommandMessage("register_obj", ((plan,), {}, (7,))),
        lambda plan: TensorCommandMessage.computation("__call__", plan, (), {}, (7,)),
        lambda plan: TensorCommandMessage.communication("send", plan, ("alice",), {}, (7,)),
        lambda plan: plan,
        lambda plan: plan.role,
    ],
)
def test_a_plan(anybody, plan, message):
    """Wants code on the worker, as PySyft's own messages bring it: a plan is a list of operations to be executed."""
    with pytest.raises((GetNotPermittedError, ProtocolError)):
        anybody.ask_bytes(syft.serde.serialize(message(plan), worker=syft.local_worker))


def test_commands_of_the_worker(anybody):
    """Wants a method of the worker called by name, as PySyft's clients do it."""
    for name in ("list_tensors", "clear_objects", "load_data", "__init__", "stop", "own"):
        with pytest.raises(GetNotPermittedError):
            anybody.ask((53, (text(name), (code_of(tuple), ((code_of(tuple), ()), (code_of(dict), ()), None)))))


def test_frames_within_frames(anybody):
    """Wants a batch of batches, to have more executed than is counted."""
    inner = msgpack.packb([6, [msgpack.packb([6, []])]])
    anybody.send(msgpack.packb([6, [inner]]))
    with pytest.raises(Exception, match="unexpected Batch|1002|closed|received"):
        anybody.exchange(Request(next(anybody.numbers), True, (), (), b""))
