"""Training by pointer: the tutorial's loop. Every operation is a message, and runs where the names are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from pisyft.learning.models import RNN, read_names
from pisyft.learning.names import NamesError


@dataclass(frozen=True)
class RemoteNames:
    """Pointers to the names that a worker trains on, shaped like `encoding.Encoded`.

    Attributes:
        letters, mask, languages: pointers.
        worker: where they point to.
        steps: the length of the longest name.
        count: how many names there are.
    """

    letters: torch.Tensor
    mask: torch.Tensor
    languages: torch.Tensor
    worker: object
    steps: int
    count: int

    def batches(self, size: int) -> Iterator[RemoteNames]:
        """Pointers to the names in batches of `size`, in order; the last one may be smaller."""
        for start in range(0, self.count, size):
            stop = min(start + size, self.count)
            yield RemoteNames(
                self.letters[:, start:stop],
                self.mask[:, start:stop],
                self.languages[start:stop],
                self.worker,
                self.steps,
                stop - start,
            )


def find_names(worker) -> RemoteNames:
    """Find a worker's names to train on, by their tags.

    Raises:
        NamesError: the worker has none, or not what belongs together.
    """

    def find(*tags: str) -> torch.Tensor:
        found = worker.search(["#surnames", "#train", *tags])
        if len(found) != 1:
            raise NamesError(
                f"worker {worker.id} holds {len(found)} tensors tagged #surnames #train {' '.join(tags)}, not one: "
                "start it with --data DIR"
            )
        return found[0]

    letters = find("#letters")
    steps, count, _ = letters.shape
    return RemoteNames(letters, find("#mask"), find("#languages"), worker, steps, count)


def train_batch(model: RNN, batch: RemoteNames, learning_rate: float) -> torch.Tensor:
    """One step of SGD on the worker that holds both model and batch; a pointer to the loss.

    Nothing comes back: neither the model nor its gradients leave the worker.
    """
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    optimizer.zero_grad()
    hidden = model.init_hidden(batch.count).send(batch.worker)
    output = read_names(model, batch.letters, batch.mask, hidden, batch.steps)
    loss = nn.functional.nll_loss(output, batch.languages)
    loss.backward()
    optimizer.step()
    return loss
