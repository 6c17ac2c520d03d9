"""A classroom of Pis on one Wi-Fi: found by mDNS, trained with secure sums, one unplugged and plugged in again.

    python -m tests.rooms.run [--pis 10] [--rounds 4] [--out artifacts/room]

Each Pi is a host of its own, on a Wi-Fi of 20 Mbit/s for all together, 8 ms and 1 % loss (`access_point`). The
classroom names them by id alone. Writes artifacts/room/summary.json:

    pis, found              how many there are, and how many `pisyft discover` found
    discovery_seconds       from the first start of a worker until all were found
    rounds                  of training, secure sums all
    contributors            whose updates were in each round's sum, how many
    without_unplugged       rounds that went on without the Pi that was unplugged
    with_replugged          rounds that it was part of after it was plugged in again
    released_to             how many Pis the model was released to by the end of the run
    train_seconds           of the whole run, on this machine and this network
    frames, lost            on the Wi-Fi

Exits with 0 where all Pis were found and the run went on without, and again with, the Pi that was unplugged; with 1
where not, with 2 where this machine cannot have such rooms.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.rooms.access_point import AccessPoint, cannot

ROOT = Path(__file__).resolve().parents[2]
LANGUAGES = ("Czech", "Italian", "Japanese", "Polish")
COORDINATOR = "laptop"
_PATIENCE_SECONDS = 600


class RoomError(Exception):
    """Something did not happen. The text says what was waited for."""


def pisyft(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "pisyft", *map(str, arguments)]


def prepare(folder: Path, pis: list[str]) -> None:
    """A classroom whose Pis have no addresses, and names for each."""
    names = folder / "all"
    names.mkdir()
    for language in LANGUAGES:
        lines = (ROOT / "data/names" / f"{language}.txt").read_text(encoding="utf-8")
        (names / f"{language}.txt").write_text(lines, encoding="utf-8")
    workers = [word for pi in pis for word in ("--worker", pi)]
    members = [word for pi in pis for word in ("--pi", pi)]
    for command in (
        pisyft("data", "split", names, "--into", folder / "dealt", *workers),
        pisyft("classroom", "create", "--into", folder / "room", *members),
    ):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


@contextlib.contextmanager
def running(wifi: AccessPoint, folder: Path, pis: list[str]) -> Iterator[dict[str, subprocess.Popen]]:
    """The workers, each on its host, until the `with` ends."""
    processes: dict[str, subprocess.Popen] = {}
    try:
        for pi in pis:
            wifi.join(pi)
            own = folder / "dealt" / pi
            command = pisyft("worker", "--classroom", folder / "room" / pi, "--data", own / "names")
            with (own / "worker.log").open("wb") as log:
                processes[pi] = subprocess.Popen(
                    wifi.on(pi, *command), stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=ROOT
                )
        yield processes
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def wait_for(what: str, happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        if time.monotonic() > deadline:
            raise RoomError(f"waited in vain until {what}")
        time.sleep(0.2)


def discovered(wifi: AccessPoint, seconds: float = 4.0) -> set[str]:
    """The ids that the laptop finds."""
    command = wifi.on(COORDINATOR, *pisyft("discover", "--json", "--seconds", seconds))
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    return {worker["id"] for worker in json.loads(done.stdout)} if not done.returncode else set()


def events_of(out: Path) -> list[dict]:
    file = out / "events.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def sums_of(out: Path) -> list[list[str]]:
    """Who contributed to each sum so far."""
    return [event["contributors"] for event in events_of(out) if event.get("event") == "Summed"]


def hold(wifi: AccessPoint, folder: Path, pis: list[str], rounds: int, say: Callable[[str], object] = print) -> dict:
    """A lesson: everybody is found, trains together, and one of them goes away for a while.

    Raises:
        RoomError: something did not happen.
    """
    prepare(folder, pis)
    wifi.join(COORDINATOR)
    begin, out, unplugged = time.monotonic(), folder / "run", pis[-1]
    with running(wifi, folder, pis) as processes:
        logs = {pi: folder / "dealt" / pi / "worker.log" for pi in pis}

        def all_ready() -> bool:
            for pi, process in processes.items():
                if process.poll() is not None:
                    raise RoomError(f"{pi} ended: {logs[pi].read_text(errors='replace')[-500:]}")
            return all(" is ready " in log.read_text(errors="replace") for log in logs.values())

        wait_for("all workers are ready", all_ready)
        found: set[str] = set()
        wait_for("all are found", lambda: found.update(discovered(wifi)) or found >= set(pis))
        discovery_seconds = time.monotonic() - begin
        say(f"{len(found)} of {len(pis)} Pis found after {discovery_seconds:.0f} s")

        begin = time.monotonic()
        command = pisyft("train", "--classroom", folder / "room/coordinator", "--rounds", rounds, "--out", out)
        with (folder / "train.log").open("wb") as log:
            train = subprocess.Popen(
                wifi.on(COORDINATOR, *command, "--good-enough", "0"),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=ROOT,
                env={**os.environ, "XDG_CONFIG_HOME": str(folder / "config")},
            )
        try:

            def goes_on(happened: Callable[[], object]) -> Callable[[], object]:
                def check() -> object:
                    if train.poll() is not None and not happened():
                        raise RoomError(f"the run ended: {(folder / 'train.log').read_text(errors='replace')[-800:]}")
                    return happened()

                return check

            wait_for("a first sum of all", goes_on(lambda: any(set(each) == set(pis) for each in sums_of(out))))
            wifi.unplug(unplugged)
            say(f"{unplugged} is unplugged")
            wait_for("a sum without it", goes_on(lambda: any(unplugged not in each for each in sums_of(out))))
            wifi.replug(unplugged)
            say(f"{unplugged} is plugged in again")
            wait_for("the run ends", lambda: train.poll() is not None)
        finally:
            train.kill()
            train.wait()
        if train.returncode:
            raise RoomError(f"the run failed: {(folder / 'train.log').read_text(errors='replace')[-800:]}")
        seconds = time.monotonic() - begin
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    sums = sums_of(out)
    left = next(number for number, each in enumerate(sums) if unplugged not in each)
    return {
        "pis": len(pis),
        "found": len(found),
        "discovery_seconds": round(discovery_seconds, 1),
        "rounds": summary["rounds"],
        "aggregation": summary["aggregation"],
        "contributors": [len(each) for each in sums],
        "without_unplugged": sum(unplugged not in each for each in sums),
        "with_replugged": sum(unplugged in each for each in sums[left:]),
        "released_version": summary["released_version"],
        "released_to": len(pis) - len(summary["away"]),
        "train_seconds": round(seconds, 1),
        "frames": wifi.frames,
        "lost": wifi.lost,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pis", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts/room")
    options = parser.parse_args()
    if reason := cannot():
        print(f"This machine cannot have a room of hosts: {reason}", file=sys.stderr)
        return 2
    pis = [f"pi-{number}" for number in range(1, options.pis + 1)]
    with tempfile.TemporaryDirectory(prefix="room-") as folder, AccessPoint() as wifi:
        try:
            summary = hold(wifi, Path(folder), pis, options.rounds)
        except RoomError as error:
            print(f"The room failed: {error}", file=sys.stderr)
            return 1
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=2))
    return 0 if summary["with_replugged"] and summary["found"] == summary["pis"] else 1


if __name__ == "__main__":
    sys.exit(main())
