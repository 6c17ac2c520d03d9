"""The service of a worker, as systemd's own tools judge it."""

import re
import shutil
import subprocess

import pytest

from tests.conftest import REPOSITORY

UNIT = REPOSITORY / "workers" / "pisyft-worker@.service"


@pytest.fixture
def analyze():
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True)

    return run


def test_systemd_finds_nothing_wrong_with_it(analyze, tmp_path):
    # With a program that is there in place of the one that is installed on a Pi.
    unit = tmp_path / "pisyft-worker@alice.service"
    unit.write_text(UNIT.read_text().replace("/opt/pisyft/current/bin/pisyft", "/bin/true"))

    done = analyze("verify", "--man=no", unit)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_service_may_do_is_little(analyze, tmp_path):
    unit = shutil.copy(UNIT, tmp_path / "pisyft-worker@alice.service")

    done = analyze("security", "--offline=true", "--no-pager", unit)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze judges running services only")

    level = re.search(r"Overall exposure level for pisyft-worker@alice.service: ([\d.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) < 3.0
