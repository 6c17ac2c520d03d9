"""What machine this is, and how it is doing: model, temperature and memory, as the Linux kernel tells them.

Nothing of it is private: no serial number, no name, no address.
"""

from __future__ import annotations

import functools
import platform
from pathlib import Path

# Kinds of thermal zone that measure the processor, the best first. The first is a Raspberry Pi's.
_PROCESSOR_ZONES = ("cpu-thermal", "cpu_thermal", "x86_pkg_temp", "acpitz")


def facts(root: Path = Path("/")) -> dict:
    """All of it, as a worker tells it.

    Args:
        root: where /proc and /sys are.

    Returns:
        `model`, a text; `temperature_celsius`, `memory_bytes` and `memory_available_bytes`, or None where this machine
        does not tell.
    """
    total, available = memory_bytes(root)
    return {
        "model": model(root) or f"{platform.system()} computer ({platform.machine()})",
        "temperature_celsius": temperature_celsius(root),
        "memory_bytes": total,
        "memory_available_bytes": available,
    }


@functools.lru_cache(maxsize=4)
def model(root: Path = Path("/")) -> str | None:
    """The board's model, as in "Raspberry Pi 4 Model B Rev 1.5"; None on a machine without a device tree."""
    text = _read(root / "proc/device-tree/model")
    return text.rstrip("\0").strip() or None if text else None


def temperature_celsius(root: Path = Path("/")) -> float | None:
    """The processor's temperature; None where nothing measures it."""
    zones: dict[str, float] = {}
    for zone in sorted((root / "sys/class/thermal").glob("thermal_zone*")):
        kind, value = _read(zone / "type"), _read(zone / "temp")
        if kind and value and value.strip().lstrip("-").isdigit():
            zones.setdefault(kind.strip(), int(value) / 1000)
    return next((zones[kind] for kind in (*_PROCESSOR_ZONES, *zones) if kind in zones), None)


def memory_bytes(root: Path = Path("/")) -> tuple[int | None, int | None]:
    """How much memory there is, and how much of it programs can still have without swapping."""
    found = {}
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        words = value.split()
        if words and words[0].isdigit():
            found[name] = int(words[0]) * 1024
    return found.get("MemTotal"), found.get("MemAvailable")


def _read(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
