"""What a Pi agrees to, what it refuses, and what it remembers after it was switched off."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pisyft.aggregation.agreement import (
    Agreement,
    Ledger,
    default_threshold,
    digest_of_layout,
    digest_of_values,
    least_threshold,
    new_round_id,
)
from pisyft.aggregation.errors import GivenAway, Refused
from tests.aggregation.parties import agree

NAMES = ["alice", "bob", "carol"]


@pytest.fixture
def agreement() -> Agreement:
    return agree("additive", NAMES)


@pytest.fixture
def ledger(tmp_path) -> Ledger:
    return Ledger("alice", NAMES, tmp_path / "ledger")


def test_an_agreement_survives_the_journey(agreement):
    assert Agreement.from_message(agreement.as_message()) == agreement


def test_the_digest_tells_every_difference(agreement):
    others = [
        replace(agreement, round=new_round_id()),
        replace(agreement, protocol="masks"),
        replace(agreement, participants=("alice", "bob")),
        replace(agreement, model="another"),
        replace(agreement, layout="another"),
        replace(agreement, length=17),
        replace(agreement, fixed_point=replace(agreement.fixed_point, clip=2.0)),
        replace(agreement, threshold=2),
    ]

    assert len({agreement.digest, *(other.digest for other in others)}) == 9


@pytest.mark.parametrize(
    "change",
    [
        {"round": "7"},
        {"round": "g" * 32},
        {"round": 7},
        {"participants": ["bob", "alice"]},
        {"participants": ["alice", "alice"]},
        {"participants": ["alice", 7]},
        {"participants": "alice"},
        {"length": 0},
        {"length": True},
        {"length": "16"},
        {"fixed_point": {}},
        {"fixed_point": None},
        {"another": 1},
    ],
)
def test_what_makes_no_sense_is_refused(agreement, change):
    with pytest.raises(Refused):
        Agreement.from_message({**agreement.as_message(), **change})


@pytest.mark.parametrize("message", [None, [], "round 7", {}, {"round": "7"}])
def test_what_is_no_agreement_is_refused(message):
    with pytest.raises(Refused, match="agreement"):
        Agreement.from_message(message)


def test_a_pi_takes_part_in_a_round_once(ledger, agreement):
    ledger.join(agreement)

    with pytest.raises(Refused, match="done so already"):
        ledger.join(agreement)


def test_participants_that_the_pi_does_not_know_are_refused_by_name(ledger):
    with pytest.raises(Refused, match="alice does not know mallory, oscar: start it with --peer mallory"):
        ledger.join(agree("additive", [*NAMES, "oscar", "mallory"]))


def test_a_round_without_the_pi_itself_is_refused(ledger):
    with pytest.raises(Refused, match="over bob, carol and not over alice"):
        ledger.join(agree("additive", ["bob", "carol"]))


def test_a_round_below_the_minimum_is_refused():
    with pytest.raises(Refused, match="2 participants, and alice asks for 3 at least"):
        Ledger("alice", NAMES, minimum=3).join(agree("additive", ["alice", "bob"]))


def test_a_round_over_the_pi_alone_is_refused(ledger):
    with pytest.raises(Refused, match="1 participants, and alice asks for 2"):
        ledger.join(agree("additive", ["alice"]))


def test_a_minimum_of_one_cannot_be_configured():
    with pytest.raises(ValueError, match="protects nobody"):
        Ledger("alice", NAMES, minimum=1)


@pytest.mark.parametrize("protocol", ["plain", "no such thing"])
def test_a_protocol_that_the_owner_has_not_allowed_is_refused(ledger, protocol):
    with pytest.raises(Refused, match=f"its protocol is '{protocol}', and alice takes part in additive and masks"):
        ledger.join(agree(protocol, NAMES))


@pytest.mark.parametrize("protocol", ["additive", "masks"])
def test_an_update_goes_into_no_second_sum_with_fewer_participants(ledger, protocol):
    ledger.give(agree(protocol, NAMES), "my update")

    with pytest.raises(Refused, match="already, over alice, bob, carol. The difference to a sum over alice, bob could"):
        ledger.give(agree(protocol, ["alice", "bob"]), "my update")


def test_nor_with_more_participants_nor_by_another_protocol(ledger):
    ledger.give(agree("additive", ["alice", "bob"]), "my update")

    for other in (agree("additive", NAMES), agree("masks", ["alice", "bob"])):
        with pytest.raises(Refused, match="given this update away"):
            ledger.give(other, "my update")


def test_with_masks_not_even_with_the_same_participants(ledger):
    """One of them could vanish from one sum and not from the other."""
    ledger.give(agree("masks", NAMES), "my update")

    with pytest.raises(Refused, match="given this update away"):
        ledger.give(agree("masks", NAMES), "my update")


@pytest.mark.parametrize("protocol", ["additive", "masks"])
def test_nor_into_another_sum_over_the_same_participants(ledger, protocol):
    """The others may have been asked to train with another seed: the difference is theirs."""
    ledger.give(agree(protocol, NAMES), "my update")

    with pytest.raises(GivenAway, match="given this update away"):
        ledger.give(agree(protocol, NAMES), "my update")


def test_another_update_may_go_into_another_sum(ledger):
    ledger.give(agree("additive", NAMES), "my update")
    ledger.give(agree("additive", ["alice", "bob"]), "my next update")


def test_what_was_given_away_is_known_after_a_restart(ledger, agreement, tmp_path):
    ledger.join(agreement)
    ledger.give(agreement, "my update")

    restarted = Ledger("alice", NAMES, tmp_path / "ledger")

    with pytest.raises(Refused, match="given this update away"):
        restarted.give(agree("additive", ["alice", "bob"]), "my update")
    with pytest.raises(Refused, match="done so already"):
        restarted.join(agreement)


def test_half_a_line_written_before_a_power_cut_hides_no_other(ledger, agreement, tmp_path):
    ledger.give(agreement, "first")
    with (tmp_path / "ledger").open("ab") as file:
        file.write(b'\n{"update": "never given", "rou')

    restarted = Ledger("alice", NAMES, tmp_path / "ledger")
    restarted.give(agreement, "second")
    again = Ledger("alice", NAMES, tmp_path / "ledger")

    fewer = agree("additive", ["alice", "bob"])
    again.give(fewer, "never given")
    for update in ("first", "second"):
        with pytest.raises(Refused, match="given this update away"):
            again.give(fewer, update)


def test_the_file_holds_digests_and_no_update(ledger, agreement, tmp_path):
    ledger.give(agreement, "digest")

    (line,) = [line for line in (tmp_path / "ledger").read_text().splitlines() if line]
    assert json.loads(line) == {
        "update": "digest",
        "round": agreement.round,
        "protocol": "additive",
        "participants": NAMES,
    }


def test_layouts_with_as_many_values_are_told_apart():
    assert len({digest_of_layout(each) for each in ({"w": (2, 3)}, {"w": (3, 2)}, {"v": (2, 3)}, {"w": (6,)})}) == 4


def test_models_are_told_apart_by_every_bit():
    values = np.zeros(10, np.float32)
    other = values.copy()
    other[3] = np.nextafter(np.float32(0), np.float32(1))

    assert digest_of_values(values) == digest_of_values(values.copy())
    assert len({digest_of_values(each) for each in (values, other, values.astype(np.float64), values[:9])}) == 4


@pytest.mark.parametrize("group", range(2, 62))
def test_no_two_halves_of_a_group_reach_the_threshold(group):
    assert group < 2 * least_threshold(group) <= 2 * default_threshold(group) <= 2 * group
