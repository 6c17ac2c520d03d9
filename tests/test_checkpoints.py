"""Where a run is after each round."""

import os

import numpy as np
import pytest

from pisyft.checkpoints import Checkpoint, CheckpointError, Checkpoints, read_checkpoint

SETTINGS = {"rounds": 5, "model": "gru", "learning_rate": 0.1, "seed": 0}


def checkpoint(round: int) -> Checkpoint:
    state = {"weights": np.full(4, round, dtype=float), "round": np.array(round)}
    return Checkpoint(round, SETTINGS, state, [{"alice": {"loss_sum": each}} for each in range(round + 1)])


def test_a_run_goes_on_where_it_was(tmp_path):
    checkpoints = Checkpoints(tmp_path / "run")
    for round in (1, 2):
        checkpoints.keep(checkpoint(round), is_best=False)

    last = Checkpoints(tmp_path / "run").last(SETTINGS)

    assert (last.round, last.settings, last.history) == (2, SETTINGS, checkpoint(2).history)
    assert last.state.keys() == {"weights", "round"}
    assert np.array_equal(last.state["weights"], [2, 2, 2, 2]) and int(last.state["round"]) == 2


def test_the_best_round_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for round, is_best in ((1, True), (2, True), (3, False)):
        checkpoints.keep(checkpoint(round), is_best)

    assert checkpoints.best().round == 2
    assert checkpoints.last(SETTINGS).round == 3


def test_a_run_goes_on_with_its_own_settings_only(tmp_path):
    Checkpoints(tmp_path).keep(checkpoint(1), is_best=True)

    with pytest.raises(CheckpointError, match=f"run in {tmp_path} was begun with seed 0, not 7: go on with the same"):
        Checkpoints(tmp_path).last({**SETTINGS, "seed": 7})


def test_without_a_checkpoint_there_is_nothing_to_go_on_from(tmp_path):
    with pytest.raises(CheckpointError, match="nothing to go on from"):
        Checkpoints(tmp_path).last(SETTINGS)

    Checkpoints(tmp_path).keep(checkpoint(1), is_best=True)
    Checkpoints(tmp_path).forget()
    with pytest.raises(CheckpointError, match="nothing to go on from"):
        Checkpoints(tmp_path).best()


@pytest.mark.parametrize("content", [b"", b"half a fi", b"PK\x03\x04"])
def test_a_damaged_checkpoint_is_told(tmp_path, content):
    (tmp_path / "checkpoint.npz").write_bytes(content)

    with pytest.raises(CheckpointError, match=r"checkpoint\.npz is damaged: begin the run again"):
        Checkpoints(tmp_path).last(SETTINGS)


def test_a_file_that_is_no_checkpoint_is_told(tmp_path):
    (tmp_path / "summary.json").write_text("{}")

    with pytest.raises(CheckpointError, match=r"summary\.json is no checkpoint, or a damaged one"):
        read_checkpoint(tmp_path / "summary.json")
    with pytest.raises(CheckpointError, match=r"there is no .*/nix\.npz: pisyft train keeps its best model"):
        read_checkpoint(tmp_path / "nix.npz")


def test_a_stop_while_a_checkpoint_is_written_leaves_the_one_before(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.keep(checkpoint(1), is_best=False)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoints.keep(checkpoint(2), is_best=False)

    assert checkpoints.last(SETTINGS).round == 1
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.npz"]


def test_ctrl_c_when_a_checkpoint_is_in_its_place_is_ctrl_c_and_nothing_else(tmp_path, monkeypatch):
    replace = os.replace

    def pressed(*files):
        replace(*files)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", pressed)
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(tmp_path).keep(checkpoint(1), is_best=False)

    assert Checkpoints(tmp_path).last(SETTINGS).round == 1
