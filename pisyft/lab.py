"""A classroom on one machine: workers as processes of their own, each with its own folder of names."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from pisyft.classroom import Classroom, ClassroomError, create

if TYPE_CHECKING:
    from pisyft.settings import Settings

# A worker imports PyTorch first, which takes its time on a slow or busy machine.
START_SECONDS = 180
_STOP_SECONDS = 20
_LOG_LINES = 15
_CLASSROOM = "classroom"


class LabError(Exception):
    """The lab could not be set up. The text says why; for a worker, with the end of its log."""


class Lab:
    """Workers on this machine, for as long as the `with` lasts.

        with Lab("data/names", ["alice", "bob"]) as lab:
            host, port = lab.addresses["alice"]

    The names are dealt out to the workers' folders by a process of their own: the process that opens the lab, which
    is usually the coordinator, never reads them.

    Args:
        names: a folder with one file `Language.txt` for each language.
        workers: the ids of the workers.
        folder: where the workers' names, models and logs go; by default a temporary folder, which goes with the lab.
        seed: deals the names, and chooses the ones that are held out.
        policy: of the workers, "teach" for pointers, "strict" for verbs only, or "open", which hides nothing and with
            which they hold no names.
        allow_plain: whether the workers take part in sums that hide nothing.
        certificates: whether workers and coordinator prove to each other who they are, with certificates of a
            classroom that is made for this lab.
        alphabet: the letters that names are spelled in, "tutorial" or "unicode".
        worker_options: more options of `pisyft worker`, for each of them.
        by: who gets which names: "equal" parts of everything, whole languages ("language"), or "dirichlet".

    Attributes:
        addresses: where each worker listens, `(host, port)`, by id.
        classroom: the coordinator's side of the classroom, if there are certificates and the lab is open.

    Raises:
        LabError: from `start()`; nothing is left running then.
    """

    # What a worker's process runs, before the arguments of `pisyft worker`.
    program: Sequence[str] = ("-m", "pisyft", "worker")

    def __init__(
        self,
        names: str | Path,
        workers: Sequence[str] = ("alice", "bob"),
        folder: str | Path | None = None,
        seed: int = 0,
        policy: str = "teach",
        allow_plain: bool = False,
        certificates: bool = False,
        alphabet: str = "tutorial",
        worker_options: Sequence[str] = (),
        by: str = "equal",
    ) -> None:
        if len(set(workers)) < len(workers):
            raise LabError(f"two workers have the same id: {', '.join(workers)}")
        self.names, self.workers, self.seed, self.policy = Path(names), list(workers), seed, policy
        self._allow_plain, self._certificates, self._alphabet = allow_plain, certificates, alphabet
        self._worker_options = list(worker_options)
        self._by = by
        self.classroom: Classroom | None = None
        self.addresses: dict[str, tuple[str, int]] = {}
        self._wanted_folder = folder
        self._folder: Path | None = None
        self._processes: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Lab:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    @property
    def folder(self) -> Path:
        """The folder with a folder for each worker, while the lab is open."""
        assert self._folder is not None, "the lab is not open"
        return self._folder

    def names_of(self, worker: str) -> Path:
        """The folder with a worker's names."""
        return self.folder / worker / "names"

    def log_of(self, worker: str) -> Path:
        """The file that a worker writes its log to."""
        return self.folder / worker / "worker.log"

    def start(self) -> None:
        """Deal the names, start the workers and wait until each is ready."""
        if self._processes:
            raise LabError("the lab is open already")
        try:
            self._prepare_folder()
            self._deal()
            with contextlib.ExitStack() as until_inherited:
                # Closed here once the workers have them, so that calls fail when a worker is gone.
                listeners = {worker: until_inherited.enter_context(_listener()) for worker in self.workers}
                self.addresses = {worker: listener.getsockname() for worker, listener in listeners.items()}
                if self._certificates:
                    self.classroom = self._make_classroom()
                for worker, listener in listeners.items():
                    self._processes[worker] = self._spawn(worker, listener)
            for worker in self.workers:
                self._wait_until_ready(worker)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the workers, and remove the folder if it was temporary. Safe to call twice."""
        for process in self._processes.values():
            if process.poll() is None:
                process.terminate()
        for process in self._processes.values():
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdin is not None
            process.stdin.close()
        self._processes.clear()
        if self._wanted_folder is None and self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def kill(self, worker: str) -> None:
        """Kill a worker without warning (SIGKILL), as pulling its plug would."""
        self._processes[worker].send_signal(signal.SIGKILL)
        self._processes[worker].wait()

    def train_centrally(self, settings: Settings) -> dict:
        """Train the same model on all workers' names in one place, in a process of its own; its counts."""
        output = self._run(
            *("pisyft.learning.central", "--model", settings.model, "--strategy", settings.strategy),
            *("--rounds", settings.rounds, "--training", json.dumps(asdict(settings.training))),
            *("--options", json.dumps(settings.options), "--alphabet", self._alphabet),
            *(self.names_of(worker) for worker in self.workers),
        )
        return json.loads(output)

    def _prepare_folder(self) -> None:
        if self._wanted_folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="pisyft-lab-"))
            return
        self._folder = Path(self._wanted_folder)
        for worker in self.workers:
            # Names of an earlier lab must not mix with this one's; models that were released stay.
            shutil.rmtree(self.names_of(worker), ignore_errors=True)
            # Which sums they were part of: a run that is begun again would not come to the same model with it.
            (self._folder / worker / "models" / "rounds.jsonl").unlink(missing_ok=True)

    def _make_classroom(self) -> Classroom:
        folder = self.folder / _CLASSROOM
        shutil.rmtree(folder, ignore_errors=True)  # an earlier lab's, whose workers are gone
        try:
            return Classroom.load(create(folder, self.addresses, "lab")["coordinator"])
        except ClassroomError as error:
            raise LabError(str(error)) from error

    def _deal(self) -> None:
        self._run(
            *("pisyft", "data", "split", self.names, "--into", self.folder, "--seed", self.seed),
            *("--alphabet", self._alphabet, "--by", self._by),
            *(argument for worker in self.workers for argument in ("--worker", worker)),
        )

    def _run(self, module: str, *arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", module, *map(str, arguments)],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
        if done.returncode:
            raise LabError(done.stderr.strip().removeprefix("Error: ") or f"{module} failed ({done.returncode})")
        return done.stdout

    def _spawn(self, worker: str, listener: socket.socket) -> subprocess.Popen:
        host, port = self.addresses[worker]
        command = [
            *(sys.executable, *self.program, "--host", host, "--port", str(port)),
            *("--models", str(self.folder / worker / "models")),
            *("--seed", str(self.seed), "--policy", self.policy, "--alphabet", self._alphabet),
            *("--listen-fd", str(listener.fileno()), "--until-stdin-closes"),
        ]
        if self.policy != "open":  # under which a worker holds no names
            command += ["--data", str(self.names_of(worker))]
        if self._certificates:
            command += ["--classroom", str(self.folder / _CLASSROOM / worker)]
        else:
            command += ["--id", worker]
            for peer, (peer_host, peer_port) in self.addresses.items():
                if peer != worker:
                    command += ["--peer", f"{peer}={peer_host}:{peer_port}"]
        if self._allow_plain:
            command.append("--allow-plain")
        command += self._worker_options
        if self._wanted_folder is None:
            command += ["--then-remove", str(self.folder)]
        with self.log_of(worker).open("wb") as log:
            return subprocess.Popen(
                command,
                # Stays open as long as this process lives: the worker goes with it, however it ends.
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=[listener.fileno()],
                # Ctrl-C is for this process, which then stops the workers.
                start_new_session=True,
            )

    def _wait_until_ready(self, worker: str) -> None:
        process, log = self._processes[worker], self.log_of(worker)
        deadline = time.monotonic() + START_SECONDS
        while " is ready " not in log.read_text(errors="replace"):
            if process.poll() is not None:
                raise LabError(
                    f"worker {worker} did not start (exit status {process.returncode}). Its log ends:\n{_end(log)}"
                )
            if time.monotonic() > deadline:
                raise LabError(f"worker {worker} was not ready within {START_SECONDS} s. Its log ends:\n{_end(log)}")
            time.sleep(0.05)


def _listener() -> socket.socket:
    """A socket that listens on a free port of this machine, chosen by the system."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
