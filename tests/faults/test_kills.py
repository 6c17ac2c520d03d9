"""kill -9 at every step of both protocols: the survivors' sum is right, or the round is given up and says why.

`make faults` does the same at a hundred random points.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.faults.classroom import AFTER, BEFORE, Classroom, KillPoint
from tests.helpers import wait_until

WORKERS = ["alice", "bob", "carol", "dave"]

# Where the round ends without bob, and where it is given up. By the protocol: an additive sum needs all partial sums
# once the first may have been given away; with masks, three of four must answer to the end.
FINISHED = [
    ("additive", "join", BEFORE),
    ("additive", "join", AFTER),
    ("additive", "share", AFTER),
    ("additive", "fit", BEFORE),
    ("additive", "upload", AFTER),
    ("masks", "join", AFTER),
    ("masks", "share", AFTER),
    ("masks", "fit", BEFORE),
    ("masks", "upload", BEFORE),
    ("masks", "upload", AFTER),
    ("masks", "confirm", AFTER),
]


@pytest.fixture(scope="module")
def classroom(names_folder, tmp_path_factory):
    with Classroom(names_folder, WORKERS, tmp_path_factory.mktemp("classroom")) as classroom:
        yield classroom


@pytest.fixture(scope="module")
def federation(classroom, hook):
    return classroom.connect(hook)


@pytest.fixture(autouse=True)
def everybody_is_back(classroom, federation):
    """A worker that was killed is in the next round by itself."""
    yield
    classroom.restart_the_killed()
    outcome = classroom.run_round(federation, "additive")
    assert outcome.kind == "finished", outcome.text
    assert list(outcome.total.contributors) == WORKERS


def expect(outcome, kind: str) -> None:
    assert outcome.kind == kind, f"{outcome.kind} after {outcome.seconds:.1f} s: {outcome.text}"


@pytest.mark.parametrize(("protocol", "step", "moment"), FINISHED)
def test_the_survivors_sum_is_right(classroom, federation, protocol, step, moment):
    outcome = classroom.run_round(federation, protocol, KillPoint(protocol, "bob", "bob", step, moment))

    expect(outcome, "finished")
    uploaded = (protocol, step, moment) in [
        ("additive", "upload", AFTER),
        ("masks", "upload", AFTER),
        ("masks", "confirm", AFTER),
    ]
    assert ("bob" in outcome.total.contributors) == uploaded
    assert len(outcome.total.contributors) >= 3


@pytest.mark.parametrize(("step", "moment"), [("fit", AFTER), ("upload", BEFORE)])
def test_an_additive_round_is_given_up_when_a_partial_sum_is_missing(classroom, federation, step, moment):
    outcome = classroom.run_round(federation, "additive", KillPoint("additive", "bob", "bob", step, moment))

    expect(outcome, "aborted")
    assert "was given up in step 'upload' because of bob: worker bob at" in outcome.text
    assert outcome.aborted.released
    assert classroom.keeps_a_part_of(outcome.aborted.round) == []


def test_a_worker_that_dies_while_others_share_with_it_is_left_out(classroom, federation):
    outcome = classroom.run_round(federation, "additive", KillPoint("additive", "bob", "alice", "share", BEFORE))

    expect(outcome, "finished")
    assert outcome.total.contributors == ("alice", "carol", "dave")


def test_with_masks_too_few_survivors_give_the_round_up(classroom, federation):
    classroom.kill("alice")

    outcome = classroom.run_round(federation, "masks", KillPoint("masks", "bob", "bob", "unmask", BEFORE))

    expect(outcome, "aborted")
    assert "in step 'unmask' because of alice, bob" in outcome.text
    assert classroom.keeps_a_part_of(outcome.aborted.round) == []


@pytest.mark.parametrize("protocol", ["additive", "masks"])
def test_a_coordinator_that_dies_in_the_middle_holds_nobody_up(classroom, federation, tmp_path, protocol):
    addresses = [f"--worker={worker}={classroom.address_of(worker)}" for worker in WORKERS]
    command = ["train", *addresses, "--rounds", "10000", "--aggregation", protocol, "--out", str(tmp_path / "run")]
    given = classroom.folder / "alice" / "models" / "rounds.jsonl"
    before = len(given.read_bytes().splitlines()) if given.exists() else 0
    coordinator = subprocess.Popen(
        [sys.executable, "-m", "pisyft", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(
            lambda: given.exists() and len(given.read_bytes().splitlines()) > before + 4, "two updates are given away"
        )
        assert coordinator.poll() is None
    finally:
        coordinator.kill()
        coordinator.wait()

    outcome = classroom.run_round(federation, protocol)

    expect(outcome, "finished")
    assert list(outcome.total.contributors) == WORKERS
