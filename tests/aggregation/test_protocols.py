"""Whole rounds in one process, for each protocol: the sum is right, and what does not belong into it is refused."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.aggregation.errors import Refused, RoundAborted
from pisyft.aggregation.fixed_point import FixedPoint
from pisyft.aggregation.plain import PlainAggregation
from pisyft.aggregation.protocol import JOIN, SHARE, UPLOAD
from pisyft.aggregation.rounds import PROTOCOLS, Rounds, Update, make_collector
from pisyft.aggregation.simulation import Gone, run_round
from tests.aggregation.parties import (
    LAYOUT,
    LENGTH,
    MODEL,
    agree,
    ids,
    make_parties,
    plain_mean,
    update_of,
    vanishing,
)

# What every test about `plain` but one expects.
pytestmark = pytest.mark.filterwarnings("ignore::pisyft.aggregation.plain.PlainAggregation")

SECURE = ("additive", "masks")


def run(agreement, parties, *gone):
    return run_round(agreement, parties, vanishing(*gone))


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("count", [2, 3, 5, 10, 25, 50])
def test_the_total_is_the_weighted_mean(protocol, count):
    parties = make_parties(ids(count))

    total = run(agree(protocol, parties), parties)

    assert np.abs(total.mean - plain_mean(parties, parties)).max() <= count * 2.0**-22
    assert total.weight == sum(update_of(party).weight for party in parties.values())
    assert total.contributors == tuple(parties)
    assert total.missing == {}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_all_protocols_give_the_same_total_to_the_last_bit(protocol):
    parties = make_parties(ids(5))
    others = make_parties(ids(5))

    assert np.array_equal(run(agree(protocol, parties), parties).mean, run(agree("additive", others), others).mean)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_ring_of_32_bits_halves_what_is_uploaded(protocol):
    parties = make_parties(ids(4))
    for number, party in enumerate(parties.values(), 1):
        party.keep(replace(update_of(party), weight=number))
    uploads = []
    small = FixedPoint(fraction_bits=16, clip=16.0, max_weight=100, ring_bits=32)

    total = run_round(
        agree(protocol, parties, fixed_point=small),
        parties,
        lambda _, step, message: uploads.append(message["vector"].nbytes) if "vector" in message else None,
    )

    assert uploads == [4 * (LENGTH + 1)] * 4
    assert np.abs(total.mean - plain_mean(parties, parties)).max() <= 4 * 2.0**-16


@pytest.mark.parametrize("protocol", SECURE)
def test_what_one_pi_uploads_is_uniformly_random(protocol):
    """Two rounds over the same updates upload different numbers, in which each bit is one half of the time."""
    layout, length = {"w": (20_000,)}, 20_000
    uploads: list[np.ndarray] = []
    for _ in range(2):
        parties = make_parties(ids(3))
        for party in parties.values():
            party.keep(Update(np.zeros(length), 1, layout, MODEL))
        agreement = replace(agree(protocol, parties), length=length, layout=_digest(layout))
        run_round(
            agreement,
            parties,
            lambda who, step, message: uploads.append(message["vector"].copy()) if "vector" in message else None,
        )

    assert len(uploads) == 6
    for upload in uploads:
        ones = np.unpackbits(upload.view(np.uint8)).reshape(-1, 64).mean(0)
        assert np.abs(ones - 0.5).max() < 9 * 0.5 / np.sqrt(length)
    for one in range(6):
        for other in range(one):
            assert not np.any(uploads[one][:-1] == uploads[other][:-1])


def _digest(layout):
    from pisyft.aggregation.agreement import digest_of_layout

    return digest_of_layout(layout)


def test_plain_uploads_are_what_the_pi_has_learned_and_it_says_so_every_time():
    parties = make_parties(ids(2))
    seen = {}
    agreement = agree("plain", parties)

    with pytest.warns(PlainAggregation, match="the coordinator sees what every single Pi has learned"):
        total = run_round(agreement, parties, lambda who, _, message: seen.update({who: message.get("vector")}))

    for name, party in parties.items():
        mean, weight = agreement.fixed_point.decode(seen[name], 1)
        assert weight == update_of(party).weight
        assert np.abs(mean - update_of(party).values).max() < 1e-6
        assert np.array_equal(total.updates[name], mean)


@pytest.mark.parametrize("protocol", SECURE)
def test_the_secure_protocols_warn_of_nothing_and_tell_nobodys_update(protocol):
    parties = make_parties(ids(3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        total = run(agree(protocol, parties), parties)
    assert not total.updates


# Somebody vanishes


@pytest.mark.parametrize("step", [JOIN, SHARE, UPLOAD])
def test_an_additive_round_is_given_up_with_whom_and_where_when_somebody_vanishes(step):
    parties = make_parties(ids(3))

    with pytest.raises(RoundAborted, match=f"in step '{step}' because of pi01: pi01 was switched off") as aborted:
        run(agree("additive", parties), parties, ("pi01", step))

    assert (aborted.value.participant, aborted.value.step) == ("pi01", step)
    assert aborted.value.released == (step == UPLOAD)


def test_after_an_additive_round_that_gave_nothing_away_the_survivors_sum_the_same_updates():
    parties = make_parties(ids(4))
    with pytest.raises(RoundAborted) as aborted:
        run(agree("additive", parties), parties, ("pi03", SHARE))
    survivors = ["pi00", "pi01", "pi02"]

    total = run(agree("additive", survivors), parties)

    assert not aborted.value.released
    assert np.abs(total.mean - plain_mean(parties, survivors)).max() <= 3 * 2.0**-22


def test_after_one_that_did_they_do_not():
    parties = make_parties(ids(4))
    with pytest.raises(RoundAborted) as aborted:
        run(agree("additive", parties), parties, ("pi03", UPLOAD))

    with pytest.raises(RoundAborted, match="has given this update away"):
        run(agree("additive", ["pi00", "pi01", "pi02"]), parties)

    assert aborted.value.released


@given(st.data())
def test_with_masks_the_survivors_sum_is_right_whoever_vanishes_and_whenever(data):
    count = data.draw(st.integers(2, 12))
    names = ids(count)
    when = data.draw(st.dictionaries(st.sampled_from(names), st.sampled_from(["join", "share", "upload", "confirm"])))
    late = data.draw(st.sets(st.sampled_from(names)))
    gone = [*when.items(), *((name, "unmask") for name in late if name not in when)]
    parties = make_parties(names, protocols=("masks",))
    agreement = agree("masks", parties)

    survivors = [name for name in names if when.get(name, "confirm") == "confirm"]
    answering = [name for name in names if name not in dict(gone)]
    try:
        total = run(agreement, parties, *gone)
    except RoundAborted as aborted:
        assert len(answering) < agreement.threshold or len(survivors) < 2
        assert aborted.step in ("join", "share", "upload", "confirm", "unmask")
    else:
        assert len(answering) >= agreement.threshold
        assert total.contributors == tuple(survivors)
        assert set(total.missing) == set(names) - set(survivors)
        assert np.abs(total.mean - plain_mean(parties, survivors)).max() <= count * 2.0**-22


def test_with_masks_and_a_sparse_graph_some_of_many_may_vanish():
    names = ids(60)
    parties = make_parties(names)
    steps = ("join", "share", "upload", "confirm", "unmask")
    gone = [(name, steps[number % 5]) for number, name in enumerate(names[::10])]

    total = run(agree("masks", parties), parties, *gone)

    survivors = [name for name in names if dict(gone).get(name, "unmask") in ("confirm", "unmask")]
    assert total.contributors == tuple(survivors)
    assert np.abs(total.mean - plain_mean(parties, survivors)).max() <= 60 * 2.0**-22


# What does not belong


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_step_out_of_turn_is_refused_and_ends_the_part(protocol):
    parties = make_parties(ids(3))
    agreement = agree(protocol, parties)
    party = parties["pi00"]
    party.answer(JOIN, agreement.round, agreement.as_message())

    with pytest.raises(Refused, match="pi00 in round .* step 'unmask' is out of turn"):
        party.answer("unmask", agreement.round, {})

    with pytest.raises(Refused, match="has restarted|was given up"):
        party.answer(UPLOAD, agreement.round, {})


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("message", [None, [], {"keys": 7}, {"keys": {"pi01": {}}}, {"sealed": []}])
def test_a_message_that_is_none_is_refused(protocol, message):
    parties = make_parties(ids(3))
    agreement = agree(protocol, parties)
    for party in parties.values():
        party.answer(JOIN, agreement.round, agreement.as_message())

    with pytest.raises(Refused):
        for step in (SHARE, UPLOAD):
            parties["pi00"].answer(step, agreement.round, message)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"layout": {"i2h.weight": (3, 4), "i2h.bias": (4,)}}, "other shapes"),
        ({"model": "version 2"}, "in another way"),
        ({"values": np.zeros(LENGTH + 1)}, "17 values, and the round is about 16"),
        ({"values": np.full(LENGTH, np.nan)}, "parameter i2h.weight, value 0 is nan"),
        ({"values": np.full(LENGTH, 1e6)}, "beyond the agreed 1024"),
        ({"weight": 0}, "a weight must be"),
    ],
)
def test_an_update_that_is_not_what_was_agreed_never_leaves_the_pi(protocol, changed, text):
    parties = make_parties(ids(4))
    parties["pi01"].keep(replace(update_of(parties["pi01"]), **changed))
    sent = []

    try:
        total = run_round(
            agree(protocol, parties),
            parties,
            lambda who, step, message: sent.append(who) if who == "pi01" and "vector" in message else None,
        )
    except RoundAborted as aborted:
        assert protocol == "additive"
        assert aborted.participant == "pi01"
        assert text in str(aborted)
    else:
        assert protocol != "additive"
        assert text in total.missing["pi01"]
    assert sent == []


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_training_that_would_be_thrown_away_is_refused_before_it_begins(protocol):
    parties = make_parties(ids(2))
    agreement = agree(protocol, parties)
    party = parties["pi00"]
    party.answer(JOIN, agreement.round, agreement.as_message())

    party.check_model(agreement.round, MODEL, LAYOUT)
    with pytest.raises(Refused, match="other shapes"):
        party.check_model(agreement.round, MODEL, {"i2h.weight": (16,)})
    with pytest.raises(Refused, match="in another way"):
        party.check_model(agreement.round, "another", LAYOUT)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_without_an_update_the_pi_says_what_is_missing(protocol):
    parties = make_parties(ids(3))
    parties["pi02"] = Rounds(parties["pi02"].ledger)

    try:
        text = str(run(agree(protocol, parties), parties).missing["pi02"])
    except RoundAborted as aborted:
        text = str(aborted)

    assert "pi02 in round" in text and "there is no update; call fit first" in text


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    "vector",
    [
        None,
        [1, 2, 3],
        np.zeros(LENGTH, np.uint64),
        np.zeros(LENGTH + 2, np.uint64),
        np.zeros((LENGTH + 1, 1), np.uint64),
        np.zeros(LENGTH + 1, np.float64),
        np.zeros(LENGTH + 1, np.uint32),
    ],
)
def test_an_upload_of_the_wrong_shape_is_refused_by_name(protocol, vector):
    names = ids(4)
    parties = make_parties(names)
    agreement = agree(protocol, parties)
    collector = make_collector(agreement)
    while collector.step != UPLOAD:
        for each, question in collector.ask().items():
            answer, to_others = parties[each].answer(collector.step, agreement.round, question)
            for other, message in to_others.items():
                parties[other].deliver(each, agreement.round, message)
            collector.take(each, answer)
        collector.advance()

    with pytest.raises(Refused, match=f"pi02 in step 'upload' of round {agreement.round[:8]}: it uploaded"):
        collector.take("pi02", {"vector": vector})

    assert "pi02" in collector.lost


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_answers_of_strangers_and_second_answers_are_refused_by_name(protocol):
    parties = make_parties(ids(3))
    agreement = agree(protocol, parties)
    collector = make_collector(agreement)
    answer, _ = parties["pi00"].answer(JOIN, agreement.round, agreement.as_message())
    collector.take("pi00", answer)
    collector.lose("pi01", "too slow")

    with pytest.raises(Refused, match="pi00 in step 'join' .* it has answered already"):
        collector.take("pi00", answer)
    with pytest.raises(Refused, match="mallory in step 'join' .* nobody has asked it"):
        collector.take("mallory", answer)
    with pytest.raises(Refused, match=r"pi01 in step 'join' .* too late, the round goes on without it \(too slow\)"):
        collector.take("pi01", answer)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_pi_that_was_started_again_is_in_no_round_and_joins_the_next(protocol):
    parties = make_parties(ids(4))
    restarted = make_parties(ids(4))["pi02"]

    def on_message(who, step, message):
        if step == UPLOAD and who == "pi02":
            parties["pi02"] = restarted

    try:
        run_round(agree(protocol, parties), parties, on_message)
    except RoundAborted:
        assert protocol == "additive"
    for party in parties.values():
        party.keep(replace(update_of(party), values=update_of(party).values + 1))

    assert run(agree(protocol, parties), parties).contributors == tuple(ids(4))


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_total_needs_two_at_least(protocol):
    parties = make_parties(ids(2))
    with pytest.raises(RoundAborted):
        run(agree(protocol, parties), parties, ("pi00", UPLOAD))


def test_a_stranger_in_the_simulation_is_a_mistake():
    with pytest.raises(KeyError):
        run(agree("additive", ids(3)), make_parties(ids(2)))


def test_whoever_vanishes_may_do_so_without_a_reason():
    parties = make_parties(ids(2))

    def gone(*_):
        raise Gone

    with pytest.raises(RoundAborted, match="it has vanished"):
        run_round(agree("additive", parties), parties, gone)
