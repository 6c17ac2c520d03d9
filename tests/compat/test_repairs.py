"""Every repair has a check in `checks.py`, which passes with it and fails without it."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pisyft.compat import catalogue, repairs  # noqa: F401  (the catalogue registers the repairs)

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
REPAIRS = [repair.name for repair in repairs()]


def _run(names):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    # One of the repairs sets it, perhaps in this very process.
    environment.pop("PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION", None)
    command = [sys.executable, str(HERE / "run_checks.py"), *names]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def outcomes():
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(_run, (REPAIRS[::2], REPAIRS[1::2]))
    return first | second


@pytest.mark.parametrize("name", REPAIRS)
def test_check_passes_with_the_repair(outcomes, name):
    assert outcomes[name]["with"] == ""


@pytest.mark.parametrize("name", REPAIRS)
def test_check_fails_without_the_repair(outcomes, name):
    assert outcomes[name]["without"] != ""


@pytest.mark.parametrize("repair", repairs(), ids=lambda repair: repair.name)
def test_documentation_lists_the_repair(repair):
    module = repair.apply.__module__.rpartition(".")[2]
    row = f"| `{repair.name}` | `{module}` | {repair.upstream} | {repair.broke} |"
    assert row in (ROOT / "docs" / "compat.md").read_text(encoding="utf-8").splitlines()


def test_documentation_lists_no_repair_that_is_gone():
    table = (ROOT / "docs" / "compat.md").read_text(encoding="utf-8").partition("## The table")[2].partition("\n## ")[0]
    assert sum(line.startswith("| `") for line in table.splitlines()) == len(REPAIRS)
