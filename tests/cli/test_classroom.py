"""`pisyft classroom`, and the worker that is started with a folder of it."""

import re
import shlex
import shutil
import subprocess
import sys

import pytest

from pisyft.classroom import Classroom
from pisyft.transport import WebsocketClientWorker
from tests.cli.test_cli import assert_problem, run_environment
from tests.helpers import PATIENCE_SECONDS, forget_workers, run_pisyft


@pytest.fixture
def room(tmp_path):
    done = run_pisyft(
        *("classroom", "create", "--into", tmp_path / "room", "--minimum", 3),
        *("--pi", "alice=127.0.0.1", "--pi", "bob=192.168.1.22", "--pi", "carol=[fe80::1]:9000"),
    )
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/room/bob: copy this folder to bob" in done.stdout
    return tmp_path / "room"


def test_a_classroom_is_made_as_it_was_asked_for(room):
    classroom = Classroom.load(room / "coordinator" / "classroom.toml")

    assert classroom.pis == {"alice": ("127.0.0.1", 8777), "bob": ("192.168.1.22", 8777), "carol": ("fe80::1", 9000)}
    assert classroom.minimum == 3


def test_a_worker_started_with_its_folder_answers_the_coordinator(room, names_folder, tmp_path, hook):
    shutil.copytree(names_folder, tmp_path / "names")  # the worker writes down what it holds out
    command = [
        *(sys.executable, "-m", "pisyft", "worker", "--classroom", room / "alice", "--port", "0"),
        *("--data", tmp_path / "names"),
    ]
    with subprocess.Popen(command, env=run_environment(), stdout=subprocess.PIPE, text=True) as process:
        try:
            told = re.fullmatch(r"alice is ready on 127\.0\.0\.1:(\d+): .*\n", process.stdout.readline())
            coordinator = Classroom.load(room / "coordinator" / "classroom.toml")
            forget_workers(hook, "alice")
            client = WebsocketClientWorker(
                hook, "127.0.0.1", int(told[1]), id="alice", credentials=coordinator.credentials
            )
            try:
                assert client.call("describe")["worker"] == "alice"
            finally:
                client.close()
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ([], "say who this is: --classroom FOLDER, or --id ID"),
        (["--id", "alice", "--host", "192.168.1.21"], "anybody on the network could call this worker: give it --class"),
        (["--classroom", "room/alice", "--id", "alice"], "leave out --id, --peer and --insecure"),
        (["--classroom", "room/coordinator"], "is the coordinator's: a worker takes the folder of a Pi"),
        (["--classroom", "room/dave"], "there is no room/dave: every member's is in its own folder"),
    ],
)
def test_a_worker_says_what_is_missing_before_it_starts(room, names_folder, monkeypatch, options, says):
    monkeypatch.chdir(room.parent)
    assert_problem(run_pisyft("worker", "--data", names_folder, *options), says)


@pytest.mark.parametrize(
    "pi", ["alice=", "=10.0.0.1", "alice=10.0.0.1:0", "alice=10.0.0.1:port", "alice=10.0.0.1:", "alice=[::1"]
)
def test_an_address_that_is_none_is_told(tmp_path, pi):
    done = run_pisyft("classroom", "create", "--into", tmp_path / "room", "--pi", pi)

    assert done.returncode == 2
    assert f"{pi!r} is not ID=HOST[:PORT], as in bob=192.168.1.22:8777" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--classroom", "room/alice"], "room/alice is alice's: to train takes the coordinator's folder"),
        (["--classroom", "room/coordinator", "--lab"], "take one: --lab, which starts its own workers, --classroom or"),
    ],
)
def test_training_says_what_it_takes(room, monkeypatch, options, says):
    monkeypatch.chdir(room.parent)
    assert_problem(run_pisyft("train", *options), says)


def test_a_pi_that_is_named_twice_is_told(tmp_path):
    done = run_pisyft("classroom", "create", "--into", tmp_path / "r", "--pi", "a=10.0.0.1", "--pi", "a=10.0.0.2")
    assert_problem(done, "a Pi is named twice")


def test_so_many_pis_have_the_ids_that_names_are_dealt_to_and_are_found(tmp_path):
    done = run_pisyft("classroom", "create", "--into", tmp_path / "room", "--pis", 10)

    assert done.returncode == 0, done.stderr
    classroom = Classroom.load(tmp_path / "room" / "coordinator" / "classroom.toml")
    assert classroom.pis == {f"pi-{number}": ("", 8777) for number in range(1, 11)}
    assert_problem(run_pisyft("classroom", "create", "--pis", 2, "--pi", "alice"), "or say how many with --pis: not")


def test_commands_that_are_told_can_be_typed_whatever_a_folder_is_called(tmp_path):
    done = run_pisyft("classroom", "create", "--into", tmp_path / "Klasse 5b ü", "--pis", 2)

    told = [line.partition("pisyft ")[2] for line in done.stdout.splitlines() if "pisyft classroom install" in line]
    assert [shlex.split(line)[2] for line in told] == [f"{tmp_path}/Klasse 5b ü"]
