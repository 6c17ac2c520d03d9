"""What a program that uses PySyft prints, and when PyTorch is hooked: seen from a fresh process."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

# A bit of everything, with pointers and plans that are left to the end.
PROGRAM = """
import pisyft, syft, torch

hook = syft.TorchHook(torch)
alice, bob, carol = (syft.VirtualWorker(hook, id=name) for name in ("alice", "bob", "carol"))

model = torch.nn.Linear(2, 1).send(alice)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
names = torch.ones(4, 2).send(alice)
for _ in range(2):
    optimizer.zero_grad()
    loss = (model(names) ** 2).sum()
    loss.backward()
    optimizer.step()
loss.get()

shares = torch.tensor([1.5, -2.0]).fix_precision().share(alice, bob, crypto_provider=carol)
(shares * shares > shares).get().float_precision()
(shares.reshape(1, 2) @ shares.reshape(2, 1)).get(), shares.mean().get(), shares.sigmoid().get(), shares.max().get()

plan = syft.func2plan(args_shape=[(2,)])(lambda x: x + 1)
to_both = plan.send(alice, bob)
plan.send(alice)(torch.ones(2).send(alice)).get()
del to_both

syft.kept_to_the_end = [names, shares, plan, model]
"""


def run(program):
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)


def test_a_program_prints_nothing_of_its_own():
    done = run(PROGRAM)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_nothing_is_hooked_until_a_hook_is_made():
    done = run(
        "import pisyft, syft, torch; assert not hasattr(torch, 'torch_hooked') and not hasattr(torch.ones(1), 'id')"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_torch_newer_than_any_tested_warns_in_one_line_and_works():
    newer = "from importlib import metadata; import pisyft\nof = metadata.version\n"
    newer += "metadata.version = lambda name: '99.1.0' if name == 'torch' else of(name)\n"
    newer += "import importlib.util; importlib.util.find_spec('syft')\n"
    done = run(newer + PROGRAM)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.count("\n") == 1 and "PiSyft was tested with PyTorch up to" in done.stderr
    assert done.stderr.endswith("this is 99.1.0\n")
