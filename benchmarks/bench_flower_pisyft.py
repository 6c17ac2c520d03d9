"""PiSyft's own federation, for `bench_flower`: prints what a round cost as a line of JSON."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pisyft  # noqa: F401  # before what follows: it has PySyft repaired

# isort: split
import syft
import torch

from benchmarks.bench_flower import MIB, WORKERS, Watch, bytes_into, descendants
from pisyft.aggregation.simulation import largest_error
from pisyft.federation import Federation
from pisyft.lab import Lab
from pisyft.learning.strategies import make_strategy
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.transport import WebsocketClientWorker


class DealtLab(Lab):
    """A lab whose workers' names have been dealt out already, in its folder."""

    def _prepare_folder(self) -> None:
        self._folder = self.names

    def _deal(self) -> None:
        pass


def main(names: Path, rounds: int) -> None:
    torch.set_num_threads(1)
    hook = syft.TorchHook(torch)
    began = time.perf_counter()
    with DealtLab(names, WORKERS, names, policy="strict", certificates=True) as lab:
        row: dict = {"start_seconds": time.perf_counter() - began}
        assert lab.classroom is not None
        workers = [
            WebsocketClientWorker(hook, host, port, id=worker, credentials=lab.classroom.credentials)
            for worker, (host, port) in lab.addresses.items()
        ]
        processes = {worker: process.pid for worker, process in lab._processes.items()}
        federation = Federation(workers)
        model = federation.new_model()
        settings = TrainingSettings(batch_size=32, learning_rate=0.1, seed=0)
        strategy = make_strategy("fedavg", to_vector(model), settings, rounds)
        seconds = []
        watch = Watch(lambda: {name: descendants(process) for name, process in processes.items()})
        with watch, bytes_into(row, rounds):
            for _ in range(rounds):
                started = time.perf_counter()
                message = strategy.message().numpy()
                finished = federation.train_and_sum(model, "tutorial", message, strategy.training())
                strategy.update(torch.from_numpy(finished.total.mean))
                load_vector(model, strategy.weights.float())
                federation.evaluate(model, "validation")
                seconds.append(time.perf_counter() - started)
        for worker in workers:
            worker.close()
    row["round_seconds"] = seconds
    row["node_mb"] = max(watch.most.values()) / MIB
    row["error"] = largest_error("additive", len(WORKERS), len(to_vector(model)), 0)
    print(json.dumps(row))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
