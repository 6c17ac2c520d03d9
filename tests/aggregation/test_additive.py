"""Shares that do not belong: each refused by name, and the round goes on or is given up as it must."""

from itertools import combinations

import numpy as np
import pytest

from pisyft.aggregation.additive import AdditiveContributor
from pisyft.aggregation.errors import Refused
from pisyft.aggregation.protocol import JOIN, SHARE, UPLOAD
from pisyft.aggregation.streams import add_stream
from tests.aggregation.parties import LENGTH, agree

NAMES = ["alice", "bob", "carol"]


@pytest.fixture
def agreement():
    return agree("additive", NAMES)


@pytest.fixture
def contributors(agreement):
    made = {name: AdditiveContributor(agreement, name) for name in NAMES}
    for contributor in made.values():
        contributor.answer(JOIN, {})
    return made


def shares(contributors) -> dict[str, dict[str, bytes]]:
    """What each sends to each."""
    return {name: contributor.answer(SHARE, {})[1] for name, contributor in contributors.items()}


def test_each_other_participant_gets_one_message_of_64_bytes(contributors):
    for name, sent in shares(contributors).items():
        assert sorted(sent) == [other for other in NAMES if other != name]
        assert {len(message) for message in sent.values()} == {64}


def test_all_shares_of_an_update_but_one_are_independent_of_it(contributors, agreement):
    """The share that a Pi keeps is its update minus streams of fresh seeds; the others are those streams."""
    sent = shares(contributors)
    update = np.arange(LENGTH + 1, dtype=np.uint64)
    for sender in NAMES:
        for receiver in sent[sender]:
            contributors[receiver].deliver(sender, sent[sender][receiver])

    (answer, _) = contributors["alice"].answer(UPLOAD, {}, update.copy)
    vector = answer["vector"]

    for receiver in ("bob", "carol"):
        add_stream(vector, sent["alice"][receiver][32:], +1)
        add_stream(vector, sent[receiver]["alice"][32:], -1)
    assert np.array_equal(vector, update)
    seeds = [message[32:] for each in sent.values() for message in each.values()]
    assert all(one != other for one, other in combinations(seeds, 2))


@pytest.mark.parametrize("cut", [slice(0, 0), slice(0, 63), slice(0, 32)])
def test_a_share_of_the_wrong_length_is_refused_by_name(contributors, cut):
    message = shares(contributors)["bob"]["alice"]
    with pytest.raises(Refused, match="alice in round .* the share of bob has the wrong length"):
        contributors["alice"].deliver("bob", message[cut])
    with pytest.raises(Refused, match="the share of bob has the wrong length"):
        contributors["alice"].deliver("bob", message + b"more")


def test_a_share_for_another_round_is_refused_by_name(contributors):
    other = AdditiveContributor(agree("additive", NAMES), "bob")
    other.answer(JOIN, {})
    with pytest.raises(Refused, match="alice in round .* the share of bob is for another agreement"):
        contributors["alice"].deliver("bob", other.answer(SHARE, {})[1]["alice"])


@pytest.mark.parametrize("stranger", ["mallory", "alice"])
def test_a_share_of_somebody_who_is_no_participant_is_refused_by_name(contributors, stranger):
    message = shares(contributors)["bob"]["alice"]
    with pytest.raises(Refused, match=f"{stranger} is no participant, and its share is not taken"):
        contributors["alice"].deliver(stranger, message)


def test_a_second_share_is_refused_by_name_and_the_first_one_stays(contributors):
    sent, again = (
        shares(contributors),
        shares({name: _joined(AdditiveContributor(contributors[name].agreement, name)) for name in NAMES}),
    )
    for sender in ("bob", "carol"):
        contributors["alice"].deliver(sender, sent[sender]["alice"])

    with pytest.raises(Refused, match="bob has sent its share already"):
        contributors["alice"].deliver("bob", again["bob"]["alice"])

    (answer, _) = contributors["alice"].answer(UPLOAD, {}, lambda: np.zeros(LENGTH + 1, np.uint64))
    for other in ("bob", "carol"):
        add_stream(answer["vector"], sent["alice"][other][32:], +1)
        add_stream(answer["vector"], sent[other]["alice"][32:], -1)
    assert not answer["vector"].any()


def _joined(contributor):
    contributor.answer(JOIN, {})
    return contributor


def test_a_share_that_never_comes_is_missed_by_name_before_anything_is_given_away(contributors):
    sent = shares(contributors)
    contributors["alice"].deliver("carol", sent["carol"]["alice"])

    with pytest.raises(Refused, match="alice in round .* no share has come from bob"):
        contributors["alice"].answer(UPLOAD, {}, lambda: pytest.fail("the update was asked for"))


def test_a_share_may_come_before_the_own_ones_are_made(contributors, agreement):
    bobs = contributors["bob"].answer(SHARE, {})[1]
    contributors["alice"].deliver("bob", bobs["alice"])
    assert sorted(contributors["alice"].answer(SHARE, {})[1]) == ["bob", "carol"]


def test_two_participants_with_different_agreements_do_not_sum(contributors):
    """A coordinator that tells bob of another set of participants, to have one Pi's update as a difference."""
    bob = _joined(AdditiveContributor(agree("additive", ["alice", "bob"]), "bob"))
    with pytest.raises(Refused, match="for another agreement; who coordinates this round"):
        contributors["alice"].deliver("bob", bob.answer(SHARE, {})[1]["alice"])
