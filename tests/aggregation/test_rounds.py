"""A Pi's side of its rounds: at most one under way, nothing left of one that is given up."""

import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest

from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.errors import Refused, RoundAborted
from pisyft.aggregation.protocol import JOIN, SHARE, UPLOAD
from pisyft.aggregation.rounds import PROTOCOLS, Rounds
from pisyft.aggregation.simulation import run_round
from tests.aggregation.parties import agree, ids, make_parties, update_of, vanishing
from tests.helpers import wait_until

SECURE = ("additive", "masks")


def joined(protocol: str, **keywords) -> tuple[Rounds, str]:
    agreement = agree(protocol, ids(3))
    rounds = Rounds(Ledger("pi00", ids(3)), **keywords)
    rounds.answer(JOIN, agreement.round, agreement.as_message())
    return rounds, agreement.round


@pytest.mark.parametrize("protocol", SECURE)
def test_a_round_that_is_given_up_is_forgotten(protocol):
    rounds, round_id = joined(protocol)

    rounds.abandon("another")
    assert rounds.running == round_id
    rounds.abandon(round_id)

    assert rounds.running is None
    with pytest.raises(Refused, match="pi00 is in no round"):
        rounds.answer(SHARE, round_id, {})
    with pytest.raises(Refused, match="pi00 is in no round"):
        rounds.deliver("pi01", round_id, bytes(64))


@pytest.mark.parametrize("protocol", SECURE)
def test_a_round_whose_coordinator_never_comes_back_is_forgotten_after_a_while(protocol):
    rounds, _ = joined(protocol, seconds=0.01)
    wait_until(lambda: rounds.running is None, "the round is forgotten")


@pytest.mark.parametrize("protocol", SECURE)
def test_a_new_round_takes_the_place_of_an_old_one(protocol):
    rounds, first = joined(protocol)
    second = agree(protocol, ids(3))

    rounds.answer(JOIN, second.round, second.as_message())

    assert rounds.running == second.round
    with pytest.raises(Refused, match="in no round"):
        rounds.answer(SHARE, first, {})


@pytest.mark.filterwarnings("ignore::pisyft.aggregation.plain.PlainAggregation")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_after_a_round_nothing_is_left_of_it(protocol):
    parties = make_parties(ids(3))
    threads = threading.active_count()

    run_round(agree(protocol, parties), parties)

    assert [party.running for party in parties.values()] == [None] * 3
    wait_until(lambda: threading.active_count() <= threads, "the timers have ended")


@pytest.mark.parametrize("protocol", SECURE)
def test_a_party_knows_whether_what_it_has_learned_was_given_away(protocol):
    parties = make_parties(ids(3))
    agreement = agree(protocol, parties)
    parties["pi00"].answer(JOIN, agreement.round, agreement.as_message())
    before = parties["pi00"].was_given

    run_round(agree(protocol, parties), parties)

    assert (before, [party.was_given for party in parties.values()]) == (False, [True] * 3)
    parties["pi00"].keep(replace(update_of(parties["pi00"]), values=np.ones(16)))
    assert not parties["pi00"].was_given


def test_after_a_refusal_nothing_is_left_of_the_round():
    rounds, round_id = joined("masks")
    with pytest.raises(Refused):
        rounds.answer(SHARE, round_id, {"keys": {}})
    assert rounds.running is None


@pytest.mark.parametrize("protocol", SECURE)
def test_the_same_values_are_given_away_once_whatever_training_they_are_said_to_come_from(protocol):
    """Settings that change nothing make another training of it: clip=1e30."""
    parties = make_parties(ids(3))
    updates = {name: update_of(party) for name, party in parties.items()}
    run_round(agree(protocol, parties), parties)

    other = {name: replace(update, model="the same, said otherwise") for name, update in updates.items()}
    for name, party in parties.items():
        party.keep(other[name])
    two = dict(list(parties.items())[:2])
    with pytest.raises(RoundAborted, match="given this update away"):
        run_round(replace(agree(protocol, two), model="the same, said otherwise"), two)


def test_zeros_are_the_same_with_either_sign():
    update = update_of(make_parties(["alice"])["alice"])
    values = np.zeros(3)

    assert replace(update, values=values).digest == replace(update, values=-values).digest


def test_an_update_outlives_a_round_that_is_given_up():
    parties = make_parties(ids(3))
    with pytest.raises(RoundAborted):
        run_round(agree("additive", parties), parties, vanishing(("pi01", SHARE)))
    assert parties["pi00"].update is not None


@pytest.mark.parametrize("step", [SHARE, UPLOAD, "unmask", "no such step"])
def test_a_step_before_the_first_one_is_refused(step):
    with pytest.raises(Refused, match="pi00 is in no round 00000000"):
        Rounds(Ledger("pi00", ids(2))).answer(step, "0" * 32, {})


def test_the_id_of_a_join_is_that_of_the_agreement():
    agreement = agree("masks", ids(2))
    with pytest.raises(Refused, match="another round"):
        Rounds(Ledger("pi00", ids(2))).answer(JOIN, "0" * 32, agreement.as_message())


def test_neither_pysyft_nor_pytorch_is_imported():
    program = """
import sys
import pisyft.aggregation.simulation
print(sorted({"torch", "syft", "websockets"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
