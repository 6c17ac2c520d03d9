"""Releases to all workers or to none, with the workers' real stores behind a connection that can be cut."""

from dataclasses import replace

import numpy as np
import pytest

from pisyft.release import KEPT, Card, ModelStore, Pending, ReleaseError, Signature, coordinator_key
from pisyft.rollout import deliver, roll_out
from pisyft.transport.errors import WorkerUnreachable

CARD = Card(1, "tutorial", ("Czech", "Irish"), 0.6, ("alice", "bob", "carol"), 3)
WEIGHTS = np.linspace(-1, 1, 9, dtype="<f4")


class Pi:
    """A worker's side of the verb `release`, and a connection that is cut before or after the steps in `cut`."""

    def __init__(self, worker_id: str, folder) -> None:
        self.id, self.store = worker_id, ModelStore(folder)
        self.cut_before: set[str] = set()
        self.cut_after: set[str] = set()

    def call(self, verb, step, digest="", card=None, weights=None, signer=b"", signature=b""):
        assert verb == "release"
        if step in self.cut_before:
            raise WorkerUnreachable(self.id, "pi:8777", "no way", "Wait")
        if step == "stage":
            answer = self.store.stage(Card.from_answer(card), weights, Signature(signer, signature))
        else:
            answer = getattr(self.store, step)(digest)
        if step in self.cut_after:
            raise WorkerUnreachable(self.id, "pi:8777", "gone", "Wait")
        return answer


@pytest.fixture
def pis(tmp_path) -> list[Pi]:
    return [Pi(worker, tmp_path / worker) for worker in ("alice", "bob", "carol")]


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "coordinator")


@pytest.fixture
def key(tmp_path):
    return coordinator_key(tmp_path / "key")


def current(pis: list[Pi]) -> list[int | None]:
    return [pi.store.current for pi in pis]


def test_a_release_is_on_all_workers_signed_and_kept_by_the_coordinator(pis, store, key):
    rollout = roll_out(pis, CARD, WEIGHTS, store, key)

    assert (rollout.version, rollout.delivered, rollout.away) == (1, ("alice", "bob", "carol"), ())
    for pi in pis:
        card, weights = pi.store.load()
        assert card == store.load()[0] and np.array_equal(weights, WEIGHTS)
        assert pi.store.signer(1) == key.public_key().public_bytes_raw()
    assert Pending(store).versions() == {}


@pytest.mark.parametrize("trouble", ["has this version already", "knows another coordinator", "has no space"])
def test_if_one_worker_refuses_no_worker_uses_it(pis, store, key, tmp_path, monkeypatch, trouble):
    if trouble == "has this version already":
        pis[1].store.add(CARD, WEIGHTS + 1)
    elif trouble == "knows another coordinator":
        other = coordinator_key(tmp_path / "other")
        roll_out([pis[1]], replace(CARD, version=7), WEIGHTS, ModelStore(tmp_path / "elsewhere"), other)
    else:

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(pis[1].store, "stage", full)
    before = current(pis)

    with pytest.raises(ReleaseError, match="not released to anybody, since not everybody takes it. bob: "):
        roll_out(pis, CARD, WEIGHTS, store, key)

    assert current(pis) == before and store.current is None
    assert [(pi.store.folder / "staged.npz").exists() for pi in pis] == [False] * 3
    assert Pending(store).versions() == {}


def test_a_worker_that_stores_something_else_than_was_sent_stops_the_release(pis, store, key, monkeypatch):
    monkeypatch.setattr(pis[2].store, "stage", lambda *_: "0" * 64)

    with pytest.raises(ReleaseError, match="carol: it has stored something else than was sent"):
        roll_out(pis, CARD, WEIGHTS, store, key)

    assert current(pis) == [None] * 3


def test_a_worker_that_is_away_receives_the_release_when_it_returns(pis, store, key):
    pis[1].cut_before = {"stage", "commit"}

    rollout = roll_out(pis, CARD, WEIGHTS, store, key)
    still_away = deliver(pis, store, key)
    pis[1].cut_before = set()
    delivered = deliver(pis, ModelStore(store.folder), key)

    assert (rollout.delivered, rollout.away) == (("alice", "carol"), ("bob",))
    assert (still_away, delivered) == ({}, {"bob": 1})
    assert current(pis) == [1, 1, 1]
    assert deliver(pis, store, key) == {}


def test_a_worker_that_is_lost_between_the_steps_is_on_the_list(pis, store, key):
    pis[0].cut_before = {"commit"}  # it did not hear that all have it
    pis[1].cut_after = {"commit"}  # it did, and its answer was lost

    rollout = roll_out(pis, CARD, WEIGHTS, store, key)
    pis[0].cut_before = pis[1].cut_after = set()

    assert rollout.away == ("alice", "bob")
    assert current(pis) == [None, 1, 1]
    assert deliver(pis, store, key) == {"alice": 1, "bob": 1}
    assert current(pis) == [1, 1, 1]


def test_a_worker_that_has_missed_two_releases_receives_the_newest(pis, store, key):
    pis[1].cut_before = {"stage", "commit"}
    roll_out(pis, CARD, WEIGHTS, store, key)
    roll_out(pis, replace(CARD, version=2), WEIGHTS * 2, store, key)
    pis[1].cut_before = set()

    assert deliver(pis, store, key) == {"bob": 2}
    assert pis[1].store.versions() == [2]


def test_whoever_never_returns_holds_up_nobody(pis, store, key):
    pis[1].cut_before = {"stage", "commit"}
    for version in range(1, KEPT + 3):
        card = replace(CARD, version=version)
        roll_out([pis[0]], card, WEIGHTS, store, key, away=["bob", "carol"] if version == 1 else [])
    assert 1 not in store.versions()

    assert deliver([], store, key) == {}
    assert deliver(pis, store, key) == {"carol": KEPT + 2}, "the newest, since the first is not kept any more"
    assert Pending(store).versions() == {"bob": KEPT + 2}


def test_only_what_somebody_present_lacks_is_read(pis, store, key):
    for version in (1, 2):
        card = replace(CARD, version=version)
        roll_out([pis[0]], card, WEIGHTS, store, key, away=["bob"] if version == 1 else ["carol"])
    (store.folder / "v0001.npz").write_bytes(b"damaged")

    assert deliver([pis[2]], store, key) == {"carol": 2}
    with pytest.raises(ReleaseError, match=r"v0001\.npz is damaged"):
        deliver(pis, store, key)


def test_without_any_worker_nothing_is_released(pis, store, key):
    for pi in pis:
        pi.cut_before = {"stage"}

    with pytest.raises(ReleaseError, match="none of the workers can be reached"):
        roll_out(pis, CARD, WEIGHTS, store, key)

    assert store.current is None and Pending(store).versions() == {}


class Stopped(BaseException):
    """The coordinator's process ends."""


def stop(*_, **__):
    raise Stopped


def test_a_coordinator_that_stops_between_its_two_notes_finishes_later(pis, store, key, monkeypatch):
    roll_out(pis, CARD, WEIGHTS, store, key, away=["dave"])
    monkeypatch.setattr(store, "commit", stop)
    with pytest.raises(Stopped):
        roll_out(pis, replace(CARD, version=2), WEIGHTS * 2, store, key)

    restarted = ModelStore(store.folder)
    assert deliver(pis, restarted, key) == {"alice": 2, "bob": 2, "carol": 2}
    assert (current(pis), restarted.current) == ([2, 2, 2], 2)
    assert Pending(store).versions() == {"dave": 1}


def test_a_coordinator_that_stops_before_its_decision_has_released_nothing(pis, store, key, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Pending, "owe", stop)
        with pytest.raises(Stopped):
            roll_out(pis, CARD, WEIGHTS, store, key)

    assert deliver(pis, ModelStore(store.folder), key) == {}
    assert (current(pis), store.current) == ([None] * 3, None)
    assert roll_out(pis, CARD, WEIGHTS + 1, store, key).delivered == ("alice", "bob", "carol")


def test_a_version_that_the_coordinator_has_lost_is_owed_to_nobody(pis, store, key):
    Pending(store).owe(["bob"], 1)

    assert deliver(pis, store, key) == {}
    assert Pending(store).versions() == {}


def test_a_coordinator_that_stops_after_its_decision_finishes_later(pis, store, key, monkeypatch):
    stops = {"commit"}

    def stop_in(pi: Pi):
        call = pi.call

        def stopping(verb, step, **arguments):
            if step in stops:
                raise Stopped
            return call(verb, step, **arguments)

        monkeypatch.setattr(pi, "call", stopping)

    for pi in pis:
        stop_in(pi)
    with pytest.raises(Stopped):
        roll_out(pis, CARD, WEIGHTS, store, key)
    stops.clear()

    assert current(pis) == [None] * 3
    assert deliver(pis, ModelStore(store.folder), key) == {"alice": 1, "bob": 1, "carol": 1}
    assert current(pis) == [1, 1, 1]
