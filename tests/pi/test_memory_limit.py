"""A Zero 2 W has 512 MB: a worker that may have 400 MB takes part in a secure round."""

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from pisyft.classroom import create
from tests.cli.test_cli import free_port
from tests.helpers import PATIENCE_SECONDS, run_pisyft

LIMIT_BYTES = 400 * 1024 * 1024


@pytest.fixture
def limited_group():
    """A control group whose processes may have 400 MB together, of memory and swap; its folder."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    version_1 = (first / "memory.limit_in_bytes").exists()
    group = (first if version_1 else second) / f"pisyft-test-{secrets.token_hex(4)}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version_1 else "memory.max")).write_text(str(LIMIT_BYTES))
    except OSError as error:
        if group.is_dir():
            group.rmdir()
        pytest.skip(f"no memory can be limited here: {error}")
    yield group
    group.rmdir()


def test_a_worker_with_400_mb_takes_part_in_a_secure_round(limited_group, tmp_path, names_folder):
    ports = {"alice": free_port(), "bob": free_port()}
    create(tmp_path / "room", {worker: ("127.0.0.1", port) for worker, port in ports.items()})
    done = run_pisyft(
        *("data", "split", names_folder, "--into", tmp_path / "dealt", "--worker", "alice", "--worker", "bob")
    )
    assert done.returncode == 0, done.stderr
    workers = []
    try:
        for worker in ports:
            command = [sys.executable, "-m", "pisyft", "worker", "--classroom", str(tmp_path / "room" / worker)]
            # A seed: what so few names come to depends on their order, which is a secret otherwise.
            command += ["--data", str(tmp_path / "dealt" / worker / "names"), "--seed", "0"]
            if worker == "alice":
                command = ["sh", "-c", f'echo $$ > {limited_group}/cgroup.procs && exec "$@"', "sh", *command]
            workers.append(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
            )
        for process in workers:
            assert " is ready " in process.stdout.readline()

        done = run_pisyft(
            *("train", "--classroom", tmp_path / "room/coordinator", "--rounds", 3, "--good-enough", 0, "--margin", 1),
            *("--out", tmp_path / "run"),
        )

        assert done.returncode == 0, done.stderr
        assert [process.poll() for process in workers] == [None, None]
        summary = json.loads((tmp_path / "run/summary.json").read_text())
        assert (summary["participants"], summary["released_version"], summary["away"]) == (2, 1, [])
        peak = limited_group / "memory.max_usage_in_bytes"
        if peak.exists():
            assert 0 < int(peak.read_text()) <= LIMIT_BYTES
    finally:
        for process in workers:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
            process.stdout.close()
