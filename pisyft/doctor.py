"""Is this machine fit for a federation? One check a fact, each with what was found and, where it fails, its mend.

Imports neither PyTorch nor PySyft in this process until a child process has shown that they run on this processor.
"""

from __future__ import annotations

import errno
import os
import platform
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from pisyft import board
from pisyft.compat import requirements

if TYPE_CHECKING:
    from pisyft.classroom import Classroom

OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"

_MB = 1_000_000
_PYTHON = (3, 10)
_TORCH = ((2, 6), (2, 13))
_TRY_TORCH = "import torch; ones = torch.ones(64, 64); assert (ones @ ones).sum() == 64 ** 3; print(torch.__version__)"
_TORCH_SECONDS = 300  # an emulated or very slow card
_COMMAND_SECONDS = 10
# A worker is some 250 MB; the system has its part of a Zero 2 W's 512.
_WORKER_BYTES, _MEMORY_BYTES, _SMALL_BYTES = 260 * _MB, 380 * _MB, 1000 * _MB
_WARM, _HOT = 70, 80  # degrees Celsius; at 80 a Pi makes its processor slower
_FREE_BYTES = 100 * _MB
_WRITTEN_BYTES, _WRITING_SECONDS, _SLOW_BYTES = 8 * _MB, 5, 5 * _MB
_SKEW_SECONDS, _LARGE_SKEW_SECONDS = 2, 300
_PEER_SECONDS = 5
_PINGS, _PAYLOAD_BYTES = 5, 256 * 1024
_LATENCY_SECONDS, _SLOW_BITS = 0.2, 1_000_000
_EXPIRES_SOON_DAYS = 30
# What the bits of `vcgencmd get_throttled` mean: now, and (16 bits further up) since the Pi was switched on.
_THROTTLED = {0: "under-voltage", 1: "processor held back", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class Check:
    """One fact about a machine.

    Attributes:
        name: what was looked at.
        state: "ok", "warning" (it works, but not well), "failed" (it will not work) or "skipped" (it cannot be told).
        found: the fact.
        mend: what to do about it; "" where nothing need be done.
    """

    name: str
    state: str
    found: str
    mend: str = ""

    def as_answer(self) -> dict[str, str]:
        return asdict(self)


def examine(
    classroom: Callable[[], Classroom] | None = None,
    peers: Mapping[str, tuple[str, int]] | None = None,
    folder: Path = Path(),
    port: int | None = None,
    root: Path = Path("/"),
) -> Iterator[Check]:
    """All checks, one after the other, as they are done.

    Args:
        classroom: loads the classroom whose member this machine is; raises what is wrong with it.
        peers: other workers to reach, `(host, port)`, by id, where there is no classroom.
        folder: where names and models are; a few megabytes are written there, and removed.
        port: that a worker here listens on; by default the classroom's.
        root: where /proc and /sys are.
    """
    yield check_system()
    yield Check("board", OK, str(board.facts(root)["model"]))
    yield check_python()
    torch = check_torch()
    yield torch
    syft = check_syft()
    yield syft
    yield check_power(throttled())
    yield check_temperature(board.temperature_celsius(root))
    yield from check_memory(*board.memory_bytes(root), swap_bytes(root))
    yield check_disk(folder)
    yield check_clock(ntp_synchronised())
    room = None
    if classroom is not None:
        try:
            room = classroom()
        except Exception as error:  # each kind says what to do
            yield Check("certificates", FAILED, str(error), "Mend that first: the classroom is not looked at further.")
        else:
            yield check_certificates(room)
    if room is not None and room.id in room.pis:
        port = room.pis[room.id][1] if port is None else port
    if port is not None:
        yield check_port(port)
    others = room.peers if room is not None else dict(peers or {})
    if others and (torch.state == FAILED or syft.state == FAILED):
        yield Check("peers", SKIPPED, "other workers are called with PySyft, which does not run here yet")
    elif others:
        yield from check_peers(others, room)
    if looked_for := [peer for peer, (host, _) in others.items() if not host]:
        yield check_ids(looked_for)


def check_system(machine: str = "", bits: int = 0) -> Check:
    """64 bits, of system and Python alike: there are no wheels for less."""
    machine, bits = machine or platform.machine(), bits or struct.calcsize("P") * 8
    found = f"{platform.system()}, {machine}, {bits} bits"
    if bits == 64:
        return Check("system", OK, found)
    return Check("system", FAILED, found, "Install Raspberry Pi OS (64-bit): PyTorch has no wheels for 32 bits.")


def check_python(version: tuple[int, ...] = sys.version_info[:3]) -> Check:
    found = ".".join(map(str, version))
    if version >= _PYTHON:
        return Check("Python", OK, found)
    return Check("Python", FAILED, found, "PiSyft needs Python 3.10 or later: Raspberry Pi OS Bookworm brings 3.11.")


def check_torch() -> Check:
    """PyTorch multiplies two matrices in a process of its own, which may die of it."""
    advice = f'Install one that does: pip install "torch=={"2.9.1" if platform.machine() == "aarch64" else "2.13.0"}"'
    version = _version("torch")
    if version is None:
        return Check("PyTorch", FAILED, "not installed", advice)
    try:
        tried = _run(sys.executable, "-c", _TRY_TORCH, seconds=_TORCH_SECONDS)
    except subprocess.TimeoutExpired:
        return Check("PyTorch", FAILED, f"{version}: not imported within {_TORCH_SECONDS} s", "Is the memory full?")
    if tried.returncode == -signal.SIGILL:
        return Check("PyTorch", FAILED, f"{version} uses instructions that this processor does not have", advice)
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or [_ended(tried.returncode)])[-1]
        return Check("PyTorch", FAILED, f"{version} does not run: {reason}", advice)
    numbers = tuple(int(number) for number in version.split("+")[0].split(".")[:2])
    if not _TORCH[0] <= numbers <= _TORCH[1]:
        return Check("PyTorch", WARNING, f"{version} runs, but PiSyft was not tested with it", advice)
    return Check("PyTorch", OK, f"{version} runs on this processor")


def check_syft() -> Check:
    problem = requirements.problem()
    if problem:
        return Check("PySyft", FAILED, problem, "pisyft setup")
    return Check("PySyft", OK, f"{requirements.PYSYFT}; PiSyft {_version('pisyft') or 'from this folder'}")


def throttled() -> int | None:
    """What the firmware of a Pi says of its power supply and heat, in bits; None on other machines."""
    tool = shutil.which("vcgencmd")
    if tool is None:
        return None
    try:
        told = _run(tool, "get_throttled").stdout.strip().partition("=")[2]
        return int(told, 16)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None


def check_power(bits: int | None) -> Check:
    """Under-voltage and throttling: the usual reason why a Pi is slow, or ends in the middle."""
    if bits is None:
        return Check("power", SKIPPED, "vcgencmd is not here, or tells nothing: only a Pi's firmware knows")
    now = [meaning for bit, meaning in _THROTTLED.items() if bits >> bit & 1]
    before = [meaning for bit, meaning in _THROTTLED.items() if bits >> (bit + 16) & 1 and meaning not in now]
    if not now and not before:
        return Check("power", OK, "no under-voltage, not throttled since it was switched on")
    power = "under-voltage" in (*now, *before)
    mend = "Use the power supply made for this Pi, and a short cable." if power else "Give it air, or a heat sink."
    if now:
        return Check("power", FAILED if power else WARNING, f"now: {', '.join(now)}", mend)
    return Check("power", WARNING, f"since it was switched on: {', '.join(before)}", mend)


def check_temperature(celsius: float | None) -> Check:
    if celsius is None:
        return Check("temperature", SKIPPED, "nothing measures it here")
    found = f"{celsius:.0f} °C"
    if celsius < _WARM:
        return Check("temperature", OK, found)
    mend = f"Give it air, or a heat sink: from {_HOT} °C on it makes itself slower."
    return Check("temperature", WARNING if celsius < _HOT else FAILED, found, mend)


def swap_bytes(root: Path = Path("/")) -> int | None:
    """How much memory there is on disk, or compressed."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("SwapTotal:")), 0)


def check_memory(total: int | None, available: int | None, swap: int | None) -> Iterator[Check]:
    if total is None or available is None:
        yield Check("memory", SKIPPED, "this system does not tell")
        return
    found = f"{available / _MB:.0f} of {total / _MB:.0f} MB available"
    needs = f"A worker takes {_WORKER_BYTES // _MB} MB"
    if total < _MEMORY_BYTES:
        yield Check("memory", FAILED, found, f"{needs}: use a Pi with 512 MB or more.")
    elif available < _WORKER_BYTES:
        mend = f"{needs} (one that runs has them already): end other programs, or use Raspberry Pi OS Lite."
        yield Check("memory", WARNING, found, mend)
    else:
        yield Check("memory", OK, found)
    if not swap and total < _SMALL_BYTES:
        yield Check("swap", WARNING, "none", "sudo dphys-swapfile setup && sudo dphys-swapfile swapon")
    else:
        yield Check("swap", OK, f"{swap / _MB:.0f} MB" if swap else "none, and enough memory without")


def check_disk(folder: Path) -> Check:
    """Free space, and how fast some megabytes reach the card."""
    try:
        free = shutil.disk_usage(folder).free
        if free < _FREE_BYTES:
            return Check(
                "disk", FAILED, f"{free / _MB:.0f} MB free in {folder.resolve()}", "Remove what is not needed."
            )
        speed = _written_per_second(folder)
    except OSError as error:
        return Check("disk", FAILED, f"{folder.resolve()}: {error.strerror}", "Name another folder with --data.")
    found = f"{free / _MB:.0f} MB free, {speed / _MB:.0f} MB/s written"
    if speed < _SLOW_BYTES:
        return Check("disk", WARNING, found, "Slow: use an SD card of class A1 or A2, or look for one that is worn.")
    return Check("disk", OK, found)


def _written_per_second(folder: Path) -> float:
    block = os.urandom(_MB)
    begin = time.perf_counter()
    written = 0
    with tempfile.TemporaryFile(dir=folder) as file:
        while written < _WRITTEN_BYTES and time.perf_counter() - begin < _WRITING_SECONDS:
            written += file.write(block)
            file.flush()
            os.fsync(file.fileno())
    return written / (time.perf_counter() - begin)


def ntp_synchronised() -> bool | None:
    """Whether the clock is kept right by the network's time; None where systemd does not tell."""
    tool = shutil.which("timedatectl")
    try:
        told = _run(tool, "show", "--property=NTPSynchronized", "--value").stdout.strip() if tool else ""
    except (OSError, subprocess.TimeoutExpired):
        return None
    return {"yes": True, "no": False}.get(told)


def check_clock(synchronised: bool | None, now: datetime | None = None) -> Check:
    now = now or datetime.now(timezone.utc)
    found = f"{now:%Y-%m-%d %H:%M} UTC"
    mend = "Connect it to a network with internet, or set it: sudo date --set '2026-01-31 12:00'"
    if now.timestamp() < Path(__file__).stat().st_mtime - 24 * 3600:  # it was later when PiSyft came here
        return Check("clock", FAILED, f"{found}, which is over: the clock is wrong, and no certificate is good", mend)
    if synchronised is False:
        return Check("clock", WARNING, f"{found}, not set by the network", mend)
    return Check("clock", OK, found + (", set by the network" if synchronised else ""))


def check_certificates(room: Classroom) -> Check:
    from cryptography import x509

    ends = [
        x509.load_pem_x509_certificate(file.read_bytes()).not_valid_after_utc
        for file in (room.credentials.certificate, room.credentials.authority)
    ]
    days = (min(ends) - datetime.now(timezone.utc)).days
    found = f"of {room.id} in {room.name}, good until {min(ends):%Y-%m-%d}"
    if days < _EXPIRES_SOON_DAYS:
        return Check("certificates", WARNING, found, f"{days} days: make a new classroom with pisyft classroom create")
    return Check("certificates", OK, found)


def check_port(port: int) -> Check:
    """Whether a worker listens on it already, or could."""
    with socket.socket() as probe:
        probe.settimeout(1)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return Check("port", OK, f"{port}: something listens there, a worker if it is this one's")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError as error:
            reason = "in use" if error.errno == errno.EADDRINUSE else error.strerror
            return Check("port", FAILED, f"{port}: {reason}", "Choose another with --port, 1024 or more.")
    return Check("port", OK, f"{port}: free")


def check_peers(peers: Mapping[str, tuple[str, int]], room: Classroom | None) -> Iterator[Check]:
    """Calls each worker as what this machine is, a Pi or the coordinator, and measures the way there."""
    import syft
    import torch

    from pisyft.transport.errors import TransportError

    hook = syft.TorchHook(torch)
    for peer, address in peers.items():
        try:
            latency, bits, skew = _measure(hook, peer, address, room)
        except TransportError as error:
            yield Check(f"peer {peer}", FAILED, f"{error.address}: {error.problem}", error.advice)
            continue
        except Exception as error:
            yield Check(f"peer {peer}", FAILED, str(error), "Do both sides run the same version of PiSyft?")
            continue
        found = f"{latency * 1000:.0f} ms, {bits / 1e6:.1f} Mbit/s"
        slow = latency > _LATENCY_SECONDS or bits < _SLOW_BITS
        mend = "Move it nearer to the access point, or use a cable." if slow else ""
        yield Check(f"peer {peer}", WARNING if slow else OK, found, mend)
        yield check_skew(peer, skew)


def check_ids(ids: Collection[str]) -> Check:
    """Whether each id that is looked for on the network is announced by one worker only."""
    from pisyft.discovery import TWINS_MEND, discover, twins

    try:
        several = twins(each for each in discover() if each.id in ids)
    except OSError as error:
        return Check("ids", SKIPPED, f"multicast does not work here ({error.strerror or error})")
    if not several:
        return Check("ids", OK, "no two workers announce the same")
    told = (f"{worker_id} at {' and '.join(addresses)}" for worker_id, addresses in several.items())
    return Check("ids", WARNING, f"announced by several workers: {', '.join(told)}", TWINS_MEND)


def check_skew(peer: str, seconds: float) -> Check:
    """Of a peer's clock against this machine's."""
    found = f"{seconds:+.1f} s against this machine's"
    if abs(seconds) <= _SKEW_SECONDS:
        return Check(f"clock of {peer}", OK, found)
    mend = f"Set the clock of {peer}, or of this machine: timedatectl set-ntp true"
    return Check(f"clock of {peer}", WARNING if abs(seconds) <= _LARGE_SKEW_SECONDS else FAILED, found, mend)


def _measure(hook, peer: str, address: tuple[str, int], room: Classroom | None) -> tuple[float, float, float]:
    """Seconds for an empty call, bits a second both ways together, and by how many seconds its clock is ahead."""
    from pisyft.transport.client import PeerWorker, WebsocketClientWorker
    from pisyft.transport.turn import Turn

    client: WebsocketClientWorker
    credentials = room.credentials if room else None
    if room is not None and room.id in room.pis:
        client = PeerWorker(hook, room.id, Turn(), *address, peer, timeout=_PEER_SECONDS, credentials=credentials)
    else:
        client = WebsocketClientWorker(hook, *address, id=peer, timeout=_PEER_SECONDS, credentials=credentials)
    try:
        client.connect()
        trips, skews = [], []
        for _ in range(_PINGS):
            begin, clock = time.perf_counter(), time.time()
            answer = client.call("ping", payload=b"")
            trips.append(time.perf_counter() - begin)
            skews.append(answer["time"] - clock - trips[-1] / 2)
        latency = statistics.median(trips)
        begin = time.perf_counter()
        client.call("ping", payload=os.urandom(_PAYLOAD_BYTES))
        return latency, 16 * _PAYLOAD_BYTES / (time.perf_counter() - begin), statistics.median(skews)
    finally:
        client.close()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _ended(status: int) -> str:
    return f"it ended with {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"


def _run(*command: str, seconds: float = _COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=seconds
    )
