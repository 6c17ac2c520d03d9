"""Small things that several tests need."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

# How long a test waits for something that must happen: generous, since machines are slow and shared.
PATIENCE_SECONDS = 120


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Wait until a condition holds; fail with `what` was waited for if it never does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"waited {PATIENCE_SECONDS} s in vain until {what}"
        time.sleep(0.02)


def free_port() -> int:
    """A TCP port of this machine at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def processes_about(path: Path | str) -> list[int]:
    """The ids of all processes on this machine whose command line names a path."""
    wanted = os.fsencode(path)
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            try:
                if wanted in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
            except OSError:  # it ended just now
                continue
    return found


def kill_processes_about(path: Path | str) -> None:
    """End what a test that failed may have left running; `path` is in a folder of that test alone."""
    for process in processes_about(path):
        os.kill(process, signal.SIGKILL)


def heed_ctrl_c() -> None:
    """In a process that is about to start: Ctrl-C ends it, also where the shell that runs the tests ignores Ctrl-C.

    A shell that is no terminal starts what is in the background (`make test &`) so, and every process inherits it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def forget_workers(hook, *ids: str) -> None:
    """Have PySyft, which may run both sides in this process, take the next worker of such an id for another one."""
    for known in (*hook.local_worker._known_workers.values(), hook.local_worker):
        for id in ids:
            known._known_workers.pop(id, None)


def run_python(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run this Python with arguments, and these environment variables beside its own, until it ends."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE_SECONDS,
        env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment},
    )


def run_pisyft(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the `pisyft` command until it ends."""
    return run_python("-m", "pisyft", *arguments, **environment)
