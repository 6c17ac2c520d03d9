"""What the repairs cost: time to import, memory of a worker, speed of ordinary training.

    python benchmarks/bench_compat.py [--json]

Each figure is a ratio of two kinds of fresh process that take turns, the best of several runs of each kind: other work
on the machine makes a run slower, never faster. Seconds are those of the processor, which other work does not have:

    import_over_torch   seconds of `import pisyft; import syft` to those of `import torch` alone
    hook_over_torch     the same with a TorchHook made
    memory_over_torch   resident memory with a TorchHook made, to that of a process that has imported torch alone
    hooked_over_plain   training steps a second of the tutorial's RNN, batch 32, with a hook made to those without
    hooked_over_plain_1 the same with batch 1
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

IMPORT_TORCH = "import torch"
IMPORT_SYFT = "import pisyft; import syft"
MAKE_HOOK = "import pisyft; import syft; import torch; syft.TorchHook(torch)"

SECONDS = """
import time
start = time.process_time()
{statement}
print(time.process_time() - start)
"""

MEMORY = """
{statement}
with open("/proc/self/statm") as statm:
    print(int(statm.read().split()[1]))
"""

# The tutorial's network and its way to train: letters one after the other, parameters changed by hand.
STEPS_PER_SECOND = """
import time
import torch
{statement}
from torch import nn

torch.set_num_threads(1)
torch.manual_seed(0)
BATCH, LETTERS, ALPHABET, HIDDEN, LANGUAGES = {batch}, 10, 58, 128, 18


class RNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.i2h = nn.Linear(ALPHABET + HIDDEN, HIDDEN)
        self.i2o = nn.Linear(ALPHABET + HIDDEN, LANGUAGES)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, letter, hidden):
        combined = torch.cat((letter, hidden), 1)
        return self.softmax(self.i2o(combined)), self.i2h(combined)


def step():
    hidden = torch.zeros(BATCH, HIDDEN)
    rnn.zero_grad()
    for letter in names:
        output, hidden = rnn(letter, hidden)
    loss = nn.functional.nll_loss(output, languages)
    loss.backward()
    for parameter in rnn.parameters():
        parameter.data.add_(parameter.grad.data, alpha=-0.005)
    return loss.item()


rnn, names = RNN(), torch.rand(LETTERS, BATCH, ALPHABET)
languages = torch.randint(0, LANGUAGES, (BATCH,))
for _ in range(20):
    step()
best = float("inf")
for _ in range(5):
    start = time.process_time()
    for _ in range(30):
        step()
    best = min(best, time.process_time() - start)
print(30 / best)
"""


PROGRAMS = (SECONDS, MEMORY, STEPS_PER_SECOND.replace("{batch}", "32"), STEPS_PER_SECOND.replace("{batch}", "1"))


def number_from(program: str) -> float:
    """What `program` prints, run in a fresh process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    # PyTorch comes with its bytecode; the rest writes its own in the first run.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def ratio_of_best(numerator: str, denominator: str, best: Callable[[list[float]], float], runs: int) -> float:
    # The first run of each reads the files from disk.
    number_from(numerator), number_from(denominator)
    both = [(number_from(numerator), number_from(denominator)) for _ in range(runs)]
    above, below = (best(list(numbers)) for numbers in zip(*both, strict=True))
    return above / below


def measure(only: list[str] | None = None, runs: int = 5) -> dict[str, float]:
    """The ratios called `only` (all of them by default), each of the best of `runs`."""
    imported, hooked, trained, trained_1 = (partial(str.replace, text, "{statement}") for text in PROGRAMS)
    kinds: dict[str, tuple[str, str, Callable[[list[float]], float]]] = {
        "import_over_torch": (imported(IMPORT_SYFT), imported(IMPORT_TORCH), min),
        "hook_over_torch": (imported(MAKE_HOOK), imported(IMPORT_TORCH), min),
        "memory_over_torch": (hooked(MAKE_HOOK), hooked(IMPORT_TORCH), min),
        "hooked_over_plain": (trained(MAKE_HOOK), trained(""), max),
        "hooked_over_plain_1": (trained_1(MAKE_HOOK), trained_1(""), max),
    }
    return {key: round(ratio_of_best(*kinds[key], runs), 3) for key in only or kinds}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="one JSON object on standard output, nothing else")
    parser.add_argument("--only", nargs="+", metavar="KEY", help="measure these ratios, not all")
    arguments = parser.parse_args()
    figures = measure(arguments.only)
    if arguments.json:
        print(json.dumps(figures))
    else:
        for key, value in figures.items():
            print(f"{key:<20} {value:.2f}")


if __name__ == "__main__":
    main()
