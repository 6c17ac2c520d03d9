"""The networks, and reading names with them."""

import copy

import pytest
import torch

from pisyft.learning.alphabet import TUTORIAL, UNICODE
from pisyft.learning.encoding import encode, one_hot
from pisyft.learning.models import MODELS, RNN, Committee, NGrams, leaning, make_model
from pisyft.learning.training import TrainingSettings, fit
from pisyft.learning.vectors import to_vector

NAMES = ["Au", "Kokkinos", "O'Neal", "Papadopoulos", "Kim"]
MEGABYTE = 1_000_000


@pytest.fixture
def tutorial() -> RNN:
    return make_model("tutorial", TUTORIAL.size, 5, seed=1)


@pytest.fixture(params=MODELS)
def model(request) -> torch.nn.Module:
    """Every model in turn, as it is when it guesses."""
    return make_model(request.param, TUTORIAL.size, 5, seed=1).eval()


def read(model: torch.nn.Module, *names: str) -> torch.Tensor:
    return model.log_probabilities(encode({"some language": names}).letters)


def test_the_tutorials_network_has_the_tutorials_layers(tutorial):
    shapes = {name: tuple(parameter.shape) for name, parameter in RNN().named_parameters()}

    assert shapes == {
        "i2h.weight": (128, 57 + 128),
        "i2h.bias": (128,),
        "i2o.weight": (18, 57 + 128),
        "i2o.bias": (18,),
    }


def test_a_step_is_the_tutorials_equations(tutorial):
    letter, hidden = torch.randn(2, 57), torch.randn(2, 128)

    output, next_hidden = tutorial(letter, hidden)

    combined = torch.cat((letter, hidden), 1)
    assert torch.allclose(next_hidden, combined @ tutorial.i2h.weight.t() + tutorial.i2h.bias, atol=1e-5)
    scores = combined @ tutorial.i2o.weight.t() + tutorial.i2o.bias
    assert torch.allclose(output, scores - scores.exp().sum(1, keepdim=True).log(), atol=1e-5)


def test_the_first_hidden_state_is_zero(tutorial):
    assert torch.equal(tutorial.init_hidden(3), torch.zeros(3, 128))


def test_reading_equals_the_tutorials_loop_over_letters(tutorial):
    hidden = tutorial.init_hidden()
    for letter in one_hot(encode({"some language": ["Kokkinos"]}).letters, TUTORIAL.size):
        output, hidden = tutorial(letter, hidden)

    assert torch.allclose(read(tutorial, "Kokkinos"), output, atol=1e-6)


def test_outputs_are_log_probabilities(model):
    output = read(model, *NAMES)

    assert output.shape == (len(NAMES), 5)
    assert torch.allclose(output.exp().sum(1), torch.ones(len(NAMES)))


def test_reading_padded_names_equals_reading_each_alone(model):
    together = read(model, *NAMES)

    alone = torch.cat([read(model, name) for name in NAMES])
    assert torch.allclose(together, alone, atol=1e-5)


def test_more_padding_than_needed_changes_nothing(model):
    letters = encode({"some language": NAMES}).letters
    padded = torch.cat((torch.zeros(7, len(NAMES), dtype=torch.int64), letters))

    assert torch.allclose(model.log_probabilities(padded), model.log_probabilities(letters), atol=1e-5)


def test_padding_has_no_part_in_the_gradient(model):
    """A short name beside a long one pulls the parameters as it does alone, though layers have a bias."""

    def gradient(*names: str, column: int) -> list[torch.Tensor]:
        return list(torch.autograd.grad(read(model, *names)[column, 2], list(model.parameters())))

    beside, alone = gradient("Au", "Papadopoulos", column=0), gradient("Au", column=0)

    assert all(torch.allclose(one, other, atol=1e-5) for one, other in zip(beside, alone, strict=True))


def test_the_order_of_letters_matters(model):
    assert not torch.allclose(read(model, "Kim"), read(model, "miK"), atol=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_fits_in_a_megabyte(name):
    assert 4 * len(to_vector(make_model(name, UNICODE.size, 18))) < MEGABYTE


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_model_and_leaves_the_generator_alone(name):
    state = torch.random.get_rng_state()

    first, again, other = (to_vector(make_model(name, 57, 18, seed)) for seed in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_model_that_is_not_known_is_refused_with_those_that_are():
    with pytest.raises(
        ValueError, match=r"no model 'lstm': choose one of tutorial, rnn, gru, ngrams, writer, committee"
    ):
        make_model("lstm", 57, 18)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_leans_towards_languages_it_saw_few_names_of_and_stays_as_it_was(name):
    model = make_model(name, TUTORIAL.size, 5, seed=1).eval()
    counts = torch.tensor([1000.0, 100.0, 100.0, 100.0, 10.0])
    before = read(model, *NAMES)

    leant = read(leaning(model, counts, 1.0), *NAMES)

    expected = (before - (counts / counts.sum()).log()).log_softmax(1)
    assert torch.allclose(leant, expected, atol=1e-5)
    assert torch.equal(read(model, *NAMES), before)
    assert torch.allclose(read(leaning(model, counts, 0.0), *NAMES), before, atol=1e-6)


def test_n_grams_are_the_runs_of_letters_with_the_ends_of_the_name():
    """Au has 4 symbols with its ends: 4 runs of one, 3 of two, 2 of three."""
    model = NGrams(TUTORIAL.size, 5)
    rows = model.rows(encode({"some language": ["Au", "Papadopoulos"]}).letters)

    short, alone = rows[0][rows[0] < model.n_rows], model.rows(encode({"some language": ["Au"]}).letters)[0]

    assert len(short) == 4 + 3 + 2
    assert short.tolist() == alone[alone < model.n_rows].tolist()
    assert not set(short.tolist()[4:]) <= set(model.rows(encode({"some language": ["uA"]}).letters)[0].tolist())


def test_a_writer_guesses_by_bayes_rule():
    writer = make_model("writer", TUTORIAL.size, 3, seed=1).eval()
    writer.prior.data = torch.tensor([0.5, -1.0, 0.0])
    letters = encode({"some language": NAMES}).letters

    likelihoods = [
        writer.log_likelihoods(letters, torch.full((len(NAMES),), language)).float() for language in range(3)
    ]

    joint = torch.stack(likelihoods, 1).exp() * writer.prior.exp()
    assert torch.allclose(writer.log_probabilities(letters).exp(), joint / joint.sum(1, keepdim=True), atol=1e-5)


def test_a_writer_foresees_each_letter_and_the_end_from_the_letters_before():
    writer = make_model("writer", 3, 2, seed=1).eval()
    name, language = [2, 1, 3], 1

    expected = 0.0
    for place, letter in enumerate([*name, writer.end]):
        before = ([0, 0, 0, 0, *name])[place : place + 4]
        context = torch.cat([*(writer.letter.weight[each] for each in before), writer.language.weight[language]])
        hidden = (writer.hidden.weight @ context + writer.hidden.bias).relu()
        scores = writer.letter.weight @ (writer.next.weight @ hidden + writer.next.bias) + writer.often
        expected += scores.log_softmax(0)[letter]

    told = writer.log_likelihoods(torch.tensor([[0], *([each] for each in name)]), torch.tensor([language]))
    assert torch.allclose(told.float(), expected, atol=1e-5)


def test_a_writer_learns_how_often_languages_are_and_how_they_write():
    names = encode({"Greek": ["Kokkinos", "Kos", "Kostas"] * 4, "Korean": ["Kim", "Lee"]})
    writer = make_model("writer", TUTORIAL.size, 2, seed=1)
    settings = TrainingSettings(batch_size=14, learning_rate=0.01, optimizer="adam", passes=150)

    fit(writer, names, settings)

    assert torch.allclose(writer.prior.softmax(0), torch.tensor([12 / 14, 2 / 14]), atol=0.02)
    assert read(writer, "Kosinos", "Lim").argmax(1).tolist() == [0, 1]


def test_each_member_of_a_committee_is_trained_as_if_it_were_alone():
    names = encode({"Greek": ["Kokkinos", "Kos"], "Korean": ["Kim", "Lee"]})
    alone = [make_model("tutorial", TUTORIAL.size, 2, seed) for seed in (1, 2)]
    committee = Committee(*(copy.deepcopy(member) for member in alone))
    settings = TrainingSettings(batch_size=2, learning_rate=0.1, passes=3)

    for member in alone:
        fit(member, names, settings)
    fit(committee, names, settings)

    assert torch.allclose(to_vector(committee), torch.cat([to_vector(member) for member in alone]), atol=1e-6)
