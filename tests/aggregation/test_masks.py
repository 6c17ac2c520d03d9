"""Zero-sum masks against a coordinator and a network that cheat, and against Pis that come too late."""

from collections import Counter

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pisyft.aggregation import masks
from pisyft.aggregation.errors import Refused, RoundAborted
from pisyft.aggregation.masks import MasksCollector, MasksContributor, degree, neighbours
from pisyft.aggregation.protocol import CONFIRM, JOIN, SHARE, UNMASK, UPLOAD
from pisyft.aggregation.simulation import run_round
from pisyft.aggregation.streams import add_stream
from tests.aggregation.parties import LENGTH, agree, ids, make_parties, make_signers, plain_mean, vanishing
from tests.aggregation.parties import signing as with_signers

NAMES = ["alice", "bob", "carol", "dave"]


class Play:
    """A round over NAMES, step by step, in which the coordinator may do what it likes."""

    def __init__(self, signing: bool = False) -> None:
        self.parties = with_signers(make_parties(NAMES)) if signing else make_parties(NAMES)
        self.agreement = agree("masks", NAMES)
        self.collector = MasksCollector(self.agreement)
        self.questions: dict = {}

    def step(self, name: str, questions: dict) -> dict:
        return self.parties[name].answer(self.collector.step, self.agreement.round, questions[name])[0]

    def until(self, step: str, gone: tuple[str, ...] = ()) -> dict:
        """Play honestly up to a step; the questions of that step. Those in `gone` vanish at the upload."""
        while self.collector.step != step:
            for name, question in self.collector.ask().items():
                if self.collector.step == UPLOAD and name in gone:
                    self.collector.lose(name, "gone")
                else:
                    self.collector.take(name, self.step(name, {name: question}))
            self.collector.advance()
        return self.collector.ask()


def contributor_of(play: Play, name: str) -> MasksContributor:
    contributor = play.parties[name]._contributor
    assert isinstance(contributor, MasksContributor)
    return contributor


# The graph


@pytest.mark.parametrize("count", [2, 3, 20, 21, 22, 50, 51, 333])
def test_neighbours_are_mutual_and_as_many_as_they_should_be(count):
    graph = neighbours(agree("masks", ids(count)))

    assert sorted(graph) == sorted(ids(count))
    for name, around in graph.items():
        assert len(set(around)) == len(around) == degree(count)
        assert name not in around
        assert all(name in graph[other] for other in around)


def test_up_to_20_everybody_is_everybodys_neighbour_and_beyond_it_grows_slowly():
    assert [degree(count) for count in (2, 10, 20)] == [1, 9, 19]
    assert [degree(count) for count in (21, 50, 100, 1000, 1_000_000)] == [20, 34, 40, 60, 120]


def test_the_graph_is_connected_and_another_one_in_each_round():
    first, second = (neighbours(agree("masks", ids(100))) for _ in range(2))

    reached, new = {"pi00"}, {"pi00"}
    while new:
        new = {other for name in new for other in first[name]} - reached
        reached |= new
    assert len(reached) == 100
    assert first != second


@pytest.mark.parametrize("threshold", [0, 1, 2, 5])
def test_a_threshold_below_more_than_half_or_above_all_is_refused(threshold):
    with pytest.raises(Refused, match="it must be 3 at least"):
        MasksContributor(agree("masks", NAMES, threshold=threshold), "alice")


# Who sees what


def test_the_coordinator_learns_of_each_participant_one_secret_and_not_both():
    parties = make_parties(ids(10))
    told: list[dict] = []
    names = ids(10)
    agreement = agree("masks", names)

    run_round(
        agreement,
        parties,
        lambda who, step, message: (
            vanishing(("pi03", UPLOAD), ("pi07", UPLOAD))(who, step, message),
            told.append(message) if "seeds" in message else None,
        ),
    )

    seeds, keys = Counter(), Counter()
    for message in told:
        seeds.update(list(message["seeds"]))
        keys.update(list(message["keys"]))
    assert set(keys) == {"pi03", "pi07"}
    assert set(seeds) == set(names) - set(keys)


def test_an_upload_that_was_believed_lost_stays_hidden_when_it_turns_up():
    """All that the coordinator has learned takes the pairwise masks off it, and the mask of its own seed is left."""
    play = Play()
    questions = play.until(UPLOAD)
    seed = contributor_of(play, "dave")._seed
    late = play.step("dave", questions)["vector"].copy()
    for name in NAMES[:3]:
        play.collector.take(name, play.step(name, questions))
    play.collector.lose("dave", "too slow")
    play.collector.advance()
    with pytest.raises(Refused, match="dave in step 'confirm' .* too late"):
        play.collector.take("dave", {"vector": late})
    play.until(UNMASK)
    for name, question in play.collector.ask().items():
        play.collector.take(name, play.step(name, {name: question}))
    before = play.collector._sum.copy()
    play.collector.advance()

    # What recovering dave's masks took off the sum is what dave's upload carries the other way round.
    expected = before.copy()
    for name in NAMES[:3]:
        shares = {
            masks._number(play.agreement, holder): given[0][name] for holder, given in play.collector._unmasked.items()
        }
        add_stream(expected, masks.shamir.combine(shares), -1)
    pairwise = play.collector._sum - expected
    left = late - pairwise
    add_stream(left, seed, -1)
    update = play.parties["dave"].update
    assert np.array_equal(left, play.agreement.fixed_point.encode(update.values, update.weight))
    assert all("dave" not in given[0] for given in play.collector._unmasked.values())
    assert play.collector.total.contributors == ("alice", "bob", "carol")


def test_the_coordinator_cannot_open_the_shares_that_it_carries():
    play = Play()
    sealed = play.until(UPLOAD)["alice"]["sealed"]["bob"]
    bob = contributor_of(play, "bob")
    assert bob._mask_key.private_bytes_raw() not in sealed
    assert len(sealed) == 33 + 33 + 16


# What is changed on the way


def test_a_share_that_was_changed_is_refused_by_name():
    play = Play()
    questions = play.until(UPLOAD)
    sealed = bytearray(questions["alice"]["sealed"]["bob"])
    sealed[5] ^= 1
    questions["alice"]["sealed"]["bob"] = bytes(sealed)

    with pytest.raises(Refused, match="alice in round .* the share of bob cannot be opened"):
        play.step("alice", questions)


def test_a_share_that_was_meant_for_somebody_else_is_refused_by_name():
    play = Play()
    questions = play.until(UPLOAD)
    questions["alice"]["sealed"]["bob"] = questions["carol"]["sealed"]["bob"]

    with pytest.raises(Refused, match="the share of bob cannot be opened"):
        play.step("alice", questions)


def test_a_share_of_another_round_is_refused_by_name():
    play, other = Play(), Play()
    questions, others = play.until(UPLOAD), other.until(UPLOAD)
    questions["alice"]["sealed"]["bob"] = others["alice"]["sealed"]["bob"]

    with pytest.raises(Refused, match="the share of bob cannot be opened"):
        play.step("alice", questions)


@pytest.mark.parametrize("step", [SHARE, UPLOAD])
def test_a_stranger_is_refused_by_name(step):
    play = Play()
    questions = play.until(step)
    (what,) = questions["alice"]
    questions["alice"][what]["mallory"] = questions["alice"][what]["bob"]

    with pytest.raises(Refused, match="of mallory, who should have none here"):
        play.step("alice", questions)


@pytest.mark.parametrize("step", [SHARE, UPLOAD])
def test_too_few_others_are_refused(step):
    play = Play()
    questions = play.until(step)
    (what,) = questions["alice"]
    questions["alice"][what] = {"bob": questions["alice"][what]["bob"]}

    with pytest.raises(Refused, match="alice in round .* of 1 others, and 2 are needed"):
        play.step("alice", questions)


def test_keys_that_are_somebody_elses_are_refused_by_name():
    play = Play()
    questions = play.until(SHARE)
    questions["alice"]["keys"]["carol"] = questions["alice"]["keys"]["bob"]

    with pytest.raises(Refused, match="the keys of carol are somebody else's, too"):
        play.step("alice", questions)


def test_a_pi_does_not_say_who_is_gone_twice():
    """The second time with another list, to have both secrets of somebody."""
    play = Play()
    play.until(UNMASK, gone=("dave",))
    play.step("alice", play.collector.ask())

    with pytest.raises(Refused, match="given up"):
        play.parties["alice"].answer(CONFIRM, play.agreement.round, {"gone": []})


@pytest.mark.parametrize(
    ("gone", "text"),
    [
        (["alice"], "cannot be those"),
        (["mallory"], "cannot be those"),
        (["dave", "bob"], "cannot be those"),
        (["bob", "bob"], "cannot be those"),
        (["bob", "carol", "dave"], "a sum of 1 updates, and alice helps with 2 at least"),
    ],
)
def test_a_list_of_the_gone_that_cannot_be_is_refused(gone, text):
    play = Play()
    play.until(CONFIRM)
    with pytest.raises(Refused, match=text):
        play.parties["alice"].answer(CONFIRM, play.agreement.round, {"gone": gone})


def test_a_pi_helps_with_no_sum_below_its_own_minimum():
    parties = make_parties(ids(5), minimum=4)
    with pytest.raises(RoundAborted, match="a sum of 3 updates, and pi02 helps with 4 at least"):
        run_round(agree("masks", parties, threshold=3), parties, vanishing(("pi03", UPLOAD), ("pi04", UPLOAD)))


@pytest.mark.parametrize("signing", [False, True])
def test_a_pi_that_was_shown_one_other_only_does_not_take_that_ones_masks_off(signing):
    """The coordinator keeps carol's shares from alice, and says that bob is gone: alice's upload would be bare."""
    names = NAMES[:3]
    parties, agreement = make_parties(names), agree("masks", names)
    parties = with_signers(parties) if signing else parties

    def ask(name: str, step: str, message: dict) -> dict:
        return parties[name].answer(step, agreement.round, message)[0]

    keys = {name: ask(name, JOIN, agreement.as_message()) for name in names}
    around = {name: {other: keys[other] for other in names if other != name} for name in names}
    sealed = {name: ask(name, SHARE, {"keys": around[name]})["sealed"] for name in names}
    ask("alice", UPLOAD, {"sealed": {"bob": sealed["bob"]["alice"]}})
    ask("carol", UPLOAD, {"sealed": {name: sealed[name]["carol"] for name in ("alice", "bob")}})

    with pytest.raises(Refused, match="of those whose masks it has on, 1 are left with alice, and 2 must be"):
        ask("alice", CONFIRM, {"gone": ["bob"]})


def test_a_pi_asks_for_its_minimum_among_those_whose_masks_it_has_on():
    """One of four is kept from her: her sum would be over three, though nobody is gone."""
    parties, agreement = make_parties(NAMES, minimum=4), agree("masks", NAMES, threshold=3)
    keys = {name: parties[name].answer(JOIN, agreement.round, agreement.as_message())[0] for name in NAMES}
    sealed = {}
    for name in NAMES:
        around = {other: keys[other] for other in NAMES if other != name}
        sealed[name] = parties[name].answer(SHARE, agreement.round, {"keys": around})[0]["sealed"]
    shown = {name: sealed[name]["alice"] for name in ("bob", "carol")}
    parties["alice"].answer(UPLOAD, agreement.round, {"sealed": shown})

    with pytest.raises(Refused, match="3 are left with alice, and 4 must be"):
        parties["alice"].answer(CONFIRM, agreement.round, {"gone": []})


def test_half_the_pis_told_one_thing_and_half_another_give_no_secret_twice():
    """Without signatures, the threshold alone: nobody's seed and key both reach it."""
    play = Play()
    play.until(CONFIRM)
    told = {"alice": ["dave"], "bob": ["dave"], "carol": [], "dave": []}
    seeds, keys = Counter(), Counter()
    for name, gone in told.items():
        play.parties[name].answer(CONFIRM, play.agreement.round, {"gone": gone})
        shares, _ = play.parties[name].answer(UNMASK, play.agreement.round, {"signatures": {}})
        seeds.update(list(shares["seeds"]))
        keys.update(list(shares["keys"]))

    assert seeds["dave"] == keys["dave"] == 2
    assert play.agreement.threshold == 3


def test_wrong_shares_of_a_key_are_noticed():
    play = Play()
    questions = play.until(UNMASK, gone=("dave",))
    for name in questions:
        answer = play.step(name, questions)
        if name == "bob":
            answer["keys"]["dave"] = bytes(33)
        play.collector.take(name, answer)

    with pytest.raises(RoundAborted, match="because of dave: (the shares of its key are wrong|shares of different)"):
        play.collector.advance()


def test_wrong_shares_of_a_seed_give_no_sum():
    play = Play()
    questions = play.until(UNMASK)
    for name in questions:
        answer = play.step(name, questions)
        if name == "bob":
            answer["seeds"]["carol"] = bytes(33)
        play.collector.take(name, answer)

    with pytest.raises(RoundAborted, match="is no sum of these participants' updates|different secrets"):
        play.collector.advance()
    assert play.collector.total is None


@pytest.mark.parametrize(
    ("step", "answer", "text"),
    [
        (JOIN, {"box": bytes(32), "mask": bytes(31), "signature": b""}, "its keys have the wrong length"),
        (JOIN, {"box": bytes(32), "mask": "x" * 32, "signature": b""}, "its keys have the wrong length"),
        (JOIN, {}, "its answer is none"),
        (JOIN, None, "its answer is none"),
        (SHARE, {"sealed": {}}, "shares of the wrong length, or for others"),
        (SHARE, {"sealed": dict.fromkeys(NAMES[:3], bytes(82))}, "shares of the wrong length, or for others"),
        (SHARE, {"sealed": dict.fromkeys(NAMES[1:], bytes(81))}, "shares of the wrong length, or for others"),
        (UNMASK, {"seeds": {"bob": bytes(32)}, "keys": {}}, "shares of the wrong length"),
        (UNMASK, {"seeds": {}}, "its answer is none"),
    ],
)
def test_an_answer_that_is_none_is_refused_by_name(step, answer, text):
    play = Play()
    play.until(step)
    with pytest.raises(Refused, match=f"alice in step '{step}' of round {play.agreement.round[:8]}: .*{text}"):
        play.collector.take("alice", answer)


# With keys to sign with


def test_with_signatures_the_sum_is_right_also_when_somebody_vanishes():
    parties = with_signers(make_parties(ids(6)))
    total = run_round(agree("masks", parties), parties, vanishing(("pi02", UPLOAD)))
    assert np.abs(total.mean - plain_mean(parties, total.contributors)).max() < 1e-5
    assert total.contributors == ("pi00", "pi01", "pi03", "pi04", "pi05")


def test_with_signatures_a_coordinator_cannot_put_its_own_keys_in_between():
    play = Play(signing=True)
    questions = play.until(SHARE)
    own = X25519PrivateKey.generate().public_key().public_bytes_raw()
    questions["alice"]["keys"]["bob"]["box"] = own

    with pytest.raises(Refused, match="the keys of bob are not signed by bob"):
        play.step("alice", questions)


def test_without_signatures_it_can():
    """What docs/aggregation.md says of a coordinator that does not follow the protocol."""
    play = Play()
    questions = play.until(SHARE)
    own = X25519PrivateKey.generate()
    questions["alice"]["keys"]["bob"] = {"box": own.public_key().public_bytes_raw(), "mask": bytes([9]) + bytes(31)}

    sealed = play.step("alice", questions)["sealed"]["bob"]

    shared = own.exchange(masks.X25519PublicKey.from_public_bytes(play.collector._keys["alice"]["box"]))
    key = masks._derive(shared, play.agreement, "share", "alice", "bob")
    assert len(masks.AESGCM(key).decrypt(bytes(12), sealed, None)) == 66


@pytest.mark.parametrize("other_round", [True, False])
def test_with_signatures_keys_of_another_round_or_participant_are_refused(other_round):
    play = Play(signing=True)
    questions = play.until(SHARE)
    if other_round:
        replayed = contributor_of(play, "bob")
        other = MasksContributor(agree("masks", NAMES), "bob", 2, replayed.signer)
        questions["alice"]["keys"]["bob"] = other.answer(JOIN, {})[0]
    else:
        questions["alice"]["keys"]["bob"] = questions["alice"]["keys"]["carol"]

    with pytest.raises(Refused, match="the keys of bob are not signed by bob"):
        play.step("alice", questions)


def test_signatures_of_another_classroom_or_member_are_none():
    ours, theirs = make_signers(["alice", "bob"]), make_signers(["alice", "bob"])
    message = b"what was said"

    assert ours["alice"].check("bob", ours["bob"].sign(message), message)
    assert not ours["alice"].check("bob", ours["bob"].sign(message), b"something else")
    assert not ours["alice"].check("bob", ours["alice"].sign(message), message)
    assert not ours["alice"].check("bob", ours["coordinator"].sign(message), message)
    assert not ours["alice"].check("coordinator", ours["coordinator"].sign(message), message)
    assert not ours["alice"].check("bob", theirs["bob"].sign(message), message)
    signature = ours["bob"].sign(message)
    for wrong in (None, 7, b"", b"\0", b"\xff" * 200, signature[:-1], signature[:2], signature[2:]):
        assert not ours["alice"].check("bob", wrong, message)


def test_with_signatures_the_pis_notice_when_each_is_told_something_else():
    play = Play(signing=True)
    play.until(CONFIRM)
    signatures = {}
    for name, gone in {"alice": ["dave"], "bob": ["dave"], "carol": [], "dave": []}.items():
        answer, _ = play.parties[name].answer(CONFIRM, play.agreement.round, {"gone": gone})
        signatures[name] = answer["signature"]

    for name in NAMES:
        others = {other: signature for other, signature in signatures.items() if other != name}
        with pytest.raises(Refused, match="1 neighbours have signed who is gone, and 2 must"):
            play.parties[name].answer(UNMASK, play.agreement.round, {"signatures": others})


def test_a_message_is_as_long_as_the_update_and_little_more():
    parties = make_parties(ids(10))
    sent: Counter = Counter()

    def on_message(who, step, message):
        for value in message.values():
            if isinstance(value, np.ndarray):
                sent["vectors"] += value.nbytes

    run_round(agree("masks", parties), parties, on_message)

    assert sent["vectors"] == 10 * 8 * (LENGTH + 1)
