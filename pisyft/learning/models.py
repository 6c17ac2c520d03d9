"""The networks. Each is the shortest correct statement of its equations."""

from __future__ import annotations

import torch
from torch import nn

from pisyft.learning.names import LETTERS


class RNN(nn.Module):
    """The tutorial's network: reads a name letter by letter and says, after each, which language it may be.

        output, hidden = rnn(letter, hidden)

    Args:
        n_letters: size of the alphabet.
        n_hidden: size of the hidden state.
        n_languages: how many languages there are.
    """

    def __init__(self, n_letters: int = len(LETTERS), n_hidden: int = 128, n_languages: int = 18) -> None:
        super().__init__()
        self.n_hidden = n_hidden
        self.i2h = nn.Linear(n_letters + n_hidden, n_hidden)
        self.i2o = nn.Linear(n_letters + n_hidden, n_languages)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, letter: torch.Tensor, hidden: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """One step. letter (batch, letters), hidden (batch, hidden): log-probabilities (batch, languages), hidden."""
        combined = torch.cat((letter, hidden), 1)
        return self.softmax(self.i2o(combined)), self.i2h(combined)

    def init_hidden(self, batch: int = 1) -> torch.Tensor:
        """The hidden state before the first letter: zeros, (batch, hidden)."""
        return torch.zeros(batch, self.n_hidden)


def read_names(model: RNN, letters: torch.Tensor, mask: torch.Tensor, hidden: torch.Tensor, steps: int) -> torch.Tensor:
    """Read a batch of names to the end: log-probabilities (batch, languages) after each name's last letter.

    Works on tensors and on pointers to them alike.

    Args:
        letters: (steps, batch, letters), as `encoding.encode` makes them.
        mask: (steps, batch, 1); it keeps the hidden state at zero until a name begins, so that padding is not read.
        hidden: the state before the first letter, (batch, hidden).
        steps: the length of the longest name.
    """
    for step in range(steps):
        output, hidden = model(letters[step], hidden)
        hidden = hidden * mask[step]
    return output
