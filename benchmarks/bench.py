"""How fast, how small: `make bench`.

    python benchmarks/bench.py [--original PYTHON] [--out DIR] [--only GROUP ...]

Every figure is a ratio of two things that are measured in turns within one run, so that a busy or slow machine slows
both, and the median over these turns. Writes summary.json, details.json (all measurements), report.md and pictures to
artifacts/bench/. What the keys mean, and where the time goes: docs/performance.md.

The original stack is measured where there is a Python 3.7 (`--original`, the variable PYTHON37, or `python3.7`): either
of an environment that has PySyft 0.2.9, or any, of which one is then made in artifacts/bench/original. Otherwise the
ratios to it are null.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import report
from processes import HERE, ROOT, Process, free_port, program, wait_for_port

from pisyft.lab import Lab
from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.floors import told
from pisyft.learning.names import read_folder

NAMES = ROOT / "data" / "names"
WORKERS = ("alice", "bob")
DELAY_SECONDS = 0.005
SEED = 0
Figures = dict[str, float | None]


class Bench:
    """One run: what it measures with, and what it has measured.

    Attributes:
        details: all measurements, by what was measured: a list with one for each turn.
    """

    def __init__(self, original: Path | None) -> None:
        self.original = original
        self.details: dict[str, list[float]] = {}
        pairs = [
            (TUTORIAL.encode(name), index) for index, names in enumerate(read_folder(NAMES).values()) for name in names
        ]
        self._names = [pair for pair in pairs if len(pair[0]) <= 19]  # the original takes no more letters
        self._random = random.Random(SEED)

    def names(self, count: int) -> list:
        return self._random.sample(self._names, count)

    def in_turns(self, turns: int, sides: dict[str, Callable[[], float]]) -> None:
        """Measure each side once in each turn; the results go to `details`."""
        for _ in range(turns):
            for side, measure in sides.items():
                self.details.setdefault(side, []).append(measure())

    def ratio(self, numerator: str, denominator: str, digits: int = 2) -> float | None:
        """The median of the ratios of what was measured in the same turn; None where one was not measured."""
        if numerator not in self.details or denominator not in self.details:
            return None
        pairs = zip(self.details[numerator], self.details[denominator], strict=True)
        return round(statistics.median(above / below for above, below in pairs), digits)

    @contextmanager
    def ours(self, lab: Lab, ports: dict[str, int] | None = None) -> Iterator[Process]:
        """A coordinator on this project, connected to a lab; through other ports, if there are any."""
        addresses = {worker: f"127.0.0.1:{port}" for worker, (_, port) in lab.addresses.items()}
        addresses |= {worker: f"127.0.0.1:{port}" for worker, port in (ports or {}).items()}
        with program("pointers.py", *(f"{worker}={address}" for worker, address in addresses.items())) as ours:
            yield ours

    @contextmanager
    def original_workers(self) -> Iterator[dict[str, int]]:
        """Two workers of the original stack: their ports by id."""
        with ExitStack() as until_done:
            ports = {worker: free_port() for worker in WORKERS}
            for worker, port in ports.items():
                command = [self.original, HERE / "original.py", "worker", worker, port]
                until_done.enter_context(Process(command, says_when_ready=False))
            for port in ports.values():
                wait_for_port(port)
            yield ports

    def original_coordinator(self, ports: dict[str, int]) -> Process:
        return program(
            "original.py", "train", *(f"{each}={port}" for each, port in ports.items()), python=self.original
        )


def names_per_second(process: Process, names: list, told: Callable[[dict], None] = lambda _: None) -> float:
    """Send names to the workers, then train on them one by one."""
    process.ask({"send": names})
    answer = process.ask({"train": True})
    told(answer)
    return len(names) / answer["seconds"]


def pointers(bench: Bench) -> Figures:
    """Training by pointer, over loopback as it is."""
    trained = waits = 0

    def count_waits(answer: dict) -> None:
        nonlocal trained, waits
        trained, waits = trained + 100, waits + answer["waits"]

    def own(count: int, size: int) -> float:
        return count / ours.ask({"own": count, "batch": size})["seconds"]

    with ExitStack() as until_done:
        lab = until_done.enter_context(Lab(NAMES, WORKERS))
        ours = until_done.enter_context(bench.ours(lab))
        sides = {
            "pointers: names/s": lambda: names_per_second(ours, bench.names(100), count_waits),
            "pointers, own names: names/s": lambda: own(100, 1),
            "pointers, own names, batch 32: names/s": lambda: own(1600, 32),
        }
        names_per_second(ours, bench.names(20)), own(20, 1), own(640, 32)
        if bench.original:
            ports = until_done.enter_context(bench.original_workers())
            original = until_done.enter_context(bench.original_coordinator(ports))
            names_per_second(original, bench.names(4))
            sides["original: names/s"] = lambda: names_per_second(original, bench.names(12))
        bench.in_turns(5, sides)
    return {
        "pointer_over_original": bench.ratio("pointers: names/s", "original: names/s"),
        "own_names_over_original": bench.ratio("pointers, own names: names/s", "original: names/s"),
        "waits_per_name": round(waits / trained, 3),
        "batch32_over_batch1": bench.ratio("pointers, own names, batch 32: names/s", "pointers, own names: names/s"),
    }


def delayed(bench: Bench) -> Figures:
    """The same with five milliseconds of delay each way; and the bytes, which the delaying proxies count."""

    def counted(process: Process, proxy: Process, count: int, side: str) -> float:
        process.ask({"send": bench.names(count)})
        before = proxy.ask(None)
        seconds = process.ask({"train": True})["seconds"]
        bench.details.setdefault(f"{side}: bytes/name", []).append((proxy.ask(None) - before) / count)
        return count / seconds

    def proxied(ports: dict[str, int]) -> tuple[Process, dict[str, int]]:
        proxy = until_done.enter_context(program("delay.py", DELAY_SECONDS, *ports.values()))
        return proxy, dict(zip(ports, json.loads(proxy.first_line), strict=True))

    with ExitStack() as until_done:
        lab = until_done.enter_context(Lab(NAMES, WORKERS))
        our_proxy, ports = proxied({worker: port for worker, (_, port) in lab.addresses.items()})
        ours = until_done.enter_context(bench.ours(lab, ports))
        names_per_second(ours, bench.names(20))
        sides = {"pointers, 5 ms: names/s": lambda: counted(ours, our_proxy, 100, "pointers")}
        if bench.original:
            its_proxy, its_ports = proxied(until_done.enter_context(bench.original_workers()))
            original = until_done.enter_context(bench.original_coordinator(its_ports))
            sides["original, 5 ms: names/s"] = lambda: counted(original, its_proxy, 4, "original")
        bench.in_turns(3, sides)
    return {
        "pointer_5ms_over_original": bench.ratio("pointers, 5 ms: names/s", "original, 5 ms: names/s"),
        "bytes_over_original": bench.ratio("pointers: bytes/name", "original: bytes/name", digits=4),
    }


def fit(bench: Bench) -> Figures:
    """`fit` on one worker, and the same batches in plain PyTorch in one process.

    Under `strict`, as `pisyft worker` has it, and under `teach`, where PySyft's hooks look at every operation.
    """
    settings = {"batch_size": 32, "learning_rate": 0.1, "passes": 4, "seed": SEED}
    # The order of the names, which a worker mixes its own seed into.
    mixed = int.from_bytes(hashlib.sha256(f"pisyft order {SEED} {SEED}".encode()).digest()[:4], "big")
    losses: set[float] = set()

    def by_verb(ours: Process) -> float:
        answer = ours.ask({"fit": settings})
        losses.add(answer["fit"]["loss"])
        return answer["fit"]["names"] / answer["seconds"]

    def by_hand() -> float:
        answer = plain.ask({"fit": settings | {"seed": mixed}})
        losses.add(told(answer["loss"]))  # as a worker tells it
        return answer["names"] / answer["seconds"]

    with ExitStack() as until_done:
        labs = [until_done.enter_context(Lab(NAMES, WORKERS, seed=SEED, policy=each)) for each in ("strict", "teach")]
        strict, teach = (until_done.enter_context(bench.ours(lab)) for lab in labs)
        plain = until_done.enter_context(program("plain.py", labs[0].names_of("alice"), SEED))
        sides = {
            "fit: names/s": lambda: by_verb(strict),
            "fit, teach: names/s": lambda: by_verb(teach),
            "plain PyTorch: names/s": by_hand,
        }
        for side in sides.values():
            side()
        bench.in_turns(9, sides)
    if len(losses) > 1:
        raise RuntimeError(f"fit and plain PyTorch do not train alike: their losses are {sorted(losses)}")
    return {
        "fit_over_plain": bench.ratio("fit: names/s", "plain PyTorch: names/s", digits=3),
        "fit_under_teach_over_plain": bench.ratio("fit, teach: names/s", "plain PyTorch: names/s", digits=3),
    }


def rounds(bench: Bench) -> Figures:
    """A round of two workers, and what the slower of them computes in it: training and counting, in plain PyTorch."""
    number = 0

    def settings() -> dict:
        # The same training twice could be summed twice, which workers refuse.
        return {"batch_size": 32, "learning_rate": 0.1, "steps": 8, "seed": number}

    def whole() -> float:
        nonlocal number
        number += 1
        return 1000 * ours.ask({"round": settings()})["seconds"]

    def computation() -> float:
        with ThreadPoolExecutor(len(plain)) as pool:
            answers = pool.map(lambda each: each.ask({"round": settings()}), plain)
        return 1000 * max(answer["seconds"] for answer in answers)

    with ExitStack() as until_done:
        lab = until_done.enter_context(Lab(NAMES, WORKERS, seed=SEED))
        ours = until_done.enter_context(bench.ours(lab))
        plain = [until_done.enter_context(program("plain.py", lab.names_of(each), SEED)) for each in WORKERS]
        for _ in range(3):
            whole(), computation()
        bench.in_turns(15, {"round: ms": whole, "its computation: ms": computation})
    pairs = zip(bench.details["round: ms"], bench.details["its computation: ms"], strict=True)
    return {"round_overhead_ms": round(statistics.median(all_of_it - needed for all_of_it, needed in pairs), 1)}


def start(bench: Bench) -> Figures:
    """From the start of the process until a worker is ready, under teach and under strict, and until PyTorch is."""

    def seconds(*command: object) -> float:
        began = time.perf_counter()
        with Process([sys.executable, *command]):
            return time.perf_counter() - began

    def worker(policy: str) -> float:
        return seconds("-m", "pisyft", "worker", "--id", "alice", "--port", 0, "--data", names, "--policy", policy)

    def import_torch() -> float:
        return seconds("-c", "import torch; print('ready', flush=True); input()")

    with Lab(NAMES, WORKERS) as lab:
        names = lab.names_of("alice")
        sides = {
            "worker ready: s": lambda: worker("teach"),
            "worker ready, strict: s": lambda: worker("strict"),
            "import torch: s": import_torch,
        }
        for side in sides.values():
            side()
        bench.in_turns(7, sides)
    return {
        "ready_over_import_torch": bench.ratio("worker ready: s", "import torch: s"),
        "ready_under_strict_over_import_torch": bench.ratio("worker ready, strict: s", "import torch: s"),
    }


def memory(bench: Bench) -> Figures:
    """Resident memory of a worker with its names, after a round, under either policy, and of a bare `import torch`."""

    def after_a_round(policy: str) -> float:
        with Lab(NAMES, WORKERS, policy=policy) as lab, bench.ours(lab) as ours:
            ours.ask({"round": {"passes": 1}})
            return _worker_process(lab, "alice").memory_info().rss / 2**20

    worker, strict = after_a_round("teach"), after_a_round("strict")
    with Process([sys.executable, "-c", "import torch; print('ready', flush=True); input()"]) as bare:
        torch = psutil.Process(bare.pid).memory_info().rss / 2**20
    bench.details |= {"worker: MB": [worker], "worker, strict: MB": [strict], "import torch: MB": [torch]}
    return {
        "worker_rss_mb": round(worker, 1),
        "worker_rss_over_torch": round(worker / torch, 3),
        "worker_rss_under_strict_mb": round(strict, 1),
    }


def growth(bench: Bench) -> Figures:
    """By how much a worker grows in 1,000 rounds of each kind: by pointer, and of verbs with either protocol.

    The rounds are small, since it is their number that counts. A hundred come first: caches fill, and the system's
    memory is cut into pieces that fit.
    """
    with tempfile.TemporaryDirectory() as temporary:
        few = Path(temporary) / "names"
        few.mkdir()
        for language in list(read_folder(NAMES))[:4]:
            lines = (NAMES / f"{language}.txt").read_text(encoding="utf-8").splitlines(keepends=True)
            (few / f"{language}.txt").write_text("".join(lines[:30]), encoding="utf-8")
        much = ("--limit", "questions_per_day=100000")
        with Lab(few, WORKERS, seed=SEED, worker_options=much) as lab, bench.ours(lab) as ours:
            workers = [_worker_process(lab, worker) for worker in WORKERS]
            ours.ask({"rounds": 100, "from": 0})
            before = [process.memory_info().rss for process in workers]
            megabytes = bench.details.setdefault("growth in rounds: MB", [])
            for hundred in range(1, 11):
                ours.ask({"rounds": 100, "from": 100 * hundred})
                now = [process.memory_info().rss for process in workers]
                megabytes.append(max(after - was for after, was in zip(now, before, strict=True)) / 2**20)
    return {"rss_growth_mb_1000_rounds": round(megabytes[-1], 2)}


def _worker_process(lab: Lab, worker: str) -> psutil.Process:
    names = str(lab.names_of(worker))
    return next(each for each in psutil.process_iter(["pid", "cmdline"]) if names in (each.info["cmdline"] or []))


GROUPS: dict[str, Callable[[Bench], Figures]] = {
    "pointers": pointers,
    "delayed": delayed,
    "fit": fit,
    "rounds": rounds,
    "start": start,
    "memory": memory,
    "growth": growth,
}


def find_original(python: str | None, out: Path) -> Path | None:
    """An environment's Python with PySyft as it was published, made in `out` if there is none; None without 3.7."""
    versions = sorted(Path.home().glob(".pyenv/versions/3.7*/bin/python"))
    for candidate in filter(None, [python, os.environ.get("PYTHON37"), "python3.7", *versions]):
        if not _runs(candidate, "import sys; assert sys.version_info[:2] == (3, 7)"):
            if candidate == python:
                raise SystemExit(f"bench: {python} is no Python 3.7")
            continue
        if _runs(candidate, "import syft"):
            return Path(candidate)
        made = out / "original"
        if not _runs(made / "bin/python", "import syft"):
            print(f"Building the original stack in {made} (a few minutes, once)", file=sys.stderr)
            subprocess.run(["bash", HERE / "original.sh", candidate, made], check=True)
        return made / "bin/python"
    return None


def _runs(python: str | Path, program_text: str) -> bool:
    try:
        done = subprocess.run([python, "-W", "ignore", "-c", program_text], capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--original", metavar="PYTHON", help="a Python 3.7, or an environment's with PySyft 0.2.9")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "bench")
    parser.add_argument("--only", nargs="+", metavar="GROUP", choices=GROUPS, default=list(GROUPS))
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    compares = {"pointers", "delayed"} & set(arguments.only)
    bench = Bench(find_original(arguments.original, arguments.out.resolve()) if compares else None)
    if compares and bench.original is None:
        print("No Python 3.7: the ratios to the original stack are left out", file=sys.stderr)
    figures: Figures = {}
    for group in arguments.only:
        began = time.monotonic()
        measured = GROUPS[group](bench)
        figures |= measured
        print(f"{group} ({time.monotonic() - began:.0f} s): {json.dumps(measured)}", file=sys.stderr)
    report.write(arguments.out, figures, bench.details, bench.original is not None)


if __name__ == "__main__":
    main()
