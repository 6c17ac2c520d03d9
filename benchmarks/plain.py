"""What `fit` is compared with: the same batches in plain PyTorch, in one process, without PySyft.

plain.py FOLDER SEED    reads training settings a line, as JSON; writes a JSON object for each
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch.nn import functional

from pisyft.learning.encoding import encode
from pisyft.learning.models import make_model
from pisyft.learning.names import read_parts
from pisyft.learning.training import TrainingSettings, batches


def main() -> None:
    torch.set_num_threads(1)
    folder, seed = sys.argv[1], int(sys.argv[2])
    train = read_parts(folder, seed=seed).train
    names = encode(train, seed=seed)
    print("ready", flush=True)
    for line in sys.stdin:
        settings = TrainingSettings(**json.loads(line))
        start = time.perf_counter()
        model = make_model("tutorial", 57, len(train), seed=0)
        optimizer = torch.optim.SGD(model.parameters(), lr=settings.learning_rate)
        done, loss_sum = 0, 0.0
        for batch in batches(names, settings):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model.log_probabilities(batch.letters), batch.languages)
            loss.backward()
            optimizer.step()
            done += len(batch)
            loss_sum += loss.item() * len(batch)
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds, "names": done, "loss": loss_sum / done}), flush=True)


if __name__ == "__main__":
    main()
