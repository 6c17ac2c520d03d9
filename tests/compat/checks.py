"""What PySyft must do, one check for each repair: it passes with all of them and fails without its own.

`test_repairs.py` runs each check in two fresh processes that have imported PyTorch but not PySyft. A check that must
prepare something before PySyft is imported is a generator: what comes before its `yield` runs first.
"""

import contextlib
import io
import subprocess
import sys
import warnings

import torch

CHECKS = {}
switched_off: tuple[str, ...] = ()
"""The repairs that are off where the check runs; `run_checks.py` sets it."""


def check(function):
    CHECKS[function.__name__] = function
    return function


def hooked():
    """PySyft with its hook made, and three workers in this process."""
    import syft

    hook = syft.hook if hasattr(torch, "torch_hooked") else syft.TorchHook(torch)
    known = hook.local_worker._known_workers
    return syft, [known.get(name) or syft.VirtualWorker(hook, id=name) for name in ("alice", "bob", "carol")]


def hide(*modules):
    """As if none of the modules were installed."""
    for name in modules:
        sys.modules[name] = None


def shared(syft, numbers, workers, **options):
    alice, bob, carol = workers
    return torch.tensor(numbers).fix_precision().share(alice, bob, crypto_provider=carol, **options)


def train(model, optimizer, inputs, targets, steps=3):
    for _ in range(steps):
        optimizer.zero_grad()
        ((model(inputs) - targets) ** 2).sum().backward()
        optimizer.step()


def trained_here_and_there(make_optimizer, **send):
    """The weights of one model, trained on this machine and by pointer on a worker."""
    _, (alice, *_) = hooked()
    torch.manual_seed(1)
    here = torch.nn.Linear(2, 1)
    there = here.copy().send(alice, **send)
    inputs, targets = torch.tensor([[0.0, 1.0], [1.0, 1.0]]), torch.tensor([[0.0], [1.0]])
    train(here, make_optimizer(here.parameters()), inputs, targets)
    train(there, make_optimizer(there.parameters()), inputs.send(alice, **send), targets.send(alice, **send))
    return here.weight.data, there.weight.copy().get().data


# Before the import


@check
def torch_six():
    hide("torch._six")
    yield
    hooked()


@check
def packaging_modules():
    hide("pkg_resources", "distutils", "distutils.version")
    yield
    hooked()


@check
def packaging_modules_done():
    hooked()
    import pkg_resources

    # The one that is installed, or that in the folder of this name beside this file.
    assert "stand-in" not in pkg_resources.__doc__


@check
def shaloop():
    hide("shaloop")
    yield
    syft, workers = hooked()
    x = shared(syft, [1.0, -1.0], workers, protocol="fss")
    assert ((x >= 0).get().float_precision() == torch.tensor([1.0, 0.0])).all()


@check
def optional_packages():
    hide("aiortc", "pythreepio", "phe", "psutil", "requests", "requests_toolbelt", "websocket", "websocket._exceptions")
    yield
    hooked()
    from syft.frameworks.torch.he.paillier import keygen

    try:
        keygen()
    except ModuleNotFoundError as error:
        assert "pip install phe" in str(error)
    else:
        raise AssertionError("a package that is missing was used without a word")


@check
def numpy_bool():
    import numpy as np

    with contextlib.suppress(AttributeError):
        del np.bool
    yield
    syft, workers = hooked()
    x = shared(syft, [1.0, -1.0], workers, protocol="fss")
    assert ((x >= 0).get().float_precision() == torch.tensor([1.0, 0.0])).all()


@check
def generated_code():
    hooked()


@check
def map_entries():
    syft, _ = hooked()
    plan = syft.func2plan(args_shape=[(2,)])(lambda x: torch.sum(x, dim=0))
    plan.build(torch.ones(2))
    again = _through_protobuf(syft, plan)
    assert (again(torch.tensor([1.0, 2.0])) == 3).all()


@check
def extend_by_none():
    syft, _ = hooked()
    tensor = torch.tensor([1.0, 2.0])
    assert (_through_protobuf(syft, tensor) == tensor).all()


def _through_protobuf(syft, obj):
    from syft.serde.protobuf import serde

    return serde._unbufferize(syft.local_worker, serde._bufferize(syft.local_worker, obj))


@check
def websocket_annotations():
    warnings.simplefilter("error", DeprecationWarning)
    yield
    import syft  # noqa: F401


@check
def websocket_annotations_done():
    import syft  # noqa: F401
    import websockets

    assert "WebSocketCommonProtocol" not in vars(websockets)


@check
def script_classes():
    syft, _ = hooked()
    traced, x = torch.jit.trace(torch.nn.Linear(2, 1), torch.ones(1, 2)), torch.ones(1, 2)
    again = syft.serde.deserialize(syft.serde.serialize(traced, syft.local_worker), syft.local_worker)
    assert again(x) == traced(x)


# Numbers


@check
def object_ids():
    import random

    import syft

    random.seed(0)
    first = syft.ID_PROVIDER.pop()
    random.seed(0)
    assert syft.ID_PROVIDER.pop() != first
    for _ in range(20_000):
        syft.ID_PROVIDER.pop()
    assert len(syft.ID_PROVIDER.generated) <= 10_000


@check
def fixed_precision_division():
    hooked()
    x = torch.tensor([1.5, -2.0]).fix_precision()
    assert (x * x).child.child.dtype == torch.int64
    assert ((x * x).float_precision() == torch.tensor([2.25, 4.0])).all()


@check
def share_division():
    syft, workers = hooked()
    product = shared(syft, [1.5, -2.0], workers) * shared(syft, [2.0, 2.0], workers)
    assert torch.allclose(product.get().float_precision(), torch.tensor([3.0, -4.0]), atol=2e-3)


@check
def floor_division():
    syft, workers = hooked()
    quotients = [(shared(syft, [17.0], workers) // 4).get().float_precision() for _ in range(20)]
    assert all(quotient == 4.25 for quotient in quotients)
    assert (torch.tensor([-0.001]).fix_precision() // 2).float_precision() == 0


@check
def means():
    syft, workers = hooked()
    x = torch.tensor([[1.0, 2.0], [5.0, 10.0]])
    for made in (x.fix_precision(), shared(syft, x.tolist(), workers)):
        for mean in (made.mean(1), torch.mean(made, dim=1), torch.mean(made, -1)):
            opened = mean.get() if isinstance(mean.child.child, syft.AdditiveSharingTensor) else mean
            assert torch.allclose(opened.float_precision(), x.mean(1), atol=2e-3)


@check
def equality_without_squares():
    _, workers = hooked()
    alice, bob, carol = workers
    numbers = (torch.full((20,), number).fix_precision(dtype="int") for number in (0.0, 19.991))
    x, y = (number.share(alice, bob, crypto_provider=carol) for number in numbers)
    assert not (x == y).get().float_precision().any()
    assert (x == x.copy()).get().float_precision().all()


@check
def maximum_of_nothing():
    syft, workers = hooked()
    for name in ("max", "argmax"):
        try:
            getattr(shared(syft, [], workers), name)()
        except RuntimeError as error:
            assert "no numbers to choose among" in str(error)
        else:
            raise AssertionError(f"the {name} of no numbers is something")


@check
def maximum_of_equals():
    syft, workers = hooked()
    assert shared(syft, [3.0, 1.0, 3.0], workers).max().get().float_precision() == 3
    assert shared(syft, [1.0, 3.0, 3.0], workers).argmax().get().float_precision() == 1
    rows = shared(syft, [[2.0, 2.0], [-1.0, 0.0]], workers)
    assert rows.max(dim=1).get().float_precision().tolist() == [2.0, 0.0]


@check
def comparisons():
    syft, workers = hooked()
    x, y = torch.tensor([1.5, -2.0, 3.0]), torch.tensor([1.0, 2.0, 3.0])
    expected = torch.tensor([1.0, 0.0, 0.0])
    assert (x.fix_precision().gt(y.fix_precision()).float_precision() == expected).all()
    assert ((x.fix_precision() > 1).float_precision() == (x > 1).float()).all()
    assert ((shared(syft, x.tolist(), workers) > y.fix_precision()).get().float_precision() == expected).all()


@check
def public_times_shared():
    syft, workers = hooked()
    x, y = [[1.0, 2.0]], [[3.0], [4.0]]
    product = torch.tensor(x).fix_precision() @ shared(syft, y, workers)
    assert torch.allclose(product.get().float_precision(), torch.tensor([[11.0]]), atol=2e-3)


@check
def public_divisors():
    syft, workers = hooked()
    quotient = shared(syft, [3.0, 8.0], workers) / torch.tensor([2, -4])
    assert torch.allclose(quotient.get().float_precision(), torch.tensor([1.5, -2.0]), atol=2e-3)


@check
def sums_of_small_integers():
    _, workers = hooked()
    x = torch.tensor([1.0, 3.0, -2.0]).fix_precision(dtype="int").share(*workers[:2], crypto_provider=workers[2])
    assert x.max().get().float_precision() == 3


@check
def truncation_in_32_bits():
    _, (alice, bob, carol) = hooked()

    def tens():
        x = torch.full((1000,), 10.0).fix_precision(dtype="int")
        return x.share(alice, bob, crypto_provider=carol)

    for product in (tens() * tens(), tens() * torch.full((1000,), 10.0).fix_precision(dtype="int")):
        assert torch.allclose(product.get().float_precision(), torch.full((1000,), 100.0), atol=2e-3)
    assert torch.allclose((tens() / -3).get().float_precision(), torch.full((1000,), -10 / 3), atol=2e-3)


@check
def products_that_fit():
    hooked()
    large, small = torch.tensor([60.0]).fix_precision(dtype="int"), torch.tensor([30.0]).fix_precision(dtype="int")
    assert (large * small).float_precision() == 1800
    for too_large in (lambda: large * large, lambda: large @ large, lambda: (small * large * 2) / small):
        _refused(too_large, OverflowError)
    five_digits = torch.tensor([0.5]).fix_precision(dtype="int", precision_fractional=5)
    _refused(lambda: five_digits * five_digits, OverflowError)


@check
def truncation_by_two():
    _, workers = hooked()
    x = torch.tensor([1.0]).fix_precision().share(*workers)
    _refused(lambda: x / 2, NotImplementedError)
    assert (x + x).get().float_precision() == 2


@check
def log_without_shares():
    hooked()
    x = torch.tensor([2.0]).fix_precision(precision_fractional=5)
    assert torch.allclose(x.log().float_precision(), torch.tensor([2.0]).log(), atol=0.02)


@check
def tanh_of_any_shape():
    hooked()
    x = torch.tensor([[1.0, -2.0], [0.5, 0.0]])
    tanh = x.fix_precision(precision_fractional=5).tanh().float_precision()
    assert tanh.shape == x.shape and torch.allclose(tanh, x.tanh(), atol=0.01)


@check
def unknown_methods():
    syft, workers = hooked()
    x = torch.tensor([1.5, -2.0])
    assert torch.allclose(x.fix_precision().square().float_precision(), x.square(), atol=2e-3)
    for name in ("sqrt", "prod", "cos"):
        _refused(lambda: getattr(x.fix_precision(), name)(), NotImplementedError)  # noqa: B023
        _refused(lambda: getattr(shared(syft, x.tolist(), workers), name)(), NotImplementedError)  # noqa: B023


@check
def unknown_functions():
    syft, workers = hooked()
    assert (torch.relu(shared(syft, [1.5, -2.0], workers)).get().float_precision() == torch.tensor([1.5, 0.0])).all()
    assert torch.argmax(torch.tensor([1.0, 3.0]).fix_precision()).float_precision() == 1
    _refused(lambda: torch.sqrt(torch.tensor([4.0]).fix_precision()), NotImplementedError)


def _refused(action, error):
    try:
        action()
    except error:
        return
    raise AssertionError(f"{error.__name__} was not raised")


@check
def bit_decomposition():
    hooked()
    from syft.frameworks.torch.mpc.securenn import decompose

    assert decompose(torch.tensor([6]), 2**64)[0, :4].tolist() == [0, 1, 1, 0]


@check
def sign_of_unsigned_integers():
    syft, workers = hooked()
    x, y = (shared(syft, [1.0, 2.0], workers, protocol="fss") for _ in range(2))
    assert ((x == y).get().float_precision() == 1).all()


@check
def average_pooling():
    hooked()
    from syft.frameworks.torch.nn.pool import AvgPool2d

    images = torch.rand(64, 8, 6, 6) - 0.5
    assert (AvgPool2d(3)(images) == torch.nn.AvgPool2d(3)(images)).all()


@check
def alpha_of_fixed_precision():
    hooked()
    x, one = torch.tensor([1.0]).fix_precision().child, torch.tensor([1.0]).fix_precision().child
    x.add_(one, alpha=torch.tensor(0.5).fix_precision().child)
    assert x.float_precision() == 1.5


# Randomness


def _same_twice(draw):
    import numpy as np

    results = []
    for _ in range(2):
        torch.manual_seed(0)
        np.random.seed(0)
        results.append(draw())
    return results[0] == results[1]


@check
def additive_shares():
    _, workers = hooked()

    def draw():
        x = torch.tensor([1]).share(*workers[:2])
        return x.child.child["alice"].copy().get().tolist()

    assert not _same_twice(draw)


@check
def beaver_triples():
    hooked()
    from syft.frameworks.torch.mpc.beaver import build_triple

    def draw():
        size = torch.Size([1])
        first, second = build_triple("mul", (size, size), 2, 1, torch.int64, 2**64)
        assert (first[0] + second[0]) * (first[1] + second[1]) == first[2] + second[2]
        return (first[0] + second[0]).tolist()

    assert not _same_twice(draw)


@check
def function_secret_sharing_keys():
    hooked()
    from syft.frameworks.torch.mpc import fss

    assert not _same_twice(lambda: fss.DPF.keygen(n_values=2)[0].tolist())


@check
def replicated_shares():
    _, workers = hooked()
    shares = [torch.tensor([1] * 64).share(*workers, protocol="falcon", field=2).retrieve_shares() for _ in range(2)]
    assert any(0 < share.sum() < 64 for share in shares[0])
    x, y = (torch.tensor([0, 1, 1] * 20).share(*workers, protocol="falcon", field=2) for _ in range(2))
    assert (x + y).reconstruct().sum() == 0
    assert not _same_twice(lambda: torch.tensor([5]).share(*workers, protocol="falcon").retrieve_shares()[0].tolist())


@check
def securenn_masks():
    _, workers = hooked()
    from syft.frameworks.torch.mpc import securenn

    def draw():
        number = securenn._random_common_value(2**64, *workers[:2])
        first, second = (pointer.get() for pointer in number.child.values())
        assert first == second
        return first.tolist()

    assert not _same_twice(draw)
    # One number in two of this size was compared wrongly.
    large = torch.tensor([2**59, -(2**59)] * 20).share(*workers[:2], crypto_provider=workers[2])
    assert ((large >= 0).get() == torch.tensor([1, 0] * 20)).all()


@check
def shares_of_zero():
    _, workers = hooked()
    from syft.frameworks.torch.mpc.przs import PRZS, gen_alpha_3of3

    def draw():
        PRZS.setup(workers)
        parts = [gen_alpha_3of3(worker).get() for worker in workers]
        assert sum(parts) == 0
        return parts[0].tolist()

    assert not _same_twice(draw)


@check
def masks_of_norms():
    _, workers = hooked()

    def draw():
        mask = torch.LongTensor([0]).fix_precision().share(*workers[:2], crypto_provider=workers[2]).random_(0, 2**30)
        shares = [share.copy().get() for share in mask.child.child.child.values()]
        assert all(0 <= share < 2**30 for share in shares)
        return shares

    assert not _same_twice(draw)


# Pointers


@check
def pointers_at_exit():
    program = """
from pisyft import compat
compat.enable(except_for={except_for!r})
import syft, torch
alice = syft.VirtualWorker(syft.TorchHook(torch), id="alice")
syft.kept_to_the_end = torch.tensor([1.0]).send(alice)
"""
    command = [sys.executable, "-c", program.format(except_for=switched_off)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and not done.stderr, done.stderr


@check
def pointers_to_plans():
    syft, (alice, bob, _) = hooked()
    problems = []
    sys.unraisablehook = problems.append

    def objects():
        return len(alice.object_store.current_objects())

    syft.local_worker.object_store.trash_capacity = 0
    before = objects()
    plan = syft.func2plan(args_shape=[(1,)])(lambda x: x + 1)
    to_both = plan.send(alice, bob)
    assert objects() > before
    del to_both
    assert plan.send(alice)(torch.tensor([1.0]).send(alice)).get() == 2
    pointer = syft.PointerPlan(location=alice, id_at_location=plan.send(alice).id_at_location)
    with_plan = objects()
    del pointer
    assert objects() < with_plan
    assert not problems, problems


@check
def workers_made_again():
    syft, workers = hooked()
    shared(syft, [1.0], workers) * shared(syft, [1.0], workers)
    again = [syft.VirtualWorker(syft.hook, id=worker.id) for worker in workers]
    product = shared(syft, [3.0], again) * shared(syft, [2.0], again)
    assert torch.allclose(product.get().float_precision(), torch.tensor([6.0]), atol=2e-3)


@check
def workers_without_a_hook():
    import syft

    worker = syft.workers.websocket_server.WebsocketServerWorker(None, "127.0.0.1", 0, id="unhooked")
    assert worker.id == "unhooked" and worker.hook is None


@check
def tensors_by_keyword():
    here, there = trained_here_and_there(lambda parameters: torch.optim.Adamax(parameters, lr=0.1))
    assert torch.allclose(here, there, atol=1e-5)


@check
def returned_arguments():
    _, (alice, *_) = hooked()
    pointer = torch.tensor([1.0, 2.0]).send(alice)
    same = pointer.conj()
    assert (same.get() == pointer.get()).all()


@check
def remembered_signatures():
    _, (alice, *_) = hooked()
    x, y, bias = torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([10.0])
    linear = torch.nn.functional.linear
    assert linear(x.send(alice), y.send(alice)).get() == 11
    assert linear(x.send(alice), y.send(alice), bias.send(alice)).get() == 21
    assert x.send(alice).max().get() == 2
    assert x.send(alice).max(1)[1].get() == 1


@check
def errors_of_is_none():
    _, (alice, *_) = hooked()
    pointer = torch.tensor([1.0], requires_grad=True).send(alice)
    pointer.child.garbage_collect_data = False
    alice._recv_msg = _connection_lost
    try:
        pointer.child.is_none()
    except ConnectionError:
        return
    raise AssertionError("a lost connection looks like None")


def _connection_lost(message):
    raise ConnectionError("lost")


@check
def process_pools():
    syft, workers = hooked()
    import multiprocessing

    multiprocessing.Pool = _no_pool
    x, y = shared(syft, [[1.0, 2.0]], workers), shared(syft, [[3.0], [4.0]], workers)
    assert torch.allclose((x @ y).get().float_precision(), torch.tensor([[11.0]]), atol=1e-2)
    assert syft.pool().map(abs, [-1, 2]) == [1, 2]


def _no_pool(*args, **kwargs):
    raise AssertionError("a process was forked")


@check
def field_of_shares():
    syft, workers = hooked()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        shared(syft, [1.0], workers) * shared(syft, [1.0], workers)


# Tensors


@check
def tensor_serialization():
    syft, (alice, *_) = hooked()
    for dtype in (torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8, torch.bool, torch.float16):
        tensor = torch.tensor([[1, 0], [1, 1]]).to(dtype)
        assert (tensor.send(alice).get() == tensor).all()
        assert b"data.pkl" not in syft.serde.serialize(tensor, syft.local_worker)
    empty = torch.empty(0, 3)
    assert empty.send(alice).get().shape == (0, 3)


@check
def pickled_attributes():
    _, (alice, *_) = hooked()
    model = torch.nn.Linear(2, 1)
    model.send(alice)
    model.get()
    tensor = torch.tensor([1.0, 2.0]).tag("names")
    file = io.BytesIO()
    torch.save([tensor, model.state_dict()], file)
    file.seek(0)
    loaded, state = torch.load(file)
    assert (loaded == tensor).all() and state.keys() == model.state_dict().keys()


@check
def plain_functions():
    hooked()
    _count_calls_of_the_slow_way(lambda: torch.cat((torch.ones(2), torch.ones(2))), lambda: torch.relu(torch.ones(2)))


@check
def plain_methods():
    hooked()
    x = torch.ones(2, 2)
    _count_calls_of_the_slow_way(lambda: x.add(x), lambda: x * 2, lambda: x[0])
    assert x.clone().id == x.id  # a method that PySyft has written anew stays PySyft's


def _count_calls_of_the_slow_way(*actions):
    """PySyft's own functions, counted by the interpreter: none may be called for ordinary tensors."""
    slow = []

    def profile(frame, event, argument):
        if event == "call" and frame.f_code.co_name in ("overloaded_func", "overloaded_native_method"):
            slow.append(frame.f_code.co_name)

    for action in actions:
        sys.setprofile(profile)
        action()
        sys.setprofile(None)
    assert not slow, slow


@check
def plain_properties():
    _, (alice, *_) = hooked()
    warnings.simplefilter("error")
    x = torch.ones(2, requires_grad=True) * 2
    assert x.grad is None
    x.send(alice)
    y = torch.ones(2, requires_grad=True) * 2
    y.grad = torch.ones(2)
    assert (y.grad == 1).all()


# Modules and optimisers


@check
def linear():
    hooked()
    model, x = torch.nn.Linear(2, 1), torch.tensor([[1.0, -2.0]])
    expected = model(x).detach()
    assert torch.allclose(model.fix_precision()(x.fix_precision()).float_precision(), expected, atol=1e-2)
    product = torch.nn.functional.linear(x.fix_precision(), torch.ones(1, 2).fix_precision())
    assert product.float_precision().item() == -1.0


@check
def module_properties():
    hooked()
    traced = torch.jit.trace(torch.nn.Linear(2, 1), torch.ones(1, 2))
    assert traced(torch.ones(1, 2)).shape == (1, 1)


@check
def dynamo_getters():
    hooked()
    assert "torch._dynamo" not in sys.modules
    from torch.overrides import get_default_nowrap_functions

    assert all(hasattr(getter.__self__, "__objclass__") for getter in get_default_nowrap_functions())


@check
def clones_in_optimizers():
    here, there = trained_here_and_there(lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9))
    assert torch.allclose(here, there, atol=1e-5)
    here, there = trained_here_and_there(lambda parameters: torch.optim.Rprop(parameters, lr=0.1))
    assert torch.allclose(here, there, atol=1e-5)


@check
def autograd_tensors_in_optimizers():
    for optimizer in (torch.optim.SGD, torch.optim.Adam, torch.optim.Adagrad):
        here, there = trained_here_and_there(lambda each: optimizer(each, lr=0.1), local_autograd=True)  # noqa: B023
        assert torch.allclose(here, there, atol=1e-5)


@check
def zero_grad_of_remote_parameters():
    here, there = trained_here_and_there(lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert torch.allclose(here, there, atol=1e-5)


@check
def functions_of_many_tensors():
    here, there = trained_here_and_there(lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    assert torch.allclose(here, there, atol=1e-5)


@check
def steps_of_remote_models():
    _, (alice, *_) = hooked()
    there = torch.nn.Linear(2, 1).send(alice)
    optimizer = torch.optim.SGD(there.parameters(), lr=0.1)
    messages = []
    receive = alice._recv_msg
    alice._recv_msg = lambda message: (messages.append(message), receive(message))[1]
    optimizer.step()
    assert len(messages) == 1


def asked_for_a_rule(operation):
    """Whether PySyft looks for the way to take arguments apart in an operation on a pointer."""
    from syft.generic.frameworks.hook import hook_args

    _, (alice, *_) = hooked()
    x = torch.ones(2, 2).send(alice)
    built = []
    build_rule = hook_args.build_rule
    hook_args.build_rule = lambda arguments: (built.append(arguments), build_rule(arguments))[1]
    x.owner.send_command = lambda *args, **kwargs: (built.append("sent"), x.child)[1]
    operation(x)
    return built.index("sent") > 0


@check
def methods_of_pointers():
    assert not asked_for_a_rule(lambda x: x.mm(x))


@check
def functions_of_pointers():
    assert not asked_for_a_rule(lambda x: torch.cat([x, x]))
