"""Released models: the store on a Pi, and the bar."""

import errno
import io
import json
import os
import pickle
import stat
import threading
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from pisyft import release
from pisyft.release import (
    KEPT,
    Card,
    Gate,
    ModelStore,
    Pending,
    ReleaseError,
    Signature,
    _read,
    coordinator_key,
    digest_of,
    good_enough,
)

CARD = Card(
    version=1,
    model="tutorial",
    languages=("Czech", "Vietnamese"),
    accuracy=0.625,
    participants=("alice", "bob"),
    rounds=10,
    accuracy_by_worker={"alice": 0.6, "bob": 0.65},
    measures={"balanced_accuracy": (0.5, 0.45, 0.55)},
    date="2026-03-01T12:00:00+00:00",
)
WEIGHTS = np.linspace(-1, 1, 7, dtype=np.float32)


@pytest.fixture
def store(tmp_path) -> ModelStore:
    return ModelStore(tmp_path / "models")


class Explosive:
    """Unpickling one would be noticed."""

    def __reduce__(self):
        return exec, ("raise SystemError('a pickle was loaded')",)


def test_a_model_comes_back_as_it_was_stored(store):
    store.add(CARD, WEIGHTS)

    card, weights = store.load()

    assert card.as_answer() == CARD.as_answer()
    assert np.array_equal(weights, WEIGHTS) and weights.dtype == np.float32


def test_versions_are_told_oldest_first(store):
    for version in (2, 10_000, 1, 11):
        store.add(replace(CARD, version=version), WEIGHTS)

    assert store.versions() == [1, 2, 11, 10_000]


def test_the_version_in_use_is_loaded_unless_another_is_asked_for(store):
    for version in (1, 2, 3):
        store.add(replace(CARD, version=version), WEIGHTS * version)

    newest, _ = store.load()
    second, weights = store.load(2)

    assert (store.current, newest.version, second.version) == (3, 3, 2)
    assert np.array_equal(weights, WEIGHTS * 2)


def test_an_empty_store_has_no_versions_and_makes_no_folder(store):
    assert store.versions() == []
    with pytest.raises(ReleaseError, match=f"no released model in {store.folder}"):
        store.load()
    assert not store.folder.exists()


def test_a_version_that_is_not_there_is_named(store):
    store.add(CARD, WEIGHTS)

    with pytest.raises(ReleaseError, match=f"no released model in {store.folder} of version 7"):
        store.load(7)


def test_a_file_that_an_interrupted_release_left_is_no_version(store):
    store.add(CARD, WEIGHTS)
    (store.folder / "tmpabc123.tmp").write_bytes(b"half a mo")
    (store.folder / "notes.txt").write_text("the teacher's")

    assert store.versions() == [1]
    assert store.load()[0].as_answer() == CARD.as_answer()
    store.add(replace(CARD, version=2), WEIGHTS)
    assert store.versions() == [1, 2]


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_release_that_fails_leaves_what_was_there(store, monkeypatch, step):
    store.add(CARD, WEIGHTS)
    before = os.listdir(store.folder)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space left"):
        store.add(replace(CARD, version=2), WEIGHTS)

    assert os.listdir(store.folder) == before
    assert store.load()[0].as_answer() == CARD.as_answer()


def test_a_model_has_its_name_only_when_it_is_complete_and_on_disk(store, monkeypatch):
    """So that a Pi whose plug is pulled has the version whole or not at all."""
    happened = []
    fsync, move = os.fsync, os.replace

    def noting_fsync(file):
        told = os.fstat(file)
        happened.append("names on disk" if stat.S_ISDIR(told.st_mode) else ("on disk", told.st_size))
        fsync(file)

    monkeypatch.setattr(os, "fsync", noting_fsync)
    monkeypatch.setattr(
        os,
        "replace",
        lambda source, target: (happened.append(("named", os.stat(source).st_size)), move(source, target)),
    )

    store.add(CARD, WEIGHTS)

    model = (store.folder / "v0001.npz").stat().st_size
    chosen = (store.folder / "current").stat().st_size
    assert happened == [
        *(("on disk", model), ("named", model), "names on disk"),  # staged
        ("named", model),  # committed
        *(("on disk", chosen), ("named", chosen), "names on disk"),  # and put to use
    ]


def test_a_folder_whose_names_cannot_be_forced_to_disk_is_used_all_the_same(store, monkeypatch):
    fsync = os.fsync

    def as_on_a_network(file):
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(file)

    monkeypatch.setattr(os, "fsync", as_on_a_network)
    store.add(CARD, WEIGHTS)

    assert store.current == 1


def test_a_pickle_in_place_of_a_model_is_not_loaded(store):
    store.folder.mkdir()
    (store.folder / "v0001.npz").write_bytes(pickle.dumps(Explosive()))

    with pytest.raises(ReleaseError, match="pickle"):
        store.load()


@pytest.mark.parametrize("member", ["weights", "card"])
def test_a_pickle_inside_a_model_is_not_loaded(store, member):
    content = {"weights": WEIGHTS, "card": np.array(json.dumps(CARD.as_answer()))}
    content[member] = np.array([Explosive()], dtype=object)
    file = io.BytesIO()
    np.savez(file, **content)
    store.folder.mkdir()
    (store.folder / "v0001.npz").write_bytes(file.getvalue())

    with pytest.raises(ReleaseError, match="allow_pickle=False"):
        store.load()


def test_a_damaged_model_is_told(store):
    store.add(CARD, np.zeros(10_000, "<f4"))
    file = store.folder / "v0001.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)

    with pytest.raises(ReleaseError, match=rf"{file} is damaged"):
        store.load()


def test_a_released_model_is_never_replaced(store):
    store.add(CARD, WEIGHTS)

    store.add(CARD, WEIGHTS)  # the same one may be pushed again, where the answer was lost
    with pytest.raises(ReleaseError, match="another version 1 already: a released model is never replaced"):
        store.add(CARD, WEIGHTS + 1)

    assert np.array_equal(store.load()[1], WEIGHTS)


def test_the_last_five_versions_are_kept_and_the_one_in_use(store):
    for version in range(1, KEPT + 3):
        store.add(replace(CARD, version=version), WEIGHTS)

    assert store.versions() == list(range(3, KEPT + 3))
    assert store.current == KEPT + 2


def test_a_rollback_puts_the_version_before_to_use_until_the_next_release(store):
    for version in (1, 2, 3):
        store.add(replace(CARD, version=version), WEIGHTS * version)

    first = store.rollback()
    second = store.rollback()

    assert (first.version, second.version, store.current, store.load()[0].version) == (2, 1, 1, 1)
    assert store.versions() == [1, 2, 3]
    with pytest.raises(ReleaseError, match="version 1 is the oldest"):
        store.rollback()
    assert store.rollback(3).version == store.current == 3
    store.rollback()
    store.add(replace(CARD, version=4), WEIGHTS)
    assert store.current == 4


def test_a_rollback_needs_a_model(store):
    with pytest.raises(ReleaseError, match="no released model in"):
        store.rollback()
    store.add(CARD, WEIGHTS)
    with pytest.raises(ReleaseError, match="of version 9"):
        store.rollback(9)


def test_a_staged_model_is_not_in_use_until_it_is_committed(store):
    store.add(CARD, WEIGHTS)
    second = replace(CARD, version=2)

    digest = store.stage(second, WEIGHTS * 2)

    assert digest == digest_of(second, WEIGHTS * 2)
    assert (store.versions(), store.current) == ([1], 1)
    assert store.commit(digest) == 2
    assert (store.versions(), store.current) == ([1, 2], 2)
    assert store.commit(digest) == 2  # the coordinator did not hear the first answer


def test_a_staged_model_survives_a_restart(store):
    digest = store.stage(CARD, WEIGHTS)

    assert ModelStore(store.folder).commit(digest) == 1


def test_an_aborted_model_is_forgotten(store):
    digest = store.stage(CARD, WEIGHTS)

    store.abort("of another model")
    store.abort(digest)
    store.abort(digest)

    assert list(store.folder.iterdir()) == []
    with pytest.raises(ReleaseError, match=f"no model with the digest {digest[:12]}... is staged"):
        store.commit(digest)


def test_only_the_last_staged_model_can_be_committed(store):
    first = store.stage(CARD, WEIGHTS)
    second = store.stage(CARD, WEIGHTS + 1)

    with pytest.raises(ReleaseError, match="is staged"):
        store.commit(first)
    store.commit(second)

    assert np.array_equal(store.load()[1], WEIGHTS + 1)


def test_what_another_thread_stages_meanwhile_is_not_committed_as_this_version(store, monkeypatch):
    second, others = replace(CARD, version=2), []
    first_digest, second_digest = store.stage(CARD, WEIGHTS), digest_of(second, WEIGHTS * 2)

    def read_while_another_stages(file):
        content = _read(file)
        if not others:
            others.append(threading.Thread(target=store.stage, args=(second, WEIGHTS * 2)))
            others[0].start()
            others[0].join(0.5)  # which it may do, or wait for its turn
        return content

    monkeypatch.setattr(release, "_read", read_while_another_stages)
    assert store.commit(first_digest) == 1
    others[0].join()
    assert store.commit(second_digest) == 2

    assert [store.digest(version) for version in store.versions()] == [first_digest, second_digest]


def test_what_another_process_stages_meanwhile_stays_staged(store, monkeypatch):
    second, meanwhile = replace(CARD, version=2), []
    first_digest = store.stage(CARD, WEIGHTS)

    def read_while_another_stages(file):
        content = _read(file)
        if not meanwhile:
            meanwhile.append(True)
            meanwhile.append(ModelStore(store.folder).stage(second, WEIGHTS * 2))
        return content

    monkeypatch.setattr(release, "_read", read_while_another_stages)
    with pytest.raises(ReleaseError, match="another model was staged in place of .*: push it again"):
        store.commit(first_digest)

    assert (store.versions(), store.commit(meanwhile[1]), store.current) == ([], 2, 2)


def test_digests_agree_on_the_same_model_and_card_and_on_nothing_else():
    digest = digest_of(CARD, WEIGHTS)

    assert digest == digest_of(Card.from_answer(CARD.as_answer()), WEIGHTS.astype(">f4")) == digest_of(CARD, WEIGHTS)
    assert digest != digest_of(CARD, WEIGHTS + 1e-6)
    for other in ({"version": 2}, {"accuracy": 0.7}, {"languages": ("Vietnamese", "Czech")}, {"alphabet": "unicode"}):
        assert digest != digest_of(replace(CARD, **other), WEIGHTS)


def test_a_card_travels_as_plain_values():
    answer = json.loads(json.dumps(CARD.as_answer()))

    assert Card.from_answer(answer).as_answer() == CARD.as_answer()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("version", value) for value in (0, -1, "../1", 1.0, True, None)),
        *(("rounds", value) for value in ("3", 1.5, True, None)),
        *(("accuracy", value) for value in ("0.5", [0.5], True, None)),
        *((field, value) for field in ("languages", "participants") for value in ("Czech", [1], [["Czech"]], 7, None)),
        *(
            (field, value)
            for field in ("model", "aggregation", "strategy", "alphabet", "alphabet_digest", "date")
            for value in (3, ["tutorial"], {}, None)
        ),
        *(("accuracy_by_worker", value) for value in ([], "alice", {"alice": "0.5"}, {"alice": [0.5]}, {1: 0.5}, None)),
        *(("measures", value) for value in ([], {"f1": 0.5}, {"f1": [0.5, 0.4]}, {"f1": [0.5, 0.4, "0.6"]}, None)),
    ],
)
def test_a_card_with_a_field_that_is_none_of_its_kind_is_refused(field, value):
    with pytest.raises(ReleaseError, match=f"this is no model card: its {field} is not "):
        Card.from_answer({**CARD.as_answer(), field: value})


@pytest.mark.parametrize(
    "answer",
    [
        {**CARD.as_answer(), "surprise": 1},
        {"version": 1},
        {},
        {1: 2, "version": 1},
        [*CARD.as_answer()],
        "card",
        7,
        None,
    ],
)
def test_what_is_no_card_at_all_is_refused(answer):
    with pytest.raises(ReleaseError, match="this is no model card"):
        Card.from_answer(answer)


def test_a_card_says_what_people_ask():
    text = CARD.as_text(digest_of(CARD, WEIGHTS))

    for fact in ("version 1 of 2026-03-01", "tutorial", "62.5%", "alice", "60.0%", "Czech, Vietnamese", "additive"):
        assert fact in text
    assert "balanced accuracy  50.0% (95 %: 45.0% to 55.0%)" in text
    assert digest_of(CARD, WEIGHTS) in text


def test_a_card_tells_its_accuracy_once_with_its_interval():
    text = replace(CARD, measures={**CARD.measures, "accuracy": (0.625, 0.6, 0.65)}).as_text()

    assert "accuracy             62.5% on names that were held out (95 %: 60.0% to 65.0%)" in text
    assert text.count("62.5%") == 1


def signed(card: Card, weights: np.ndarray, key: Ed25519PrivateKey) -> Signature:
    return Signature.of(digest_of(card, weights), key)


def test_the_coordinators_key_is_made_once_and_is_its_owners_alone(tmp_path):
    made = coordinator_key(tmp_path / "config" / "coordinator.key")
    again = coordinator_key(tmp_path / "config" / "coordinator.key")

    assert made.private_bytes_raw() == again.private_bytes_raw()
    assert (tmp_path / "config" / "coordinator.key").stat().st_mode & 0o077 == 0


def test_a_place_where_no_key_can_be_is_told():
    with pytest.raises(ReleaseError, match=r"belongs in /dev/null/coordinator\.key, .*set XDG_CONFIG_HOME"):
        coordinator_key("/dev/null/coordinator.key")


def test_a_file_that_is_no_key_is_told(tmp_path):
    (tmp_path / "key").write_text("open sesame")

    with pytest.raises(ReleaseError, match=f"{tmp_path}/key is no private key"):
        coordinator_key(tmp_path / "key")


def test_a_signed_model_is_stored_with_its_signer(store):
    key = Ed25519PrivateKey.generate()

    store.add(CARD, WEIGHTS, signed(CARD, WEIGHTS, key))
    store.add(replace(CARD, version=2), WEIGHTS, signed(replace(CARD, version=2), WEIGHTS, key))

    assert store.signer(1) == store.signer(2) == key.public_key().public_bytes_raw()


@pytest.mark.parametrize("forgery", ["another model's", "another key's", "no signature at all", "no key at all"])
def test_a_forged_signature_is_refused_and_nothing_stored(store, forgery):
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    right = signed(CARD, WEIGHTS, key)
    signature = {
        "another model's": signed(CARD, WEIGHTS + 1, key),
        "another key's": Signature(right.signer, signed(CARD, WEIGHTS, other).value),
        "no signature at all": Signature(right.signer, b""),
        "no key at all": Signature(b"", right.value),
    }[forgery]

    with pytest.raises(ReleaseError, match="signature is not the coordinator's"):
        store.stage(CARD, WEIGHTS, signature)

    assert not store.folder.exists()


def test_after_the_first_signed_model_only_its_coordinator_releases(store):
    store.add(CARD, WEIGHTS, signed(CARD, WEIGHTS, Ed25519PrivateKey.generate()))
    second = replace(CARD, version=2)

    with pytest.raises(ReleaseError, match="signed by another coordinator"):
        store.stage(second, WEIGHTS, signed(second, WEIGHTS, Ed25519PrivateKey.generate()))
    with pytest.raises(ReleaseError, match="not signed, and earlier ones were"):
        store.stage(second, WEIGHTS)

    assert store.versions() == [1]


def test_a_coordinator_whose_release_is_aborted_is_not_remembered(store):
    digest = store.stage(CARD, WEIGHTS, signed(CARD, WEIGHTS, Ed25519PrivateKey.generate()))
    store.abort(digest)

    store.add(CARD, WEIGHTS, signed(CARD, WEIGHTS, Ed25519PrivateKey.generate()))

    assert store.current == 1


def test_a_stored_model_that_was_exchanged_is_noticed_by_its_signature(store):
    store.add(CARD, WEIGHTS, signed(CARD, WEIGHTS, Ed25519PrivateKey.generate()))
    with np.load(store.folder / "v0001.npz") as stored:
        content = dict(stored)
    np.savez(store.folder / "v0001.npz", **{**content, "weights": WEIGHTS * -1})

    with pytest.raises(ReleaseError, match="the model was changed"):
        store.load()


def test_who_was_away_is_remembered_on_disk_until_it_has_the_newest(store):
    Pending(store).owe(["alice", "bob"], 1)
    Pending(store).owe(["bob", "carol"], 2)

    assert Pending(ModelStore(store.folder)).versions() == {"alice": 1, "bob": 2, "carol": 2}
    Pending(store).delivered("alice", 1)
    Pending(store).delivered("bob", 1)  # it had missed the second, too
    Pending(store).delivered("carol", 2)
    assert Pending(store).versions() == {"bob": 2}


def test_nobody_is_away_at_first_and_a_damaged_list_is_told(store):
    assert Pending(store).versions() == {}

    store.folder.mkdir()
    (store.folder / "pending.json").write_text("[")
    with pytest.raises(ReleaseError, match=r"pending\.json is damaged"):
        Pending(store).versions()


GATE = Gate(accuracy=0.6, worker_accuracy=0.5, margin=0.05, rounds=3)


def test_a_model_that_reaches_everything_passes_the_gate():
    assert GATE.reasons_against(0.6, {"alice": 0.5, "bob": 0.7}, {"alice": 0.55}, 3) == []


@pytest.mark.parametrize(
    ("accuracy", "by_worker", "before", "rounds", "reason"),
    [
        (0.59, {"alice": 0.5}, {}, 3, "its accuracy is 59.0%, below 60.0%"),
        (0.6, {"alice": 0.5, "bob": 0.499}, {}, 3, "its accuracy on bob is 49.9%, below 50.0%"),
        (
            *(0.6, {"alice": 0.6}, {"alice": 0.66}, 3),
            "alice would be worse off: 60.0% instead of 66.0%, and it may lose 5 points at most",
        ),
        (0.6, {"alice": 0.6}, {}, 2, "2 rounds of training, and 3 are asked for"),
        (0.6, {}, {}, 3, "no worker has evaluated it"),
        (float("nan"), {"alice": 0.6}, {}, 3, "its accuracy is nan%, below 60.0%"),
    ],
)
def test_the_gate_says_in_words_what_is_missing(accuracy, by_worker, before, rounds, reason):
    (told,) = GATE.reasons_against(accuracy, by_worker, before, rounds)

    assert told.startswith(reason)


def test_the_bar_is_for_the_worst_worker():
    assert good_enough([0.5, 0.9], 0.5)
    assert not good_enough([0.49, 0.9], 0.5)


def test_without_workers_nothing_is_good_enough():
    assert not good_enough([], 0.0)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_bar_of_zero_lets_every_model_pass(accuracies):
    assert good_enough(accuracies, 0.0)
