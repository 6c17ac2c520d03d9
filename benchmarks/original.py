"""The tutorial as it ran in 2020, to compare with: PySyft 0.2.9 as it was published, on Python 3.7 and PyTorch 1.4.

    original.py worker ID PORT      serves until it is killed
    original.py train ID=PORT ...   reads a command a line, as JSON; writes a JSON object for each

Commands: {"send": [[[letter, ...], language], ...]} sends names; {"train": true} trains on them one by one.
"""

import json
import sys
import time

import syft
import torch
from torch import nn

LETTERS, LONGEST, HIDDEN, LANGUAGES = 57, 19, 128, 18
LEARNING_RATE = 0.005


class RNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.i2h = nn.Linear(LETTERS + HIDDEN, HIDDEN)
        self.i2o = nn.Linear(LETTERS + HIDDEN, LANGUAGES)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, letter, hidden):
        combined = torch.cat((letter, hidden), 1)
        return self.softmax(self.i2o(combined)), self.i2h(combined)

    def init_hidden(self):
        return torch.zeros(1, HIDDEN)


def one_hot(letters):
    tensor = torch.zeros(LONGEST, 1, LETTERS)
    for position, number in enumerate(letters):
        tensor[position][0][number - 1] = 1
    return tensor


def train_name(models, length, letters, language):
    """The tutorial's step: the model is fetched, updated here and sent back."""
    location = letters.location
    remote = models[location.id]
    reshaped = letters.reshape(LONGEST, 1, LETTERS)
    hidden = remote.init_hidden()
    remote.zero_grad()
    hidden = hidden.send(location)
    for position in range(length):
        output, hidden = remote(reshaped[position], hidden)
    loss = nn.NLLLoss()(output, language)
    loss.backward()
    fetched = remote.get()
    for parameter in fetched.parameters():
        parameter.data.add_(-LEARNING_RATE, parameter.grad.data)
    models[location.id] = fetched.send(location)
    return loss.get().item()


def train(addresses):
    from syft.workers.websocket_client import WebsocketClientWorker

    hook = syft.TorchHook(torch)
    workers = [
        WebsocketClientWorker(id=each.partition("=")[0], host="127.0.0.1", port=int(each.partition("=")[2]), hook=hook)
        for each in addresses
    ]
    torch.manual_seed(0)
    model = RNN()
    models = {worker.id: model.copy().send(worker) for worker in workers}
    print("ready", flush=True)
    for line in sys.stdin:
        command = json.loads(line)
        start = time.perf_counter()
        if "send" in command:
            names = [
                (len(letters), one_hot(letters).send(workers[i % 2]), torch.tensor([language]).send(workers[i % 2]))
                for i, (letters, language) in enumerate(command["send"])
            ]
        losses = [train_name(models, *name) for name in names] if "train" in command else []
        print(json.dumps({"seconds": time.perf_counter() - start, "losses": losses}), flush=True)


def serve(worker_id, port):
    from syft.workers.websocket_server import WebsocketServerWorker

    torch.set_num_threads(1)
    WebsocketServerWorker(hook=syft.TorchHook(torch), host="127.0.0.1", port=int(port), id=worker_id).start()


if __name__ == "__main__":
    if sys.argv[1] == "worker":
        serve(*sys.argv[2:])
    else:
        torch.set_num_threads(1)
        train(sys.argv[2:])
