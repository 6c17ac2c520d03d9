"""A model's parameters as one vector."""

import pytest
import syft
import torch

from pisyft.learning.models import RNN
from pisyft.learning.vectors import load_vector, to_vector


def test_a_vector_has_all_parameters_in_order():
    model = RNN(n_letters=2, n_hidden=3, n_languages=4)

    vector = to_vector(model)

    assert vector.shape == (3 * 5 + 3 + 4 * 5 + 4,)
    assert torch.equal(vector[:15], model.i2h.weight.flatten())
    assert torch.equal(vector[-4:], model.i2o.bias)


def test_parameters_make_the_round_trip():
    model, other = RNN(n_languages=4), RNN(n_languages=4)

    assert load_vector(other, to_vector(model)) is other

    assert all(map(torch.equal, model.parameters(), other.parameters()))
    assert all(parameter.requires_grad for parameter in other.parameters())


def test_a_vector_is_a_copy():
    model = RNN(n_languages=4)
    before = model.i2o.bias.detach().clone()

    to_vector(model).zero_()

    assert torch.equal(model.i2o.bias, before)


def test_the_vector_of_a_model_of_pointers_is_a_pointer(hook):
    there = syft.VirtualWorker(hook, id="there for a vector")
    model = RNN(n_languages=4)
    expected = to_vector(model)

    vector = to_vector(model.send(there))

    assert vector.is_wrapper and vector.location is there
    assert torch.equal(vector.get(), expected)


@pytest.mark.parametrize("shape", [(27,), (0,), (1, 27_000)])
def test_a_vector_that_does_not_fit_is_refused_and_changes_nothing(shape):
    model = RNN(n_languages=4)
    before = to_vector(model)

    with pytest.raises(ValueError, match=r"shape \(.*\) does not fit"):
        load_vector(model, torch.zeros(shape))

    assert torch.equal(to_vector(model), before)
