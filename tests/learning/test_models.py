"""The tutorial's network, and reading names with it."""

import pytest
import torch

from pisyft.learning.encoding import encode
from pisyft.learning.models import RNN, read_names

NAMES = ["Au", "Kokkinos", "O'Neal", "Papadopoulos", "Kim"]


@pytest.fixture
def model() -> RNN:
    torch.manual_seed(1)
    return RNN(n_languages=5)


def read(model: RNN, *names: str) -> torch.Tensor:
    encoded = encode({"some language": names})
    steps, count, _ = encoded.letters.shape
    return read_names(model, encoded.letters, encoded.mask, model.init_hidden(count), steps)


def test_it_has_the_tutorials_layers():
    shapes = {name: tuple(parameter.shape) for name, parameter in RNN().named_parameters()}

    assert shapes == {
        "i2h.weight": (128, 57 + 128),
        "i2h.bias": (128,),
        "i2o.weight": (18, 57 + 128),
        "i2o.bias": (18,),
    }


def test_a_step_is_the_tutorials_equations(model):
    letter, hidden = torch.randn(2, 57), torch.randn(2, 128)

    output, next_hidden = model(letter, hidden)

    combined = torch.cat((letter, hidden), 1)
    assert torch.allclose(next_hidden, combined @ model.i2h.weight.t() + model.i2h.bias, atol=1e-5)
    scores = combined @ model.i2o.weight.t() + model.i2o.bias
    assert torch.allclose(output, scores - scores.exp().sum(1, keepdim=True).log(), atol=1e-5)


def test_the_first_hidden_state_is_zero(model):
    assert torch.equal(model.init_hidden(3), torch.zeros(3, 128))


def test_outputs_are_log_probabilities(model):
    assert torch.allclose(read(model, *NAMES).exp().sum(1), torch.ones(len(NAMES)))


def test_reading_padded_names_equals_reading_each_alone(model):
    together = read(model, *NAMES)

    alone = torch.cat([read(model, name) for name in NAMES])
    assert torch.allclose(together, alone, atol=1e-6)


def test_reading_equals_the_tutorials_loop_over_letters(model):
    letters = encode({"some language": ["Kokkinos"]}).letters
    hidden = model.init_hidden()
    for letter in letters:
        output, hidden = model(letter, hidden)

    assert torch.allclose(read(model, "Kokkinos"), output, atol=1e-6)


def test_padding_has_no_part_in_the_gradient(model):
    """A short name beside a long one pulls the parameters as it does alone, though i2h has a bias."""

    def gradient(*names: str, column: int) -> list[torch.Tensor]:
        return list(torch.autograd.grad(read(model, *names)[column, 2], list(model.parameters())))

    beside, alone = gradient("Au", "Papadopoulos", column=0), gradient("Au", column=0)

    assert all(torch.allclose(one, other, atol=1e-6) for one, other in zip(beside, alone, strict=True))
