"""`workers/install.sh`, in a folder that stands for a Pi's disk, with stand-ins for the commands of its system."""

import os
import re
import shutil
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from pisyft.classroom import Classroom, create
from tests.conftest import REPOSITORY
from tests.helpers import PATIENCE_SECONDS, wait_until

SCRIPT = REPOSITORY / "workers" / "install.sh"

# Answers for a Pi's Python, and for the one in the environment that it makes. What pip is asked is written down.
PYTHON = """#!/usr/bin/env bash
case "$*" in
"-c import struct"*) echo "${FAKE_BITS:-64} ${FAKE_VERSION:-3.11}" ;;
"-c import sys; print"*) echo "${FAKE_VERSION:-3.11}" ;;
"-c import ensurepip"*) exit "${FAKE_NO_VENV:-0}" ;;
"-m venv "*)
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python"
    printf '#!/bin/sh\\necho "$@"\\n' >"$3/bin/pisyft"
    chmod +x "$3/bin/pisyft"
    ;;
"-m pip "*)
    echo "$*" >>"$FAKE_LOG"
    if [ -n "${FAKE_PIP_WAITS:-}" ]; then : >"$FAKE_PIP_WAITS" && exec sleep 600; fi
    if [ -n "${FAKE_PIP_SAYS:-}" ]; then echo "$FAKE_PIP_SAYS" && exit 1; fi
    ;;
"-c import pisyft"*) ;;
"-c import torch"*) if [ -n "${FAKE_ILLEGAL:-}" ]; then kill -ILL $$; fi ;;
"- "*) exec "$REAL_PYTHON" "$@" ;;
*) echo "unexpected: $*" >&2 && exit 99 ;;
esac
"""


class Pi:
    """A folder that stands for a Pi's disk, and the commands that it answers."""

    def __init__(self, folder: Path) -> None:
        self.root, self.log, self._bin = folder / "root", folder / "pip.log", folder / "bin"
        self.put("proc/meminfo", "MemTotal:         440000 kB\n")
        self.put("proc/device-tree/model", "Raspberry Pi 3 Model B Plus Rev 1.3\0")
        self._bin.mkdir()
        self.command("python3", PYTHON)
        self.command("uname", "#!/bin/sh\necho ${FAKE_MACHINE:-aarch64}\n")

    def put(self, name: str, text: str) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def command(self, name: str, text: str) -> None:
        (self._bin / name).write_text(text, encoding="utf-8")
        (self._bin / name).chmod(0o755)

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        known = {"PATH": f"{self._bin}:{os.environ['PATH']}", "PISYFT_ROOT": str(self.root), "FAKE_LOG": str(self.log)}
        known |= {"REAL_PYTHON": sys.executable, "PYTHONPATH": str(REPOSITORY)}
        return subprocess.Popen(
            ["bash", str(SCRIPT), *map(str, arguments)],
            env={**os.environ, **known, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def install(self, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        output, errors = process.communicate(timeout=PATIENCE_SECONDS)
        return subprocess.CompletedProcess(arguments, process.returncode, output, errors)

    def files(self) -> dict[str, object]:
        """Everything on the disk: a file's content, a link's target."""
        found: dict[str, object] = {}
        for path in sorted(self.root.rglob("*")):
            kind = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
            found[str(path.relative_to(self.root))] = kind
        return found

    def pip_runs(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@pytest.fixture
def pi(tmp_path):
    return Pi(tmp_path)


@pytest.fixture
def room(tmp_path):
    create(tmp_path / "room", {"alice": ("127.0.0.1", 8777), "bob": ("127.0.0.1", 8778)})
    return tmp_path / "room"


@pytest.fixture
def names(tmp_path):
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "Czech.txt").write_text("Novák\n", encoding="utf-8")
    return tmp_path / "names"


@pytest.fixture
def package(tmp_path):
    file = tmp_path / "pisyft-0.1.0-py3-none-any.whl"
    file.write_bytes(b"a wheel")
    return file


@pytest.fixture
def wheelhouse(tmp_path, package):
    """Empty files with the names that the packages for Python 3.11 have."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    for listed in ("pi.txt", "pysyft.txt"):
        for line in (REPOSITORY / "requirements" / listed).read_text().splitlines():
            if not line.startswith("#"):
                name, version = line.split("==")
                kind = "cp311-cp311-manylinux_2_28_aarch64" if name in ("torch", "numpy") else "py3-none-any"
                (folder / f"{name.replace('-', '_')}-{version}-{kind}.whl").touch()
    shutil.copy(package, folder)
    return folder


def test_a_worker_is_set_up_and_the_last_word_is_doctors(pi, room, names, package):
    done = pi.install("--classroom", room / "alice", "--names", names, "--package", package)

    assert done.returncode == 0, done.stderr
    assert "Raspberry Pi 3 Model B Plus" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("doctor --classroom")
    assert (pi.root / "usr/local/bin/pisyft").resolve().name == "pisyft"
    assert (pi.root / "etc/systemd/system/pisyft-worker@.service").is_file()
    assert (pi.root / "var/lib/pisyft/alice/names/Czech.txt").read_text() == "Novák\n"
    kept = pi.root / "etc/pisyft/alice"
    assert {file.name for file in kept.iterdir()} == {"classroom.toml", "authority.pem", "alice.pem", "alice.key"}
    assert (kept / "alice.key").stat().st_mode & 0o777 == 0o600
    assert kept.stat().st_mode & 0o777 == 0o700


def test_a_worker_of_a_classroom_with_a_token_is_set_up_with_its_own(pi, tmp_path, package):
    """Also from a stick, on which everything is readable by all."""
    own = create(tmp_path / "room", {"alice": ("127.0.0.1", 8777), "bob": ("127.0.0.1", 8778)}, token=True)[
        "alice"
    ].parent
    for file in own.iterdir():
        file.chmod(0o644)

    done = pi.install("--classroom", own, "--package", package)

    assert done.returncode == 0, done.stderr
    kept = pi.root / "etc/pisyft/alice"
    assert {file.name for file in kept.iterdir()} == {file.name for file in own.iterdir()}
    assert [(kept / f"alice.{kind}").stat().st_mode & 0o777 for kind in ("key", "token")] == [0o600, 0o600]
    assert Classroom.load(kept / "classroom.toml").credentials.token


def test_nothing_is_compiled_and_pip_decides_nothing_for_itself(pi, package, wheelhouse):
    pi.install("--package", package, "--wheelhouse", wheelhouse)

    runs = [line for line in pi.log.read_text().splitlines() if " install " in line]
    assert len(runs) == 4
    for run in runs:
        assert "--no-deps --only-binary :all: --no-index" in run and "--no-compile" in run


def test_again_is_quick_and_keeps_the_names_that_were_added(pi, room, names, package):
    arguments = ("--classroom", room / "alice", "--names", names, "--package", package)
    pi.install(*arguments)
    pi.put("var/lib/pisyft/alice/names/Czech.txt", "Novák\nDvořák\n")
    runs, before = pi.pip_runs(), pi.files()

    done = pi.install(*arguments)

    assert "PiSyft is there already" in done.stdout
    assert (done.returncode, pi.pip_runs()) == (0, runs)
    assert pi.files() == before


def test_a_newer_version_takes_the_place_of_the_older(pi, package):
    pi.install("--package", package)
    earlier = (pi.root / "opt/pisyft/current").resolve()
    package.write_bytes(b"a newer wheel")

    pi.install("--package", package)

    assert (pi.root / "opt/pisyft/current").resolve() != earlier
    assert not earlier.exists()


def test_options_of_the_worker_are_kept_for_the_service(pi, room, package):
    pi.install("--classroom", room / "bob", "--package", package, "--options", "--policy teach")

    assert (pi.root / "etc/pisyft/bob.env").read_text() == "PISYFT_OPTIONS=--policy teach\n"


def test_uninstall_removes_everything(pi, room, names, package):
    for folder in ("opt", "etc/systemd/system", "usr/local/bin", "var/lib"):
        (pi.root / folder).mkdir(parents=True)
    before = pi.files()
    pi.install("--classroom", room / "alice", "--names", names, "--package", package)

    done = pi.install("--uninstall")

    assert done.returncode == 0, done.stderr
    assert pi.files() == before


def test_an_interrupted_installation_goes_on_the_next_time(pi, room, package, tmp_path):
    waits = tmp_path / "waits"
    process = pi.start("--classroom", room / "alice", "--package", package, FAKE_PIP_WAITS=str(waits))
    try:
        wait_until(waits.exists, "pip runs")
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    assert (process.returncode, "run it again" in errors) == (130, True)
    assert not (pi.root / "etc").exists()
    (environment,) = (pi.root / "opt/pisyft").glob("[0-9a-f]*[0-9a-f]")

    done = pi.install("--classroom", room / "alice", "--package", package)

    assert done.returncode == 0, done.stderr
    assert (pi.root / "opt/pisyft/current").resolve() == environment


PROBLEMS = {
    "32 bits": ({"FAKE_BITS": "32"}, "this system has 32 bits", "install Raspberry Pi OS (64-bit)"),
    "a kernel of 32 bits": ({"FAKE_MACHINE": "armv7l"}, "this system has 32 bits", "Raspberry Pi OS (64-bit)"),
    "a laptop": ({"FAKE_MACHINE": "x86_64"}, "this is a computer with x86_64, no Pi", "make"),
    "an old Python": ({"FAKE_VERSION": "3.9"}, "Python 3.9 is too old", "Bookworm has 3.11"),
    "no venv": ({"FAKE_NO_VENV": "1"}, "Python's venv is missing", "sudo apt install python3-venv"),
    "a full disk": (
        {"FAKE_PIP_SAYS": "OSError: [Errno 28] No space left on device"},
        "the disk is full",
        "1000 MB must be free",
    ),
    "no network": (
        {"FAKE_PIP_SAYS": "NewConnectionError: [Errno -3] Temporary failure in name resolution"},
        "there is no network, and no wheelhouse",
        "pisyft classroom pack",
    ),
    "an illegal instruction": ({"FAKE_ILLEGAL": "1"}, "PyTorch does not run on this processor", "Pi 3 Model B Plus"),
}


@pytest.mark.parametrize("problem", PROBLEMS)
def test_a_pi_that_cannot_be_set_up_is_told_why_and_left_as_it_was(pi, room, package, problem):
    environment, says, mend = PROBLEMS[problem]
    (pi.root / "opt").mkdir()
    before = pi.files()

    done = pi.install("--classroom", room / "alice", "--package", package, **environment)

    assert done.returncode == 1
    assert says in done.stderr and mend in done.stderr
    assert pi.files() == before


def test_too_little_memory_is_told(pi, package):
    pi.put("proc/meminfo", "MemTotal: 240000 kB\n")

    assert "234 MB of memory are too few" in pi.install("--package", package).stderr


def test_a_disk_that_is_too_full_is_told_before_anything_is_written(pi, package):
    pi.command("df", "#!/bin/sh\nprintf 'Filesystem 1M-blocks Used Available\\n/dev/root 3000 2700 300 x\\n'\n")

    done = pi.install("--package", package)

    assert "the disk is too full: 1000 MB must be free" in done.stderr and "and 300 are" in done.stderr
    assert pi.pip_runs() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--classroom", "nowhere"], "there is no nowhere/classroom.toml"),
        (["--classroom", "room/coordinator"], "room/coordinator is the coordinator's, and stays on the laptop"),
        (["--names", "room"], "there are no names in room"),
        (["--wheelhouse", "nowhere"], "there is no folder nowhere: fill it on the laptop with pisyft classroom pack"),
        (["--package", "nowhere.whl"], "there is no wheel of PiSyft"),
        (["--classroom"], "--classroom needs a value"),
        (["--compile"], "there is no option --compile"),
    ],
)
def test_what_is_typed_wrongly_is_told(pi, room, monkeypatch, arguments, says):
    monkeypatch.chdir(room.parent)

    done = pi.install(*arguments)

    assert done.returncode == 1
    assert f"Error: {says}" in done.stderr


def test_a_wheelhouse_for_another_machine_is_told_with_the_wheel(pi, wheelhouse):
    (torch,) = wheelhouse.glob("torch-*")
    torch.rename(wheelhouse / torch.name.replace("aarch64", "x86_64"))

    done = pi.install("--wheelhouse", wheelhouse)

    assert "has torch for another machine or Python only" in done.stderr
    assert "_x86_64.whl), and this is aarch64 with Python 3.11" in done.stderr
    assert not (pi.root / "opt").exists()


def test_a_wheelhouse_for_another_python_is_told(pi, wheelhouse):
    assert (
        "has numpy for another machine or Python only"
        in pi.install("--wheelhouse", wheelhouse, FAKE_VERSION="3.13").stderr
    )


def test_a_wheelhouse_that_lacks_a_package_is_told(pi, wheelhouse):
    next(wheelhouse.glob("websockets-*")).unlink()

    assert re.search(r"has no websockets==[\d.]+: fill it again", pi.install("--wheelhouse", wheelhouse).stderr)


def test_a_clock_before_the_certificates_start_is_told_before_anything_is_written(pi, tmp_path, package, monkeypatch):
    monkeypatch.setattr("pisyft.classroom._CLOCK_MAY_LAG", -timedelta(days=2))
    create(tmp_path / "tomorrow", {"alice": ("127.0.0.1", 8777), "bob": ("127.0.0.1", 8778)})
    before = pi.files()

    done = pi.install("--classroom", tmp_path / "tomorrow/alice", "--package", package)

    assert (done.returncode, done.stderr.count("Error: ")) == (1, 1)
    assert "tomorrow/alice/alice.pem is valid from" in done.stderr and "set the clock" in done.stderr
    assert (pi.files(), pi.pip_runs()) == (before, 0)


def test_a_classroom_that_does_not_hold_together_is_told_and_nothing_is_left(pi, room, package, tmp_path):
    create(tmp_path / "another", {"alice": ("127.0.0.1", 8777), "bob": ("127.0.0.1", 8778)})
    shutil.copy(tmp_path / "another/alice/authority.pem", room / "alice")
    before = pi.files()

    done = pi.install("--classroom", room / "alice", "--package", package)

    assert done.returncode == 1
    assert "the files are of different classrooms" in done.stderr
    assert pi.files() == before


def test_a_file_that_is_no_certificate_is_told_before_anything_is_written(pi, room, package):
    (room / "alice" / "alice.pem").write_text("nothing", encoding="ascii")

    done = pi.install("--classroom", room / "alice", "--package", package)

    assert "alice.pem is no certificate" in done.stderr and "copy the folder again" in done.stderr
    assert pi.pip_runs() == 0


def test_a_failed_upgrade_leaves_the_worker_that_runs(pi, room, names, package):
    pi.install("--classroom", room / "alice", "--names", names, "--package", package)
    before = pi.files()
    package.write_bytes(b"a newer wheel")

    done = pi.install("--classroom", room / "alice", "--package", package, FAKE_PIP_SAYS="ERROR: it is broken")

    assert "pip could not install: ERROR: it is broken" in done.stderr
    assert pi.files() == before


def test_the_script_is_clean_for_shellcheck():
    shellcheck = shutil.which("shellcheck") or shutil.which("shellcheck", path=Path(sys.executable).parent)
    if shellcheck is None:
        pytest.skip("shellcheck is not installed here")

    done = subprocess.run([shellcheck, str(SCRIPT)], capture_output=True, text=True)

    assert done.stdout == ""
