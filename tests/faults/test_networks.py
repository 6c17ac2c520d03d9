"""Slow, breaking and parted networks: the round finishes with the right sum, or is given up; it never hangs."""

from __future__ import annotations

import threading

import pytest

from tests.faults.classroom import STEPS, Classroom

WORKERS = ["alice", "bob", "carol"]


@pytest.fixture(scope="module")
def classroom(names_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("networks")
    with Classroom(names_folder, WORKERS, folder, proxied=True, answer_seconds=30) as classroom:
        yield classroom


@pytest.fixture(scope="module")
def federation(classroom, hook):
    return classroom.connect(hook)


@pytest.fixture(autouse=True)
def a_good_network(classroom, federation):
    yield
    for proxy in classroom.proxies.values():
        proxy.delay, proxy.resets = 0.0, 0.0
        proxy.heal()
    outcome = classroom.run_round(federation, "additive")
    assert outcome.kind == "finished", outcome.text
    assert list(outcome.total.contributors) == WORKERS


@pytest.mark.parametrize("protocol", list(STEPS))
def test_with_200_ms_of_delay_each_way_a_round_finishes(classroom, federation, protocol):
    for proxy in classroom.proxies.values():
        proxy.delay = 0.2

    outcome = classroom.run_round(federation, protocol)

    assert outcome.kind == "finished", outcome.text
    assert list(outcome.total.contributors) == WORKERS


@pytest.mark.parametrize("protocol", list(STEPS))
def test_when_one_piece_of_data_in_twenty_breaks_its_connection_sums_are_right_or_none(classroom, federation, protocol):
    for proxy in classroom.proxies.values():
        proxy.resets = 0.05

    outcomes = [classroom.run_round(federation, protocol) for _ in range(5)]

    assert {outcome.kind for outcome in outcomes} <= {"finished", "aborted"}
    assert any(outcome.kind == "finished" for outcome in outcomes), outcomes
    assert any(proxy.broken for proxy in classroom.proxies.values())


@pytest.mark.parametrize("protocol", list(STEPS))
def test_two_workers_that_are_parted_for_20_seconds_finish_or_give_up(classroom, federation, protocol):
    between = [classroom.proxies["alice", "bob"], classroom.proxies["bob", "alice"]]
    for proxy in between:
        proxy.part()
    healing = [threading.Timer(20, proxy.heal) for proxy in between]
    for timer in healing:
        timer.start()

    outcome = classroom.run_round(federation, protocol)

    for timer in healing:
        timer.join()
    if protocol == "masks":
        assert outcome.kind == "finished", outcome.text  # the workers do not talk to each other
    else:
        assert outcome.kind in ("finished", "aborted"), outcome.text
        if outcome.kind == "aborted":
            assert "step 'share'" in outcome.text and ("to bob" in outcome.text or "to alice" in outcome.text)


@pytest.mark.parametrize("protocol", list(STEPS))
def test_a_worker_that_the_coordinator_cannot_reach_is_left_out(classroom, federation, protocol):
    """Parted from the coordinator only, before the round; for longer than the coordinator waits."""
    classroom.proxies["", "bob"].part()

    outcome = classroom.run_round(federation, protocol)

    assert outcome.kind == "finished", outcome.text
    assert outcome.total.contributors == ("alice", "carol")
