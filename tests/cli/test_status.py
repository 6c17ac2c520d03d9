"""`pisyft status`, and how commands on a Pi find the worker's folders."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from pisyft.cli import main, options, status
from pisyft.learning.names import read_parts, write_folder
from pisyft.status import FILE, StatusFile, read_status
from tests.cli.test_cli import assert_problem
from tests.helpers import PATIENCE_SECONDS, run_pisyft

FACTS = {
    "worker": "alice",
    "host": "127.0.0.1",
    "port": 8777,
    "policy": "strict",
    "alphabet": "tutorial",
    "floor": 10,
    "names": None,
}


@pytest.fixture
def state(tmp_path, monkeypatch):
    """Where workers are installed, in place of /var/lib/pisyft; this process is in an empty folder."""
    folder = tmp_path / "var"
    for module in (options, status):
        monkeypatch.setattr(module, "STATE", folder)
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path / "home")
    return folder


def install(state, worker):
    """The folders of an installed worker."""
    (state / worker / "models").mkdir(parents=True)
    write_folder({"Czech": [f"Novák{letter}" for letter in "abcdefghij"], "Igbo": []}, state / worker / "names")


def pisyft(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_a_running_worker_tells_what_it_is_and_does(lab, workers):
    alice = workers[0]
    described = alice.call("describe")
    models = lab.folder / "alice" / "models"

    done = run_pisyft("status", "--models", models, "--json")

    assert done.returncode == 0, done.stderr
    (told,) = json.loads(done.stdout)
    assert (told["worker"], told["running"], told["paused"]) == ("alice", True, False)
    assert (told["host"], told["port"]) == tuple(lab.addresses["alice"])
    assert told["pid"] == lab._processes["alice"].pid
    assert told["counts"] == {part: described[part] for part in ("train", "validation", "test")}
    assert told["languages"] == len(described["languages"])
    assert told["doing"] == described["doing"]
    assert (told["released"] or 0) == described["released"]
    assert told["board"]["model"] == described["board"]["model"]
    as_table = run_pisyft("status", "--models", models).stdout
    assert f"{lab.addresses['alice'][1]}" in as_table and "to train on" in as_table


def test_what_a_worker_does_is_told_when_it_changes_and_no_sooner(tmp_path):
    file = StatusFile(tmp_path, **FACTS)

    file.update(lambda: "idle")
    first = read_status(tmp_path)
    (tmp_path / FILE).unlink()
    file.update(lambda: "idle")
    assert read_status(tmp_path) is None
    file.update(lambda: "training")

    assert (first.doing, read_status(tmp_path).doing) == ("idle", "training")
    assert first.is_running


def test_a_file_that_cannot_be_written_stops_nobody(tmp_path, caplog):
    (tmp_path / "models").write_text("no folder")

    StatusFile(tmp_path / "models", **FACTS).update(lambda: "idle")

    assert "alice does not tell what it does" in caplog.text


def test_a_worker_that_was_killed_does_not_run_although_its_file_says_what_it_did(state):
    install(state, "alice")
    begun = "from pathlib import Path; from pisyft.status import StatusFile; import os, sys; "
    begun += f"StatusFile(Path(sys.argv[1]), **{FACTS}).update(lambda: 'training'); os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", begun, state / "alice" / "models"], timeout=PATIENCE_SECONDS)

    as_json, as_table = pisyft("status", "--json"), pisyft("status")

    assert as_json.exit_code == as_table.exit_code == 1
    (told,) = json.loads(as_json.stdout)
    assert (told["running"], told["doing"]) == (False, None)
    assert "sudo systemctl start pisyft-worker@alice" in as_table.output
    assert "training" not in as_table.output


def test_another_process_with_the_number_of_a_worker_is_not_taken_for_it(tmp_path):
    StatusFile(tmp_path, **FACTS).update(lambda: "idle")
    told = json.loads((tmp_path / FILE).read_text())

    (tmp_path / FILE).write_text(json.dumps({**told, "ticks": told["ticks"] - 1}))

    assert not read_status(tmp_path).is_running


def test_all_workers_of_a_pi_are_told_and_one_that_was_never_started_is_named(state):
    for worker in ("alice", "bob"):
        install(state, worker)
    StatusFile(state / "alice" / "models", **FACTS).update(lambda: "in a round")

    done = pisyft("status")

    assert done.exit_code == 1
    assert "in a round, for" in done.output and "7 to train on, 1 to choose by, 2 to test on" in done.output
    assert "bob does not run: journalctl -u pisyft-worker@bob says why" in done.output


def test_a_folder_that_is_no_workers_is_told(tmp_path, state):
    assert_problem(run_pisyft("status", "--models", tmp_path), "no worker has been started with its models in")
    assert f"no worker in {state}: say where with --models DIR" in pisyft("status").output


def test_on_a_pi_with_one_worker_its_folders_are_found(state):
    install(state, "alice")
    names, models = state / "alice" / "names", state / "alice" / "models"

    done = [
        pisyft(*command)
        for command in (("names", "add", "Okonkwo", "--language", "Igbo"), ("pause",), ("resume",), ("forget", "--yes"))
    ]
    audit, predict = pisyft("audit"), pisyft("predict", "Okonkwo")

    assert [each.exit_code for each in done] == [0, 0, 0, 0], [each.output for each in done]
    assert (names / "Igbo.txt").read_text() == "Okonkwo\n"
    assert "goes on" in done[2].output
    assert f"there is no {models / 'audit.jsonl'}" in audit.output
    assert f"or {state}" in predict.output


def test_on_a_pi_with_two_workers_it_must_be_said_which(state):
    for worker in ("alice", "bob"):
        install(state, worker)

    done = pisyft("pause")

    assert done.exit_code == 2
    assert f"this Pi has several workers (alice, bob): say which, as in --models {state}/alice/models" in done.output


@pytest.mark.skipif(os.getuid() != 0, reason="becomes another user")
def test_who_is_not_of_the_group_is_told_to_use_sudo(monkeypatch):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setattr(options, "STATE", Path(folder))  # for its owner alone
        monkeypatch.chdir("/")
        os.seteuid(65534)
        try:
            done = pisyft("pause")
        finally:
            os.seteuid(0)

    assert "put sudo before it, or log in again" in done.output


def test_languages_that_were_agreed_on_are_there_without_names(names_folder, tmp_path):
    languages = sorted([*read_parts(names_folder).languages, "Igbo"])
    agreed = [option for language in languages for option in ("--language", language)]
    run_pisyft(
        *(
            "classroom",
            "create",
            "--into",
            tmp_path / "room",
            *agreed,
            "--pi",
            "alice=127.0.0.1",
            "--pi",
            "bob=127.0.0.1",
        )
    )
    shutil.copytree(names_folder, tmp_path / "names")
    start = ("worker", "--classroom", tmp_path / "room" / "alice", "--port", "0", "--data", tmp_path / "names")

    with subprocess.Popen([sys.executable, "-m", "pisyft", *start], stdout=subprocess.PIPE, text=True) as worker:
        try:
            ready = worker.stdout.readline()
            added = run_pisyft("names", "add", "Okonkwo", "--language", "Igbo", "--data", tmp_path / "names")
        finally:
            worker.terminate()
            worker.wait(PATIENCE_SECONDS)

    assert f"of {len(languages)} languages" in ready
    assert added.returncode == 0, added.stderr
    assert read_parts(tmp_path / "names").train["Igbo"] == ["Okonkwo"]
    (tmp_path / "names" / "Klingon.txt").write_text("Worf\n")
    assert_problem(run_pisyft(*start), "has names of Klingon, which the classroom has not agreed on")
