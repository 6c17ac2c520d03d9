"""Counts, and what is computed from them."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import Counts, add_up, count_guesses, predict
from pisyft.learning.models import RNN

COUNTS = st.builds(
    Counts,
    st.tuples(*[st.tuples(*[st.integers(0, 50)] * 3)] * 3),
    st.integers(0, 500).map(float),
)


@pytest.fixture
def model() -> RNN:
    torch.manual_seed(1)
    return RNN(n_languages=3)


class Oracle(RNN):
    """Takes every name for the language of the index that its last letter has in the alphabet: a, b or c."""

    def forward(self, letter, hidden):
        return torch.log_softmax(10 * letter[:, :3], 1), hidden


def test_measures_of_counts_computed_by_hand():
    counts = Counts(confusion=((6, 2, 0), (1, 1, 0), (0, 0, 0)), loss_sum=15.0)

    assert counts.names == 10
    assert counts.accuracy == pytest.approx(7 / 10)
    assert counts.balanced_accuracy == pytest.approx((6 / 8 + 1 / 2) / 2)  # nothing is known of the third language
    assert counts.loss == pytest.approx(1.5)


def test_counts_add_up_language_by_language():
    alice = Counts(((1, 2), (3, 4)), 5.0)
    bob = Counts(((10, 20), (30, 40)), 50.0)

    assert add_up([alice, bob]) == alice + bob == Counts(((11, 22), (33, 44)), 55.0)
    assert add_up([alice]) == alice


@given(st.lists(COUNTS, min_size=1, max_size=4))
def test_the_sum_of_counts_has_all_names_in_any_order(counts):
    together = add_up(counts)

    assert together.names == sum(each.names for each in counts)
    assert together.loss_sum == sum(each.loss_sum for each in counts)
    assert add_up(counts[::-1]) == together


def test_counts_of_different_languages_do_not_add_up():
    with pytest.raises(ValueError, match="zip"):
        Counts(((1,),), 0.0) + Counts(((1, 0), (0, 1)), 0.0)


def test_guesses_are_counted_in_the_row_of_the_language_and_the_column_of_the_guess():
    names = encode({"first": ["xa", "ya", "xb"], "second": ["xb"], "third": ["xa", "xc"]})

    counts = count_guesses(Oracle(n_languages=3), names, 3)

    assert counts.confusion == ((2, 1, 0), (0, 1, 0), (1, 0, 1))
    # The Oracle's probability is e^10 / (e^10 + 2) for its guess, and 1 / (e^10 + 2) for another language.
    right, wrong = math.log(math.exp(10) + 2) - 10, math.log(math.exp(10) + 2)
    assert counts.loss_sum == pytest.approx(4 * right + 2 * wrong, rel=1e-4)


def test_counting_in_parts_equals_counting_at_once(model):
    names = {"first": ["Kim", "Papadopoulos"], "second": ["Lee"], "third": ["Au", "O'Neal"]}
    parts = [{language: of_language[part::2] for language, of_language in names.items()} for part in (0, 1)]

    together = count_guesses(model, encode(names), 3)
    apart = add_up(count_guesses(model, encode(part), 3) for part in parts)

    assert apart.confusion == together.confusion
    assert apart.loss_sum == pytest.approx(together.loss_sum, rel=1e-5)


def test_counting_leaves_the_model_as_it_was(model):
    before = [parameter.detach().clone() for parameter in model.parameters()]

    count_guesses(model, encode({"first": ["Kim"], "second": ["Lee"], "third": []}), 3)

    assert all(map(torch.equal, before, model.parameters()))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_prediction_is_the_tutorials_log_probabilities_with_languages_the_likeliest_first(model):
    languages = ["Greek", "Irish", "Korean"]

    prediction = predict(model, "Kim", languages)

    encoded = encode({"?": ["Kim"]})
    with torch.no_grad():
        expected = model.log_probabilities(encoded.letters)[0]
    assert [value for value, _ in prediction] == pytest.approx(sorted(expected.tolist(), reverse=True))
    assert {language: value for value, language in prediction} == pytest.approx(
        dict(zip(languages, expected.tolist(), strict=True))
    )


@pytest.mark.parametrize(("count", "told"), [(1, 1), (2, 2), (3, 3), (5, 3)])
def test_a_prediction_names_as_many_languages_as_asked_for_or_all(model, count, told):
    assert len(predict(model, "Kim", ["Greek", "Irish", "Korean"], count)) == told


def test_accents_make_no_difference_to_a_prediction(model):
    languages = ["Greek", "Irish", "Korean"]

    assert predict(model, "Dvořák", languages) == predict(model, "Dvorak", languages)


@pytest.mark.parametrize("name", ["王", "", " ", "-'-"])
def test_a_name_without_a_known_letter_is_not_predicted(model, name):
    with pytest.raises(ValueError, match=f"no letter of {name!r} is known: write it in Latin letters"):
        predict(model, name, ["Greek", "Irish", "Korean"])
