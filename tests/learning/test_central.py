"""The same model trained on all names in one place."""

import pytest
import torch

from pisyft.learning.central import train_centrally
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.names import deal, equal_shares, hold_out, read_folder, total, write_folder

SETTINGS = {"passes": 2, "batch_size": 16, "learning_rate": 0.1, "seed": 3}


@pytest.fixture
def folders(names_folder, tmp_path):
    """The folders of two workers, among whom the names of `names_folder` are dealt."""
    folders = [tmp_path / "alice", tmp_path / "bob"]
    names = read_folder(names_folder)
    for hand, folder in zip(deal(names, equal_shares(names, 2)), folders, strict=True):
        write_folder(hand, folder)
    return folders


def test_it_is_tested_on_the_names_that_the_workers_hold_out(folders):
    model, counts = train_centrally(folders, **SETTINGS)

    for_test = [hold_out(read_folder(folder), seed=SETTINGS["seed"])[1] for folder in folders]
    expected = sum(total(part) for part in for_test)
    assert counts.names == expected == 24
    together = {language: for_test[0][language] + for_test[1][language] for language in for_test[0]}
    assert counts.confusion == count_guesses(model, encode(together), 4).confusion


def test_it_is_repeatable(folders):
    first, second = (train_centrally(folders, **SETTINGS)[0] for _ in range(2))

    assert all(map(torch.equal, first.parameters(), second.parameters()))
