"""A training run from start to end, with real workers."""

import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from pisyft import run
from pisyft.learning.names import read_folder, total
from pisyft.release import ModelStore
from tests.helpers import processes_about, run_python

# What design.md promises.
KEYS = set(
    "workers participants rounds aggregation names_total train_seconds aggregate_seconds accuracy_initial "
    "accuracy_final balanced_accuracy_final accuracy_by_worker centralised_accuracy aggregation_max_error "
    "released_version bytes_sent bytes_received torch python syft".split()
)

# `pisyft train --lab`, which tells on stderr what it opened.
AUDITED = """
import json, os, sys
opened = []
sys.addaudithook(lambda event, details: opened.append(details[0]) if event == "open" else None)
from pisyft.cli import main
main(sys.argv[1:], standalone_mode=False)
json.dump([os.fsdecode(file) for file in list(opened) if isinstance(file, (str, bytes, os.PathLike))], sys.stderr)
"""


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=120)


@dataclass(frozen=True)
class Run:
    """What a run left: its folder, its summary, what it printed, and the files that its process opened."""

    out: Path
    summary: dict
    printed: str
    opened: list[str]


@pytest.fixture(scope="module")
def in_a_lab(names_folder, tmp_path_factory) -> Run:
    """`pisyft train --lab` with two rounds, and a bar that every model reaches."""
    out = tmp_path_factory.mktemp("run") / "out"
    done = run_python(
        *("-c", AUDITED, "train", "--lab", "--names", names_folder, "--out", out),
        *("--rounds", 2, "--good-enough", 0),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return Run(out, summary, done.stdout, json.loads(done.stderr.splitlines()[-1]))


def test_the_summary_has_what_the_contract_lists(in_a_lab):
    assert set(in_a_lab.summary) >= KEYS


def test_the_summary_tells_who_took_part_and_with_what(in_a_lab, names_folder):
    out, summary = in_a_lab.out, in_a_lab.summary

    assert summary["workers"] == ["alice", "bob"]
    assert (summary["participants"], summary["rounds"], summary["aggregation"]) == (2, 2, "additive")
    assert summary["names_total"] == total(read_folder(names_folder)) == 400
    for worker in summary["workers"]:
        assert summary["names_by_worker"][worker] == total(read_folder(out / "lab" / worker / "names"))
    assert summary["syft"] == "0.2.9"
    assert summary["python"] == sys.version.split()[0]


def test_the_accuracies_are_consistent(in_a_lab):
    summary = in_a_lab.summary

    # Both workers test on 40 names, so that the accuracy over all is the mean of theirs.
    assert summary["accuracy_final"] == pytest.approx(sum(summary["accuracy_by_worker"].values()) / 2)
    for key in ("accuracy_initial", "accuracy_final", "balanced_accuracy_final", "centralised_accuracy"):
        assert 0 <= summary[key] <= 1
        assert summary[key] * 80 == pytest.approx(round(summary[key] * 80))
    # Ten names to test on of each language on each worker: balanced already.
    assert summary["balanced_accuracy_final"] == pytest.approx(summary["accuracy_final"])
    assert summary["loss_final"] < summary["loss_initial"]


def test_secret_sharing_was_exact_and_messages_were_sent(in_a_lab):
    summary = in_a_lab.summary

    assert 0 < summary["aggregation_max_error"] < 1e-4
    assert summary["train_seconds"] > 0 and summary["aggregate_seconds"] > 0
    # The model alone, to two workers in two rounds.
    assert summary["bytes_sent"] > 4 * 27_000 * 4
    assert summary["bytes_received"] > 0


def test_the_pictures_are_there(in_a_lab):
    for name in ("loss.png", "confusion.png"):
        assert (in_a_lab.out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_model_that_is_good_enough_is_on_every_worker(in_a_lab):
    out, summary, printed = in_a_lab.out, in_a_lab.summary, in_a_lab.printed

    assert summary["released_version"] == 1
    assert "Released to every worker as version 1." in printed
    for worker in ("alice", "bob"):
        card, weights = ModelStore(out / "lab" / worker / "models").load()
        assert card.participants == ("alice", "bob")
        assert card.languages == ("Czech", "Italian", "Japanese", "Polish")
        assert (card.rounds, card.accuracy) == (2, summary["accuracy_final"])
        assert weights.shape == (128 * 185 + 128 + 4 * 185 + 4,)


def test_what_is_printed_has_the_table_the_comparison_and_predictions(in_a_lab):
    summary, printed = in_a_lab.summary, in_a_lab.printed

    for text in ("alice", "bob", "together", "(in one place)", f"{summary['accuracy_final']:.1%}", "> Yamaguchi"):
        assert text in printed


def test_no_process_is_left(in_a_lab):
    assert processes_about(in_a_lab.out) == []


def test_a_model_below_the_bar_is_not_released(lab, workers, tmp_path, console):
    released = {worker.id: worker.call("describe")["released"] for worker in workers}

    summary = run.train(lab.addresses, run.Settings(rounds=1, good_enough=1.0), tmp_path, console)

    assert summary["released_version"] is None
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == summary
    assert "Not released: below 100% on a worker." in console.file.getvalue()
    for worker in workers:
        assert worker.call("describe")["released"] == released[worker.id]


def test_without_a_lab_nothing_is_compared_with_training_in_one_place(lab, tmp_path, console):
    summary = run.train(lab.addresses, run.Settings(rounds=1, good_enough=1.0), tmp_path, console)

    assert summary["centralised_accuracy"] is None
    assert "(in one place)" not in console.file.getvalue()
    assert (tmp_path / "loss.png").exists()


def test_a_run_that_cannot_reach_its_second_worker_closes_its_first_connection(lab, tmp_path, console, monkeypatch):
    made = []

    class Client(run.WebsocketClientWorker):
        def __init__(self, hook, host, port, id, credentials):
            if made:
                raise ConnectionRefusedError
            super().__init__(hook, host, port, id=id, credentials=credentials)
            made.append(self)

    monkeypatch.setattr(run, "WebsocketClientWorker", Client)

    with pytest.raises(ConnectionRefusedError):
        run.train(lab.addresses, run.Settings(rounds=1), tmp_path / "out", console)

    assert "not connected" in str(made[0])
    assert not (tmp_path / "out").exists()


def test_the_coordinator_of_a_lab_opens_no_names_file(in_a_lab, names_folder):
    """They are dealt by a process of their own, and read by the workers."""
    folders = [names_folder, *in_a_lab.out.glob("lab/*/names")]

    assert len(folders) == 3
    assert str(in_a_lab.out / "summary.json") in in_a_lab.opened
    assert [file for file in in_a_lab.opened if file.startswith(tuple(f"{folder}/" for folder in folders))] == []
