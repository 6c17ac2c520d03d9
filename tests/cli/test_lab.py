"""`pisyft lab` and `pisyft classroom watch --lab`, which leave nothing behind."""

import contextlib
import http.client
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pisyft import cli, events
from pisyft.classroom import Classroom
from pisyft.cli.lab import lab, worker_ids
from pisyft.cli.watch import _command as watch_command
from tests.cli.test_cli import assert_problem, free_port, run_environment
from tests.conftest import REPOSITORY
from tests.helpers import PATIENCE_SECONDS, kill_processes_about, processes_about, run_pisyft, wait_until


@contextlib.contextmanager
def started(temporary: Path, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """`pisyft` with these arguments, and a folder for temporary ones."""
    temporary.mkdir()
    with subprocess.Popen(
        [sys.executable, "-m", "pisyft", *map(str, arguments)],
        env={**run_environment(), "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
            kill_processes_about(temporary)


def lines_until(process: subprocess.Popen[str], end: str) -> list[str]:
    """What it prints, up to a line with this text."""
    lines = []
    while not lines or end not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], lines
    return [line.rstrip("\n") for line in lines]


def test_in_any_folder_the_names_that_come_along_are_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    assert lab.make_context("lab", []).params["names"] == REPOSITORY / "data" / "names"
    assert lab.make_context("lab", ["--names", "other"]).params["names"] == Path("other")


def test_a_lab_tells_where_its_workers_are_and_ends_with_ctrl_c(names_folder, tmp_path, hook):
    temporary = tmp_path / "temporary"
    with started(temporary, "lab", "--workers", 2, "--names", names_folder) as process:
        told = lines_until(process, "Ctrl-C")
        (file,) = (line.removeprefix("The classroom: ") for line in told if line.startswith("The classroom: "))
        classroom = Classroom.load(file)
        for worker in classroom.connect(hook):
            assert worker.call("describe")["worker"] == worker.id
            assert any(line.startswith(f"  {worker.id}") and f" {worker.address} " in line for line in told)
            worker.close()
        assert list(classroom.pis) == ["alice", "bob"]
        assert f"  pisyft train --classroom {Path(file).parent}" in told
        assert len(processes_about(temporary)) == 2

        for _ in range(10):  # as of somebody who is impatient
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        rest = process.communicate(timeout=PATIENCE_SECONDS)[0]

    assert (process.returncode, rest) == (0, "")
    assert processes_about(temporary) == []
    assert list(temporary.iterdir()) == []


def test_a_watched_lab_trains_when_somebody_looks_and_leaves_nothing_when_it_is_stopped(names_folder, tmp_path):
    temporary, run = tmp_path / "temporary", tmp_path / "run"
    run.mkdir()
    (run / events.FILE).write_text("of an earlier lab")
    lab = ("--lab", "--workers", 2, "--names", names_folder, "--rounds", 1000, "--run", run)
    with started(temporary, "classroom", "watch", *lab, "--port", 0) as process:
        url = lines_until(process, "Training begins when somebody opens the page.")[-2].split()[0]
        assert not (run / events.FILE).exists()
        viewer = http.client.HTTPConnection(url.removeprefix("http://").rstrip("/"), timeout=PATIENCE_SECONDS)
        viewer.request("GET", "/events")
        viewer.getresponse()
        wait_until(lambda: (run / events.FILE).exists(), "the training has begun")

        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=PATIENCE_SECONDS)[0]
        viewer.close()

    assert process.returncode == 0, output
    assert "Traceback" not in output and "--run FOLDER" not in output
    assert processes_about(run) == processes_about(temporary) == []
    assert list(temporary.iterdir()) == []


def test_a_watched_lab_that_keeps_nothing_says_so(names_folder, tmp_path):
    lab = ("--lab", "--workers", 2, "--names", names_folder, "--port", 0)
    with started(tmp_path / "temporary", "classroom", "watch", *lab) as process:
        lines_until(process, "Ctrl-C removes the lab and what it has trained: --run FOLDER keeps that.")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE_SECONDS)

    assert process.returncode == 0
    assert list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "found", "told"),
    [
        (".venv/bin/pisyft", None, ".venv/bin/pisyft"),
        (".venv/bin/pisyft", "/usr/bin/pisyft", ".venv/bin/pisyft"),
        ("/usr/bin/pisyft", "/usr/bin/pisyft", "pisyft"),
        ("/project/pisyft/__main__.py", None, "pisyft"),
    ],
)
def test_what_to_type_to_train_begins_as_this_command_was_typed(monkeypatch, typed, found, told):
    monkeypatch.setattr(sys, "argv", [typed])
    monkeypatch.setattr(shutil, "which", lambda name: found)

    assert (
        watch_command(Path("room/coordinator"), (), Path("w2")) == f"{told} train --classroom room/coordinator --out w2"
    )


@pytest.mark.parametrize("command", [["lab"], ["classroom", "watch", "--lab", "--port", "0"]])
def test_names_that_are_not_there_are_told(tmp_path, command):
    done = run_pisyft(*command, "--names", tmp_path / "nowhere")

    assert done.returncode == 2
    assert f"Error: there is no folder {tmp_path / 'nowhere'}" in done.stderr


def test_workers_have_peoples_names_as_far_as_they_go():
    assert worker_ids(2) == ["alice", "bob"]
    assert worker_ids(10)[7:] == ["heidi", "pi-9", "pi-10"]


# Watching


def test_whom_to_watch_must_be_said():
    told = "say whom to watch: --classroom FOLDER, --worker ID=HOST:PORT, or --lab"

    assert_problem(run_pisyft("classroom", "watch"), told)
    assert_problem(run_pisyft("classroom", "watch", "--lab", "--worker", "alice=127.0.0.1:1"), told)


def test_a_pis_own_folder_is_not_what_watches(tmp_path):
    made = run_pisyft("classroom", "create", "--pi", "alice=127.0.0.1", "--pi", "bob=127.0.0.2", "--into", tmp_path)
    assert made.returncode == 0, made.stderr

    assert_problem(
        run_pisyft("classroom", "watch", "--classroom", tmp_path / "alice"), "takes the coordinator's folder"
    )


def test_a_token_that_can_be_guessed_is_refused():
    done = run_pisyft("classroom", "watch", "--worker", "alice=127.0.0.1:1", "--token", "1234")

    assert_problem(done, "a token of 4 characters can be guessed: take 8 or more")


def test_a_port_that_is_taken_is_told(lab):
    host, port = lab.addresses["alice"]

    done = run_pisyft("classroom", "watch", "--worker", "alice=127.0.0.1:1", "--host", host, "--port", port)

    assert_problem(done, f"cannot listen on {host}:{port}", "choose another --port")


def test_without_the_pages_packages_it_is_told_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "pisyft.page.app", raising=False)

    with pytest.raises(SystemExit) as done:
        cli.main(["classroom", "watch", "--worker", "alice=127.0.0.1:1"])

    assert done.value.code == 2
    assert "the page needs uvicorn: in PiSyft's folder, pip install -e '.[page]'" in capsys.readouterr().err


def test_on_the_network_a_token_is_made_and_told_after_a_hash(tmp_path):
    port = free_port()
    watched = ("--worker", "alice=127.0.0.1:1", "--host", "0.0.0.0", "--port", port)
    with started(tmp_path / "temporary", "classroom", "watch", *watched, "--run", tmp_path / "run") as process:
        url, token = process.stdout.readline().split()[0].split("#")
        viewer = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        viewer.request("GET", "/events")
        response = viewer.getresponse()
        refused, _ = response.status, response.read()
        viewer.request("POST", "/enter", json.dumps({"token": token}))
        entered = viewer.getresponse().status
        viewer.close()
        process.send_signal(signal.SIGINT)
        output = process.communicate(timeout=PATIENCE_SECONDS)[0]

    assert url.endswith(f":{port}/") and len(token) >= 16
    assert (refused, entered, process.returncode) == (403, 200, 0)
    assert token not in output
