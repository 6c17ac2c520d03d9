"""What a worker holds and imports: nothing that is left over from a round, and nothing it has no use for."""

import gc
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import syft
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.federation import Federation
from pisyft.lab import Lab
from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.models import make_model
from pisyft.learning.remote import find_names
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.transport import WebsocketClientWorker
from tests.helpers import PATIENCE_SECONDS

# Runs `pisyft worker` until its standard input closes, then tells what it has imported and done to PyTorch.
WORKER = """
import json, sys
from pisyft.cli import main
main(["worker", "--id", "small", "--port", "0", "--data", sys.argv[1], "--until-stdin-closes"], standalone_mode=False)
print(json.dumps({"imported": sorted(sys.modules), "hooked": hasattr(sys.modules["torch"], "torch_hooked")}))
"""
NOT_NEEDED = set(
    "matplotlib jupyter IPython ipykernel notebook pandas sklearn scipy sympy pytest requests.sessions urllib3 "
    "psutil._common torchvision torch._dynamo.eval_frame torch._inductor".split()
)


def test_a_worker_imports_nothing_that_it_has_no_use_for_also_when_it_trains(names_folder, tmp_path, hook):
    names = shutil.copytree(names_folder, tmp_path / "names")  # the worker writes down what it holds out
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(names)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        port = int(process.stdout.readline().partition("127.0.0.1:")[2].partition(":")[0])
        worker = WebsocketClientWorker(hook, "127.0.0.1", port, id="small")
        weights = to_vector(make_model("tutorial", TUTORIAL.size, 4)).detach().numpy()
        for optimizer in ("sgd", "adam"):
            settings = {"optimizer": optimizer, "learning_rate": 0.01}
            worker.call("fit", round="1", model="tutorial", weights=weights, settings=settings)
        worker.call("evaluate", weights=weights)
        worker.close()
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream.close()

    told = json.loads(output)
    assert "torch.optim.sgd" in told["imported"], "it did train"
    assert NOT_NEEDED & set(told["imported"]) == set()
    assert not told["hooked"], "it takes no pointers"


class CountingLab(Lab):
    """A lab whose workers answer `count`, too: how much of everything they hold."""

    program = (str(Path(__file__).with_name("counting_worker.py")),)


@pytest.fixture(scope="module")
def federation(names_folder, hook) -> Iterator[Federation]:
    with CountingLab(names_folder, ["counting-alice", "counting-bob"]) as lab:
        workers = [WebsocketClientWorker(hook, *address, id=worker) for worker, address in lab.addresses.items()]
        yield Federation(workers, batch_size=100)
        for worker in workers:
            worker.close()


def round_by_pointer(federation: Federation, number: int) -> None:
    federation.train_round(federation.new_model())


def round_of_verbs(aggregation: str) -> Callable[[Federation, int], None]:
    def round_(federation: Federation, number: int) -> None:
        model = federation.new_model()
        start = to_vector(model)
        settings = TrainingSettings(steps=1, seed=number)
        trained = federation.train_and_sum(model, "tutorial", start.detach().numpy(), settings, aggregation)
        load_vector(model, start + torch.as_tensor(trained.total.mean).float())
        federation.evaluate(model)
        federation.release(model, accuracy=0.5, rounds=number)

    return round_


def round_that_is_refused(federation: Federation, number: int) -> None:
    """Names are asked for, and what depends on the refusal is used and dropped."""
    for worker in federation.workers:
        letters = find_names(worker).letters
        with pytest.raises(GetNotPermittedError):
            letters.add_(1).get()
        with pytest.raises(GetNotPermittedError):
            (letters + 1).get()


def round_that_fails(federation: Federation, number: int) -> None:
    """Operations fail unheard, with results that others depend on, and private values at hand."""
    for worker in federation.workers:
        names = find_names(worker)
        product = names.letters @ names.mask
        with pytest.raises(RuntimeError):
            (product + 1).get()


def held(federation: Federation) -> list[dict]:
    """What both workers and the coordinator hold, counted; without what is to grow, the ids of rounds."""
    gc.collect()
    counts = [worker.call("count") for worker in federation.workers]
    for each in counts:
        del each["rounds of the past"]
    return [
        *counts,
        {
            "tensors": sum(issubclass(type(each), torch.Tensor) for each in gc.get_objects()),
            "objects": len(syft.local_worker.object_store._objects),
            "messages kept": [len(worker._outbox._kept) for worker in federation.workers],
            "ids to be discarded": [len(worker._discarded) for worker in federation.workers],
        },
    ]


@pytest.mark.parametrize(
    "round_",
    [
        pytest.param(round_by_pointer, id="by pointer"),
        pytest.param(round_of_verbs("additive"), id="verbs, additive"),
        pytest.param(round_of_verbs("masks"), id="verbs, masks"),
        pytest.param(round_that_is_refused, id="refused"),
        pytest.param(round_that_fails, id="failed"),
    ],
)
def test_a_round_leaves_nothing_behind_on_workers_and_coordinator(federation, round_):
    # The names are made at the first search, the update of the last training stays, a model is in use.
    round_(federation, 1)
    before = held(federation)

    for number in range(2, 6):
        round_(federation, number)
        assert held(federation) == before


def test_what_a_round_holds_is_counted_while_it_lasts(federation):
    before = held(federation)

    models = federation.train_apart(federation.new_model())

    during = held(federation)
    for worker in (0, 1):
        assert during[worker]["objects"] == before[worker]["objects"] + 4, "the model's four parameters"
        assert during[worker]["labels"] > before[worker]["labels"]
    del models
    assert held(federation) == before
