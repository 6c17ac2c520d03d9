"""The service under a running systemd: booted in a container, on this machine's own system, processor and Python.

`make pi-check` has those of a Pi, and no systemd that runs.
"""

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from pisyft.classroom import create
from tests.conftest import REPOSITORY
from tests.helpers import run_pisyft, wait_until

WORKERS = {"alice": 8777, "bob": 8778}
BOOT_SECONDS = 600

# Runs in the container. What came of it is in /out.
TRIAL = """#!/bin/bash
set -x
ip link set lo up
ready() { # worker, how many times so far
    for ((i = 0; i < 200; i++)); do
        [ "$(journalctl -o cat -u "pisyft-worker@$1" | grep -c ' is ready ')" -ge "$2" ] && return
        sleep 1
    done
}
pisyft() { PYTHONUNBUFFERED=1 XDG_CONFIG_HOME=/tmp/config /opt/pisyft/current/bin/pisyft "$@"; }
train() {
    pisyft train --classroom /room/coordinator --rounds 1 --good-enough 0 --out "/out/$1" && echo "$1 ok" >>/out/told
}

systemctl start pisyft-worker@alice pisyft-worker@bob
ready alice 1
ready bob 1
train before
main=$(systemctl show --value -p MainPID pisyft-worker@alice)
grep -E '^(Uid|NoNewPrivs|Seccomp|CapBnd)' "/proc/$main/status" >>/out/told
kill -KILL "$main"
ready alice 2
train after
systemctl show -p NRestarts -p User -p ProtectSystem pisyft-worker@alice >>/out/told
systemctl stop pisyft-worker@alice
systemctl show -p Result pisyft-worker@alice >>/out/told
journalctl --no-pager -o cat -u 'pisyft-worker@*' >/out/journal
poweroff --force
"""
COMMAND = f"""#!/bin/sh
export LD_LIBRARY_PATH=/opt/pisyft/python/lib PYTHONPATH=/opt/pisyft/source:/opt/pisyft/site
exec /opt/pisyft/python/bin/python{sys.version_info.major}.{sys.version_info.minor} -m pisyft "$@"
"""
TRIAL_UNIT = "[Unit]\nAfter=basic.target\nWants=basic.target\n[Service]\nType=oneshot\nExecStart=/trial\n"
# Arguments: the folder with the changes, and the name of a control group. The system itself is read through an overlay,
# and stays as it is.
BOOT = """set -e
for tree in /sys/fs/cgroup/unified /sys/fs/cgroup/systemd /sys/fs/cgroup; do
    [ ! -f "$tree/cgroup.procs" ] || { mkdir "$tree/$2" && echo $$ >"$tree/$2/cgroup.procs"; }
done
cd "$1"
mkdir upper scratch root
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/scratch" root
rm -rf root/etc/systemd/system/*.wants
cp -a files/. root/
chroot root useradd --system --user-group --home-dir /var/lib/pisyft --shell /usr/sbin/nologin pisyft
chroot root chown -R pisyft:pisyft /etc/pisyft /var/lib/pisyft
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --directory=root --boot "${@:3}" \
    systemd.unit=trial.service
"""


@pytest.fixture
def disk(tmp_path):
    """A folder in memory: an overlay over the whole system cannot have its changes in that system."""
    if os.geteuid() or not shutil.which("systemd-nspawn"):
        pytest.skip("a container takes root, and systemd-nspawn (apt install systemd-container)")
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("no file systems can be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def group():
    """The name of a control group. In the end what still runs in it is killed, and it is removed with all in it."""
    name = f"pisyft-test-{secrets.token_hex(4)}"
    yield name
    folders = [Path(found) for top in Path("/sys/fs/cgroup").glob(f"**/{name}") for found, _, _ in os.walk(top, False)]
    for process in {process for folder in folders for process in (folder / "cgroup.procs").read_text().split()}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)
    for folder in folders:
        wait_until(lambda folder=folder: removed(folder), "the container has ended")


def removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # a process in it is not quite gone
        return False
    return True


def put(file: Path, text: str, mode: int = 0o644) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(mode)


def test_the_service_takes_part_under_systemd_and_comes_back_when_it_is_killed(disk, group, tmp_path, names_folder):
    files, out = disk / "files", tmp_path / "out"
    out.mkdir()
    put(files / "opt/pisyft/current/bin/pisyft", COMMAND, 0o755)
    put(files / "trial", TRIAL, 0o755)
    put(files / "etc/systemd/system/trial.service", TRIAL_UNIT)
    shutil.copy(REPOSITORY / "workers/pisyft-worker@.service", files / "etc/systemd/system")
    shutil.copytree(
        REPOSITORY / "pisyft", files / "opt/pisyft/source/pisyft", ignore=shutil.ignore_patterns("__pycache__")
    )
    create(files / "room", {worker: ("127.0.0.1", port) for worker, port in WORKERS.items()})
    dealt = [word for worker in WORKERS for word in ("--worker", worker)]
    assert run_pisyft("data", "split", names_folder, "--into", tmp_path / "dealt", *dealt).returncode == 0
    for worker in WORKERS:
        shutil.copytree(files / "room" / worker, files / "etc/pisyft" / worker)
        shutil.copytree(tmp_path / "dealt" / worker / "names", files / "var/lib/pisyft" / worker / "names")
    binds = [
        f"--bind-ro={sys.base_prefix}:/opt/pisyft/python",  # ProtectHome= hides one at home
        f"--bind-ro={sysconfig.get_path('purelib')}:/opt/pisyft/site",
        f"--bind={out}:/out",
    ]

    with (tmp_path / "console").open("wb") as console:
        subprocess.run(
            ["unshare", "--mount", "--propagation=private", "bash", "-c", BOOT, "boot", str(disk), group, *binds],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            timeout=BOOT_SECONDS,
        )

    screen = (tmp_path / "console").read_text(errors="replace")[-2000:]
    if not (out / "told").exists() and "trial.service" not in screen:
        pytest.skip(f"systemd does not boot in a container here: {screen[-300:]}")
    told = (out / "told").read_text().split("\n")
    assert "before ok" in told and "after ok" in told, (out / "journal").read_text()[-2000:]
    assert json.loads((out / "after/summary.json").read_text())["participants"] == 2
    facts = dict(line.replace(":\t", "=").split("=", 1) for line in told if "=" in line or ":\t" in line)
    assert (facts["NRestarts"], facts["Result"]) == ("1", "success")
    assert (facts["User"], facts["ProtectSystem"]) == ("pisyft", "strict")
    assert (facts["NoNewPrivs"], facts["Seccomp"], int(facts["CapBnd"], 16)) == ("1", "2", 0)
    assert "0" not in facts["Uid"].split("\t")
