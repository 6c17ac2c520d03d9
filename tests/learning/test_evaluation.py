"""Counts, and what is computed from them."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import Counts, add_up, count_guesses, predict
from pisyft.learning.models import RNN, make_model
from pisyft.learning.names import NamesError

CONFUSIONS = st.tuples(*[st.tuples(*[st.integers(0, 50)] * 3)] * 3)
# So many guesses, of which so many are right, and a sum of probabilities that so many guesses can have.
BIN = st.integers(0, 30).flatmap(
    lambda names: st.tuples(st.just(names), st.integers(0, names), st.integers(0, names).map(float))
)
BINS = st.just(()) | st.tuples(BIN, BIN, BIN, BIN)
COUNTS = st.builds(Counts, CONFUSIONS, st.integers(0, 500).map(float), st.integers(0, 50), BINS)


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


def test_counting_is_without_dropout_and_leaves_the_model_training():
    model = make_model("gru", 57, 3, seed=1).train()
    names = encode({"first": ["Kim", "Papadopoulos"], "second": ["Lee"], "third": ["Au", "O'Neal"]})

    assert count_guesses(model, names, 3) == count_guesses(model, names, 3)
    assert predict(model, "Kim", ["a", "b", "c"]) == predict(model, "Kim", ["a", "b", "c"])
    assert model.training


def test_no_names_cannot_be_counted(model):
    empty = encode({"first": ["Kim"]}).choose(torch.tensor([], dtype=torch.int64))

    with pytest.raises(NamesError, match="no names to evaluate on"):
        count_guesses(model, empty, 3)


def test_the_right_language_is_counted_among_the_three_likeliest(model):
    names = encode({"first": ["Kim"] * 4, "second": ["Lee"] * 3, "third": ["Au"] * 2, "fourth": ["Ng"]})
    model = RNN(n_languages=4)

    counts = count_guesses(model, names, 4)

    last = model.log_probabilities(names.letters).argmin(1)  # the only language that is not among the three likeliest
    assert counts.top3 == 10 - int((last == names.languages).sum())


def test_guesses_are_sorted_into_tenths_by_their_probability():
    class Sure(RNN):
        """Gives its guess, the language of the last letter, the probability of 0.95, if it is an a, or 0.55."""

        def forward(self, letter, hidden):
            a = letter[:, :1] * torch.tensor([[0.95, 0.05]])
            b = letter[:, 1:2] * torch.tensor([[0.45, 0.55]])
            return (a + b + 1e-9).log(), hidden

    counts = count_guesses(Sure(n_languages=2), encode({"first": ["xa"] * 3 + ["xb"], "second": ["xb"] * 4}), 2)

    assert [each[:2] for each in counts.bins] == [(0, 0)] * 5 + [(5, 4)] + [(0, 0)] * 3 + [(3, 3)]
    assert counts.bins[5][2] == pytest.approx(5 * 0.55)
    # Of 8 guesses: 5 are right in 4 cases instead of 2.75, and 3 in 3 instead of 2.85.
    assert counts.calibration_error == pytest.approx((4 - 2.75 + 3 - 2.85) / 8)


def test_counts_travel_as_plain_values_and_come_back_the_same(model):
    names = encode({"first": ["Kim"] * 12, "second": ["Lee"] * 11, "third": ["Au"] * 3})
    counts = count_guesses(model, names, 3).with_floor(10)

    assert Counts.from_answer(json.loads(json.dumps(counts.as_answer()))) == counts


@pytest.mark.parametrize("damage", [{"confusion": None}, {"confusion": [[1, 2]]}, {"pooled": [1]}, {"bins": [[1, 2]]}])
def test_an_answer_that_is_no_counts_is_refused(damage):
    answer = {**Counts(((1, 0), (0, 1)), 1.0).as_answer(), **damage}

    with pytest.raises(ValueError, match="these are no counts"):
        Counts.from_answer(answer)


def test_small_languages_are_pooled_and_everything_still_adds_up():
    counts = Counts(((20, 2, 0, 0), (1, 3, 2, 0), (0, 1, 4, 1), (0, 0, 0, 30)), 9.0, 60)

    told = counts.with_floor(10)

    assert told.confusion == ((20, 2, 0, 0), (0,) * 4, (0,) * 4, (0, 0, 0, 30))
    assert told.pooled == (1, 4, 6, 1)
    assert (told.pooled_right, told.pooled_languages) == (7, (1, 2))
    assert (told.names, told.right, told.accuracy) == (counts.names, counts.right, counts.accuracy)
    # The pooled languages count with 7 of 12 each, which is what is known of them.
    assert told.balanced_accuracy == pytest.approx((20 / 22 + 7 / 12 + 7 / 12 + 1) / 4)


def test_a_pool_that_is_too_small_takes_the_smallest_language_in():
    told = Counts(((11, 1), (2, 1)), 1.0).with_floor(10)
    of_three = Counts(((11, 1, 0), (2, 1, 0), (0, 0, 13)), 1.0).with_floor(10)

    assert (told.confusion, told.pooled, told.pooled_right) == (((0, 0), (0, 0)), (13, 2), 12)
    assert (of_three.confusion[2], of_three.pooled_languages) == ((0, 0, 13), (0, 1))


def test_languages_without_names_are_not_pooled():
    told = Counts(((11, 1), (0, 0)), 1.0).with_floor(10)

    assert (told.confusion, told.pooled) == (((11, 1), (0, 0)), ())


def test_fewer_names_than_the_floor_tell_nothing():
    with pytest.raises(ValueError, match="9 names are too few to tell anything about: 10 are needed"):
        Counts(((9,),), 1.0).with_floor(10)


@given(counts=COUNTS, floor=st.integers(1, 60))
def test_nothing_that_is_told_is_about_fewer_names_than_the_floor_and_sums_stay(counts, floor):
    assume(counts.names >= floor)
    assume(not counts.bins or sum(names for names, _, _ in counts.bins) >= floor)

    told = counts.with_floor(floor)

    groups = [sum(row) for row in told.confusion] + [sum(told.pooled)] + [names for names, _, _ in told.bins]
    assert all(size == 0 or size >= floor for size in groups)
    assert (told.names, told.right, told.loss_sum, told.top3) == (
        counts.names,
        counts.right,
        pytest.approx(counts.loss_sum, rel=1e-3),
        counts.top3,
    )
    sums = [sum(column) for column in zip(*counts.bins, strict=True)]
    assert [sum(column) for column in zip(*told.bins, strict=True)] == pytest.approx(sums, rel=1e-3)
    columns = [sum(column) for column in zip(*counts.confusion, strict=True)]
    assert [
        sum(column) + own
        for column, own in zip(zip(*told.confusion, strict=True), told.pooled or (0,) * 3, strict=True)
    ] == columns


@given(st.lists(COUNTS.filter(lambda counts: counts.names >= 10), min_size=1, max_size=3))
def test_pooled_counts_of_several_workers_add_up_to_the_same_accuracy(counts):
    assume(len({bool(each.bins) for each in counts}) == 1)

    told = add_up(each.with_floor(10) for each in counts)

    assert told.accuracy == pytest.approx(add_up(counts).accuracy)
    assert told.names == add_up(counts).names


def test_a_language_that_one_worker_pools_is_measured_by_the_others():
    alice = Counts(((12, 0), (4, 6)), 1.0).with_floor(11)
    bob = Counts(((12, 0), (3, 9)), 1.0).with_floor(11)

    together = alice + bob

    assert together.recalls() == [1, 9 / 12]
    assert alice.recalls() == [None, None]


def test_f1_computed_by_hand():
    counts = Counts(((6, 2), (1, 3)), 1.0)

    assert counts.macro_f1 == pytest.approx((2 * 6 / (8 + 7) + 2 * 3 / (4 + 5)) / 2)


def test_f1_of_pooled_languages_is_that_of_one_class():
    counts = Counts(((20, 2, 1), (1, 3, 2), (0, 1, 4)), 1.0).with_floor(10)

    f1_first = 2 * 20 / (23 + 21)
    f1_pool = 2 * 7 / (11 + 13)  # 7 of 11 are right, and 13 names were taken for the second or third language
    assert counts.macro_f1 == pytest.approx((f1_first + f1_pool + f1_pool) / 3)


def test_accuracy_has_wilsons_interval():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263, 15 of 148, 0 of 20.
    for right, names, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        measure = Counts(((right, names - right), (0, 0)), 1.0).measures()["accuracy"]
        assert (measure.low, measure.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))


@given(COUNTS.filter(lambda counts: counts.names > 0))
def test_every_interval_is_in_order_and_the_same_again(counts):
    assume(counts.top3 <= counts.names)
    measures = counts.measures()

    for measure in measures.values():
        assert measure.low <= measure.high
    for name in ("accuracy", "top3_accuracy"):
        assert 0 <= measures[name].low <= measures[name].value <= measures[name].high <= 1
    assert counts.measures() == measures


def test_bootstrap_intervals_hold_the_true_figure_as_often_as_they_say():
    """Of 200 draws from a known distribution, about 190 intervals hold the true balanced accuracy; never below 170."""
    generator = np.random.default_rng(5)
    held = 0
    for _ in range(200):
        rows = [generator.multinomial(60, row) for row in ((0.7, 0.2, 0.1), (0.3, 0.5, 0.2), (0.1, 0.3, 0.6))]
        measure = Counts(tuple(tuple(map(int, row)) for row in rows), 1.0).measures()["balanced_accuracy"]
        held += measure.low <= 0.6 <= measure.high

    assert held >= 170


def test_intervals_are_narrower_the_more_names_there_are():
    few = Counts(((6, 4), (3, 7)), 1.0, 18, ((20, 13, 12.0),)).measures()
    many = Counts(((600, 400), (300, 700)), 1.0, 1800, ((2000, 1300, 1200.0),)).measures()

    assert set(few) == {"accuracy", "balanced_accuracy", "macro_f1", "top3_accuracy", "calibration_error"}
    for name in few:
        assert many[name].high - many[name].low < (few[name].high - few[name].low) / 5


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
    with pytest.raises(NamesError, match=f"no letter of {name!r} is known: write it in Latin letters"):
        predict(model, name, ["Greek", "Irish", "Korean"])


def test_where_no_language_has_a_row_nothing_is_told_of_languages():
    counts = Counts(((3, 1), (2, 4)), loss_sum=5.0, top3=10).with_floor(7)

    assert not any(map(sum, counts.confusion)) and not counts.tells_languages
    assert "accuracy" in counts.measures()
    assert {"balanced_accuracy", "macro_f1"}.isdisjoint(counts.measures())
    assert {"balanced_accuracy", "macro_f1"} <= set(Counts(((3, 1), (2, 4)), loss_sum=5.0, top3=10).measures())
