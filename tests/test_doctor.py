"""What `pisyft doctor` looks at: each fact, and the mend that comes with it."""

import functools
import json
import os
import signal
import socket
import stat
from datetime import datetime, timedelta, timezone

import pytest
from click.testing import CliRunner

from pisyft import doctor
from pisyft.classroom import Classroom, create
from pisyft.cli.doctor import doctor as doctor_command
from pisyft.doctor import FAILED, OK, SKIPPED, WARNING
from pisyft.lab import Lab
from tests.helpers import forget_workers, run_pisyft

MB = 1_000_000


def command_that(folder, name, text):
    """A command of that name in a folder, for PATH."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    file.chmod(0o755)
    return file


@pytest.mark.parametrize(
    ("machine", "bits", "state"), [("aarch64", 64, OK), ("aarch64", 32, FAILED), ("armv7l", 32, FAILED)]
)
def test_a_system_must_have_64_bits(machine, bits, state):
    check = doctor.check_system(machine, bits)

    assert check.state == state
    assert ("Raspberry Pi OS (64-bit)" in check.mend) == (state == FAILED)


@pytest.mark.parametrize(("version", "state"), [((3, 9, 2), FAILED), ((3, 10, 0), OK), ((3, 13, 5), OK)])
def test_an_old_python_is_told(version, state):
    assert doctor.check_python(version).state == state


@pytest.mark.parametrize(
    ("bits", "state", "found"),
    [
        (0x0, OK, "no under-voltage"),
        (0x1, FAILED, "now: under-voltage"),
        (0x50005, FAILED, "now: under-voltage, throttled"),
        (0x50000, WARNING, "since it was switched on: under-voltage, throttled"),
        (0x8, WARNING, "now: soft temperature limit"),
        (None, SKIPPED, "vcgencmd"),
    ],
)
def test_what_the_firmware_says_of_the_power_supply(bits, state, found):
    check = doctor.check_power(bits)

    assert (check.state, found in check.found) == (state, True)
    assert bool(check.mend) == (state in (WARNING, FAILED))


def test_the_firmware_is_asked_with_vcgencmd(tmp_path, monkeypatch):
    command_that(tmp_path / "bin", "vcgencmd", 'test "$1" = get_throttled && echo throttled=0x50005')
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    assert doctor.throttled() == 0x50005


def test_a_firmware_that_tells_nothing_is_no_error(tmp_path, monkeypatch):
    command_that(tmp_path / "bin", "vcgencmd", "echo VCHI initialization failed; exit 255")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)

    assert doctor.throttled() is None


@pytest.mark.parametrize(("celsius", "state"), [(None, SKIPPED), (48.3, OK), (74.0, WARNING), (82.5, FAILED)])
def test_heat_is_told_before_it_slows_a_pi(celsius, state):
    assert doctor.check_temperature(celsius).state == state


@pytest.mark.parametrize(
    ("total", "available", "swap", "states"),
    [
        (4000, 3000, 0, [OK, OK]),
        (430, 300, 100, [OK, OK]),  # a Zero 2 W
        (430, 300, 0, [OK, WARNING]),
        (430, 120, 100, [WARNING, OK]),
        (240, 200, 100, [FAILED, OK]),
    ],
)
def test_memory_and_swap(total, available, swap, states):
    checks = list(doctor.check_memory(total * MB, available * MB, swap * MB))

    assert [check.state for check in checks] == states


def test_swap_is_read_from_the_kernel(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 400 kB\nSwapTotal:      102396 kB\n")

    assert doctor.swap_bytes(tmp_path) == 102396 * 1024


def test_the_disk_is_tried_and_left_as_it_was(tmp_path):
    check = doctor.check_disk(tmp_path)

    assert "MB/s written" in check.found
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path):
    check = doctor.check_disk(tmp_path / "names")

    assert (check.state, str(tmp_path / "names") in check.found) == (FAILED, True)


@pytest.mark.parametrize(
    ("synchronised", "now", "state"),
    [
        (True, datetime.now(timezone.utc), OK),
        (None, datetime.now(timezone.utc), OK),
        (False, datetime.now(timezone.utc), WARNING),
        (True, datetime(1970, 1, 1, tzinfo=timezone.utc), FAILED),
    ],
)
def test_a_clock_that_is_wrong_or_drifts_is_told(synchronised, now, state):
    assert doctor.check_clock(synchronised, now).state == state


@pytest.mark.parametrize(("seconds", "state"), [(0.3, OK), (-8.0, WARNING), (7200.0, FAILED)])
def test_a_peers_clock(seconds, state):
    check = doctor.check_skew("bob", seconds)

    assert (check.name, check.state) == ("clock of bob", state)
    assert f"{seconds:+.1f} s" in check.found


def test_pytorch_is_tried_in_a_process_of_its_own():
    assert doctor.check_torch().state == OK


def test_an_illegal_instruction_is_reported_and_not_fatal(tmp_path, monkeypatch):
    python = command_that(tmp_path, "python", f"kill -{int(signal.SIGILL)} $$")
    monkeypatch.setattr(doctor.sys, "executable", str(python))

    check = doctor.check_torch()

    assert check.state == FAILED
    assert "instructions that this processor does not have" in check.found
    assert "pip install" in check.mend


def test_a_pytorch_that_cannot_be_imported_is_told_with_its_reason(tmp_path, monkeypatch):
    python = command_that(tmp_path, "python", "echo 'OSError: libgomp.so.1: no such file' >&2; exit 1")
    monkeypatch.setattr(doctor.sys, "executable", str(python))

    assert "libgomp.so.1: no such file" in doctor.check_torch().found


def test_a_port_is_free_or_something_listens_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert "something listens there" in doctor.check_port(port).found
    assert "free" in doctor.check_port(port).found


@pytest.fixture
def room(tmp_path):
    """The folder of a classroom, alice's and bob's."""
    create(tmp_path / "room", {"alice": ("127.0.0.1", 8777), "bob": ("127.0.0.1", 1)}, days=900)
    return tmp_path / "room"


def test_certificates_that_end_soon_are_told(tmp_path, room):
    create(tmp_path / "short", {"alice": ("127.0.0.1", 1), "bob": ("127.0.0.1", 1)}, days=20)

    long, short = (
        doctor.check_certificates(Classroom.load(folder / "alice/classroom.toml"))
        for folder in (room, tmp_path / "short")
    )

    assert (long.state, short.state) == (OK, WARNING)
    ends = datetime.now(timezone.utc) + timedelta(days=900, hours=-12)
    assert f"{ends:%Y-%m-%d}" in long.found


def test_a_classroom_that_cannot_be_used_is_a_check_that_failed(room, tmp_path):
    (room / "alice/alice.key").chmod(0o644)

    checks = doctor.examine(functools.partial(Classroom.load, room / "alice/classroom.toml"), folder=tmp_path)

    (certificates,) = (check for check in checks if check.name == "certificates")
    assert certificates.state == FAILED
    assert "chmod 600" in certificates.found


@pytest.fixture(scope="module")
def certified_lab(names_folder):
    with Lab(names_folder, ["alice", "bob"], certificates=True) as lab:
        yield lab


@pytest.mark.parametrize("member", ["coordinator", "bob"])
def test_peers_are_reached_as_pi_and_as_coordinator_and_their_clocks_compared(certified_lab, hook, member):
    room = Classroom.load(certified_lab.folder / "classroom" / member / "classroom.toml")
    forget_workers(hook, "alice")

    reached, clock = doctor.check_peers({"alice": room.pis["alice"]}, room)

    assert (reached.name, clock.name, clock.state) == ("peer alice", "clock of alice", OK)
    assert "Mbit/s" in reached.found


def test_a_peer_that_does_not_answer_is_told_with_what_to_do(room):
    coordinator = Classroom.load(room / "coordinator/classroom.toml")

    (check,) = doctor.check_peers({"bob": ("127.0.0.1", 1)}, coordinator)

    assert (check.name, check.state) == ("peer bob", FAILED)
    assert check.found == "127.0.0.1:1: nothing listens there"
    assert "pisyft worker" in check.mend


def test_the_command_tells_programs_everything_and_ends_with_0_where_nothing_failed(tmp_path):
    done = run_pisyft("doctor", "--json", "--data", tmp_path)

    answer = json.loads(done.stdout)
    failed = [check for check in answer["checks"] if check["state"] == FAILED]
    assert (done.returncode, answer["ok"]) == ((1, False) if failed else (0, True))
    assert [check["name"] for check in answer["checks"]][:5] == ["system", "board", "Python", "PyTorch", "PySyft"]
    assert all(check["mend"] for check in failed)


def test_the_command_ends_with_1_and_a_mend_where_something_failed(tmp_path):
    done = run_pisyft("doctor", "--data", tmp_path / "nowhere")

    assert done.returncode == 1
    assert "Name another folder with --data" in done.stdout
    assert "checks failed" in done.stdout
    assert stat.S_ISDIR(tmp_path.stat().st_mode) and not list(tmp_path.iterdir())


def test_what_others_say_is_printed_as_it_is_also_where_it_looks_like_markup(monkeypatch):
    told = doctor.Check("peer [/bob]", FAILED, "refused: [/home/pi/x] :a:", "[limits] of classroom.toml")
    monkeypatch.setattr(doctor, "examine", lambda *arguments: [told])

    printed = CliRunner().invoke(doctor_command, [], env={"COLUMNS": "200"}).output

    for text in (told.name, told.found, told.mend):
        assert text in printed
