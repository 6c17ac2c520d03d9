"""A Flower deployment on this machine: a SuperLink and SuperNodes as processes, with TLS and keys made for one run.

Everything listens on loopback. Telemetry, update checks and installing at run time are off.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pisyft.classroom import create
from pisyft.files import write_whole

_START_SECONDS = 120
_STOP_SECONDS = 20
_LOG_LINES = 15
_CONNECTION = "pisyft"
_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "RAY_USAGE_STATS_ENABLED": "0"}


class DeploymentError(Exception):
    """Flower could not be started, or a run on it failed. The text says why, with the end of a log."""


class Deployment:
    """A SuperLink and SuperNodes on this machine, for as long as the `with` lasts.

        with Deployment({"alice": names_of_alice, "bob": names_of_bob}, folder) as deployment:
            summary = deployment.run({"rounds": 3}, folder / "out")

    Args:
        names: each device's folder of names, by its id.
        folder: where keys, logs and Flower's state go.
        allow_plain: whether devices take part in sums that hide nothing.
        alphabet: of the devices' names.

    Raises:
        DeploymentError: from `start()`; nothing is left running then.
    """

    def __init__(
        self, names: Mapping[str, Path], folder: Path, allow_plain: bool = False, alphabet: str = "tutorial"
    ) -> None:
        self.names, self.folder = dict(names), folder
        self._allow_plain, self._alphabet = allow_plain, alphabet
        self._processes: dict[str, subprocess.Popen] = {}
        self._port = 0

    def __enter__(self) -> Deployment:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Make certificates and keys, start the SuperLink, register the devices' keys and start the SuperNodes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._start_superlink()
            for device in self.names:
                self._start_supernode(device)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything that was started, with what it has started itself. Safe to call twice."""
        try:
            for process in self._processes.values():
                _signal_group(process, signal.SIGTERM)
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_SECONDS)
        finally:  # also when somebody presses Ctrl-C again since it takes so long
            for process in self._processes.values():
                _signal_group(process, signal.SIGKILL)
                process.wait()
            self._processes.clear()
            self._end_detached()

    def _end_detached(self) -> None:
        """End what Flower has started in sessions of its own, which would take a while to notice that it can end."""
        until = time.monotonic() + _STOP_SECONDS
        while (left := self._detached()) and time.monotonic() < until:  # what is killed takes a moment to be gone
            for process in left:
                with contextlib.suppress(OSError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def _detached(self) -> list[int]:
        """The ids of all processes of this deployment; elsewhere than on Linux none, they are left to notice."""
        marker, found = os.fsencode(f"FLWR_HOME={self._home}"), []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if marker in (folder / "environ").read_bytes().split(b"\0") and int(folder.name) != os.getpid():
                    found.append(int(folder.name))
        return found

    def processes(self) -> dict[str, int]:
        """The process groups: of the SuperLink, and of each device's SuperNode."""
        return {name: process.pid for name, process in self._processes.items()}

    def run(
        self, config: Mapping[str, object], out: Path, on_event: Callable[[dict], object] = lambda event: None
    ) -> dict:
        """Submit a run, and wait until it has ended; its summary.

        Args:
            config: what differs from the app's own configuration, by its keys.
            out: where the run writes to.
            on_event: called with what the run tells: `{"round": 1, "of": 15}`.

        Raises:
            DeploymentError: it failed.
        """
        out.mkdir(parents=True, exist_ok=True)
        events = out / "flower.jsonl"
        events.unlink(missing_ok=True)
        chosen = {"out": str(out.resolve()), "supernodes": len(self.names), **config}
        overrides = self.folder / "run.toml"
        overrides.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in chosen.items()), "utf-8")
        self._flwr("run", str(Path(__file__).parent / "app"), _CONNECTION, "--run-config", str(overrides))
        told = 0
        while True:
            lines = events.read_text(encoding="utf-8").splitlines() if events.exists() else []
            for line in lines[told:]:
                event = json.loads(line)
                if "error" in event:
                    raise DeploymentError(event["error"])
                if "done" in event:
                    return json.loads((out / "summary.json").read_text(encoding="utf-8"))
                on_event(event)
            told = len(lines)
            self._check_alive()
            time.sleep(0.1)

    def _start_superlink(self) -> None:
        self._port = _free_port()
        shutil.rmtree(self.folder / "keys", ignore_errors=True)
        members = {"superlink": ("127.0.0.1", self._port), **dict.fromkeys(self.names, ("127.0.0.1", self._port))}
        create(self.folder / "keys", members, "flower")
        own = self.folder / "keys" / "superlink"
        config = "\n".join(
            [
                "[superlink]",
                f'default = "{_CONNECTION}"',
                f"[superlink.{_CONNECTION}]",
                f'address = "127.0.0.1:{self._port}"',
                f"root-certificates = {json.dumps(str((own / 'authority.pem').resolve()))}",
                "",
            ]
        )
        self._home.mkdir(exist_ok=True)
        (self._home / "config.toml").write_text(config, encoding="utf-8")
        self._spawn(
            "superlink",
            "flower-superlink",
            *("--host", "127.0.0.1", "--port", str(self._port), "--enable-supernode-auth"),
            *("--ssl-ca-certfile", own / "authority.pem", "--ssl-certfile", own / "superlink.pem"),
            *("--ssl-keyfile", own / "superlink.key", "--disable-runtime-dependency-installation"),
        )
        self._wait_until_listening()

    def _start_supernode(self, device: str) -> None:
        own = self.folder / "keys" / device
        key = ec.generate_private_key(ec.SECP384R1())
        write_whole(
            own / "supernode",
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            ),
            mode=0o600,
        )
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        write_whole(own / "supernode.pub", public)
        self._flwr("supernode", "register", str(own / "supernode.pub"), _CONNECTION)
        configured = {"id": device, "names": str(self.names[device].resolve()), "alphabet": self._alphabet}
        config = " ".join(f"{name}={json.dumps(value)}" for name, value in configured.items())
        if self._allow_plain:
            config += " allow-plain=true"
        self._spawn(
            device,
            "flower-supernode",
            *("--superlink", f"127.0.0.1:{self._port}", "--root-certificates", own / "authority.pem"),
            *("--auth-supernode-private-key", own / "supernode", "--node-config", config),
            *("--host", "127.0.0.1", "--port", str(_free_port())),
            *("--ssl-ca-certfile", own / "authority.pem", "--ssl-certfile", own / f"{device}.pem"),
            *("--ssl-keyfile", own / f"{device}.key"),
        )

    def _spawn(self, name: str, command: str, *arguments: object) -> None:
        with self._log(name).open("wb") as log:
            self._processes[name] = subprocess.Popen(
                [_command(command), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                # A group of its own, which is ended as a whole: it starts processes itself.
                start_new_session=True,
            )

    def _flwr(self, *arguments: str) -> None:
        done = subprocess.run(
            [_command("flwr"), *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env=self._environment(),
            timeout=_START_SECONDS,
        )
        if done.returncode:
            raise DeploymentError(f"flwr {' '.join(arguments[:2])} failed: {(done.stderr or done.stdout).strip()}")

    def _environment(self) -> dict[str, str]:
        # Flower looks for its other commands on the path.
        path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))
        return {**os.environ, **_QUIET, "PATH": path, "FLWR_HOME": str(self._home)}

    @property
    def _home(self) -> Path:
        """Where Flower keeps its configuration and state, of this deployment alone."""
        return (self.folder / "home").resolve()

    def _wait_until_listening(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=1):
                return
            self._check_alive()
            if time.monotonic() > until:
                raise DeploymentError(f"the SuperLink did not start. Its log ends:\n{self._end_of_log('superlink')}")
            time.sleep(0.1)

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                raise DeploymentError(
                    f"{name} has ended (exit status {process.returncode}). Its log ends:\n{self._end_of_log(name)}"
                )

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def _end_of_log(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _command(name: str) -> str:
    """One of Flower's commands, of the environment that runs this."""
    return str(Path(sys.executable).parent / name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _signal_group(process: subprocess.Popen, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
