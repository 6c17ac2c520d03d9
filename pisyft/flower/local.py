"""A whole run on Flower on this machine: what `pisyft train --engine flower` does, and tells."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pisyft.charts import Figures
from pisyft.flower.deployment import Deployment, DeploymentError
from pisyft.flower.server_app import options_of, settings_of
from pisyft.learning.models import make_model
from pisyft.learning.strategies import make_strategy
from pisyft.printing import say
from pisyft.settings import Settings
from pisyft.wording import counted


class LocalRunError(Exception):
    """The run came to nothing. The text says why."""


def config_of(settings: Settings) -> dict[str, Any]:
    """The run's configuration, by the keys of `app/pyproject.toml`, in which 0 stands for what is not asked for.

    Without a margin: devices do not tell how well the model does that they have.
    """
    config = {name.replace("_", "-"): value for name, value in asdict(settings).items() if name != "margin"}
    nothing = {"steps": 0, "clip": 0.0, "server-learning-rate": 0.0}
    return {name: nothing[name] if value is None else value for name, value in config.items()}


def check(config: Mapping[str, Any]) -> None:
    """Make sure that a run can begin, before anything is started.

    Args:
        config: all of the run's, by the keys of `app/pyproject.toml`.

    Raises:
        LocalRunError: there is no such model, strategy or way to train, or they do not go together.
    """
    try:
        make_model(config["model"], 1, 1)
        make_strategy(config["strategy"], torch.zeros(0), settings_of(config), config["rounds"], **options_of(config))
    except ValueError as error:
        raise LocalRunError(str(error)) from error


def train_locally(
    names: Path,
    supernodes: int,
    config: Mapping[str, object],
    out: Path,
    console: Console | None = None,
    alphabet: str = "tutorial",
) -> dict:
    """Deal names out, start a SuperLink and SuperNodes, train on them, and stop everything.

    Args:
        names: a folder of names; they are dealt out by a process of its own.
        config: the run's, by the keys of `app/pyproject.toml`.
        out: where summary.json, the released model and Flower's logs go.
        alphabet: of the devices.

    Returns:
        What is in summary.json.

    Raises:
        LocalRunError: the names cannot be dealt out, Flower does not start, or the run failed.
    """
    console = console or Console()
    devices = ["alice", "bob", *(f"pi-{number}" for number in range(3, supernodes + 1))]
    folder = out / "flower"
    say(console, f"Starting a SuperLink and {supernodes} SuperNodes, each with names of its own ...")
    folders = _deal(names, devices, folder, str(config.get("seed", 0)), alphabet)
    columns = (TextColumn("round"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left:"))
    try:
        with (
            Deployment(folders, folder, config["aggregation"] == "plain", alphabet) as deployment,
            Progress(*columns, TimeRemainingColumn(), console=console) as progress,
        ):
            task = progress.add_task("", total=int(str(config["rounds"])))
            summary = deployment.run(config, out, lambda event: progress.update(task, completed=event["round"]))
    except DeploymentError as error:
        raise LocalRunError(f"{error}\nFlower's logs are in {folder}") from error
    _tell(summary, out, console)
    return summary


def _deal(names: Path, devices: list[str], folder: Path, seed: str, alphabet: str) -> dict[str, Path]:
    for device in devices:
        shutil.rmtree(folder / device / "names", ignore_errors=True)  # an earlier run's
    command = [sys.executable, "-m", "pisyft", "data", "split", str(names), "--into", str(folder), "--seed", seed]
    command += ["--alphabet", alphabet]
    for device in devices:
        command += ["--worker", device]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise LocalRunError(done.stderr.strip().removeprefix("Error: "))
    return {device: folder / device / "names" for device in devices}


def _tell(summary: Mapping, out: Path, console: Console) -> None:
    table = Table()
    table.add_column("device")
    for column in ("before", "after"):
        table.add_column(column, justify="right")
    for device, accuracy in summary["accuracy_by_worker"].items():
        table.add_row(Text(device), "", f"{accuracy:.1%}")
    table.add_section()
    final = Text(f"{summary['accuracy_final']:.1%}", style="bold")
    table.add_row("together", f"{summary['accuracy_initial']:.1%}", final)
    console.print(Figures(table, "Guessing the language of names that were held out"))
    seconds = sum(summary["round_seconds"]) / len(summary["round_seconds"])
    say(console, f"{counted(summary['rounds'], 'round')} of {seconds:.1f} s, added up by {summary['aggregation']}.")
    if summary["released_version"] is None:
        say(console, f"Not released: {'; '.join(summary['not_released'])}.")
    else:
        who = "all others" if summary["away"] else "every device"
        for device, reason in summary["away_reasons"].items():
            say(console, f"{device} does not use the release: {reason}")
        say(console, f"Released to {who} as version {summary['released_version']}.")
    say(console, f"Written: {out}/summary.json")
