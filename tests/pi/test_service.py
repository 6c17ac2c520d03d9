"""The services of a worker and of a SuperNode, as systemd's own tools judge them."""

import re
import shutil
import subprocess

import pytest

from tests.conftest import REPOSITORY

WORKERS = REPOSITORY / "workers"

both = pytest.mark.parametrize(
    ("service", "program"), [("pisyft-worker", "pisyft"), ("pisyft-supernode", "flower-supernode")]
)


@pytest.fixture
def analyze():
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed here")

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run([tool, *map(str, arguments)], capture_output=True, text=True)

    return run


@both
def test_systemd_finds_nothing_wrong_with_it(analyze, tmp_path, service, program):
    # With a program that is there in place of the one that is installed on a Pi.
    unit = tmp_path / f"{service}@alice.service"
    text = (WORKERS / f"{service}@.service").read_text()
    unit.write_text(text.replace(f"ExecStart=/opt/pisyft/current/bin/{program} ", "ExecStart=/bin/true "))

    done = analyze("verify", "--man=no", unit)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@both
def test_what_the_service_may_do_is_little(analyze, tmp_path, service, program):
    unit = shutil.copy(WORKERS / f"{service}@.service", tmp_path / f"{service}@alice.service")

    done = analyze("security", "--offline=true", "--no-pager", unit)
    if "offline" in done.stderr:
        pytest.skip("this systemd-analyze judges running services only")

    level = re.search(rf"Overall exposure level for {service}@alice.service: ([\d.]+)", done.stdout)
    assert level is not None, done.stdout + done.stderr
    assert float(level[1]) < 3.0
