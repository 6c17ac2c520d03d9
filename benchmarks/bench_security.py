"""What security costs: rounds of training with certificates under the policy strict, against rounds in the clear.

Both kinds take turns on the same machine with the same names, so that the ratio means something on a busy one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import pisyft  # noqa: F401  (before PySyft)

# isort: split
import numpy as np
import syft
import torch

from pisyft.audit import AuditLog
from pisyft.federation import Federation
from pisyft.lab import Lab
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import to_vector
from pisyft.transport import WebsocketClientWorker

ROOT = Path(__file__).parents[1]
NAMES = ROOT / "data" / "names"
RECORDS = 50_000


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=15, help="of each kind")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "bench-security")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    hook = syft.TorchHook(torch)
    insecure, secured = [], []
    with (
        Lab(NAMES, ["alice", "bob"], policy="teach") as in_the_clear,
        Lab(NAMES, ["carol", "dora"], policy="strict", certificates=True) as with_certificates,
    ):
        clear, strict = connect(hook, in_the_clear), connect(hook, with_certificates)
        for seed in range(2):  # to warm up
            seconds_of_a_round(clear, 10_000 + seed), seconds_of_a_round(strict, 10_000 + seed)
        for seed in range(arguments.rounds):
            insecure.append(seconds_of_a_round(clear, seed))
            secured.append(seconds_of_a_round(strict, seed))
        for worker in (*clear.workers, *strict.workers):
            worker.close()
    figures = {
        "secured_over_insecure": round(float(np.median(np.divide(secured, insecure))), 3),
        "insecure_round_seconds": round(statistics.median(insecure), 3),
        "secured_round_seconds": round(statistics.median(secured), 3),
        "audit_microseconds": round(audit_microseconds(), 2),
        "rounds": arguments.rounds,
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "summary.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
