"""What workers are compared with: the same computation in plain PyTorch, in one process, without PySyft.

    plain.py FOLDER SEED    reads a command a line, as JSON; writes a JSON object for each

Commands: {"fit": settings} trains as `fit` does; {"round": settings} trains, then counts guesses on the test names.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch.nn import functional

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import Encoded, encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.models import Model, make_model
from pisyft.learning.names import read_parts
from pisyft.learning.training import TrainingSettings, batches


def train(model: Model, names: Encoded, settings: TrainingSettings) -> dict:
    optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
    done, loss_sum = 0, 0.0
    for batch in batches(names, settings):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model.log_probabilities(batch.letters), batch.languages)
        loss.backward()
        optimizer.step()
        done += len(batch)
        loss_sum += loss.item() * len(batch)
    return {"names": done, "loss": loss_sum / done}


def main() -> None:
    torch.set_num_threads(1)
    folder, seed = sys.argv[1], int(sys.argv[2])
    parts = read_parts(folder, seed=seed)
    names, test = encode(parts.train, seed=seed), encode(parts.test)
    print("ready", flush=True)
    for line in sys.stdin:
        ((command, settings),) = json.loads(line).items()
        start = time.perf_counter()
        model = make_model("tutorial", TUTORIAL.size, len(parts.languages), seed=0)
        trained = train(model, names, TrainingSettings(**settings))
        if command == "round":
            model.eval()
            count_guesses(model, test, len(parts.languages))
        print(json.dumps({"seconds": time.perf_counter() - start, **trained}), flush=True)


if __name__ == "__main__":
    main()
