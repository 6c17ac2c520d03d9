"""Plain SGD in one process, which a federation is compared with."""

import pytest
import torch
from torch.nn import functional

from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.local import batches, train
from pisyft.learning.models import RNN, read_names
from pisyft.learning.names import hold_out, read_folder, total

NAMES = {"Greek": ["Kokkinos", "Papadopoulos", "Kos"], "Korean": ["Kim", "Lee"]}


@pytest.fixture
def model() -> RNN:
    torch.manual_seed(1)
    return RNN(n_languages=2)


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (32, [5])])
def test_batches_are_all_names_in_order_and_the_last_may_be_smaller(size, sizes):
    names = encode(NAMES)

    all_batches = list(batches(names, size))

    assert [len(batch.languages) for batch in all_batches] == sizes
    assert torch.equal(torch.cat([batch.letters for batch in all_batches], 1), names.letters)
    assert torch.equal(torch.cat([batch.mask for batch in all_batches], 1), names.mask)
    assert torch.equal(torch.cat([batch.languages for batch in all_batches]), names.languages)


def test_a_step_moves_every_parameter_against_its_gradient(model):
    names = encode(NAMES)
    start = [parameter.detach().clone() for parameter in model.parameters()]
    output = read_names(model, names.letters, names.mask, model.init_hidden(5), len(names.letters))
    expected_loss = functional.nll_loss(output, names.languages)
    gradients = torch.autograd.grad(expected_loss, list(model.parameters()))

    loss = train(model, names, batch_size=5, learning_rate=0.1)

    assert loss == pytest.approx(expected_loss.item())
    for parameter, before, gradient in zip(model.parameters(), start, gradients, strict=True):
        assert torch.allclose(parameter, before - 0.1 * gradient, atol=1e-6)


def test_gradients_of_one_batch_do_not_reach_the_next(model):
    once, again = RNN(n_languages=2), RNN(n_languages=2)
    for other in (once, again):
        other.load_state_dict(model.state_dict())
    first, second = batches(encode(NAMES), 3)

    train(once, encode(NAMES), batch_size=3, learning_rate=0.1)
    for batch in (first, second):
        train(again, batch, batch_size=3, learning_rate=0.1)

    assert all(map(torch.equal, once.parameters(), again.parameters()))


def test_training_makes_guesses_better_than_before(names_folder):
    names, _ = hold_out(read_folder(names_folder))
    torch.manual_seed(1)
    model = RNN(n_languages=len(names))
    before = count_guesses(model, encode(names), len(names))

    for seed in range(10):
        train(model, encode(names, seed), batch_size=16, learning_rate=0.1)

    after = count_guesses(model, encode(names), len(names))
    assert after.names == total(names)
    assert after.accuracy > before.accuracy + 0.15
    assert after.loss < before.loss
