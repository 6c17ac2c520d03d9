"""What a guarded worker tells, and what it does not: asked over a real connection, as a coordinator would."""

import os

import numpy as np
import pytest
import syft
import torch
from syft.exceptions import GetNotPermittedError
from syft.generic.pointers.pointer_tensor import PointerTensor
from syft.messaging.message import (
    ForceObjectDeleteMessage,
    ObjectMessage,
    ObjectRequestMessage,
    PlanCommandMessage,
    TensorCommandMessage,
)
from websockets.sync.client import connect

from pisyft.lab import Lab
from pisyft.learning.evaluation import Counts
from pisyft.learning.models import RNN
from pisyft.learning.remote import find_names, train_batch
from pisyft.learning.vectors import to_vector
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.frames import PROTOCOL, Failure, Hello, Request, decode, encode
from pisyft.transport.outbox import Origin
from tests.helpers import forget_workers


@pytest.fixture
def alice(workers):
    return workers[0]


@pytest.fixture
def bob(workers):
    return workers[1]


@pytest.fixture
def names(alice):
    return find_names(alice)


def send(worker, message):
    return syft.local_worker.send_msg(message, location=worker)


def command(worker, name, target=None, args=(), kwargs=None, **options):
    """Have the worker execute an operation, past everything that PySyft does on this side."""
    ids = (syft.ID_PROVIDER.pop(),)
    message = TensorCommandMessage.computation(name, target, args, kwargs or {}, ids, **options)
    return send(worker, message)


def command_unheard(worker, name, target=None, args=()):
    """Send an operation without waiting for its answer, whatever it is; a pointer to its result."""
    result = PointerTensor(location=worker, owner=syft.local_worker, id_at_location=syft.ID_PROVIDER.pop())
    message = TensorCommandMessage.computation(name, target, args, {}, (result.id_at_location,))
    data = syft.serde.serialize(message, worker=syft.local_worker)
    worker._post(data, (result.id_at_location,), Origin(name, "a test"))
    return result.wrap()


def refused(says: str = "."):
    return pytest.raises(GetNotPermittedError, match=says)


# What a coordinator may do


def test_what_a_coordinator_sent_it_may_have_back_and_what_it_computed_from_it(alice):
    x = torch.tensor([1.0, 2.0]).send(alice)
    assert torch.equal((x * x + 1)[1].get(), torch.tensor(5.0))
    assert torch.equal(x.get(), torch.tensor([1.0, 2.0]))


def test_names_are_found_and_counted(alice, names):
    assert names.count == alice.call("describe")["train"] == 140
    assert names.letters.shape[1:] == (140, 57)


def test_a_sum_over_all_participants_may_leave(alice, bob):
    secrets = [find_names(worker).letters.sum().reshape(1) for worker in (alice, bob)]
    shared = [secret.fix_precision().share(alice, bob).get() for secret in secrets]
    total = (shared[0] + shared[1]).get().float_precision()
    letters = [worker.call("describe") for worker in (alice, bob)]
    assert total > sum(each["train"] for each in letters), "as many as there are letters in all the names"


# What it may not


@pytest.mark.parametrize("part", ["letters", "mask", "languages"])
def test_names_and_languages_do_not_leave(names, part):
    with refused("names on alice, and what was computed from them, stay there"):
        getattr(names, part).get()


@pytest.mark.parametrize(
    "compute",
    [
        lambda names: names.letters + 0,
        lambda names: names.letters[0],
        lambda names: names.letters.clone(),
        lambda names: names.letters.sum(),
        lambda names: names.letters.view(-1),
        lambda names: names.languages * 0,
        lambda names: torch.cat([names.languages, names.languages]),
        lambda names: names.letters.fix_precision(),
        lambda names: names.languages.float().mean(),
    ],
)
def test_nor_does_what_is_computed_from_them(names, compute):
    with refused("stay there"):
        compute(names).get()


def test_a_public_value_that_names_were_added_to_in_place_does_not_leave(alice, names):
    x = torch.zeros(140).long().send(alice)
    view = x[0:2]
    x.add_(names.languages)
    for pointer in (view, x):
        with refused():
            pointer.get()


def test_neither_the_loss_nor_the_model_that_was_trained_on_one_pi_leaves(names, alice):
    model = RNN(n_languages=4).send(alice)
    loss = train_batch(model, next(names.batches(16)), 0.1)
    vector = to_vector(model)
    for pointer in (loss, vector, *model.parameters()):
        with refused():
            pointer.get()


def test_nor_do_its_gradients(names, alice):
    model = RNN(n_languages=4).send(alice)
    assert torch.equal((next(model.parameters()).grad * 1).get(), torch.zeros(128, 185)), "known before training"
    train_batch(model, next(names.batches(16)), 0.1)
    for parameter in model.parameters():
        with refused():
            (parameter.grad * 1).get()


def test_what_was_trained_on_public_values_may_leave_with_its_gradients(alice):
    weight = torch.tensor([2.0], requires_grad=True).send(alice)
    (weight * 3).backward()
    assert torch.equal((weight.grad * 1).get(), torch.tensor([3.0]))
    weight.data.add_(weight.grad)
    assert weight.get().item() == 5.0


def test_a_network_comes_back_and_what_it_learns_from_public_names_may_leave(alice):
    model = torch.nn.Linear(3, 2)
    there = model.copy().send(alice)
    loss = torch.nn.functional.cross_entropy(there(torch.ones(4, 3).send(alice)), torch.zeros(4).long().send(alice))
    loss.backward()
    torch.optim.SGD(there.parameters(), lr=0.1).step()

    assert loss.get() > 0
    assert not torch.equal(there.get().bias, model.bias)


def test_a_share_of_one_pis_secret_does_not_leave_whoever_holds_it(alice, bob, names):
    shared = names.languages.float().fix_precision().share(alice, bob).get()
    for pointer in shared.child.child.child.values():
        with refused("a sum of shares of alice alone.*bob missing"):
            pointer.get()


def test_a_secret_counts_once_in_a_sum(alice, bob):
    secret = find_names(alice).letters.sum().reshape(1).fix_precision()
    left, right = (secret.share(alice, bob).get() for _ in range(2))
    with refused():
        (left + right).get()


def test_shares_of_a_known_value_do_not_stand_in_for_a_participant(alice, bob):
    """alice's secret plus bob's shares of a zero that the coordinator made up would be alice's secret."""
    secret = find_names(alice).letters.sum().reshape(1).fix_precision().share(alice, bob).get()
    zero = torch.zeros(1).send(bob).fix_precision().share(alice, bob).get()
    with refused():
        (secret + zero).get()


@pytest.mark.parametrize("operation", ["numel", "tolist", "item", "__len__", "__str__", "__repr__", "numpy"])
def test_values_do_not_come_back_as_numbers_or_text(alice, names, operation):
    with refused():
        command(alice, operation, names.languages.child)


def test_results_do_not_come_back_in_the_answer_itself(alice, names):
    with refused("would return a value computed from names"):
        command(alice, "sum", names.languages.child, return_value=True)


def test_what_fails_because_of_a_private_value_looks_as_if_it_had_not(alice, names):
    """PyTorch says "Target 3 is out of bounds"; that it fails for one output and not for four says as much."""
    alice.wait = True
    for outputs in (1, 4):
        output = torch.zeros(140, outputs, requires_grad=True).send(alice)
        loss = torch.nn.functional.nll_loss(output, names.languages)
        loss.backward()
        assert loss.shape == torch.Size([])
        assert (output.grad * 1).shape == output.shape
        with refused("stay there"):
            loss.get()


def test_what_fails_whatever_the_private_values_are_is_told(alice, names):
    alice.wait = True
    with pytest.raises(RuntimeError, match="140.*on worker alice"):
        names.languages + torch.zeros(3).long().send(alice)


@pytest.mark.parametrize("name", ["letters", "mask", "languages"])
def test_the_names_cannot_be_changed(alice, names, name):
    alice.wait = True
    with refused("would change alice's own names"):
        getattr(names, name).zero_()
    with refused("would change alice's own names"):
        getattr(names, name)[0:1].add_(1)


def test_the_names_cannot_be_changed_together_with_other_tensors(alice, names):
    alice.wait = True
    own, public = names.mask.child, torch.ones(1).send(alice).child
    for name, args, kwargs in (
        ("torch.zero_each_", ([public, own],), {}),
        ("torch.zero_each_", (), {"tensors": [own]}),
        ("torch.add_each_", ([own], [public], 1.0), {}),
        ("torch.add_each_", (), {"tensors": [own], "others": [public], "alpha": 1.0}),
    ):
        with refused("would change alice's own names"):
            command(alice, name, args=args, kwargs=kwargs)


def test_what_names_were_added_to_with_other_tensors_does_not_leave(alice, names):
    changed, beside, untouched = (torch.zeros(140).long().send(alice) for _ in range(3))

    command(
        alice,
        "torch.add_each_",
        args=([changed.child, beside.child], [names.languages.child, None]),
        kwargs={"alpha": 1},
    )

    for pointer in (changed, beside):
        with refused("stay there"):
            pointer.get()
    assert torch.equal(untouched.get(), torch.zeros(140).long())


def test_a_step_with_gradients_of_names_makes_a_public_model_private(alice, names):
    weight = torch.zeros(57, 4, requires_grad=True).send(alice)
    torch.nn.functional.cross_entropy(names.letters[-1].matmul(weight), names.languages).backward()
    assert torch.equal(weight.copy().detach().get(), torch.zeros(57, 4)), "still public"

    torch.optim.SGD([weight], lr=0.1).step()

    with refused("stay there"):
        weight.copy().detach().get()


def test_a_refused_operation_spoils_what_depends_on_it_and_nothing_else(alice, names):
    public = torch.ones(48).send(alice)
    before = public + 1
    refused_result = command_unheard(alice, "torch.save", args=(public.child, "file"))
    dependent = refused_result + 1
    after = public + 2

    with refused("does not execute 'torch.save'"):
        after.get()

    assert torch.equal(after.get(), torch.full((48,), 3.0)), "told once; executed all the same"
    assert torch.equal(before.get(), torch.full((48,), 2.0))
    for spoiled in (dependent, dependent * 2):
        with refused("does not execute 'torch.save'"):
            spoiled.get()
    assert torch.equal(public.get(), torch.ones(48))


def test_the_names_can_be_neither_removed_nor_replaced(alice, names):
    id_ = names.languages.child.id_at_location
    send(alice, ForceObjectDeleteMessage([id_]))
    alice.discard(id_)
    forged = torch.zeros(140).long()
    forged.id = id_
    alice.wait = True
    with refused("cannot be replaced"):
        send(alice, ObjectMessage(forged))
    assert find_names(alice).count == 140


def test_the_names_count_for_no_caller_and_outlast_whoever_searched_first(names_folder, hook):
    limits = ("--limit", "array_values=20000", "--limit", "objects_mb_together=1")
    with Lab(names_folder, ["gina"], worker_options=limits) as lab:
        for _ in range(2):
            forget_workers(hook, "gina")
            notebook = WebsocketClientWorker(hook, *lab.addresses["gina"], id="gina")
            kept = [torch.zeros(20_000).send(notebook) for _ in range(12)]  # nearly all of the one MB
            letters = find_names(notebook).letters
            assert letters.shape.numel() > 20_000, "more than a tensor of a caller's may have"
            assert letters[-1].shape == (280, 57), "a view of them takes no memory"
            kept.clear()
            notebook.close()


def test_a_pointer_to_names_does_not_become_public_by_being_sent_back(alice, names):
    """A wrapper around a pointer arrives as a wrapper around the very tensor that it points to."""
    alice.wait = True
    with refused("takes plain tensors"):
        send(alice, ObjectMessage(names.languages))
    with refused("stay there"):
        names.languages.get()


def test_names_do_not_move_to_another_worker(alice, bob, names):
    alice.wait = True
    with refused():
        names.languages.move(bob)
    with refused():
        command(alice, "send", names.languages.child, (bob,))


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("torch.load", ("/etc/hostname",)),
        ("torch.save", (torch.zeros(1), "/tmp/from-a-coordinator")),
        ("torch.manual_seed", (1,)),
        ("torch.set_num_threads", (64,)),
        ("torch.from_file", ("/etc/hostname",)),
        ("torch.compile", ()),
        ("syft.frameworks.torch.mpc.spdz.spdz_mask", ()),
        ("os.system", ("true",)),
    ],
)
def test_functions_that_are_not_arithmetic_are_not_executed(alice, name, args):
    with refused(f"does not execute {name!r}"):
        command(alice, name, None, args)


@pytest.mark.parametrize("target", ["self", "#languages", 5])
def test_an_operation_needs_a_tensor_not_a_name_to_look_up(alice, target):
    with refused():
        command(alice, "clear_objects", target)


@pytest.mark.parametrize(
    "verb", ["list_tensors", "list_objects", "clear_objects", "_get_msg", "get_obj", "load_data", "stop"]
)
def test_methods_of_the_worker_are_no_verbs(alice, verb):
    with refused(f"alice has no verb '{verb}' for a coordinator, only aggregate, describe"):
        alice.call(verb)


def test_a_message_that_the_guard_does_not_know_is_refused(alice):
    with refused("reads no PlanCommandMessage"):
        send(alice, PlanCommandMessage("fetch_plan", (1, True)))


def test_an_evaluation_tells_counts(alice):
    answer = alice.call("evaluate", weights=to_vector(RNN(n_languages=4)).detach().numpy())
    assert sum(map(sum, answer["confusion"])) == alice.call("describe")["test"] == 40
    assert set(answer) == set(Counts.__dataclass_fields__)


def test_a_model_that_does_not_fit_is_refused(alice):
    with pytest.raises(ValueError, match="does not fit the model's parameters.*on worker alice"):
        alice.call("evaluate", weights=np.zeros(7, np.float32))


def test_a_peer_may_deliver_shares_and_nothing_else(lab, names):
    """A caller that says it is bob, and then asks for names."""
    host, port = lab.addresses["alice"]
    id_ = names.languages.child.id_at_location
    local = syft.local_worker
    with connect(f"ws://{host}:{port}", subprotocols=[PROTOCOL], proxy=None) as caller:
        caller.send(encode(Hello(os.urandom(16), "bob", True)))
        decode(caller.recv(timeout=60))
        for number, message in enumerate([ObjectRequestMessage(id_, None, ""), ObjectMessage(torch.zeros(3))], start=1):
            data = syft.serde.serialize(message, worker=local)
            caller.send(encode(Request(number, True, (), (), data)))
            answer = decode(caller.recv(timeout=60))
            assert isinstance(answer, Failure)
            assert answer.name == "GetNotPermittedError"
            assert "a peer may deliver shares" in answer.text


@pytest.mark.parametrize("claimed", ["mallory", "alice"])
def test_who_is_no_configured_peer_delivers_nothing(lab, hook, claimed):
    """Numbers that a caller knows, delivered under another name, would count as that participant's share."""
    host, port = lab.addresses["alice"]
    with connect(f"ws://{host}:{port}", subprotocols=[PROTOCOL], proxy=None) as caller:
        caller.send(encode(Hello(os.urandom(16), claimed, True)))
        decode(caller.recv(timeout=60))
        data = syft.serde.serialize(ObjectMessage(torch.zeros(3).long()), worker=syft.local_worker)
        caller.send(encode(Request(1, True, (), (), data)))
        answer = decode(caller.recv(timeout=60))
        assert isinstance(answer, Failure)
        assert (answer.name, f"{claimed} is no peer of alice" in answer.text) == ("GetNotPermittedError", True)


def test_the_guard_is_still_there_afterwards(alice, names):
    """A worker that refused goes on serving, and refusing."""
    for _ in range(3):
        with refused():
            names.letters.get()
        assert alice.call("describe")["worker"] == "alice"
