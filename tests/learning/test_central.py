"""The same model trained on all names in one place."""

from dataclasses import replace

import pytest
import torch

from pisyft.learning import central
from pisyft.learning.central import train_centrally
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.names import deal_parts, equal_shares, read_folder, read_parts, split, total, write_parts
from pisyft.learning.training import TrainingSettings
from tests.helpers import run_python

SETTINGS = TrainingSettings(batch_size=16, learning_rate=0.1, seed=3)


@pytest.fixture
def folders(names_folder, tmp_path):
    """The folders of two workers, among whom the names of `names_folder` are dealt."""
    folders = [tmp_path / "alice", tmp_path / "bob"]
    names = read_folder(names_folder)
    for hand, folder in zip(deal_parts(split(names), equal_shares(names, 2)), folders, strict=True):
        write_parts(hand, folder)
    return folders


def test_it_is_tested_on_the_names_that_the_workers_test_on(folders):
    model, counts = train_centrally(folders, SETTINGS, rounds=2)

    for_test = [read_parts(folder).test for folder in folders]
    expected = sum(total(part) for part in for_test)
    assert counts.names == expected == 80
    together = {language: for_test[0][language] + for_test[1][language] for language in for_test[0]}
    assert counts.confusion == count_guesses(model, encode(together), 4).confusion


def test_it_is_repeatable(folders):
    first, second = (train_centrally(folders, SETTINGS, rounds=2)[0] for _ in range(2))

    assert all(map(torch.equal, first.parameters(), second.parameters()))


def test_a_step_is_on_the_batches_of_all_workers(folders, monkeypatch):
    asked = []
    monkeypatch.setattr(
        central, "make_strategy", lambda name, start, training, *others, **options: asked.append((training, options))
    )
    monkeypatch.setattr(central, "simulate", lambda *arguments: None)

    train_centrally(folders, replace(SETTINGS, steps=1), 2, strategy="fedadam", options={"schedule": "cosine"})
    train_centrally(folders, SETTINGS, 2)

    assert asked == [(replace(SETTINGS, steps=1, batch_size=32), {"schedule": "cosine"}), (SETTINGS, {})]


def test_any_model_is_trained_with_any_letters(folders):
    model, counts = train_centrally(folders, SETTINGS, 1, "ngrams", alphabet="unicode")

    assert type(model).__name__ == "NGrams" and counts.names == 80


def test_where_it_diverges_that_is_all_that_is_said(folders):
    training = '{"learning_rate": 1e30, "batch_size": 16}'
    done = run_python("-m", "pisyft.learning.central", "--rounds", "3", "--training", training, *folders)

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("With all names, training diverged: the loss is ") and "Traceback" not in done.stderr
