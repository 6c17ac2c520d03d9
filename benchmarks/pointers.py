"""The same training on this project, in a process of its own as the original is.

    pointers.py ID=HOST:PORT ...    reads a command a line, as JSON; writes a JSON object for each

Commands: {"send": [[[letter, ...], language], ...]} sends names; {"train": true} trains on them one by one, as
`original.py` does, except that the model stays where it is; {"own": count, "batch": size} trains on the workers' own
names; {"fit": settings} has the first worker train on its own; {"round": settings} is a whole round without pointers:
all workers train, a secure sum of what they learned, and an evaluation of the mean; {"rounds": count, "from": seed} is
that many small rounds of each kind.
"""

from __future__ import annotations

import json
import sys
import time
from functools import cached_property

import pisyft  # noqa: F401  (first: it has PySyft repaired)

# isort: split
import syft
import torch
from torch import nn

from pisyft.federation import Federation
from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import one_hot
from pisyft.learning.models import RNN, make_model
from pisyft.learning.remote import find_names, train_batch
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.transport import WebsocketClientWorker

LONGEST, LEARNING_RATE = 19, 0.005
READ_LOSS_EVERY = 50


class Trainer:
    """Two workers, each with a model of its own and one of ours."""

    def __init__(self, addresses: list[str]) -> None:
        hook = syft.TorchHook(torch)
        self.workers = []
        for address in addresses:
            worker_id, _, host_and_port = address.partition("=")
            host, _, port = host_and_port.rpartition(":")
            self.workers.append(WebsocketClientWorker(hook, host, int(port), id=worker_id))
        torch.manual_seed(0)

    # Sent when they are needed: workers under `strict` take none.

    @cached_property
    def models(self) -> dict:
        return {each.id: RNN().send(each) for each in self.workers}

    @cached_property
    def own_models(self) -> dict:
        """What is trained on a worker's own names stays there, and the loss with it: that model is another one."""
        return {each.id: RNN().send(each) for each in self.workers}

    @cached_property
    def optimizers(self) -> dict:
        return {
            worker: torch.optim.SGD(remote.parameters(), lr=LEARNING_RATE) for worker, remote in self.models.items()
        }

    def train(self, names: list) -> list[float]:
        """The tutorial's loop over names that were sent; the losses that were read."""
        losses = []
        for number, (length, letters, language) in enumerate(names, 1):
            location = letters.location
            remote, optimizer = self.models[location.id], self.optimizers[location.id]
            reshaped = letters.reshape(LONGEST, 1, TUTORIAL.size)
            hidden = remote.init_hidden().send(location)
            optimizer.zero_grad()
            for position in range(length):
                output, hidden = remote(reshaped[position], hidden)
            loss = nn.NLLLoss()(output, language)
            loss.backward()
            optimizer.step()
            if number % READ_LOSS_EVERY == 0 or number == len(names):
                losses.append(loss.get().item())
        return losses

    def send(self, names: list) -> list:
        sent = []
        for number, (letters, language) in enumerate(names):
            worker = self.workers[number % len(self.workers)]
            padded = torch.tensor(letters + [0] * (LONGEST - len(letters)))
            vectors = one_hot(padded, TUTORIAL.size).unsqueeze(1)
            sent.append((len(letters), vectors.send(worker), torch.tensor([language]).send(worker)))
        return sent

    def train_on_own(self, count: int, size: int) -> None:
        """The workers' own names in batches, each worker in its turn."""
        iterators = [find_names(worker).batches(size) for worker in self.workers]
        trained = 0
        while trained < count:
            for worker, batches in zip(self.workers, iterators, strict=True):
                batch = next(batches)
                train_batch(self.own_models[worker.id], batch, LEARNING_RATE)
                trained += batch.count

    def settle(self) -> None:
        """Wait until the workers have done all that they were told."""
        for worker in self.workers:
            worker.call("describe")

    def waits(self) -> int:
        return sum(worker.answers_waited_for for worker in self.workers)

    def fit(self, settings: dict) -> dict:
        weights = to_vector(make_model("tutorial", TUTORIAL.size, 18, seed=0)).detach().numpy()
        return self.workers[0].call("fit", round="bench", model="tutorial", weights=weights, settings=settings)

    @cached_property
    def federation(self) -> Federation:
        return Federation(self.workers)

    def round(self, settings: dict, aggregation: str = "additive") -> None:
        model = self.federation.new_model()
        weights = to_vector(model).detach().numpy()
        trained = self.federation.train_and_sum(model, "tutorial", weights, TrainingSettings(**settings), aggregation)
        self.federation.evaluate(load_vector(model, torch.tensor(weights + trained.total.mean)))

    def small_rounds(self, count: int, seed: int) -> None:
        """Rounds by pointer, and of verbs with either protocol, in turns."""
        self.federation.batch_size = 128
        for number in range(seed, seed + count):
            # The same training twice could be summed twice, which workers refuse.
            self.round({"steps": 1, "seed": 2 * number})
            self.round({"steps": 1, "seed": 2 * number + 1}, "masks")
            self.federation.train_round(self.federation.new_model())


def main() -> None:
    torch.set_num_threads(1)
    trainer = Trainer(sys.argv[1:])
    print("ready", flush=True)
    names: list = []
    for line in sys.stdin:
        command = json.loads(line)
        waits, start = trainer.waits(), time.perf_counter()
        answer: dict = {}
        if "send" in command:
            names = trainer.send(command["send"])
        elif "train" in command:
            answer["losses"] = trainer.train(names)
        elif "own" in command:
            trainer.train_on_own(command["own"], command["batch"])
        elif "rounds" in command:
            trainer.small_rounds(command["rounds"], command["from"])
        elif "round" in command:
            trainer.round(command["round"])
        else:
            answer["fit"] = trainer.fit(command["fit"])
        answer["waits"] = trainer.waits() - waits
        trainer.settle()
        print(json.dumps({"seconds": time.perf_counter() - start, **answer}), flush=True)


if __name__ == "__main__":
    main()
