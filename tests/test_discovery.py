"""Workers that announce themselves, on this machine's loopback, and who finds them."""

import contextlib
import json
import secrets
import shutil
import subprocess
import sys
import time

import pytest

from pisyft import __version__, discovery
from pisyft.classroom import Classroom, create
from pisyft.discovery import Announcement, Found, discover, find, twins
from pisyft.doctor import check_ids
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import UnknownHost, UntrustedWorker
from tests.helpers import PATIENCE_SECONDS, run_pisyft, wait_until


@pytest.fixture
def own_id():
    """An id that nobody else on this network has."""
    return f"test-{secrets.token_hex(4)}"


@pytest.fixture
def announce():
    """Announces workers until the test ends."""
    made = []

    def begin(worker_id, port, policy="strict"):
        made.append(Announcement(worker_id, "127.0.0.1", port, policy))
        return made[-1]

    yield begin
    for each in made:
        each.close()


def found(worker_id, seconds=2.0):
    return [each for each in discover(seconds) if each.id == worker_id]


def wait_until_found(worker_id, times=1):
    wait_until(lambda: len(found(worker_id)) >= times, f"{worker_id} is announced")


def test_an_announced_worker_is_found_with_what_it_says_of_itself(announce, own_id):
    announce(own_id, 8777, policy="teach")
    wait_until_found(own_id)

    (worker,) = found(own_id)

    assert (worker.host, worker.port, worker.version, worker.policy) == ("127.0.0.1", 8777, __version__, "teach")
    assert worker.model
    assert next(find(own_id, time.monotonic() + PATIENCE_SECONDS)) == ("127.0.0.1", 8777)


def test_a_worker_that_stops_is_gone(announce, own_id):
    announcement = announce(own_id, 8777)
    wait_until_found(own_id)

    announcement.close()

    wait_until(lambda: not found(own_id), "it is gone")


def test_two_workers_of_one_id_are_both_listed_and_one_of_them_warns(announce, own_id, caplog):
    announce(own_id, 8777)
    wait_until_found(own_id)
    announce(own_id, 8778)

    wait_until(lambda: {worker.port for worker in found(own_id)} == {8777, 8778}, "both are listed")
    wait_until(lambda: f"{own_id} is announced at 127.0.0.1:877" in caplog.text, "one of them warns")


def test_two_workers_of_one_id_are_told_to_whoever_looks(announce, own_id, caplog, monkeypatch):
    announce(own_id, 8777)
    announce(own_id, 8778)
    wait_until(lambda: {worker.port for worker in found(own_id)} == {8777, 8778}, "both are announced")
    monkeypatch.setattr(discovery, "discover", lambda: found(own_id))

    discovery.warn_of_twins([own_id])
    check, done = check_ids([own_id]), run_pisyft("discover")

    both = f"{own_id} is announced by several workers, at 127.0.0.1:8777 and 127.0.0.1:8778. "
    assert both + discovery.TWINS_MEND in caplog.text
    assert both + discovery.TWINS_MEND in done.stderr
    assert (check.state, check.mend) == ("warning", discovery.TWINS_MEND)
    assert f"{own_id} at 127.0.0.1:8777 and 127.0.0.1:8778" in check.found


def test_one_worker_is_no_twin_of_itself_with_two_addresses_or_started_again():
    def heard(worker_id, host, announcement):
        return Found(worker_id, host, 8777, "Pi 3", "0.1.0", "strict", announcement)

    two_addresses = [heard("alice", "10.0.0.1", "a"), heard("alice", "192.168.1.1", "a")]
    again = [heard("bob", "10.0.0.2", "b"), heard("bob", "10.0.0.2", "c")]
    two = [heard("carol", "10.0.0.3", "d"), heard("carol", "10.0.0.4", "e")]

    assert twins([*two_addresses, *again, *two]) == {"carol": ["10.0.0.3:8777", "10.0.0.4:8777"]}


def test_what_strangers_announce_is_fit_for_a_terminal():
    assert discovery._plain(b"pi\x1b[31m" + b"a" * 200) == "pi?[31m" + "a" * 53


def test_an_id_that_nobody_announces_is_told_with_what_to_do(tmp_path, hook, own_id, monkeypatch):
    monkeypatch.setattr("pisyft.transport.connecting._FIND_SECONDS", 0.5)
    create(tmp_path / "room", {own_id: ("", 8777), "bob": ("", 8777)})
    room = Classroom.load(tmp_path / "room/coordinator/classroom.toml")
    assert room.pis[own_id] == ("", 8777)

    with pytest.raises(UnknownHost, match="nothing announces it. Is it started, and on the same network?"):
        WebsocketClientWorker(hook, *room.pis[own_id], id=own_id, credentials=room.credentials)


def test_only_certificates_make_an_announced_address_good_enough(hook, own_id):
    with pytest.raises(ValueError, match="may be left out in a classroom only"):
        WebsocketClientWorker(hook, "", 8777, id=own_id)


@contextlib.contextmanager
def worker_process(folder, names):
    """A worker that is announced on loopback, until the `with` ends."""
    command = [
        *(sys.executable, "-m", "pisyft", "worker", "--classroom", folder, "--data", names),
        *("--host", "127.0.0.1", "--port", "0", "--announce"),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert " is ready " in process.stdout.readline()
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def test_a_classroom_finds_its_pi_and_believes_certificates_only(tmp_path, hook, own_id, names_folder, monkeypatch):
    rooms, names = {}, {}
    for room in ("ours", "theirs"):
        create(tmp_path / room, {own_id: ("", 8777), "bob": ("", 8777)})
        rooms[room] = Classroom.load(tmp_path / room / "coordinator/classroom.toml")
        names[room] = shutil.copytree(names_folder, tmp_path / room / "names")
    # A stranger with the same id, who is there first.
    with worker_process(tmp_path / "theirs" / own_id, names["theirs"]):
        wait_until_found(own_id)
        with pytest.raises(UntrustedWorker):
            WebsocketClientWorker(hook, "", 8777, id=own_id, credentials=rooms["ours"].credentials)
        with worker_process(tmp_path / "ours" / own_id, names["ours"]):
            wait_until_found(own_id, times=2)
            monkeypatch.setattr("pisyft.transport.connecting._FIND_SECONDS", PATIENCE_SECONDS)

            client = WebsocketClientWorker(hook, "", 8777, id=own_id, credentials=rooms["ours"].credentials)
            try:
                assert client.call("describe")["worker"] == own_id
            finally:
                client.close()
    hook.local_worker._known_workers.pop(own_id, None)


def test_the_command_lists_who_is_there(announce, own_id):
    announce(own_id, 8777)
    wait_until_found(own_id)

    as_table, as_json = run_pisyft("discover"), run_pisyft("discover", "--json")

    assert f"{own_id}" in as_table.stdout and "127.0.0.1:8777" in as_table.stdout
    (worker,) = (each for each in json.loads(as_json.stdout) if each["id"] == own_id)
    assert set(worker) == {"id", "host", "port", "model", "version", "policy"}
