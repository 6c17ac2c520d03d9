"""A classroom on one machine: what it starts, and that nothing of it stays."""

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pisyft.lab import Lab, LabError
from pisyft.learning.names import read_folder, read_parts, total
from pisyft.release import ModelStore
from pisyft.settings import Settings
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import TransportError, WorkerRefused
from tests.helpers import PATIENCE_SECONDS, kill_processes_about, processes_about, wait_until

# Opens a lab as a coordinator does, says where it is, and waits for its end.
COORDINATOR = """
import json, sys
from pisyft.lab import Lab
lab = Lab(sys.argv[1], ["alice"])
if sys.argv[2] == "starting":
    lab._wait_until_ready = lambda worker: None
lab.start()
print(json.dumps(str(lab.folder)), flush=True)
sys.stdin.read()
"""


# `pisyft worker`, to which somebody adds a name while it loads PyTorch, and so after it has read its names.
NAME_ADDED_MEANWHILE = """
import sys
from pathlib import Path
from pisyft.cli import main
from pisyft.compat import lean
from pisyft.learning.names import add_name
load = lean.leave_out_what_workers_do_not_need
def add_and_load():
    add_name("Zzyzx", "Polish", Path(sys.argv[sys.argv.index("--data") + 1]))
    load()
lean.leave_out_what_workers_do_not_need = add_and_load
main(["worker", *sys.argv[1:]])
"""


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """A folder in which temporary folders are made, and about which no process is left in the end."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    kill_processes_about(tmp_path)


def test_every_worker_answers_at_its_address(lab, hook):
    for worker, (host, port) in lab.addresses.items():
        client = WebsocketClientWorker(hook, host, port, id=worker)
        try:
            assert client.call("describe")["worker"] == worker
        finally:
            client.close()


def test_a_name_that_is_added_while_a_worker_starts_is_not_missed(names_folder, hook, monkeypatch):
    monkeypatch.setattr(Lab, "program", ("-c", NAME_ADDED_MEANWHILE))

    with Lab(names_folder, ["starting"]) as lab:
        host, port = lab.addresses["starting"]
        with contextlib.closing(WebsocketClientWorker(hook, host, port, id="starting")) as client:
            told = client.call("describe")
        held = read_parts(lab.names_of("starting"))

    assert "Zzyzx" in held.train["Polish"]
    assert told["train"] == total(held.train)


def test_the_workers_have_all_names_and_none_in_common(lab, names_folder):
    dealt_to = {worker: read_folder(lab.names_of(worker)) for worker in ("alice", "bob")}

    for language, names in read_folder(names_folder).items():
        assert sorted(dealt_to["alice"][language] + dealt_to["bob"][language]) == sorted(names)


def test_workers_describe_the_names_they_were_dealt(lab, workers):
    for worker in workers:
        names = read_folder(lab.names_of(worker.id))
        described = worker.call("describe")

        assert described["languages"] == list(names)
        assert described["by_language"] == [len(of_language) for of_language in names.values()]
        assert sum(described["by_language"]) == total(names)


def test_an_open_lab_is_not_started_again(lab):
    before = dict(lab.addresses)

    with pytest.raises(LabError, match="open already"):
        lab.start()

    assert lab.addresses == before
    assert len(processes_about(lab.folder)) == 2


def test_training_in_one_place_counts_what_the_workers_test_on(lab, workers):
    counts = lab.train_centrally(Settings(rounds=1))

    tested = sum(worker.call("describe")["test"] for worker in workers)
    assert sum(map(sum, counts["confusion"])) == tested


def test_a_lab_leaves_no_process_no_temporary_folder_and_no_listener_also_when_its_body_raises(
    names_folder, temporary, hook
):
    with pytest.raises(ZeroDivisionError), Lab(names_folder, ["alice"]) as lab:
        assert lab.folder.parent == temporary
        assert len(processes_about(lab.folder)) == 1
        raise ZeroDivisionError

    assert processes_about(temporary) == []
    assert list(temporary.iterdir()) == []
    host, port = lab.addresses["alice"]
    with pytest.raises(WorkerRefused):
        WebsocketClientWorker(hook, host, port, id="alice of a closed lab")
    lab.stop()  # once more, which does nothing


def test_a_worker_that_does_not_start_is_told_with_the_end_of_its_log(names_folder, temporary):
    lab = Lab(names_folder, ["alice", "me"])  # PySyft's name for the coordinator, which no peer may have

    with pytest.raises(LabError) as told:
        lab.start()

    assert "worker alice did not start (exit status 2). Its log ends:\nError: the id 'me' is PySyft's" in str(
        told.value
    )
    assert processes_about(temporary) == []
    assert list(temporary.iterdir()) == []


def test_a_lab_in_a_folder_replaces_names_and_keeps_released_models_and_stops_after_a_worker_was_killed(
    names_folder, temporary, tmp_path
):
    folder = tmp_path / "lab"
    stale = folder / "alice" / "names" / "Klingon.txt"
    stale.parent.mkdir(parents=True)
    stale.write_text("Worf\n")
    model = folder / "alice" / "models" / "v0001.npz"
    model.parent.mkdir()
    model.write_bytes(b"released by an earlier lab")

    with Lab(names_folder, ["alice"], folder) as lab:
        assert lab.folder == folder
        assert lab.log_of("alice").is_file()
        lab.kill("alice")
        assert processes_about(folder) == []

    assert not stale.exists()
    assert ModelStore(model.parent).versions() == [1]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("moment", ["running", "starting"])
def test_a_worker_ends_and_takes_the_temporary_folder_with_it_when_its_parent_is_killed(
    names_folder, temporary, moment
):
    """Also when the parent dies while the worker is importing PyTorch, before it looks at its stdin."""
    parent = subprocess.Popen(
        [sys.executable, "-c", COORDINATOR, str(names_folder), moment],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with parent:
        folder = Path(json.loads(parent.stdout.readline()))
        assert folder.parent == temporary
        # A program that was just started has no command line for a moment.
        wait_until(lambda: len(processes_about(folder)) == 1, "the worker is there")

        parent.send_signal(signal.SIGKILL)
        parent.wait(PATIENCE_SECONDS)

    wait_until(lambda: not processes_about(folder), "the worker has ended")
    assert list(temporary.iterdir()) == []


def test_workers_with_certificates_answer_their_coordinator_and_nobody_else(names_folder, temporary, hook):
    with Lab(names_folder, ["lab-alice", "lab-bob"], certificates=True) as lab:
        workers = lab.classroom.connect(hook)
        try:
            assert [worker.call("describe")["worker"] for worker in workers] == ["lab-alice", "lab-bob"]
        finally:
            for worker in workers:
                worker.close()
        host, port = lab.addresses["lab-alice"]
        with pytest.raises(TransportError):
            WebsocketClientWorker(hook, host, port, id="lab-alice")
    assert list(temporary.iterdir()) == []


def test_two_workers_with_one_id_are_refused_before_anything_is_started(names_folder):
    with pytest.raises(LabError, match="two workers have the same id: alice, alice"):
        Lab(names_folder, ["alice", "alice"])


def break_nothing_there(names: Path) -> str:
    shutil.rmtree(names)
    return f"there is no folder {names}"


def break_not_utf_8(names: Path) -> str:
    (names / "Czech.txt").write_bytes("Dvořák\n".encode("iso-8859-2"))
    return f"{names}/Czech.txt is not UTF-8"


def break_too_few(names: Path) -> str:
    for file in names.iterdir():
        file.write_text("Novak\n", encoding="utf-8")
    return "alice would get no names to "


@pytest.mark.parametrize("damage", [break_nothing_there, break_not_utf_8, break_too_few])
def test_names_that_cannot_be_dealt_are_told_and_nothing_is_left(names_folder, temporary, tmp_path, damage):
    names = tmp_path / "names"
    shutil.copytree(names_folder, names)
    expected = damage(names)

    with pytest.raises(LabError) as told:
        Lab(names).start()

    assert str(told.value).startswith(expected)
    assert len(str(told.value).splitlines()) == 1
    assert list(temporary.iterdir()) == []
