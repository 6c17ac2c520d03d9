"""Training where the names are: plain SGD, in one process. What a federation is compared with."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch.nn import functional

from pisyft.learning.encoding import Encoded
from pisyft.learning.models import RNN, read_names


def batches(names: Encoded, size: int) -> Iterator[Encoded]:
    """The names in batches of `size`, in order; the last one may be smaller."""
    for start in range(0, len(names.languages), size):
        chosen = slice(start, start + size)
        yield Encoded(names.letters[:, chosen], names.mask[:, chosen], names.languages[chosen])


def train(model: RNN, names: Encoded, batch_size: int, learning_rate: float) -> float:
    """One pass over the names with SGD, in place; the mean loss over the batches."""
    losses = []
    for batch in batches(names, batch_size):
        steps, count, _ = batch.letters.shape
        model.zero_grad()
        output = read_names(model, batch.letters, batch.mask, model.init_hidden(count), steps)
        loss = functional.nll_loss(output, batch.languages)
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.add_(parameter.grad, alpha=-learning_rate)
        losses.append(loss.item())
    return sum(losses) / len(losses)
