"""Real workers that are killed, restarted and cut off, and a coordinator that is watched: for tests of what goes wrong.

The processes run `pisyft worker` as a Pi does. What kills them is a coordinator's client that ends a process right
before it calls it, a little while after, or when it has the answer: nothing in the project knows of it.
"""

from __future__ import annotations

import contextlib
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import syft
import torch

from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.errors import Refused, RoundAborted
from pisyft.aggregation.protocol import Total
from pisyft.aggregation.rounds import Update
from pisyft.contribution import Contribution
from pisyft.federation import Federation
from pisyft.learning.names import read_parts
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import to_vector
from pisyft.participant import Participant
from pisyft.release import ModelStore
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.server import Caller, Calling
from tests.helpers import PATIENCE_SECONDS, wait_until
from tests.proxy import Proxy

# A round that takes longer than this hangs.
HANG_SECONDS = 120.0

_SEED = 0

BEFORE, DURING, AFTER = MOMENTS = ("before", "during", "after")
STEPS = {
    "additive": ("join", "share", "fit", "upload"),
    "masks": ("join", "share", "fit", "upload", "confirm", "unmask"),
}


@dataclass(frozen=True)
class KillPoint:
    """When to kill whom.

    Attributes:
        protocol: additive or masks.
        victim: the worker that is killed.
        called: the worker whose call triggers it: the victim, or another one that is just then talking to it.
        step: of the protocol, or `fit`.
        moment: before the call, `delay` seconds after it was sent, or when its answer is there.
    """

    protocol: str
    victim: str
    called: str
    step: str
    moment: str
    delay: float = 0.0

    def __str__(self) -> str:
        delay = f" ({self.delay * 1000:.1f} ms)" if self.moment == DURING else ""
        return f"{self.protocol}: {self.victim} killed {self.moment} {self.step!r} of {self.called}{delay}"


def draw(generator: random.Random, workers: list[str]) -> KillPoint:
    """A random kill point."""
    protocol = generator.choice(list(STEPS))
    return KillPoint(
        protocol,
        victim=generator.choice(workers),
        called=generator.choice(workers),
        step=generator.choice(STEPS[protocol]),
        moment=generator.choice(MOMENTS),
        delay=generator.uniform(0, 0.03),
    )


@dataclass(frozen=True)
class Outcome:
    """How a round ended: "finished" (`total` is there), "aborted" (`aborted` says why), "wrong sum" or "hang"."""

    kind: str
    text: str
    seconds: float
    total: Total | None = None
    aborted: RoundAborted | None = None


class Watched(WebsocketClientWorker):
    """A client that can end a worker's process around a call of its own."""

    kill_point: KillPoint | None = None
    classroom: Classroom | None = None

    def call(self, verb, report=None, **arguments):
        point = self.kill_point
        step = arguments.get("step") if verb == "aggregate" else verb
        if point is None or self.classroom is None or (point.called, point.step) != (self.id, step):
            return super().call(verb, report, **arguments)
        self.kill_point = None
        if point.moment == BEFORE:
            self.classroom.kill(point.victim)
        killer = threading.Timer(point.delay, self.classroom.kill, [point.victim])
        if point.moment == DURING:
            killer.start()
        try:
            return super().call(verb, report, **arguments)
        finally:
            if point.moment == AFTER:
                self.classroom.kill(point.victim)
            if point.moment == DURING:
                killer.join()


class Classroom:
    """Workers in processes of their own.

    Args:
        names: a folder with a file for each language; every worker has a part of the names.
        workers: their ids.
        folder: where each has its own folder.
        proxied: whether each is behind proxies: one for the coordinator, one for each other worker.
        answer_seconds: how long the coordinator waits for an answer.
    """

    def __init__(
        self,
        names: Path,
        workers: list[str],
        folder: Path,
        proxied: bool = False,
        answer_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self.workers, self.folder = workers, folder
        for number, worker in enumerate(workers):
            own = folder / worker / "names"
            own.mkdir(parents=True)
            for file in sorted(names.iterdir()):
                lines = file.read_text(encoding="utf-8").splitlines()
                (own / file.name).write_text("\n".join(lines[number :: len(workers)]) + "\n", encoding="utf-8")
        self._processes: dict[str, subprocess.Popen] = {}
        self._ports = dict(zip(workers, _free_ports(len(workers)), strict=True))
        self._clients: list[Watched] = []
        self._stack = contextlib.ExitStack()
        self._seed = 1
        # By who calls whom; the coordinator is "".
        self.proxies: dict[tuple[str, str], Proxy] = {
            (caller, worker): self._stack.enter_context(Proxy(("127.0.0.1", self._ports[worker])))
            for worker in workers
            for caller in ("", *workers)
            if proxied and caller != worker
        }
        self._answer_seconds = answer_seconds

    def __enter__(self) -> Classroom:
        try:
            for worker in self.workers:
                self.start(worker)
            for worker in self.workers:
                self.wait_for(worker)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """End everything, also after a failure."""
        for client in self._clients:
            client.close()
            for known in list(syft.local_worker._known_workers.values()):
                known._known_workers.pop(client.id, None)
        for worker in self._processes:
            self.kill(worker)
        self._stack.close()

    # Processes

    def start(self, worker: str) -> None:
        """Start a worker, without waiting until it is ready."""
        peers = [
            argument
            for peer in self.workers
            if peer != worker
            for argument in ("--peer", f"{peer}={self._address(worker, peer)}")
        ]
        command = [
            *(sys.executable, "-m", "pisyft", "worker", "--id", worker, "--port", str(self._ports[worker])),
            *("--data", str(self.folder / worker / "names"), "--until-stdin-closes", *peers),
            *("--seed", str(_SEED)),  # so that the same can be learned here, to compare
        ]
        with self._log(worker).open("wb") as log:
            self._processes[worker] = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_for(self, worker: str) -> None:
        """Wait until a worker is ready."""

        def ready() -> bool:
            text = self._log(worker).read_text(encoding="utf-8")
            assert self._processes[worker].poll() is None, text
            return " is ready on " in text

        wait_until(ready, f"{worker} is ready")

    def kill(self, worker: str) -> None:
        """End a worker without warning, as pulling its plug would. Does nothing where there is none."""
        process = self._processes[worker]
        process.send_signal(signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
        assert process.stdin is not None
        process.stdin.close()

    def restart_the_killed(self) -> None:
        """Start every worker that is not running, and wait until it is ready."""
        killed = [worker for worker in self.workers if self._processes[worker].poll() is not None]
        for worker in killed:
            self.start(worker)
        for worker in killed:
            self.wait_for(worker)

    def address_of(self, worker: str) -> str:
        """Where a coordinator finds a worker, `host:port`."""
        return self._address("", worker)

    def _address(self, caller: str, worker: str) -> str:
        """Where a caller finds a worker."""
        proxy = self.proxies.get((caller, worker))
        host, port = proxy.address if proxy else ("127.0.0.1", self._ports[worker])
        return f"{host}:{port}"

    def _log(self, worker: str) -> Path:
        return self.folder / worker / "worker.log"

    # The coordinator

    def connect(self, hook: syft.TorchHook) -> Federation:
        """A federation of all workers, through the proxies."""
        for worker in self.workers:
            host, _, port = self._address("", worker).partition(":")
            self._clients.append(Watched(hook, host, int(port), id=worker, timeout=self._answer_seconds))
        return Federation(self._clients)

    def run_round(self, federation: Federation, protocol: str, kill: KillPoint | None = None) -> Outcome:
        """Run a round, and see how it ends. Every round trains with another seed, so that its updates are new."""
        self._seed += 1
        settings = TrainingSettings(steps=1, batch_size=16, seed=self._seed)
        model = federation.new_model(seed=self._seed)
        message = to_vector(model).detach().numpy()
        for client in self._clients:
            client.kill_point, client.classroom = kill, self
        result: list = []

        def run() -> None:
            try:
                result.append(federation.train_and_sum(model, "tutorial", message, settings, protocol).total)
            except Exception as error:
                result.append(error)

        start = time.monotonic()
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(HANG_SECONDS)
        seconds = time.monotonic() - start
        for client in self._clients:
            client.kill_point = None
        if not result:
            return Outcome("hang", f"no end after {HANG_SECONDS:g} s", seconds)
        if isinstance(result[0], RoundAborted):
            return Outcome("aborted", str(result[0]), seconds, aborted=result[0])
        if isinstance(result[0], Exception):
            raise result[0]
        return self._judge(result[0], message, settings, seconds)

    def _judge(self, total: Total, message: np.ndarray, settings: TrainingSettings, seconds: float) -> Outcome:
        updates = {worker: self.update_of(worker, message, settings) for worker in total.contributors}
        weights = np.array([update.weight for update in updates.values()], np.float64)
        mean = weights @ np.stack([update.values for update in updates.values()]).astype(np.float64) / weights.sum()
        error = float(np.abs(total.mean - mean).max())
        text = f"{', '.join(total.contributors)}; error {error:.1e}"
        right = total.weight == weights.sum() and error <= len(updates) * 2.0**-22
        return Outcome("finished" if right else "wrong sum", text, seconds, total)

    def update_of(self, worker: str, message: np.ndarray, settings: TrainingSettings) -> Update:
        """What a worker learns in a round, found out by training on its names here."""
        return learn(self.folder / worker, worker, message, settings)

    def keeps_a_part_of(self, round_id: str) -> list[str]:
        """The running workers that have not forgotten a round: each is asked to take a step of it."""
        keeping = []
        for client in self._clients:
            if self._processes[str(client.id)].poll() is None:
                try:
                    client.call("aggregate", round=round_id, step="upload", message={})
                except Refused as refused:
                    if "is in no round" in str(refused):
                        continue
                keeping.append(str(client.id))
        return keeping


class _Learner(Contribution):
    """Keeps what a training has changed where a test can see it."""

    update: Update

    def keep(self, model, change, names, training, forgotten) -> None:
        self.update = Update(change, names, {}, "")


def learn(folder: Path, worker: str, message: np.ndarray, settings: TrainingSettings) -> Update:
    """Train as the worker with this folder does, in this process."""
    learner = _Learner(Ledger(worker, []))
    participant = Participant(
        worker, read_parts(folder / "names", seed=_SEED), _SEED, ModelStore(folder / "none"), learner
    )
    calling = Calling(Caller("me", is_peer=False), lambda _: None)
    participant.fit(calling, round="", model="tutorial", weights=message, settings=asdict(settings))
    return learner.update


def _free_ports(count: int) -> Iterator[int]:
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(socket.socket()) for _ in range(count)]
        for listener in listeners:
            listener.bind(("127.0.0.1", 0))
        return iter([listener.getsockname()[1] for listener in listeners])


# Training here must be what it is there.
torch.set_num_threads(1)
