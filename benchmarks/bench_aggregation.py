"""What secure sums cost: speed of shares and masks, seconds and bytes of rounds, and how both grow with the Pis.

    python benchmarks/bench_aggregation.py [--quick]

Writes artifacts/bench-aggregation/summary.json and growth.png. The flat keys:

    share_mb_per_second         megabytes of random shares made and added to a vector, in one thread: the step `upload`
                                of an additive round with 10 participants and a million values
    mask_mb_per_second          the same of masks
    mask_bytes_over_plain_1m_10 bytes sent in a round with masks, to those of a plain round (a million values, 10 Pis)
    additive_seconds_27k_2, mask_seconds_27k_2, mask_seconds_1m_10
                                seconds of a whole round over workers in processes of their own, on loopback, the median
                                of several
    pysyft_tensor_seconds_27k_2 the same sum with PySyft's own tensors, `fix_precision().share(...)`
    simulated_pis               Pis of the largest round in one process, with real cryptography and 27 thousand values

`rounds` has seconds and bytes for every number of values and Pis; `growth` those of the simulated rounds, in seconds of
processor time. Bytes are what was sent, by whomever: to the coordinator, from it, and between Pis.
"""

from __future__ import annotations

# First, because it has PySyft repaired when that is imported.
import pisyft  # noqa: F401

# isort: split
import argparse
import itertools
import json
import os
import platform
import socket
import statistics
import subprocess
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.plain import PlainAggregation
from pisyft.aggregation.protocol import UPLOAD
from pisyft.aggregation.rounds import PROTOCOLS, Rounds, Update, make_collector, make_contributor, new_agreement
from pisyft.aggregation.simulation import run_round

ROOT = Path(__file__).resolve().parents[1]

SIZES = {"27k": 27_000, "1m": 1_000_000, "10m": 10_000_000}
PIS = (2, 5, 10)
SIMULATED = (2, 5, 10, 20, 50, 100, 200, 500, 1000)
ADDITIVE_UP_TO = 200
# PySyft's workers hold n shares of their own and n of others', each as large as the model: 16 GB for ten workers and
# ten million values, all on this machine. That is not measured.
PYSYFT_MAX_VALUES = 500_000_000
MODEL = "the model that everybody starts from"

WORKER = """
import socket, sys
import pisyft, numpy, syft, torch
from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.rounds import Update
from pisyft.contribution import Contribution
from syft.workers.websocket_server import WebsocketServerWorker

torch.set_num_threads(1)
id, fd, model, *peers = sys.argv[1:]
peers = {peer: (host, int(port)) for peer, host, port in (each.split(",") for each in peers)}
contribution = Contribution(Ledger(id, peers, protocols=("additive", "masks", "plain")))

def learn(calling, length, seed):
    values = numpy.random.default_rng(seed).standard_normal(length, numpy.float32)
    contribution._rounds.keep(Update(values, 1000, {"weights": (length,)}, model))

def count(calling):
    return sum(peer.bytes_sent + peer.bytes_received for peer in contribution.peers.values())

server = WebsocketServerWorker(
    syft.TorchHook(torch), "", 0, id=id, peers=peers, listener=socket.socket(fileno=int(fd)),
    verbs={**contribution.verbs, "learn": learn, "count": count}, peer_verbs=contribution.peer_verbs,
)
contribution.peers.update(server.peers)
print("ready", flush=True)
server.start()
"""


# In one process


def streams_mb_per_second(protocol: str, length: int, repeats: int) -> float:
    """Megabytes of shares or masks that a Pi makes and adds up per second, with nine others; the median."""
    rates = []
    names = [f"pi{number}" for number in range(10)]
    for _ in range(repeats):
        agreement = new_agreement(protocol, names, MODEL, {"weights": (length,)})
        contributors = {name: make_contributor(agreement, name, 2, None) for name in names}
        collector = make_collector(agreement)
        while collector.step != UPLOAD:
            for name, question in collector.ask().items():
                answer, to_others = contributors[name].answer(collector.step, question)
                for other, share in to_others.items():
                    contributors[other].deliver(name, share)
                collector.take(name, answer)
            collector.advance()
        question = collector.ask()[names[0]]
        ring = np.zeros(length + 1, np.uint64)
        # This thread's own time, so that a busy machine changes little.
        start = time.thread_time()
        contributors[names[0]].answer(UPLOAD, question, lambda ring=ring: ring)
        seconds = time.thread_time() - start
        # A share for each of nine others and one from each; a mask with each of them and the own one.
        streams = 18 if protocol == "additive" else 10
        rates.append(streams * ring.nbytes / 1e6 / seconds)
    return statistics.median(rates)


def simulated(protocol: str, pis: int, length: int) -> dict:
    """A whole round in this process: its seconds of processor time, and the bytes that a Pi sends and receives."""
    names = [f"pi{number:04d}" for number in range(pis)]
    layout = {"weights": (length,)}
    values = np.random.default_rng(0).standard_normal(length, np.float32)
    parties = {}
    for name in names:
        parties[name] = Rounds(Ledger(name, names, protocols=PROTOCOLS))
        parties[name].keep(Update(values, 1000, layout, MODEL))
    sent: Counter = Counter()
    start = time.process_time()
    total = run_round(
        new_agreement(protocol, names, MODEL, layout),
        parties,
        lambda who, step, message: sent.update({who: _bytes_in(message)}),
    )
    seconds = time.process_time() - start
    assert np.abs(total.mean - values).max() < 1e-5
    return {
        "protocol": protocol,
        "pis": pis,
        "values": length,
        "seconds": round(seconds, 4),
        "seconds_per_pi": round(seconds / pis, 5),
        "bytes_per_pi": round(sum(sent.values()) / pis),
    }


def _bytes_in(message: object) -> int:
    """About what a message takes on the wire."""
    if isinstance(message, dict):
        return sum(_bytes_in(key) + _bytes_in(value) for key, value in message.items())
    if isinstance(message, (list, tuple)):
        return sum(map(_bytes_in, message))
    if isinstance(message, np.ndarray):
        return message.nbytes
    return len(message) + 1 if isinstance(message, (str, bytes)) else 5


# Over loopback


class Pis:
    """Workers in processes of their own that sum what they are told to have learned.

    Args:
        pis: how many.
        hook: the TorchHook.
    """

    def __init__(self, pis: int, hook) -> None:
        from pisyft.transport import WebsocketClientWorker

        listeners = {f"pi{number}": socket.create_server(("127.0.0.1", 0)) for number in range(pis)}
        addresses = {name: listener.getsockname() for name, listener in listeners.items()}
        self._processes = []
        for name, listener in listeners.items():
            peers = [f"{peer},{host},{port}" for peer, (host, port) in addresses.items() if peer != name]
            command = [sys.executable, "-c", WORKER, name, str(listener.fileno()), MODEL, *peers]
            environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
            self._processes.append(
                subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=subprocess.PIPE, env=environment)
            )
            listener.close()
        for process in self._processes:
            assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        self._seeds = itertools.count()
        self.clients = {
            name: WebsocketClientWorker(hook, host, port, id=name, timeout=600)
            for name, (host, port) in addresses.items()
        }

    def close(self) -> None:
        for client in self.clients.values():
            client.close()
        for process in self._processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def _bytes(self, between_pis: bool = True) -> int:
        coordinators = sum(client.bytes_sent + client.bytes_received for client in self.clients.values())
        if not between_pis:
            return coordinators
        return coordinators + sum(client.call("count") for client in self.clients.values())

    def measure(self, protocol: str, length: int, repeats: int) -> dict:
        """Rounds over what the Pis have learned: median seconds, and bytes of one round."""
        from pisyft.secure_round import SecureRound

        seconds, sizes = [], []
        for _ in range(repeats + 1):
            for client in self.clients.values():
                # A new one for every round: a Pi gives an update away once.
                client.call("learn", length=length, seed=next(self._seeds))
            agreement = new_agreement(protocol, self.clients, MODEL, {"weights": (length,)})
            before = self._bytes()
            start = time.perf_counter()
            total = SecureRound(agreement, self.clients).run()
            seconds.append(time.perf_counter() - start)
            sizes.append(self._bytes() - before)
            assert total.weight == 1000 * len(self.clients)
        # The first round connects the Pis with each other.
        return self._figures(protocol, length, seconds[1:], sizes[1:])

    def measure_pysyft(self, length: int, repeats: int) -> dict:
        """The same sum with PySyft's tensors: vectors that are on the workers, shared and added up."""
        import torch

        from pisyft.aggregation.pointers import secure_sum

        seconds, sizes = [], []
        for _ in range(repeats + 1):
            vectors = [torch.randn(length).send(client) for client in self.clients.values()]
            before = self._bytes()
            start = time.perf_counter()
            secure_sum(vectors, list(self.clients.values()))
            seconds.append(time.perf_counter() - start)
            sizes.append(self._bytes() - before)
        return self._figures("pysyft tensors", length, seconds[1:], sizes[1:])

    def _figures(self, protocol: str, length: int, seconds: list[float], sizes: list[int]) -> dict:
        return {
            "protocol": protocol,
            "values": length,
            "pis": len(self.clients),
            "seconds": round(statistics.median(seconds), 4),
            "bytes_total": sizes[-1],
            "bytes_per_pi": round(sizes[-1] / len(self.clients)),
        }


def measure_rounds(sizes: dict[str, int], repeats: int) -> list[dict]:
    """All protocols, sizes and numbers of Pis."""
    import syft
    import torch

    torch.set_num_threads(1)
    hook = syft.TorchHook(torch)
    rounds = []
    for count in PIS:
        pis = Pis(count, hook)
        try:
            for length in sizes.values():
                times = repeats if length < 5_000_000 else 1
                for protocol in PROTOCOLS:
                    rounds.append(pis.measure(protocol, length, times))
                    print(rounds[-1], flush=True)
                if length * count**2 <= PYSYFT_MAX_VALUES:
                    rounds.append(pis.measure_pysyft(length, repeats if length * count < 5_000_000 else 1))
                    print(rounds[-1], flush=True)
        finally:
            pis.close()
    return rounds


def picture(growth: list[dict]) -> bytes:
    """Processor time of a Pi, and bytes beside its vector of parameters, as the Pis become more."""
    from matplotlib.figure import Figure

    from pisyft.plots import png

    figure = Figure(figsize=(11, 4.5), layout="constrained", dpi=110)
    seconds, sizes = figure.subplots(1, 2)
    for protocol, colour, line in (
        ("additive", "#0072B2", "o-"),
        ("masks", "#E69F00", "s-"),
        ("plain", "#555555", "^--"),
    ):
        of_protocol = [each for each in growth if each["protocol"] == protocol]
        pis = [each["pis"] for each in of_protocol]
        seconds.loglog(pis, [1000 * each["seconds_per_pi"] for each in of_protocol], line, color=colour, label=protocol)
        beside = [(each["bytes_per_pi"] - 8 * each["values"]) / 1000 for each in of_protocol]
        sizes.loglog(pis, beside, line, color=colour, label=protocol)
    for axes, title in (
        (seconds, "Milliseconds for each Pi"),
        (sizes, "Kilobytes of each Pi, beside its 216 kB"),
    ):
        axes.axvline(20, color="#999999", linestyle=":", linewidth=1)
        axes.set_title(title, loc="left")
        axes.set_xlabel("Pis")
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    seconds.legend(frameon=False)
    return png(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, 27 thousand and a million values only")
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "bench-aggregation")
    options = parser.parse_args()
    warnings.simplefilter("ignore", PlainAggregation)
    sizes = {name: length for name, length in SIZES.items() if not (options.quick and length > 1_000_000)}
    repeats = 1 if options.quick else 5
    simulated_pis = tuple(pis for pis in SIMULATED if not (options.quick and pis > 200))

    rates = {protocol: streams_mb_per_second(protocol, SIZES["1m"], repeats) for protocol in ("additive", "masks")}
    print({protocol: round(rate) for protocol, rate in rates.items()}, "MB/s", flush=True)
    growth = []
    for pis in simulated_pis:
        # Everybody with everybody: of a thousand Pis, that is half a million seeds with a stream on both sides.
        for protocol in PROTOCOLS if pis <= ADDITIVE_UP_TO else ("masks", "plain"):
            growth.append(simulated(protocol, pis, SIZES["27k"]))
            print(growth[-1], flush=True)
    rounds = measure_rounds(sizes, repeats)

    def figure(protocol: str, size: str, pis: int, key: str):
        (found,) = [
            each for each in rounds if (each["protocol"], each["values"], each["pis"]) == (protocol, SIZES[size], pis)
        ]
        return found[key]

    summary = {
        "share_mb_per_second": round(rates["additive"]),
        "mask_mb_per_second": round(rates["masks"]),
        "mask_bytes_over_plain_1m_10": figure("masks", "1m", 10, "bytes_total")
        / figure("plain", "1m", 10, "bytes_total"),
        "additive_seconds_27k_2": figure("additive", "27k", 2, "seconds"),
        "mask_seconds_27k_2": figure("masks", "27k", 2, "seconds"),
        "mask_seconds_1m_10": figure("masks", "1m", 10, "seconds"),
        "pysyft_tensor_seconds_27k_2": figure("pysyft tensors", "27k", 2, "seconds"),
        "simulated_pis": max(simulated_pis),
        "rounds": rounds,
        "growth": growth,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    (options.out / "growth.png").write_bytes(picture(growth))
    print(json.dumps({key: value for key, value in summary.items() if key not in ("rounds", "growth")}, indent=2))


if __name__ == "__main__":
    main()
