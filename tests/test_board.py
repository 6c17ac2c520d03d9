"""A machine's facts, read from files as a Raspberry Pi's kernel and others have them."""

from pathlib import Path

import pytest

from pisyft import board


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def test_a_raspberry_pi_tells_everything(tmp_path):
    pi = write(
        tmp_path,
        {
            "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.5\0",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "48686\n",
            "proc/meminfo": "MemTotal: 3884312 kB\nMemFree: 12 kB\nMemAvailable: 3145728 kB\nHugePages_Total: 0\n",
        },
    )

    assert board.facts(pi) == {
        "model": "Raspberry Pi 4 Model B Rev 1.5",
        "temperature_celsius": 48.686,
        "memory_bytes": 3884312 * 1024,
        "memory_available_bytes": 3145728 * 1024,
    }


def test_a_machine_that_tells_nothing_has_a_model_and_no_figures(tmp_path):
    told = board.facts(tmp_path)

    assert told.pop("model")
    assert set(told.values()) == {None}


@pytest.mark.parametrize(
    ("zones", "celsius"),
    [
        ([("acpitz", "27800"), ("x86_pkg_temp", "51000")], 51.0),  # the processor's, not the case's
        ([("wifi", "40000")], 40.0),  # better than nothing
        ([("cpu-thermal", "-1500")], -1.5),
        ([("cpu-thermal", ""), ("wifi", "40000")], 40.0),
        ([("cpu-thermal", "broken")], None),
        ([], None),
    ],
)
def test_the_processors_temperature_is_taken(tmp_path, zones, celsius):
    for number, (kind, value) in enumerate(zones):
        folder = f"sys/class/thermal/thermal_zone{number}"
        write(tmp_path, {f"{folder}/type": f"{kind}\n", f"{folder}/temp": f"{value}\n"})

    assert board.temperature_celsius(tmp_path) == celsius


def test_this_machine_tells_its_memory():
    total, available = board.memory_bytes()

    assert 0 < available <= total
