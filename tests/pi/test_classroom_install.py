"""`pisyft classroom pack` and `install`: the packages that Pis need, and many Pis set up from one laptop.

Ssh is a stand-in that runs what it is given on this machine, in a folder for each host.
"""

import os
import subprocess
from pathlib import Path

import pytest

from pisyft import installation
from pisyft.classroom import create
from pisyft.installation import InstallationError, build_wheel, missing, pack
from tests.conftest import REPOSITORY
from tests.helpers import run_pisyft
from tests.pi.test_install import Pi

SSH = """#!/usr/bin/env bash
command=${!#}
where=${*: -2:1}
host=${where#*@}
echo "$where" >>"$FAKE_HOSTS/calls"
case $host in
nowhere) echo "ssh: Could not resolve hostname nowhere: Name or service not known" >&2 && exit 255 ;;
closed) echo "ssh: connect to host closed port 22: Connection refused" >&2 && exit 255 ;;
stranger) echo "Permission denied (publickey,password)." >&2 && exit 255 ;;
other) echo "Host key verification failed." >&2 && exit 255 ;;
armv7l) export FAKE_MACHINE=armv7l ;;
late) export FAKE_CLOCK=1000000000 ;;
asks) export FAKE_SUDO=asks ;;
full) export FAKE_PIP_SAYS="OSError: [Errno 28] No space left on device" ;;
esac
mkdir -p "$FAKE_HOSTS/$host/root/proc"
echo "MemTotal: 440000 kB" >"$FAKE_HOSTS/$host/root/proc/meminfo"
export PISYFT_ROOT=$FAKE_HOSTS/$host/root HOME=$FAKE_HOSTS/$host FAKE_LOG=$FAKE_HOSTS/$host/pip.log
exec sh -c "$command"
"""
SUDO = """#!/usr/bin/env bash
[ -z "${FAKE_SUDO:-}" ] || exit 1
[ "$1" != -n ] || shift
exec "$@"
"""
DATE = """#!/usr/bin/env bash
if [ "$*" = +%s ] && [ -n "${FAKE_CLOCK:-}" ]; then echo "$FAKE_CLOCK"; else exec /bin/date "$@"; fi
"""


@pytest.fixture
def hosts(tmp_path, monkeypatch) -> Path:
    """The folder with a folder for each host that was set up, through a stand-in for ssh on PATH."""
    here = Pi(tmp_path)
    for name, text in {"ssh": SSH, "sudo": SUDO, "date": DATE}.items():
        here.command(name, text)
    folder = tmp_path / "hosts"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setenv("FAKE_HOSTS", str(folder))
    monkeypatch.setenv("REAL_PYTHON", installation.sys.executable)
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    return folder


@pytest.fixture
def quick_wheel(monkeypatch):
    """PiSyft's wheel without pip, which would fetch setuptools for it."""

    def build(project: Path, folder: Path) -> Path:
        file = folder / "pisyft-0.1.0-py3-none-any.whl"
        file.write_bytes(b"a wheel")
        return file

    monkeypatch.setattr(installation, "build_wheel", build)


def room_of(tmp_path: Path, **hosts: str) -> Path:
    create(tmp_path / "room", {pi: (host, 8777) for pi, host in hosts.items()})
    return tmp_path / "room"


def install(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, in this process, so that it has `quick_wheel`."""
    from click.testing import CliRunner

    from pisyft.cli.classroom import classroom

    done = CliRunner().invoke(classroom, ["install", *map(str, arguments)])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def test_all_pis_of_a_classroom_are_set_up_and_nothing_else_is_left_there(hosts, quick_wheel, tmp_path):
    room = room_of(tmp_path, alice="pi-1.local", bob="pi-2.local")
    for pi in ("alice", "bob"):
        (tmp_path / "dealt" / pi / "names").mkdir(parents=True)
        (tmp_path / "dealt" / pi / "names" / "Czech.txt").write_text(f"{pi}ová\n", encoding="utf-8")

    done = install(room, "--names", tmp_path / "dealt", "--user", "workshop")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 of 2 Pis are set up" in done.stdout
    for pi, host in {"alice": "pi-1.local", "bob": "pi-2.local"}.items():
        assert (hosts / host / f"root/etc/pisyft/{pi}/{pi}.key").is_file()
        assert (hosts / host / f"root/var/lib/pisyft/{pi}/names/Czech.txt").read_text() == f"{pi}ová\n"
        assert list((hosts / host).glob(".pisyft-install*")) == []
    assert set((hosts / "calls").read_text().split()) == {"workshop@pi-1.local", "workshop@pi-2.local"}
    assert not list(hosts.rglob("coordinator*"))


def test_again_says_that_it_is_there_and_uninstall_removes_it(hosts, quick_wheel, tmp_path):
    room = room_of(tmp_path, alice="pi-1.local", bob="pi-2.local")
    install(room, "--pi", "alice")
    runs = (hosts / "pi-1.local/pip.log").read_text()

    assert install(room, "--pi", "alice").returncode == 0
    assert (hosts / "pi-1.local/pip.log").read_text() == runs

    done = install(room, "--pi", "alice", "--uninstall")

    assert "1 of 1 Pis are free of PiSyft" in done.stdout
    assert not (hosts / "pi-1.local/root/opt/pisyft").exists()


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("nowhere", "alice: there is no host nowhere: check the name in classroom.toml"),
        ("closed", "alice: ssh is not switched on there: sudo raspi-config"),
        ("stranger", "alice: it does not let pi in: ssh-copy-id pi@stranger"),
        ("other", "alice: another machine than before answers at other"),
        ("armv7l", "alice: it is a armv7l, and PyTorch has no packages for that: install Raspberry Pi OS (64-bit)"),
        ("late", "hours behind this laptop's: sudo timedatectl set-ntp true"),
        ("asks", "alice: sudo asks pi for a password there"),
        ("full", "alice: the disk is full: 1000 MB must be free"),
    ],
)
def test_a_pi_that_fails_is_told_with_its_mend_and_the_others_are_set_up(hosts, quick_wheel, tmp_path, host, says):
    room = room_of(tmp_path, alice=host, bob="pi-2.local")

    done = install(room)

    assert done.returncode == 1
    assert says in done.stderr
    assert "1 of 2 Pis are set up" in done.stdout
    assert (hosts / "pi-2.local/root/etc/pisyft/bob").is_dir()
    assert not (hosts / host / "root/etc/pisyft").exists()
    assert list((hosts / host).glob(".pisyft-install*")) == []


def test_a_wheelhouse_that_lacks_a_package_for_a_pi_is_told_before_it_is_copied(hosts, quick_wheel, tmp_path):
    (tmp_path / "wheelhouse").mkdir()

    done = install(room_of(tmp_path, alice="a", bob="b"), "--pi", "alice", "--wheelhouse", tmp_path / "wheelhouse")

    assert "for Python 3.11 on aarch64: fill it with pisyft classroom pack" in " ".join(done.stderr.split())
    assert not (hosts / "a/root/opt").exists()


def test_what_is_typed_wrongly_is_told(tmp_path):
    room = room_of(tmp_path, alice="a", bob="b")
    (tmp_path / "dealt/alice").mkdir(parents=True)

    assert "there is no carol in" in run_pisyft("classroom", "install", room, "--pi", "carol").stderr
    assert (
        "dealt/bob: pisyft data split" in run_pisyft("classroom", "install", room, "--names", tmp_path / "dealt").stderr
    )


def test_which_wheels_a_pi_can_use(tmp_path):
    pins = ["torch==2.9.1", "markdown-it-py==4.3.0", "cryptography==50.0.2", "numpy==2.4.6"]
    for name in (
        "torch-2.9.1-cp311-cp311-manylinux_2_28_aarch64",
        "torch-2.9.1-cp313-cp313-manylinux_2_28_x86_64",
        "markdown_it_py-4.3.0-py3-none-any",
        "cryptography-50.0.2-cp311-abi3-manylinux2014_aarch64.manylinux_2_17_aarch64",
        "numpy-2.4.5-cp311-cp311-manylinux_2_28_aarch64",
    ):
        (tmp_path / f"{name}.whl").touch()

    assert missing(tmp_path, "3.11", pins) == ["numpy==2.4.6"]
    assert missing(tmp_path, "3.13", pins) == ["torch==2.9.1", "numpy==2.4.6"]


def test_a_full_wheelhouse_is_packed_again_without_a_network(tmp_path, quick_wheel, monkeypatch):
    for listed in ("pi.txt", "pysyft.txt"):
        for line in (REPOSITORY / "requirements" / listed).read_text().splitlines():
            if not line.startswith("#"):
                (tmp_path / f"{line.replace('-', '_').replace('==', '-')}-py3-none-any.whl").touch()
    monkeypatch.setattr(installation, "_pip", lambda *_, **__: pytest.fail("pip was asked"))
    told: list[str] = []

    pack(tmp_path, tell=told.append)

    assert told == ["PiSyft"]


def test_a_package_index_that_cannot_be_reached_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))

    with pytest.raises(
        InstallationError, match="pip could not fetch what a Pi needs .*is this laptop on the internet?"
    ):
        pack(tmp_path / "wheelhouse")


def test_the_list_of_packages_is_complete():
    """What a worker imports by setup.py is on the list of what a Pi installs, and fits."""
    from packaging.requirements import Requirement

    from tests.test_packaging import on, pins

    listed = {each.name: str(each.specifier).removeprefix("==") for each in pins("pi.txt")}
    source = (REPOSITORY / "setup.py").read_text(encoding="utf-8")
    worker: dict = {}
    exec(source[source.index("WORKER = [") : source.index("]", source.index("WORKER = [")) + 1], worker)
    for each in on("aarch64", [Requirement(text) for text in worker["WORKER"] if "python_version" not in text]):
        assert each.specifier.contains(listed[each.name]), each.name


@pytest.mark.parametrize("times", [2])
def test_the_same_sources_make_the_same_wheel(tmp_path, times):
    pytest.importorskip("setuptools")
    digests = set()
    for number in range(times):
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            digests.add(build_wheel(REPOSITORY, folder).read_bytes())
        except InstallationError as error:
            pytest.skip(f"pip cannot build here: {error}")
    assert len(digests) == 1
