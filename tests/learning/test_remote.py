"""Training by pointer equals training where the names are."""

import pytest
import syft
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import encode, mask, one_hot
from pisyft.learning.models import RNN
from pisyft.learning.names import NamesError
from pisyft.learning.remote import RemoteNames, find_names, train_batch
from pisyft.learning.training import TrainingSettings, batches, fit

NAMES = {"Greek": ["Kokkinos", "Papadopoulos", "Kos"], "Korean": ["Kim", "Lee"]}


@pytest.fixture
def there(hook):
    """A worker in this process, which lets everything be fetched."""
    worker = syft.VirtualWorker(hook, id="there")
    yield worker
    worker.clear_objects()
    worker.remove_worker_from_local_worker_registry()


@pytest.fixture
def names_there(there) -> RemoteNames:
    """Pointers to NAMES."""
    names = encode(NAMES)
    steps, count = names.letters.shape
    tensors = (one_hot(names.letters, TUTORIAL.size), mask(names.letters), names.languages)
    return RemoteNames(*(tensor.send(there) for tensor in tensors), there, steps, count)


def test_names_are_found_by_their_tags(workers):
    for worker in workers:
        names = find_names(worker)

        assert names.worker is worker
        assert names.count == worker.call("describe")["train"] == 140
        assert names.letters.shape == (names.steps, 140, 57)
        assert names.mask.shape == (names.steps, 140, 1)
        assert names.languages.shape == (140,)


def test_a_worker_without_names_is_named_with_what_it_lacks(there):
    with pytest.raises(NamesError, match=r"worker there holds 0 tensors .*#letters.*--data DIR"):
        find_names(there)


def test_a_worker_with_names_twice_is_named(there):
    for _ in range(2):
        torch.zeros(1).tag("#surnames", "#train", "#letters").send(there, garbage_collect_data=False)

    with pytest.raises(NamesError, match=r"worker there holds 2 tensors .*#letters"):
        find_names(there)


@pytest.mark.parametrize("size", [1, 2, 5, 32])
def test_batches_are_the_names_in_order(names_there, size):
    remote_batches = list(names_there.batches(size))

    local_batches = batches(encode(NAMES), TrainingSettings(batch_size=size, seed=None))
    for remote, local in zip(remote_batches, local_batches, strict=True):
        assert (remote.count, remote.steps) == (len(local), 12)
        padding = 12 - len(local.letters)  # which batches of pointers keep
        assert torch.equal(remote.letters.get()[padding:], one_hot(local.letters, TUTORIAL.size))
        assert torch.equal(remote.mask.get()[padding:], mask(local.letters))
        assert torch.equal(remote.languages.get(), local.languages)


def test_training_by_pointer_equals_training_where_the_names_are(there, names_there):
    torch.manual_seed(1)
    local = RNN(n_languages=2)
    remote = local.copy().send(there)

    losses = []
    for _ in range(2):
        losses.append(fit(local, encode(NAMES), TrainingSettings(batch_size=2, learning_rate=0.1, seed=None)).loss)
        pointed = [train_batch(remote, batch, learning_rate=0.1) for batch in names_there.batches(2)]
        by_batch = [loss.detach().get().item() for loss in pointed]
        assert (2 * by_batch[0] + 2 * by_batch[1] + by_batch[2]) / 5 == pytest.approx(losses[-1], abs=1e-6)

    for there, here in zip(remote.get().parameters(), local.parameters(), strict=True):
        assert torch.allclose(there, here, atol=1e-6)


def test_a_model_is_trained_on_a_worker_that_keeps_names_losses_and_model(workers):
    alice, _ = workers
    names = find_names(alice)
    model = RNN(n_languages=4).send(alice)

    loss = train_batch(model, next(names.batches(8)), learning_rate=0.1)

    for secret in (names.letters, names.languages, loss, model.i2h.weight.data):
        with pytest.raises(GetNotPermittedError, match="alice"):
            secret.copy().get()
