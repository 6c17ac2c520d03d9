"""Workers in other processes: tensors, errors, several callers at once, and peers that talk to each other."""

import gc
import threading

import pytest
import syft
import torch
from syft.exceptions import ObjectNotFoundError
from syft.messaging.message import ObjectRequestMessage

from pisyft.aggregation.pointers import secure_sum
from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import Encoded, encode, mask, one_hot
from pisyft.learning.models import RNN
from pisyft.learning.names import read_folder, split
from pisyft.learning.remote import RemoteNames, train_batch
from pisyft.learning.training import TrainingSettings, fit
from pisyft.learning.vectors import to_vector


def test_importing_pisyft_puts_its_transport_under_pysyfts_names():
    from syft.workers.websocket_client import WebsocketClientWorker as Client
    from syft.workers.websocket_server import WebsocketServerWorker as Server

    from pisyft import transport

    assert Client is syft.WebsocketClientWorker is transport.WebsocketClientWorker
    assert Server is syft.WebsocketServerWorker is transport.WebsocketServerWorker


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor(1.5),
        torch.zeros(0, 3),
        torch.arange(6).view(2, 3),
        torch.arange(6.0).view(2, 3).t(),
        torch.tensor([True, False]),
        torch.randn(3, dtype=torch.float64),
        torch.randn(3).to(torch.bfloat16),
    ],
    ids=lambda tensor: f"{tensor.dtype}{list(tensor.shape)}",
)
def test_a_tensor_comes_back_as_it_was_sent(alice, tensor):
    back = tensor.clone().send(alice).get()
    assert back.dtype == tensor.dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


def test_operations_run_on_the_worker(alice):
    x = torch.tensor([1.0, 2.0, 3.0]).send(alice)
    y = (x * 2 + 1).relu()
    assert y.location is alice
    assert torch.equal(y.get(), torch.tensor([3.0, 5.0, 7.0]))


def test_an_operation_with_several_results_gives_a_pointer_to_each(alice):
    values, indices = torch.sort(torch.tensor([3.0, 1.0, 2.0]).send(alice))
    assert torch.equal(values.get(), torch.tensor([1.0, 2.0, 3.0]))
    assert torch.equal(indices.get(), torch.tensor([1, 2, 0]))


def test_objects_are_found_by_their_tags(alice):
    kept = torch.tensor([1, 2]).tag("#found", "#here").send(alice)
    found = alice.search(["#found", "#here"])
    assert len(found) == 1
    assert torch.equal((found[0] + kept).get(), torch.tensor([2, 4]))
    assert alice.search(["#found", "#elsewhere"]) == []


def test_a_failure_arrives_as_the_exception_it_was_with_the_workers_id(alice):
    alice.wait = True
    x = torch.ones(2, 3).send(alice)
    with pytest.raises(RuntimeError, match=r"mat1 and mat2.*\(on worker open-alice") as caught:
        x @ x
    assert caught.value.worker == "open-alice"


def test_a_pointer_to_nothing_says_so(alice):
    with pytest.raises(ObjectNotFoundError, match="on worker open-alice"):
        syft.local_worker.send_msg(ObjectRequestMessage(123, None, ""), location=alice)


def test_a_failure_that_was_not_waited_for_surfaces_with_its_operation_and_line(alice):
    x = torch.ones(2, 3).send(alice)
    product = x @ x  # the line that fails
    with pytest.raises(RuntimeError, match=r"in __matmul__, .*test_workers.py:\d+\)") as caught:
        x.get()
    line = int(str(caught.value).rpartition(":")[2].rstrip(")"))
    with open(__file__, encoding="utf-8") as source:
        assert "# the line that fails" in source.readlines()[line - 1]
    assert product.location is alice


def test_a_failure_spoils_what_depends_on_it_and_nothing_else(alice):
    x, good = torch.ones(2, 3).send(alice), torch.ones(2).send(alice)
    spoiled = x @ x
    after = good + 1
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        after.get()

    assert torch.equal(after.get(), torch.tensor([2.0, 2.0])), "told once, and nothing lost"
    later = spoiled + 1
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        later.get()
    assert torch.equal(x.get(), torch.ones(2, 3))


@pytest.mark.parametrize("how", ["argument", "environment"])
def test_with_waiting_turned_on_an_error_is_raised_at_its_line(open_workers, connect, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("PISYFT_WAIT", "1")
    alice = connect("open-alice", open_workers.addresses["open-alice"], wait=how == "argument")
    x = torch.ones(2, 3).send(alice)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        x @ x
    waited = alice.answers_waited_for
    y = x + 1
    assert alice.answers_waited_for == waited + 1
    assert torch.equal(y.get(), torch.full((2, 3), 2.0))


class Frames:
    """Counts the frames that a client sends over its connection."""

    def __init__(self, client, monkeypatch) -> None:
        self.sent = []
        send = client._connection.send
        monkeypatch.setattr(client._connection, "send", lambda data: (self.sent.append(data), send(data)))


def test_a_step_of_training_waits_for_nothing_and_travels_in_few_frames(alice, names_folder, monkeypatch):
    encoded = encode(read_folder(names_folder), seed=0)
    names = pointers_to(encoded.choose(torch.arange(16)), alice)
    remote = RNN(n_languages=4).send(alice)
    train_batch(remote, names, 0.1)
    alice.flush()
    # On a slow machine it sends what there is so far, however little that is.
    monkeypatch.setattr(alice._flusher, "wake", lambda client: None)
    waited, numbers, frames = alice.answers_waited_for, next(alice._numbers), Frames(alice, monkeypatch)

    train_batch(remote, names, 0.1)
    alice.flush()

    messages = next(alice._numbers) - numbers
    assert alice.answers_waited_for == waited
    assert messages > 50
    assert len(frames.sent) < messages / 5


def test_deletions_ride_along_with_other_messages(alice, monkeypatch):
    gc.collect()
    alice.clear_objects_remote()
    x = torch.ones(3).send(alice)
    pointers = [x + number for number in range(10)]
    assert alice.objects_count_remote() == 11
    frames = Frames(alice, monkeypatch)

    del pointers

    assert frames.sent == [], "no message of their own"
    assert alice.objects_count_remote() == 1
    assert len(frames.sent) == 1


def test_deleted_pointers_remove_what_they_pointed_to(alice):
    alice.clear_objects_remote()
    x = torch.ones(3).send(alice)
    y = x + 1
    assert alice.objects_count_remote() == 2
    del x
    assert alice.objects_count_remote() == 1
    del y
    assert alice.objects_count_remote() == 0


def test_two_coordinators_have_objects_of_their_own(open_workers, alice, hook):
    other = syft.WebsocketClientWorker(hook, *open_workers.addresses["open-alice"], id="open-alice")
    try:
        x, y = torch.tensor([1.0]).send(alice), torch.tensor([2.0]).send(other)
        assert torch.equal(y.get(), torch.tensor([2.0]))
        assert torch.equal(x.get(), torch.tensor([1.0]))
    finally:
        other.close()


def test_workers_share_with_each_other_directly(alice, bob):
    x = torch.tensor([1.5, -2.25]).send(alice)
    shared = x.fix_precision().share(alice, bob).get()
    assert set(shared.child.child.child) == {"open-alice", "open-bob"}
    assert torch.allclose(shared.get().float_precision(), torch.tensor([1.5, -2.25]))


def test_two_workers_that_share_with_each_other_at_once_do_not_wait_for_ever(alice, bob):
    """Each waits for the other in the middle of its own sharing, again and again."""
    vectors = {worker: torch.randn(1000).send(worker).fix_precision() for worker in (alice, bob)}
    failures = []

    def share(worker, messages):
        try:
            for message in messages:
                syft.serde.deserialize(worker._recv_msg(message))
        except Exception as error:
            failures.append(error)

    # Serialized beforehand: PySyft itself is not thread-safe in the coordinator's process.
    messages = {
        worker: [
            syft.serde.serialize(
                syft.messaging.message.TensorCommandMessage.computation(
                    "share", vector.child, (alice, bob), {}, (syft.ID_PROVIDER.pop(),)
                )
            )
            for _ in range(20)
        ]
        for worker, vector in vectors.items()
    }
    threads = [threading.Thread(target=share, args=each) for each in messages.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)

    assert not any(thread.is_alive() for thread in threads), "deadlock"
    assert failures == []


def test_a_worker_that_is_not_a_peer_is_named(alice, bob, start_open_workers, connect):
    carol = connect("carol", start_open_workers("carol").addresses["carol"])
    x = torch.tensor([1.0]).send(alice).fix_precision()
    with pytest.raises(
        Exception, match="open-alice does not know a worker carol: start it with --peer carol=HOST:PORT"
    ):
        x.share(alice, carol)


def pointers_to(names: Encoded, worker) -> RemoteNames:
    steps, count = names.letters.shape
    # A clone: of a tensor that is sent twice, PySyft lets go of the second copy only.
    tensors = (one_hot(names.letters, TUTORIAL.size), mask(names.letters), names.languages.clone())
    return RemoteNames(*(tensor.send(worker) for tensor in tensors), worker, steps, count)


def test_training_by_pointer_gives_the_model_that_training_at_home_gives(alice, names_folder):
    names = split(read_folder(names_folder)).train
    encoded = encode(names, seed=0)
    torch.manual_seed(0)
    at_home = RNN(n_languages=4)
    remote = at_home.copy().send(alice)

    fit(at_home, encoded, TrainingSettings(batch_size=32, learning_rate=0.1, seed=None))
    for batch in pointers_to(encoded, alice).batches(32):
        train_batch(remote, batch, learning_rate=0.1)

    assert torch.allclose(to_vector(remote).get(), to_vector(at_home), atol=1e-6)


def test_a_second_module_trains_as_well_as_the_first(alice, names_folder):
    encoded = encode(read_folder(names_folder), seed=0)
    pointers = pointers_to(encoded.choose(torch.arange(16)), alice)
    torch.manual_seed(0)
    start = RNN(n_languages=4)
    trained = []
    for _ in range(2):
        remote = start.copy().send(alice)
        train_batch(remote, pointers, 0.1)
        trained.append(to_vector(remote).get())

    assert torch.equal(*trained)
    assert not torch.equal(trained[0], to_vector(start))


def test_rounds_of_training_leave_no_objects_on_the_worker(alice, names_folder):
    alice.clear_objects_remote()
    encoded = encode(read_folder(names_folder), seed=0)
    names = pointers_to(encoded, alice)
    held = alice.objects_count_remote()
    for _ in range(3):
        remote = RNN(n_languages=4).send(alice)
        losses = [train_batch(remote, batch, learning_rate=0.1) for batch in names.batches(40)]
        assert alice.objects_count_remote() > held
        del remote, losses

        assert alice.objects_count_remote() == held


def test_the_sum_of_two_trained_models_is_their_plain_sum_and_leaves_nothing_behind(alice, bob, names_folder):
    """What guarded workers refuse, a single model, open ones give: so the secret sum can be compared."""
    for worker in (alice, bob):
        worker.clear_objects_remote()
    encoded = encode(read_folder(names_folder), seed=0)
    start = RNN(n_languages=4)
    models = []
    for worker in (alice, bob):
        remote = start.copy().send(worker)
        names = pointers_to(encoded, worker)
        for batch in names.batches(40 if worker is alice else 24):
            train_batch(remote, batch, learning_rate=0.2)
        models.append(remote)
    del batch, names, remote
    vectors = [to_vector(model) for model in models]

    average = secure_sum(vectors, [alice, bob]) / 2

    plain = [vector.get() for vector in vectors]
    assert not torch.equal(*plain)
    assert (average - (plain[0] + plain[1]) / 2).abs().max() < 1e-4
    del models, vectors
    assert [worker.objects_count_remote() for worker in (alice, bob)] == [0, 0]


@pytest.mark.parametrize("vectors_of", ["one worker", "two on the same worker"])
def test_a_sum_that_would_tell_its_terms_is_refused(alice, bob, vectors_of):
    x, y = torch.ones(2).send(alice), torch.ones(2).send(alice)
    with pytest.raises(ValueError, match="secret sharing needs"):
        secure_sum([x], [alice]) if vectors_of == "one worker" else secure_sum([x, y], [alice, bob])


def test_messages_are_compressed_when_they_are_large():
    small, large = (syft.serde.serialize(torch.zeros(size), worker=syft.local_worker) for size in (3, 10_000))
    assert (small[0], large[0]) == (syft.serde.compression.NO_COMPRESSION, syft.serde.compression.LZ4)
    assert len(large) < 4_000
    assert torch.equal(syft.serde.deserialize(large, worker=syft.local_worker), torch.zeros(10_000))
