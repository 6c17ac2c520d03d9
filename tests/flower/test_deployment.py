"""`pisyft train --engine flower`: a SuperLink and SuperNodes as processes on this machine."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("flwr", reason="pisyft[flower] is not installed")

from pisyft.flower.local import LocalRunError, check
from tests.helpers import PATIENCE_SECONDS, heed_ctrl_c, run_pisyft, wait_until

CONFIG = {
    "model": "tutorial",
    "strategy": "fedavg",
    "rounds": 3,
    "seed": 0,
    "optimizer": "sgd",
    "batch-size": 32,
    "learning-rate": 0.1,
    "passes": 1.0,
    "steps": 0,
    "clip": 0.0,
    "schedule": "constant",
    "server-learning-rate": 0.0,
}


def of_flower(home: Path) -> dict[int, dict[str, str]]:
    """The environment of every process whose Flower keeps its state in `home`, by its id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            lines = os.fsdecode((folder / "environ").read_bytes()).split("\0")
        except OSError:  # it ended just now
            continue
        environment = dict(line.split("=", 1) for line in lines if "=" in line)
        if environment.get("FLWR_HOME") == str(home.resolve()):
            found[int(folder.name)] = environment
    return found


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--strategy", "scaffold", "--optimizer", "adam"), "scaffold corrects plain gradients"),
        (("--aggregation", "additive"), "Flower adds up by secagg or plain"),
        (("--margin", "0.1"), "--margin is of PiSyft's own engine"),
    ],
)
def test_what_cannot_be_run_is_told_before_anything_is_started(tmp_path, options, says):
    done = run_pisyft("train", "--engine", "flower", "--out", tmp_path / "out", *options)

    assert done.returncode == 2 and says in done.stderr, done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("model", "transformer", "there is no model 'transformer'"),
        ("strategy", "fedavgm", "there is no strategy 'fedavgm'"),
        ("optimizer", "lion", "there is no optimizer 'lion'"),
        ("schedule", "linear", "there is no schedule 'linear'"),
        ("batch-size", 0, "a batch of 0 names cannot be"),
    ],
)
def test_a_configuration_is_checked_as_the_run_would(key, value, says):
    check(CONFIG)
    with pytest.raises(LocalRunError, match=says):
        check({**CONFIG, key: value})


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_ends_everything_that_was_started(names_folder, tmp_path, how):
    home = tmp_path / "flower" / "home"
    command = [sys.executable, "-m", "pisyft", "train", "--engine", "flower", "--rounds", "1000"]
    with subprocess.Popen(
        [*command, "--names", names_folder, "--out", tmp_path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=heed_ctrl_c,
    ) as process:
        try:
            # Until the ServerApp is at work, which the SuperLink starts in a session of its own.
            wait_until(lambda: (tmp_path / "flower" / "run.toml").exists(), "the run is submitted")
            wait_until(lambda: len(of_flower(home)) > 4, "the app is started")
            environments = of_flower(home).values()

            process.send_signal(how)
            output = process.communicate(timeout=PATIENCE_SECONDS)[0]

            assert of_flower(home) == {}
        finally:
            process.kill()
            for left in of_flower(home):
                os.kill(left, signal.SIGKILL)

    assert all(each["FLWR_TELEMETRY_ENABLED"] == "0" for each in environments)
    assert all(each["FLWR_DISABLE_UPDATE_CHECK"] == "1" for each in environments)
    assert process.returncode == 1, output
    assert output.rstrip().endswith("Aborted!")
    assert "Traceback" not in output


def test_a_run_that_fails_says_why_and_leaves_no_process(tmp_path):
    names = tmp_path / "names"
    names.mkdir()
    for language in ("Czech", "Greek"):  # twelve of each, dealt to two devices, of whom neither has ten to train on
        text = "\n".join(f"{language}{letter}" for letter in "abcdefghijkl")
        (names / f"{language}.txt").write_text(text, encoding="utf-8")

    done = run_pisyft("train", "--engine", "flower", "--names", names, "--out", tmp_path)

    assert done.returncode == 2
    assert "fewer than two devices have enough names to train on" in done.stderr
    assert of_flower(tmp_path / "flower" / "home") == {}
