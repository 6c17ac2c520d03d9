"""PiSyft's own federation and the same one on Flower, measured in one run: `make bench-flower`.

    python -m benchmarks.bench_flower [--rounds N] [--simulate 10 100 1000] [--corpus FOLDER]
    python -m benchmarks.bench_flower --keep --simulate 1000    only simulate, beside what summary.json has
    python -m benchmarks.bench_flower --draw    the picture again, from summary.json

Two workers with 256 names each train the tutorial's network: over PiSyft with certificates and additive sharing, over a
Flower SuperLink and SuperNodes with TLS and authenticated nodes, in the clear and with SecAgg+. Where this may make a
network namespace, everything runs in one of its own, so that its loopback counts the bytes of this run and no others.
Writes artifacts/bench-flower/: summary.json (docs/scale.md says what the keys mean), table.md, and a picture of the
simulated federations.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "artifacts" / "bench-flower"
WORKERS = ("alice", "bob")
NAMES_TO_TRAIN, NAMES_TO_CHOOSE, NAMES_TO_TEST = 256, 36, 72
_IN_NAMESPACE = "PISYFT_BENCH_IN_NAMESPACE"
# On a busy machine Ray does not always start: one of its processes gives another 15 seconds, and dies.
_ATTEMPTS = 4
MIB = 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--simulate", type=int, nargs="*", default=[10, 100, 1000], metavar="PIS")
    parser.add_argument("--corpus", type=Path, default=ROOT.parent / "shared" / "names")
    parser.add_argument("--keep", action="store_true", help="only simulate, beside what the last summary.json has")
    parser.add_argument("--draw", action="store_true", help="only the picture, from the last summary.json")
    asked = parser.parse_args()
    if asked.draw:
        picture(json.loads((OUT / "summary.json").read_text(encoding="utf-8")))
        return
    _into_own_network()
    OUT.mkdir(parents=True, exist_ok=True)
    if asked.keep:
        summary = json.loads((OUT / "summary.json").read_text(encoding="utf-8"))
    else:
        summary = measure(asked.rounds)
    corpus = asked.corpus if asked.corpus.is_dir() else ROOT / "data" / "names"
    models = [(pis, "ngrams") for pis in asked.simulate] + [(pis, "tutorial") for pis in asked.simulate if pis == 100]
    for pis, model in models:
        summary[f"simulated_{pis}" + "_tutorial" * (model == "tutorial")] = simulate(pis, model, corpus)
        _write(summary)
    summary |= extrapolate([figures for key, figures in summary.items() if re.fullmatch(r"simulated_\d+", key)])
    _write(summary)
    if asked.simulate:
        picture(summary)
    print(json.dumps(summary, indent=2))


def measure(rounds: int) -> dict:
    """PiSyft's own federation and Flower, one after the other, for so many rounds; what summary.json has of them."""
    rows = {}
    with tempfile.TemporaryDirectory(prefix="pisyft-bench-") as temporary:
        folder = Path(temporary)
        names = deal_names(folder / "names")
        rows["pisyft"] = measure_pisyft(folder / "names", rounds)
        for aggregation in ("plain", "secagg"):
            rows[f"flower {aggregation}"] = measure_flower(names, folder / aggregation, aggregation, rounds)
        error, bound = secagg_error(names)
    summary = summarise(rows, error, bound)
    _write(summary)
    (OUT / "table.md").write_text(table(rows, error), encoding="utf-8")
    print(table(rows, error))
    return summary


def _write(summary: dict) -> None:
    (OUT / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")


def _into_own_network() -> None:
    """Begin again in a network namespace, if this is root's and there is `unshare`."""
    if os.environ.get(_IN_NAMESPACE) or os.geteuid() or not (unshare := shutil.which("unshare")):
        return
    again = f'ip link set lo up && exec "{sys.executable}" -m benchmarks.bench_flower "$@"'
    environment = {**os.environ, _IN_NAMESPACE: "1"}
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run([unshare, "--net", "true"], check=True, capture_output=True)
        os.chdir(ROOT)
        os.execve(unshare, [unshare, "--net", "sh", "-c", again, "bench", *sys.argv[1:]], environment)


def deal_names(folder: Path) -> dict[str, Path]:
    """A folder for each worker with as many names as this benchmark is about; the folders, by worker."""
    from pisyft.learning.names import Parts, read_folder, write_parts

    everything = read_folder(ROOT / "data" / "names")
    pool = [(name, language) for language, of_language in everything.items() for name in of_language]
    np.random.default_rng(0).shuffle(pool)
    sizes = (NAMES_TO_TRAIN, NAMES_TO_CHOOSE, NAMES_TO_TEST)
    folders = {}
    for worker in WORKERS:
        parts = []
        for size in sizes:
            taken, pool = pool[:size], pool[size:]
            parts.append({each: [name for name, of in taken if of == each] for each in everything})
        write_parts(Parts(*parts), folder / worker / "names")
        folders[worker] = folder / worker / "names"
    return folders


class Watch:
    """The memory of processes while they are at work: the most that all of a group have had together, in bytes."""

    def __init__(self, groups: Callable[[], dict[str, list[int]]], every_seconds: float = 0.05) -> None:
        self.most: dict[str, int] = {}
        self._groups, self._every, self._done = groups, every_seconds, threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._done.wait(self._every):
            for name, processes in self._groups().items():
                self.most[name] = max(self.most.get(name, 0), sum(map(proportional_set_size, processes)))


def proportional_set_size(process: int) -> int:
    """A process's memory, what it shares with others counted in parts, in bytes; 0 where it has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def descendants(process: int) -> list[int]:
    """A process and all that it has started, directly or not."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            fields = stat.read_text().rsplit(")", 1)[1].split()
            parents.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found, left = [], [process]
    while left:
        found.append(left.pop())
        left += parents.get(found[-1], [])
    return found


def loopback_bytes() -> int:
    """What has gone over loopback, since the machine or the namespace was made."""
    # Not /sys, which shows the devices of the namespace that it was mounted in.
    (loopback,) = (line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:"))
    return int(loopback.split(":")[1].split()[8])


@contextlib.contextmanager
def bytes_into(row: dict, rounds: int) -> Iterator[None]:
    """Count what goes over loopback meanwhile, for each round; nothing, where others use it, too."""
    before = loopback_bytes()
    yield
    row["bytes_per_round"] = (loopback_bytes() - before) // rounds if os.environ.get(_IN_NAMESPACE) else None


def measure_pisyft(names: Path, rounds: int) -> dict:
    """PiSyft's own federation: strict workers with certificates, `fit`, additive sharing, evaluation."""
    return _program("bench_flower_pisyft", names, rounds)


def measure_flower(names: dict[str, Path], folder: Path, aggregation: str, rounds: int) -> dict:
    """The same on Flower, deployed on this machine."""
    from pisyft.flower.deployment import Deployment

    began = time.perf_counter()
    with Deployment(names, folder, allow_plain=aggregation == "plain") as deployment:
        groups = deployment.processes()
        row: dict = {"start_seconds": time.perf_counter() - began}
        watch = Watch(lambda: {name: descendants(process) for name, process in groups.items()})
        with watch, bytes_into(row, rounds):
            config = {"rounds": rounds, "aggregation": aggregation, "good-enough": 0.0}
            summary = deployment.run(config, folder / "out")
    row["round_seconds"] = summary["round_seconds"]
    row["node_mb"] = max(watch.most[worker] for worker in WORKERS) / MIB
    return row


def secagg_error(names: dict[str, Path]) -> tuple[float, float]:
    """How far a secure mean is from the plain one after a round of real training, and how far it may be."""
    from pisyft.flower.coordinator import FlowerFederation
    from pisyft.flower.device import app
    from pisyft.flower.secure import Quantisation
    from pisyft.learning.models import make_model
    from pisyft.learning.training import TrainingSettings
    from pisyft.learning.vectors import to_vector
    from tests.flower.direct import DirectGrid, context_of

    grid = DirectGrid(app, names, **{"allow-plain": True})
    federation = FlowerFederation(grid, context_of(0), grid.get_node_ids())
    model = make_model("tutorial", federation.alphabet.size, len(federation.languages), 0)
    settings = TrainingSettings(batch_size=32, learning_rate=0.1, seed=None)  # the same order of names in both
    secure, plain = (
        federation.train(to_vector(model).numpy(), "tutorial", settings, aggregation)
        for aggregation in ("secagg", "plain")
    )
    counts = federation.names_to_train
    return float(np.abs(secure - plain).max()), Quantisation.for_devices(counts).error_bound(counts)


def simulate(pis: int, model: str, corpus: Path) -> dict:
    """A federation of so many simulated Pis, in a process of its own: Ray stays in it."""
    # In memory: a thousand Pis have 54,000 files of names, each of which a disk would have to confirm.
    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="pisyft-simulated-", dir=memory) as folder:
        for _ in range(_ATTEMPTS - 1):
            with contextlib.suppress(RuntimeError):
                return _program("bench_flower_simulated", pis, model, corpus, folder)
        return _program("bench_flower_simulated", pis, model, corpus, folder)


def extrapolate(measured: list[dict]) -> dict:
    """Seconds a round and memory of federations that were not simulated, from the two largest that were.

    Both are taken to go with a round's messages, one to each Pi that trains and one to each that evaluates, each with a
    model: the straight line through the two largest. Every Pi then has names enough for both, two messages a Pi, which
    the tutorial's corpus has not for a thousand.
    """
    if len(measured) < 2:
        return {}
    less, more = sorted(measured, key=lambda each: each["pis"])[-2:]

    def line(figure: str, messages: int) -> float:
        slope = (more[figure] - less[figure]) / (more["messages_per_round"] - less["messages_per_round"])
        return more[figure] + slope * (messages - more["messages_per_round"])

    return {
        f"extrapolated_{pis}": {
            "pis": pis,
            "messages_per_round": 2 * pis,
            "round_seconds": line("round_seconds", 2 * pis),
            "memory_mb": line("memory_mb", 2 * pis),
        }
        for pis in (more["pis"], 10 * more["pis"])
    }


def _program(module: str, *arguments: object) -> dict:
    """Run a module beside this one in a process of its own; the JSON that it prints last."""
    done = subprocess.run(
        [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    if done.returncode:
        raise RuntimeError(f"{module} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def summarise(rows: dict, error: float, bound: float) -> dict:
    """What summary.json has."""
    seconds = {name: statistics.median(row["round_seconds"]) for name, row in rows.items()}
    return {
        "pisyft_round_seconds": seconds["pisyft"],
        "flower_round_seconds": seconds["flower plain"],
        "flower_secagg_round_seconds": seconds["flower secagg"],
        "round_speedup": seconds["flower plain"] / seconds["pisyft"],
        "round_speedup_secagg": seconds["flower secagg"] / seconds["pisyft"],
        "memory_ratio": rows["pisyft"]["node_mb"] / rows["flower secagg"]["node_mb"],
        "secagg_max_error": error,
        "secagg_error_bound": bound,
        **{
            f"{name.replace(' ', '_')}_{key}": row[key]
            for name, row in rows.items()
            for key in ("node_mb", "bytes_per_round", "start_seconds")
        },
        "flwr": metadata.version("flwr"),
        "torch": metadata.version("torch"),
        "python": platform.python_version(),
    }


def table(rows: dict, error: float) -> str:
    """The comparison, as Markdown."""
    lines = [
        "| | seconds a round | bytes a round | memory a node, MB | start, s | error against plain FedAvg |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    errors = {"pisyft": f"{rows['pisyft']['error']:.0e}", "flower plain": "0", "flower secagg": f"{error:.0e}"}
    for name, row in rows.items():
        count = "not counted" if row["bytes_per_round"] is None else f"{row['bytes_per_round']:,}"
        seconds = statistics.median(row["round_seconds"])
        lines.append(
            f"| {name} | {seconds:.2f} | {count} | {row['node_mb']:.0f} | {row['start_seconds']:.1f} | {errors[name]} |"
        )
    return "\n".join(lines) + "\n"


def picture(summary: dict) -> None:
    """Accuracy over rounds; seconds a round and memory over the number of Pis, what was not measured dashed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    simulated = {key: each for key, each in summary.items() if key.startswith("simulated_")}
    measured = sorted((each for each in simulated.values() if each["model"] == "ngrams"), key=lambda each: each["pis"])
    beyond = [each for key, each in summary.items() if key.startswith("extrapolated_")]
    with pyplot.rc_context({"font.size": 13}):
        figure, (left, *costs) = pyplot.subplots(1, 3, figsize=(16, 4.8), layout="constrained")
        colours = ("#0072B2", "#D55E00", "#009E73")
        for each, colour, marker in zip(measured, colours, "os^", strict=False):
            label = f"{each['pis']:,} Pis"
            left.plot(each["accuracy_by_round"], color=colour, marker=marker, label=f"{label}, ngrams")
        for each in simulated.values():
            if each["model"] == "tutorial":
                label = f"{each['pis']:,} Pis, the tutorial's network"
                left.plot(each["accuracy_by_round"], color="#888888", marker="D", label=label)
        left.set(xlabel="rounds", ylabel="accuracy on held-out names", title="Non-IID names: Dirichlet(0.5)")
        left.set_ylim(0, 1)
        left.legend(frameon=False, loc="lower right")
        titles = (("round_seconds", "seconds a round", 1), ("memory_mb", "memory of all processes, GB", 1024))
        for axes, (key, title, unit) in zip(costs, titles, strict=True):
            numbers = [each["pis"] for each in measured]
            axes.plot(numbers, [each[key] / unit for each in measured], "o-", color="#0072B2", label="measured")
            if beyond:
                axes.plot(
                    [each["pis"] for each in beyond],
                    [each[key] / unit for each in beyond],
                    "o--",
                    color="#0072B2",
                    markerfacecolor="white",
                    label="extrapolated:\nnames enough on every Pi",
                )
            axes.set(xscale="log", yscale="log", xlabel="simulated Pis", ylabel=title, title="On two cores, ngrams")
            axes.legend(frameon=False, loc="upper left")
        for axes in (left, *costs):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(OUT / "simulated.png", dpi=110)


if __name__ == "__main__":
    main()
