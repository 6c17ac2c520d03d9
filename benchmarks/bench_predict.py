"""How long `pisyft predict Gadler` takes on a Raspberry Pi 3, as well as that can be known without one.

    python benchmarks/bench_predict.py        once `make pi-check` has run; needs qemu-user and a C compiler

Runs it under QEMU in what `workers/install.sh` installed there, with this PiSyft, and counts instructions and misses of
caches that are a Pi 3's (cortex_a53.c). Their cycles are then added up, with nothing done at the same time, although a
Cortex-A53 does two instructions a cycle where it can, fetches ahead, and goes on while some misses are served:

    one for each instruction, and 0.2 for branches that it guesses wrongly (one in five branches, of those one in eight,
    at 8 cycles), 15 for each miss of the first cache, 200 for each of the second (167 ns), 50 for each page walk

Those are assumptions. To these comes what the kernel does, and for the first call after switching on the card.

Writes artifacts/bench-predict/summary.json, for each system and model: what was counted, `seconds` (of the cycles, at
1.2 GHz), and `cycles_an_instruction`; the same for `import torch`; and how many cycles an instruction may take for two
seconds (`cycles_for_two_seconds`).
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pisyft.learning.alphabet import alphabet_by_name
from pisyft.learning.models import make_model
from pisyft.learning.vectors import to_vector
from pisyft.release import Card, ModelStore

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
HERTZ = 1.2e9
CYCLES = {"instructions": 1.2, "l1_misses": 15.0, "l2_misses": 200.0, "page_walks": 50.0}
MODELS = {"tutorial": "tutorial", "committee": "unicode"}
# As the script that pip writes for the command.
COMMAND = "import sys; sys.argv[0] = 'pisyft'; from pisyft.cli import main; main()"


def released(model: str, folder: Path) -> Path:
    """A store with a model, of which the numbers do not matter here."""
    alphabet, languages = alphabet_by_name(MODELS[model]), tuple(f"Language {each}" for each in range(18))
    weights = to_vector(make_model(model, alphabet.size, len(languages), seed=0)).numpy()
    ModelStore(folder / model).add(Card(1, model, languages, 0.8, ("alice",), 1, alphabet=alphabet.name), weights)
    return folder / model


def count(plugin: Path, system: str, source: Path, *arguments: object) -> dict[str, float]:
    """What Python and its arguments do, on an emulated Cortex-A53.

    Args:
        source: a folder with `pisyft`, in place of the installed one.
    """
    cache = Path(os.environ.get("PISYFT_CACHE", Path.home() / ".cache" / "pisyft"))
    root = cache / "roots" / system
    packages = max(cache.glob(f"installed/{system}-*/upper/opt/pisyft/*/lib/python3.*/site-packages"), default=None)
    if packages is None or not root.is_dir():
        raise SystemExit(f"PiSyft is not installed in an emulated {system}: make pi-check")
    python = root / "usr" / "bin" / packages.parent.name
    environment = {"PYTHONHOME": root / "usr", "PYTHONPATH": f"{source}:{packages}", "HOME": "/nowhere"}
    command = ["qemu-aarch64", "-cpu", "cortex-a53", "-plugin", plugin, "-L", root, python, *arguments]
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, arguments))} failed on {system}: {done.stderr[-500:]}")
    counted = json.loads(done.stderr.strip().splitlines()[-1])
    cycles = sum(each * counted[name] for name, each in CYCLES.items())
    return {
        **counted,
        "cycles_an_instruction": round(cycles / counted["instructions"], 2),
        "cycles_for_two_seconds": round(2 * HERTZ / counted["instructions"], 2),
        "seconds": round(cycles / HERTZ, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--os", nargs="+", default=["bookworm", "trixie"])
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts" / "bench-predict")
    arguments = parser.parse_args()
    for tool, package in {"qemu-aarch64": "qemu-user", "cc": "gcc"}.items():
        if shutil.which(tool) is None:
            raise SystemExit(f"{tool} is not here: apt install {package}")
    summary: dict[str, dict] = {}
    with tempfile.TemporaryDirectory() as folder:
        plugin, source = Path(folder, "cortex_a53.so"), Path(folder, "source")
        subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", plugin, HERE / "cortex_a53.c"], check=True)
        shutil.copytree(ROOT / "pisyft", source / "pisyft", ignore=shutil.ignore_patterns("__pycache__"))
        for system in arguments.os:
            summary[system] = {}
            for model in MODELS:
                asked = ("-c", COMMAND, "predict", "Gadler", "--models", released(model, Path(folder, system)))
                count(plugin, system, source, *asked)  # the first call compiles, as install.sh does
                summary[system][f"predict, {model}"] = count(plugin, system, source, *asked)
            summary[system]["import torch"] = count(plugin, system, source, "-c", "import torch")
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    json.dump(summary, sys.stdout, indent=2)
    print()


if __name__ == "__main__":
    main()
