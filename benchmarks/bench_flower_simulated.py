"""A federation of simulated Pis with Flower's simulation engine, for `bench_flower`: prints a line of JSON.

    python -m benchmarks.bench_flower_simulated PIS MODEL CORPUS FOLDER

Memory is that of all its processes together, Ray's included, what they share counted in parts.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import statistics
import sys
import time
from pathlib import Path

# Before Flower and Ray are imported.
os.environ.update(
    FLWR_TELEMETRY_ENABLED="0",
    FLWR_DISABLE_UPDATE_CHECK="1",
    RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER="0",
    RAY_USAGE_STATS_ENABLED="0",
    RAY_worker_niceness="0",  # 15 is its own: whatever else runs here would slow it down
)

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp
from flwr.simulation import run_simulation

from benchmarks.bench_flower import MIB, Watch, descendants
from pisyft.flower.coordinator import FlowerFederation
from pisyft.flower.device import SIMULATED_NAMES
from pisyft.flower.device import app as device
from pisyft.flower.server_app import Run, wait_for_nodes
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import make_model
from pisyft.learning.names import NamesByLanguage, deal_parts, dirichlet_shares, read_folder, split, total, write_parts
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector

# So many rounds that the whole takes minutes; with more Pis a round takes longer.
ROUNDS = {10: 10, 100: 10, 1000: 6}
# Twice through a Pi's names, in small batches: it has few. Each network at the largest rate at which it stays stable.
LEARNING_RATES = {"tutorial": 0.1, "ngrams": 20.0}
_LOOK_SECONDS = 0.5  # at the memory of processes, which takes the kernel some time


def main(pis: int, model: str, corpus: Path, folder: Path) -> None:
    test, holding = deal(pis, corpus, folder)
    figures: dict = {"pis": pis, "pis_with_names": holding, "model": model, "accuracy_by_round": []}
    os.environ[SIMULATED_NAMES] = str(folder)  # Ray's processes inherit it
    server = ServerApp()

    @server.main()
    def federate(grid: Grid, context: Context) -> None:
        began = time.perf_counter()
        federation = FlowerFederation(grid, context, wait_for_nodes(grid, holding, 600.0), timeout=3600.0)
        figures["start_seconds"] = time.perf_counter() - began
        settings = TrainingSettings(batch_size=8, learning_rate=LEARNING_RATES[model], passes=2.0, seed=0)
        run = Run(federation, model, "fedavg", settings, ROUNDS.get(pis, 3), "plain")

        def look(_: int) -> None:
            network = make_model(model, federation.alphabet.size, len(federation.languages), 0)
            load_vector(network, run.strategy.weights.float())
            counts = count_guesses(network, encode(test, federation.alphabet), len(federation.languages))
            figures["accuracy_by_round"].append(counts.accuracy)

        look(0)
        run.train(look)
        figures["rounds"] = run.rounds
        figures["round_seconds"] = statistics.median(run.round_seconds)
        figures["pis_that_train"] = len(federation.names_to_train)
        figures["messages_per_round"] = len(federation.names_to_train) + len(run.history[-1])

    with Watch(lambda: {"all": processes()}, _LOOK_SECONDS) as watch:
        run_simulation(
            server,
            device,
            holding,
            backend_config={
                "init_args": {
                    "include_dashboard": False,
                    "_node_ip_address": "127.0.0.1",
                    "num_cpus": os.cpu_count() or 1,
                },
                "client_resources": {"num_cpus": 1, "num_gpus": 0.0},
            },
        )
    figures["memory_mb"] = watch.most["all"] / MIB
    print(json.dumps(figures))


def processes() -> list[int]:
    """All of this federation. Ends them where Ray's main one has died: Ray would wait for it for ever."""
    found = descendants(os.getpid())
    for process in found:
        with contextlib.suppress(OSError):
            if "(raylet) Z" in Path(f"/proc/{process}/stat").read_text():
                print("Ray has not started: its raylet died", file=sys.stderr, flush=True)
                for each in set(found) - {os.getpid()}:
                    with contextlib.suppress(OSError):
                        os.kill(each, signal.SIGKILL)
                os._exit(1)
    return found


def deal(pis: int, corpus: Path, folder: Path) -> tuple[NamesByLanguage, int]:
    """Deal names out by Dirichlet(0.5); the test names of all Pis together, and how many Pis got any name."""
    everything = read_folder(corpus)
    parts = split(everything, 0)
    hands = deal_parts(parts, dirichlet_shares(list(everything), pis, 0.5, 0), 0)
    holding = [hand for hand in hands if total(hand.train)]
    for number, hand in enumerate(holding, 1):
        write_parts(hand, folder / f"pi-{number}" / "names")
    return parts.test, len(holding)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
