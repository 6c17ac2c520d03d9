"""Whatever PySyft can write for the wire, it reads back the same, in both of its formats."""

import numpy as np
import pytest
import syft
import torch
from syft.execution.communication import CommunicationAction
from syft.execution.computation import ComputationAction
from syft.execution.placeholder import PlaceHolder
from syft.execution.placeholder_id import PlaceholderId
from syft.execution.role import Role
from syft.execution.role_assignments import RoleAssignments
from syft.execution.state import State
from syft.execution.type_wrapper import NestedTypeWrapper
from syft.generic.pointers.object_pointer import ObjectPointer
from syft.generic.pointers.object_wrapper import ObjectWrapper
from syft.generic.pointers.pointer_dataset import PointerDataset
from syft.generic.pointers.pointer_plan import PointerPlan
from syft.generic.pointers.pointer_tensor import PointerTensor
from syft.generic.string import String
from syft.messaging import message
from syft.serde.msgpack import serde as msgpack
from syft.serde.protobuf import serde as protobuf

X = torch.tensor([[1.5, -2.0], [0.0, 3.25]])


@pytest.fixture(scope="module")
def workers(hook):
    known = hook.local_worker._known_workers
    return [known.get(name) or syft.VirtualWorker(hook, id=name) for name in ("wire-alice", "wire-bob", "wire-carol")]


def a_plan():
    @syft.func2plan(args_shape=[(2, 2)], state=(torch.tensor([2.0]),))
    def doubled_sum(x, state):
        (two,) = state.read()
        return torch.sum(x * two, dim=0)

    return doubled_sum


def a_protocol():
    @syft.func2protocol(roles=["one", "two"], args_shape={"one": ((2, 2),), "two": ((2, 2),)})
    def added(one, two):
        x = one.load(torch.ones(2, 2))
        y = two.load(torch.ones(2, 2))
        return x + x, y * y

    return added


def an_action():
    return ComputationAction("__add__", PlaceholderId(1), (PlaceholderId(2), 3), {"alpha": 2}, (PlaceholderId(4),))


def a_communication(workers):
    return CommunicationAction("send", PlaceholderId(1), ("wire-bob",), {}, (PlaceholderId(2),))


def a_state():
    return State([PlaceHolder(id=5).instantiate(X.clone()), PlaceHolder(id=6).instantiate(X[0].clone())])


def a_role():
    return Role(
        id="reader",
        actions=[an_action()],
        placeholders={1: PlaceHolder(id=1), 2: PlaceHolder(id=2), 4: PlaceHolder(id=4)},
        input_placeholder_ids=(1, 2),
        output_placeholder_ids=(4,),
    )


def a_pointer(workers):
    return PointerTensor(
        id=11, id_at_location=12, location=workers[0], owner=syft.local_worker, garbage_collect_data=False
    )


def shared(workers, dtype="long"):
    return X.fix_precision(dtype=dtype).share(*workers[:2], crypto_provider=workers[2], dtype=dtype).child


def described(made):
    # PySyft's protobuf format has no room for the lack of a description.
    made.description = "numbers"
    return made


def traced():
    return torch.jit.trace(torch.nn.Linear(2, 1), torch.ones(1, 2))


@torch.jit.script
def scripted(x):
    return x + 2


class Doubling(torch.nn.Module):
    def forward(self, x):
        return x * 2


def attributes(*names):
    return lambda made: [plain(getattr(made, name)) for name in names]


def plain(made):
    """Something that `==` compares."""
    if isinstance(made, torch.Tensor) and not hasattr(made, "child"):
        return made.dtype, made.tolist()
    if isinstance(made, np.ndarray):
        return made.dtype, made.tolist()
    if isinstance(made, (list, tuple)):
        return [plain(each) for each in made]
    if isinstance(made, dict):
        return {key: plain(value) for key, value in made.items()}
    if isinstance(made, PlaceHolder):
        return made.id, made.tags, made.description
    if isinstance(made, (ComputationAction, CommunicationAction)):
        return plain([made.name, made.target, made.args, made.kwargs, made.return_ids, made.return_value])
    if isinstance(made, (syft.workers.abstract.AbstractWorker, PointerTensor)):
        return made.id
    return made


action_of = attributes("action")
pointer = attributes("id", "id_at_location", "location", "point_to_attr")
role = attributes("id", "actions", "input_placeholder_ids", "output_placeholder_ids")

# How each type is made, and what must be the same afterwards.
SAMPLES = {
    # Python's and NumPy's own
    type(None): (lambda _: None, plain),
    dict: (lambda _: {"a": 1, 2: [X, None], "b": {"c": "d"}}, plain),
    list: (lambda _: [1, "two", 3.5, X, [None, True]], plain),
    tuple: (lambda _: (1, ("two", X), b"three"), plain),
    set: (lambda _: {1, "two", 3.5}, plain),
    str: (lambda _: "Ægir 名前", plain),
    range: (lambda _: range(1, 10, 3), plain),
    slice: (lambda _: slice(1, 10, 3), plain),
    type(...): (lambda _: ..., plain),
    type: (lambda _: torch.Tensor, plain),
    np.ndarray: (lambda _: np.array([[1.5, 2.0], [3.0, -4.0]]), plain),
    np.float32: (lambda _: np.float32(1.5), plain),
    np.float64: (lambda _: np.float64(-1.5), plain),
    np.int32: (lambda _: np.int32(7), plain),
    np.int64: (lambda _: np.int64(-(2**60)), plain),
    # PyTorch's
    torch.Tensor: (
        lambda _: X.clone().tag("#x").describe("four numbers"),
        attributes("data", "id", "tags", "description"),
    ),
    torch.nn.Parameter: (lambda _: torch.nn.Parameter(X.clone()), attributes("data", "id", "requires_grad")),
    torch.Size: (lambda _: X.shape, plain),
    torch.device: (lambda _: torch.device("cpu"), plain),
    torch.dtype: (lambda _: torch.float64, plain),
    torch.memory_format: (lambda _: torch.preserve_format, plain),
    torch.jit.ScriptFunction: (lambda _: scripted, lambda made: made(X).tolist()),
    torch.jit.ScriptModule: (lambda _: torch.jit.script(Doubling()), lambda made: made(X).tolist()),
    torch.jit.TopLevelTracedModule: (
        lambda _: traced(),
        lambda made: [each.tolist() for each in made.state_dict().values()],
    ),
    # PySyft's tensors and pointers
    syft.FixedPrecisionTensor: (
        lambda workers: described(shared(workers, "int")),
        lambda made: (
            made.id,
            int(made.field),
            made.dtype,
            made.base,
            made.precision_fractional,
            sorted(made.child.child),
        ),
    ),
    syft.AdditiveSharingTensor: (
        lambda workers: shared(workers).child,
        lambda made: (made.id, made.field, made.dtype, plain(made.crypto_provider), sorted(made.child)),
    ),
    syft.LoggingTensor: (lambda _: syft.LoggingTensor().on(X.clone(), wrap=False), attributes("id", "child")),
    syft.AutogradTensor: (
        lambda _: syft.AutogradTensor().on(X.clone(), wrap=False),
        attributes("id", "child", "requires_grad", "preinitialize_grad"),
    ),
    syft.PrivateTensor: (
        lambda workers: X.clone().private_tensor(allowed_users=["ann"]).child,
        attributes("id", "child", "allowed_users"),
    ),
    syft.MultiPointerTensor: (
        lambda workers: X.clone().send(*workers[:2]).child,
        lambda made: (made.id, {name: (each.id, each.id_at_location) for name, each in made.child.items()}),
    ),
    PointerTensor: (a_pointer, pointer),
    ObjectPointer: (
        lambda workers: ObjectPointer(
            id=21, id_at_location=22, location=workers[0], owner=syft.local_worker, garbage_collect_data=False
        ),
        pointer,
    ),
    PointerPlan: (
        lambda workers: PointerPlan(
            id=31, id_at_location=32, location=workers[0], owner=syft.local_worker, garbage_collect_data=False
        ),
        attributes("id", "id_at_location", "location"),
    ),
    PointerDataset: (
        lambda workers: PointerDataset(
            id=41, id_at_location=42, location=workers[0], owner=syft.local_worker, garbage_collect_data=False
        ),
        attributes("id", "id_at_location", "location"),
    ),
    ObjectWrapper: (lambda _: ObjectWrapper(id=51, obj=[1, 2]), attributes("id", "obj")),
    String: (lambda _: String("names"), lambda made: str(made)),
    syft.BaseDataset: (
        lambda _: syft.BaseDataset(X, X[:, 0], description="names"),
        attributes("id", "data", "targets"),
    ),
    # Plans and protocols
    PlaceHolder: (lambda _: PlaceHolder(id=61, shape=(2, 2), tags={"#in"}, description="input"), plain),
    PlaceholderId: (lambda _: PlaceholderId(62), attributes("value")),
    State: (
        lambda _: a_state(),
        lambda made: [(plain(each), plain(each.child)) for each in made.state_placeholders],
    ),
    Role: (lambda _: a_role(), role),
    RoleAssignments: (
        lambda workers: RoleAssignments(assignments={"one": [workers[0]], "two": workers[1:]}),
        attributes("assignments"),
    ),
    NestedTypeWrapper: (lambda _: NestedTypeWrapper([1, {"a": X}]), attributes("nested_input_types")),
    syft.Plan: (
        lambda _: a_plan(),
        lambda made: (made.id, made.name, made.is_built, role(made.role), made(X).tolist()),
    ),
    syft.Protocol: (
        lambda _: a_protocol(),
        lambda made: (made.id, made.name, {name: role(each) for name, each in made.roles.items()}),
    ),
    ComputationAction: (lambda _: an_action(), plain),
    CommunicationAction: (a_communication, plain),
    # Messages
    message.TensorCommandMessage: (lambda _: message.TensorCommandMessage(an_action()), action_of),
    message.ObjectMessage: (lambda _: message.ObjectMessage(X.clone()), attributes("object")),
    message.ObjectRequestMessage: (
        lambda _: message.ObjectRequestMessage(71, None, "a look"),
        attributes("object_id", "user", "reason"),
    ),
    message.IsNoneMessage: (lambda _: message.IsNoneMessage(72), attributes("object_id")),
    message.GetShapeMessage: (lambda _: message.GetShapeMessage(73), attributes("tensor_id")),
    message.ForceObjectDeleteMessage: (lambda _: message.ForceObjectDeleteMessage([74, 75]), attributes("object_ids")),
    message.SearchMessage: (lambda _: message.SearchMessage(["#names", "#x"]), attributes("query")),
    message.PlanCommandMessage: (
        lambda _: message.PlanCommandMessage("fetch_plan", (76, True)),
        attributes("command_name", "args"),
    ),
    message.WorkerCommandMessage: (
        lambda _: message.WorkerCommandMessage("search", (("#x",), {"a": 1}, [77])),
        attributes("command_name", "message"),
    ),
}

# Written as something else on purpose, made with a package that PiSyft does not need, or tested where they belong.
ELSEWHERE = {
    "CryptenInitJail": "crypten does not install",
    "CryptenInitPlan": "crypten does not install",
    "DataCentricFLClient": "a client of PyGrid, which is no more",
    "ModelCentricFLClient": "a client of PyGrid, which is no more",
    "EmptyCryptoPrimitiveStoreError": "errors: below",
    "GetNotPermittedError": "errors: below",
    "ResponseSignatureError": "errors: below",
    "GradFunc": "gradients: below",
    "PaillierTensor": "needs phe",
    "OnnxModel": "needs onnx and crypten",
    "VirtualWorker": "workers: below",
    "Operation": "PiSyft's own: tests/transport/test_operation.py",
    "WebsocketClientWorker": "tests/transport",
}


# PyTorch's loader makes one kind of all, on PyTorch 1.4 as well.
READ_AS = dict.fromkeys((torch.jit.ScriptFunction, torch.jit.TopLevelTracedModule), torch.jit.RecursiveScriptModule)


def through_msgpack(made):
    return syft.serde.deserialize(syft.serde.serialize(made, syft.local_worker), syft.local_worker)


def through_protobuf(made):
    packed = protobuf._bufferize(syft.local_worker, made)
    read = type(packed)()
    read.ParseFromString(packed.SerializeToString())
    return protobuf._unbufferize(syft.local_worker, read)


@pytest.mark.parametrize("kind", SAMPLES, ids=lambda kind: kind.__name__)
def test_msgpack_reads_what_it_has_written(kind, workers):
    make, look = SAMPLES[kind]
    made = make(workers)
    expected = look(made)
    again = through_msgpack(made)
    assert type(again) is READ_AS.get(kind, type(made))
    assert look(again) == expected


def bufferized():
    return [kind for kind in SAMPLES if kind in protobuf.protobuf_global_state.bufferizers]


@pytest.mark.parametrize("kind", bufferized(), ids=lambda kind: kind.__name__)
def test_protobuf_reads_what_it_has_written(kind, workers):
    make, look = SAMPLES[kind]
    made = make(workers)
    expected = look(made)
    again = through_protobuf(made)
    assert type(again) is READ_AS.get(kind, type(made))
    assert look(again) == expected


def test_every_type_is_here_or_somewhere_else(workers):
    known = {kind.__name__ for kind in SAMPLES} | ELSEWHERE.keys()
    assert {kind.__name__ for kind in msgpack.msgpack_global_state.simplifiers} <= known
    assert {kind.__name__ for kind in protobuf.protobuf_global_state.bufferizers} <= known


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.int64, torch.int32, torch.uint8, torch.bool], ids=str
)
@pytest.mark.parametrize("through", [through_msgpack, through_protobuf])
def test_tensors_of_any_type_and_shape(through, dtype):
    for tensor in (torch.tensor([[1, 0], [1, 1]]).to(dtype), torch.empty(0, 3).to(dtype), torch.tensor(1).to(dtype)):
        again = through(tensor)
        assert again.dtype == dtype and again.shape == tensor.shape and again.tolist() == tensor.tolist()


def test_parts_of_tensors_travel_without_the_rest():
    whole = torch.arange(12).reshape(3, 4)
    for part in (whole[1:, 2], whole[:1, 1], whole.t(), whole[::2, ::3]):
        assert through_msgpack(part).tolist() == part.tolist()


def test_gradients_travel_with_their_tensor():
    tensor = X.clone().requires_grad_()
    (tensor**2).sum().backward()
    again = through_msgpack(tensor)
    assert again.requires_grad and again.grad.tolist() == tensor.grad.tolist()


@pytest.mark.parametrize("dtype", ["long", "int"])
def test_shares_add_up_again_after_the_wire(workers, dtype):
    assert through_msgpack(shared(workers, dtype)).get().float_precision().tolist() == X.tolist()


def test_fixed_precision_keeps_its_numbers():
    again = through_msgpack(X.fix_precision(dtype="int", precision_fractional=4))
    assert again.child.child.dtype == torch.int32 and again.float_precision().tolist() == X.tolist()


def test_who_asks_for_an_object_is_told_by_msgpack():
    assert through_msgpack(message.ObjectRequestMessage(71, "ann", "a look")).user == "ann"


def test_a_worker_is_read_as_the_one_that_is_known(workers):
    assert through_msgpack(workers[0]) is workers[0]


def test_errors_are_read_as_the_errors_they_were():
    for error in (syft.exceptions.GetNotPermittedError("no"), syft.exceptions.ResponseSignatureError()):
        try:
            raise error
        except type(error) as raised:
            packed = syft.serde.serialize(raised, syft.local_worker)
        with pytest.raises(type(error)):
            syft.serde.deserialize(packed, syft.local_worker)


def test_a_plan_runs_where_it_is_sent(workers):
    sent = a_plan().send(workers[0])
    assert sent(X.clone().send(workers[0])).get().tolist() == (2 * X).sum(0).tolist()


def test_a_plan_is_translated_to_torchscript():
    plan = a_plan()
    plan.add_translation(syft.execution.translation.torchscript.PlanTranslatorTorchscript)
    assert plan.torchscript(X, [torch.tensor([2.0])]).tolist() == (2 * X).sum(0).tolist()
    assert through_protobuf(plan).torchscript(X, [torch.tensor([2.0])]).tolist() == (2 * X).sum(0).tolist()


def test_a_module_plan_keeps_its_parameters(workers):
    class Net(syft.Plan):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(2, 1)

        def forward(self, x):
            return self.layer(x)

    net = Net()
    net.build(X)
    expected = net(X).tolist()
    assert through_msgpack(net)(X).tolist() == expected
    assert net.send(workers[0])(X.clone().send(workers[0])).get().tolist() == expected
