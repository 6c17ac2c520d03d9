"""What security costs: rounds with certificates under the policy strict, and training by pointer with an audit log.

Against the same in the clear, and without a log. Both kinds take turns on the same machine with the same names, so that
the ratio means something on a busy one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import pisyft  # noqa: F401  (before PySyft)

# isort: split
import numpy as np
import syft
import torch

from pisyft.audit import FILE, AuditLog
from pisyft.federation import Federation
from pisyft.lab import Lab
from pisyft.learning.models import RNN
from pisyft.learning.remote import find_names, train_batch
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import to_vector
from pisyft.transport import WebsocketClientWorker

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "data" / "names"
RECORDS = 50_000
STEPS_BY_POINTER = 10


class WithoutLog(Lab):
    """A lab whose workers keep no audit log."""

    program = (
        "-c",
        "import sys, pisyft.cli, pisyft.cli.worker as worker\n"
        "worker.AuditLog = lambda file: None\n"
        "pisyft.cli.main(['worker', *sys.argv[1:]])",
    )


def connect(hook, lab: Lab) -> Federation:
    credentials = lab.classroom.credentials if lab.classroom else None
    return Federation(
        [
            WebsocketClientWorker(hook, host, port, id=worker, credentials=credentials)
            for worker, (host, port) in lab.addresses.items()
        ]
    )


def seconds_of_a_round(federation: Federation, seed: int) -> float:
    model = federation.new_model()
    message = to_vector(model).detach().numpy().astype("<f4")
    began = time.perf_counter()
    federation.train_and_sum(model, "tutorial", message, TrainingSettings(batch_size=32, seed=seed))
    return time.perf_counter() - began


def audit_microseconds() -> float:
    """Of processor time, to take down one request of a training by pointer: some thirty kinds, again and again."""
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder) / "audit.jsonl")
        began = time.process_time()
        for number in range(RECORDS):
            log.record("me", "coordinator", "127.0.0.1", f"pointer: operation {number % 30}", 200, 0)
        taken = time.process_time() - began
        log.close()
    return taken / RECORDS * 1e6


def processor_seconds(lab: Lab, worker: str) -> float:
    """What a worker's process has used so far."""
    fields = Path(f"/proc/{lab._processes[worker].pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class ByPointer:
    """Trains a model on one worker, by pointer."""

    def __init__(self, hook, lab: Lab) -> None:
        ((self._id, (host, port)),) = lab.addresses.items()
        self._lab = lab
        self.worker = WebsocketClientWorker(hook, host, port, id=self._id)
        self._model = RNN().send(self.worker)
        names = find_names(self.worker)
        self._batches = itertools.chain.from_iterable(names.batches(32) for _ in itertools.count())

    def seconds_of_steps(self) -> tuple[float, float]:
        """Of some steps: on the clock, and of the worker's processor."""
        used, began = processor_seconds(self._lab, self._id), time.perf_counter()
        for _ in range(STEPS_BY_POINTER):
            train_batch(self._model, next(self._batches), 0.01)
        self.worker.call("ping")  # when it has done them all
        return time.perf_counter() - began, processor_seconds(self._lab, self._id) - used


def cost_of_the_log(hook, rounds: int) -> dict[str, float]:
    """Of training by pointer: how much longer it takes with an audit log, and how much more of the processor."""
    with Lab(NAMES, ["erin"]) as audited, WithoutLog(NAMES, ["frank"]) as unaudited:
        with_log, without_log = ByPointer(hook, audited), ByPointer(hook, unaudited)
        for each in (with_log, without_log):  # to warm up
            each.seconds_of_steps()
        pairs = []
        for _ in range(rounds):  # neither kind always comes first
            pairs.append([with_log.seconds_of_steps(), without_log.seconds_of_steps()])
            pairs.append([without_log.seconds_of_steps(), with_log.seconds_of_steps()][::-1])
        taken = np.array(pairs)
        for each in (with_log, without_log):
            each.worker.close()
        assert (audited.folder / "erin" / "models" / FILE).exists()
        assert not (unaudited.folder / "frank" / "models" / FILE).exists()
    clock, processor = taken[..., 0], taken[..., 1]
    return {
        "audited_over_unaudited": round(float(np.median(clock[:, 0] / clock[:, 1])), 3),
        "audited_over_unaudited_processor": round(float(processor[:, 0].sum() / processor[:, 1].sum()), 3),
        "pointer_step_seconds": round(float(np.median(clock[:, 0])) / STEPS_BY_POINTER, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="of each kind")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "bench-security")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hook = syft.TorchHook(torch)
    with (
        Lab(NAMES, ["alice", "bob"], policy="teach") as hooked,
        Lab(NAMES, ["greta", "henry"], policy="strict") as in_the_clear,
        Lab(NAMES, ["carol", "dora"], policy="strict", certificates=True) as with_certificates,
    ):
        federations = [connect(hook, lab) for lab in (hooked, in_the_clear, with_certificates)]
        for seed in range(2):  # to warm up
            for each in federations:
                seconds_of_a_round(each, 10_000 + seed)
        taken = [[seconds_of_a_round(each, seed) for each in federations] for seed in range(arguments.rounds)]
        for each in federations:
            for worker in each.workers:
                worker.close()
    insecure, clear, secured = map(list, zip(*taken, strict=True))
    figures = {
        "secured_over_insecure": round(float(np.median(np.divide(secured, insecure))), 3),
        "certificates_over_none": round(float(np.median(np.divide(secured, clear))), 3),
        "insecure_round_seconds": round(statistics.median(insecure), 3),
        "secured_round_seconds": round(statistics.median(secured), 3),
        "audit_microseconds": round(audit_microseconds(), 2),
        **cost_of_the_log(hook, arguments.rounds),
        "rounds": arguments.rounds,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "summary.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
