"""Processes that a benchmark starts, asks and ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
START_SECONDS = 180


class Process:
    """A program that answers a line of JSON with a line of JSON.

    Args:
        command: the program and its arguments.
        says_when_ready: whether it writes a line when it can be asked.
    """

    def __init__(self, command: Sequence[object], says_when_ready: bool = True) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._process = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        if says_when_ready:
            self.first_line = self.read_line()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                stream.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def read_line(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with status {self._process.wait()}")
        return line

    def ask(self, question: object) -> dict:
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self.read_line())


def program(name: str, *arguments: object, python: str | Path = sys.executable) -> Process:
    """A program of this folder, ready to be asked."""
    return Process([python, HERE / name, *arguments])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def wait_for_port(port: int) -> None:
    """Wait until something listens on a port of this machine."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
