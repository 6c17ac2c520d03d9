"""Runs the tests that PySyft's wheel brings along, as installed and unmodified, with PiSyft's repairs active.

    python tests/conformance/run.py [--out artifacts/conformance]

`original.txt` lists the tests that pass on Python 3.7 and PyTorch 1.4. Each of them must pass here too, unless
`excused.txt` names it and says why that is impossible. What depends on the random numbers of shares, on the original
stack as well, is named in `random.txt`, and tried again where it fails. Exits with 1 where a test does not pass.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
AT_MOST_EXCUSED = 10
TRIES = 3

# test/efficiency measures time; test_fv.py tests a module that the wheel lacks. Neither ran on the original stack.
NEVER_RAN = ("test/efficiency", "test/torch/tensors/test_fv.py")
# Two processes of about the same length. The websocket tests use fixed ports: they all stay in the second.
SLOW = ("test/torch/linalg", "test/torch/mpc")
GROUPS = {"slow": SLOW, "others": ("test", *(f"--ignore={path}" for path in SLOW))}
RATIOS = ("import_over_torch", "hooked_over_plain")


@dataclass(frozen=True)
class Result:
    """How one test ended: "passed", "failed", "errors" or "skipped", and why where it did not pass."""

    outcome: str
    reason: str = ""


def site_packages() -> Path:
    """Where PySyft's wheel is installed, with its tests in the folder `test`."""
    spec = importlib.util.find_spec("syft")
    if spec is None or spec.origin is None:
        raise SystemExit("PySyft is not installed here: run `pisyft setup` first.")
    return Path(spec.origin).resolve().parents[1]


def read_list(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def read_lines(path: Path) -> dict[str, str]:
    """What a list says of each test that it names."""
    return dict(line.split("  ", 1) for line in read_list(path))


def run_group(name: str, selection: Iterable[str], out: Path) -> dict[str, Result]:
    """Run the selected tests in a process of their own; the results by test."""
    report, log = out / f"{name}.xml", out / f"{name}.log"
    report.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest", "-p", "pisyft", "-p", "no:cacheprovider", "-q", "--tb=short"]
    # Not the settings of this project, in whose folder the environment with PySyft may lie.
    command += ["-c", str(HERE / "pytest.ini"), f"--rootdir={site_packages()}"]
    command += [*selection, *(f"--ignore={path}" for path in NEVER_RAN), f"--junitxml={report}"]
    # One thread each, since two run side by side; PiSyft from this checkout.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with log.open("w", encoding="utf-8") as stream:
        subprocess.run(command, cwd=site_packages(), env=environment, stdout=stream, stderr=subprocess.STDOUT)
    if not report.exists():
        raise SystemExit(f"The tests of the group {name!r} did not run to their end: see {log}")
    return dict(read_report(report))


def read_report(report: Path) -> Iterable[tuple[str, Result]]:
    """Each test of a JUnit report, named as pytest names it on the command line, with its result."""
    outcomes = {"failure": "failed", "error": "errors", "skipped": "skipped"}
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        path = case.get("classname", "").split(".")
        classes = [each for each in path if each[:1].isupper()]
        file = "/".join(path[: len(path) - len(classes)]) + ".py"
        result = Result("passed")
        for element, outcome in outcomes.items():
            if (found := case.find(element)) is not None:
                result = Result(outcome, found.get("message", "").partition("\n")[0])
        yield "::".join([file, *classes, case.get("name", "")]), result


def ratios() -> dict[str, float]:
    """What the repairs cost, measured by `benchmarks/bench_compat.py` in processes of their own."""
    command = [sys.executable, str(ROOT / "benchmarks" / "bench_compat.py"), "--json", "--only", *RATIOS]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "conformance")
    out: Path = parser.parse_args().out.resolve()
    out.mkdir(parents=True, exist_ok=True)

    original = set(read_list(HERE / "original.txt"))
    excused = read_lines(HERE / "excused.txt")
    if len(excused) > AT_MOST_EXCUSED or not excused.keys() <= original:
        raise SystemExit(f"excused.txt may name at most {AT_MOST_EXCUSED} tests, all of them from original.txt")

    print(f"Running PySyft's own tests from {site_packages() / 'test'} (about five minutes)", flush=True)
    results: dict[str, Result] = {}
    with ThreadPoolExecutor(len(GROUPS)) as pool:
        for group in pool.map(lambda item: run_group(*item, out), GROUPS.items()):
            results |= group

    for test in sorted(read_lines(HERE / "random.txt")):
        for again in range(1, TRIES):
            if results.get(test, Result("missing")).outcome != "failed":
                break
            print(f"failed: {test}: {results[test].reason}; trying again", flush=True)
            results |= run_group(f"again-{again}", [test], out)
    # PySyft's conftest.py skips what has the name of a test that failed.
    if skipped := [test for test, result in results.items() if result.reason.startswith("previous test failed")]:
        results |= run_group("skipped", skipped, out)

    broken = sorted(test for test in original if results.get(test, Result("missing")).outcome != "passed")
    for test in broken:
        result = results.get(test, Result("missing", "it did not run"))
        print(f"{'excused' if test in excused else result.outcome}: {test}: {excused.get(test, result.reason)}")
    unexcused = [test for test in broken if test not in excused]

    counted = {test: result for test, result in results.items() if not (test in excused and test in broken)}
    summary: dict[str, float] = {
        outcome: sum(result.outcome == outcome for result in counted.values())
        for outcome in ("passed", "failed", "errors", "skipped")
    }
    summary["excused"] = len(broken) - len(unexcused)
    summary |= ratios()
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")

    for key in RATIOS:
        print(f"{key}: {summary[key]:.2f}")
    print(f"{summary['excused']} excused; {len(unexcused)} that pass on the original stack do not pass here")
    print(f"{summary['passed']} passed, {summary['failed'] + summary['errors']} failed, {summary['skipped']} skipped")
    return 1 if unexcused else 0


if __name__ == "__main__":
    sys.exit(main())
