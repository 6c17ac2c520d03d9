"""Released models: the store on a Pi, and the bar."""

import io
import json
import os
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.release import Card, ModelStore, good_enough

CARD = Card(
    version=1,
    model="tutorial",
    languages=("Czech", "Vietnamese"),
    accuracy=0.625,
    participants=("alice", "bob"),
    rounds=10,
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

    assert card == CARD
    assert np.array_equal(weights, WEIGHTS) and weights.dtype == np.float32


def test_versions_are_told_oldest_first(store):
    for version in (2, 10_000, 1, 11):
        store.add(replace(CARD, version=version), WEIGHTS)

    assert store.versions() == [1, 2, 11, 10_000]


def test_the_newest_version_is_loaded_unless_another_is_asked_for(store):
    for version in (1, 2, 3):
        store.add(replace(CARD, version=version), WEIGHTS * version)

    newest, _ = store.load()
    second, weights = store.load(2)

    assert (newest.version, second.version) == (3, 2)
    assert np.array_equal(weights, WEIGHTS * 2)


def test_an_empty_store_has_no_versions_and_makes_no_folder(store):
    assert store.versions() == []
    with pytest.raises(FileNotFoundError, match=f"no released model in {store.folder}"):
        store.load()
    assert not store.folder.exists()


def test_a_version_that_is_not_there_is_named(store):
    store.add(CARD, WEIGHTS)

    with pytest.raises(FileNotFoundError, match=f"no released model in {store.folder} of version 7"):
        store.load(7)


def test_a_file_that_an_interrupted_release_left_is_no_version(store):
    store.add(CARD, WEIGHTS)
    (store.folder / "tmpabc123.tmp").write_bytes(b"half a mo")
    (store.folder / "notes.txt").write_text("the teacher's")

    assert store.versions() == [1]
    assert store.load()[0] == CARD
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
    assert store.load()[0] == CARD


def test_a_model_has_its_name_only_when_it_is_complete_and_on_disk(store, monkeypatch):
    """So that a Pi whose plug is pulled has the version whole or not at all."""
    happened = []
    fsync, move = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda file: (happened.append(("on disk", os.fstat(file).st_size)), fsync(file)))
    monkeypatch.setattr(
        os,
        "replace",
        lambda source, target: (happened.append(("named", os.stat(source).st_size)), move(source, target)),
    )

    store.add(CARD, WEIGHTS)

    (stored,) = store.folder.iterdir()
    assert happened == [("on disk", stored.stat().st_size), ("named", stored.stat().st_size)]


def test_a_pickle_in_place_of_a_model_is_not_loaded(store):
    store.folder.mkdir()
    (store.folder / "v0001.npz").write_bytes(pickle.dumps(Explosive()))

    with pytest.raises(ValueError, match="pickle"):
        store.load()


@pytest.mark.parametrize("member", ["weights", "card"])
def test_a_pickle_inside_a_model_is_not_loaded(store, member):
    content = {"weights": WEIGHTS, "card": np.array(json.dumps({}))}
    content[member] = np.array([Explosive()], dtype=object)
    file = io.BytesIO()
    np.savez(file, **content)
    store.folder.mkdir()
    (store.folder / "v0001.npz").write_bytes(file.getvalue())

    with pytest.raises(ValueError, match="allow_pickle=False"):
        store.load()


def test_the_bar_is_for_the_worst_worker():
    assert good_enough([0.5, 0.9], 0.5)
    assert not good_enough([0.49, 0.9], 0.5)


def test_without_workers_nothing_is_good_enough():
    assert not good_enough([], 0.0)


@given(st.lists(st.floats(0, 1), min_size=1))
def test_a_bar_of_zero_lets_every_model_pass(accuracies):
    assert good_enough(accuracies, 0.0)
