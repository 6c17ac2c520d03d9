"""The owner's commands on a Pi: pause, resume and forget, without a network."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.aggregation.errors import Refused
from pisyft.learning.models import make_model
from pisyft.learning.vectors import to_vector
from pisyft.owner import OwnersWord
from tests.aggregation.parties import agree, make_parties
from tests.helpers import run_pisyft


@pytest.fixture
def models(lab) -> Iterator[Path]:
    """Alice's models, whose worker goes on afterwards."""
    folder = lab.folder / "alice" / "models"
    yield folder
    OwnersWord(folder).resume()


def weights(alice) -> np.ndarray:
    languages = len(alice.call("describe")["languages"])
    return to_vector(make_model("tutorial", 57, languages, 1)).detach().numpy()


def test_a_paused_worker_says_so_and_does_nothing_until_it_is_resumed(workers, models):
    alice, bob = workers
    run_pisyft("pause", "--models", models)

    assert alice.call("describe")["paused"] is True
    assert bob.call("describe")["paused"] is False
    for verb, arguments in (
        ("evaluate", {"weights": weights(alice)}),
        ("fit", {"round": "r", "model": "tutorial", "weights": weights(alice), "settings": {}}),
        ("aggregate", {"round": "r", "step": "join", "message": {}}),
    ):
        with pytest.raises(GetNotPermittedError, match="alice is paused by its owner, .*pisyft resume.*rule paused"):
            alice.call(verb, **arguments)
    with pytest.raises(GetNotPermittedError, match="rule paused"):
        (torch.tensor([1.0]).send(alice) + 1).get()

    told = run_pisyft("resume", "--models", models).stdout
    assert "goes on" in told
    assert alice.call("evaluate", weights=weights(alice))


def test_forget_removes_models_and_keeps_what_was_given_away(tmp_path):
    for name in ("v0001.npz", "staged.npz", "current", "coordinator.pub", "rounds.jsonl", "audit.jsonl"):
        (tmp_path / name).write_text("1")

    told = run_pisyft("forget", "--models", tmp_path, "--yes").stdout

    assert "1 model, and what was not yet given away" in told
    assert {each.name for each in tmp_path.iterdir()} == {"rounds.jsonl", "audit.jsonl", "forgotten"}


def test_forget_asks_first(tmp_path):
    (tmp_path / "v0001.npz").write_text("1")
    done = run_pisyft("forget", "--models", tmp_path)
    assert done.returncode == 1
    assert (tmp_path / "v0001.npz").exists()


def test_the_worker_hears_it_once(tmp_path):
    worker = OwnersWord(tmp_path)
    assert not worker.says_forget()
    OwnersWord(tmp_path).forget()
    assert worker.says_forget()
    assert not worker.says_forget()
    assert not OwnersWord(tmp_path).says_forget()


def test_what_was_learned_and_the_round_under_way_are_dropped():
    party = make_parties(["pi00", "pi01"])["pi00"]
    agreement = agree("additive", ["pi00", "pi01"])
    party.answer("join", agreement.round, agreement.as_message())

    party.forget()

    assert (party.update, party.running) == (None, None)
    with pytest.raises(Refused, match="is in no round"):
        party.answer("upload", agreement.round, {})


def test_a_running_worker_drops_the_model_that_it_had(workers, models, lab):
    alice, _ = workers
    alice.call("describe")

    run_pisyft("forget", "--models", models, "--yes")

    described = alice.call("describe")
    assert (described["released"], described["newest"], described["released_accuracy"]) == (0, 0, None)


@pytest.mark.parametrize("command", ["pause", "resume", "forget"])
def test_a_folder_that_is_not_there_is_told(tmp_path, command):
    done = run_pisyft(command, "--models", tmp_path / "nowhere")
    assert done.returncode == 2
    assert "say where the worker has its models with --models DIR" in " ".join(done.stderr.split())
