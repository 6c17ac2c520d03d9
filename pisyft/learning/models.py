"""The networks, by name. Each is the shortest correct statement of its equations.

All read names as `encoding.Encoded` has them, aligned at the last letter, and none lets padding change its answer.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from pisyft.learning.alphabet import TUTORIAL
from pisyft.learning.encoding import mask, one_hot


class Model(nn.Module):
    """What every network has, whatever is inside."""

    n_languages: int

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        """What the languages of these names may be.

        Args:
            letters: int64, (longest name, batch); 0 is padding.

        Returns:
            (batch, languages).
        """
        raise NotImplementedError


class RNN(Model):
    """The tutorial's network: reads a name letter by letter and says, after each, which language it may be.

        output, hidden = rnn(letter, hidden)

    Args:
        n_letters: size of the alphabet.
        n_hidden: size of the hidden state.
        n_languages: how many languages there are.
    """

    def __init__(self, n_letters: int = TUTORIAL.size, n_hidden: int = 128, n_languages: int = 18) -> None:
        super().__init__()
        self.n_letters, self.n_hidden, self.n_languages = n_letters, n_hidden, n_languages
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

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        vectors = one_hot(letters, self.n_letters)
        return read_names(self, vectors, mask(letters), self.init_hidden(letters.shape[1]), len(letters))


def read_names(model: RNN, letters: torch.Tensor, mask: torch.Tensor, hidden: torch.Tensor, steps: int) -> torch.Tensor:
    """Read a batch of names to the end: log-probabilities (batch, languages) after each name's last letter.

    Works on tensors and on pointers to them alike.

    Args:
        letters: (steps, batch, letters), one-hot.
        mask: (steps, batch, 1); it keeps the hidden state at zero until a name begins, so that padding is not read.
        hidden: the state before the first letter, (batch, hidden).
        steps: the length of the longest name.
    """
    for step in range(steps):
        output, hidden = model(letters[step], hidden)
        hidden = hidden * mask[step]
    return output


class Recurrent(Model):
    """An embedding of the letters, a recurrent network over a name, and a linear layer on its last hidden state.

    Args:
        recurrence: `nn.RNN` or `nn.GRU`.
        n_embedding: numbers that stand for a letter.
        dropout: which part of the embedding and of the last state is left out while training.
        bidirectional: reads names from their end, too, with half of the hidden state for each direction.
    """

    def __init__(
        self,
        recurrence: type[nn.RNN] | type[nn.GRU],
        n_letters: int,
        n_languages: int,
        n_embedding: int = 32,
        n_hidden: int = 128,
        dropout: float = 0.0,
        bidirectional: bool = False,
    ) -> None:
        super().__init__()
        self.n_languages = n_languages
        self.letter = nn.Embedding(n_letters + 1, n_embedding, padding_idx=0)
        self.read = recurrence(n_embedding, n_hidden // (1 + bidirectional), bidirectional=bidirectional)
        self.guess = nn.Linear(n_hidden, n_languages)
        self.dropout = nn.Dropout(dropout)

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        _, hidden = self.read(packed(self.dropout(self.letter(letters)), letters))
        return self.guess(self.dropout(torch.cat(tuple(hidden), 1))).log_softmax(1)


def packed(vectors: torch.Tensor, letters: torch.Tensor) -> PackedSequence:
    """The vectors (longest name, batch, size) of the names alone, without padding, as PyTorch's networks read them."""
    lengths = (letters > 0).sum(0)
    # PyTorch wants names to begin at the first step; here they end at the last.
    steps = torch.arange(len(letters)).unsqueeze(1) + (len(letters) - lengths)
    moved = vectors.gather(0, steps.clamp(max=len(letters) - 1).unsqueeze(2).expand_as(vectors))
    return pack_padded_sequence(moved, lengths, enforce_sorted=False)


MODELS: dict[str, Callable[[int, int], Model]] = {
    "tutorial": lambda letters, languages: RNN(letters, 128, languages),
    "rnn": lambda letters, languages: Recurrent(nn.RNN, letters, languages),
    "gru": lambda letters, languages: Recurrent(nn.GRU, letters, languages, 64, 192, dropout=0.3),
}


def make_model(name: str, n_letters: int, n_languages: int, seed: int | None = None) -> Model:
    """A model with fresh parameters; the same seed gives the same ones.

    Raises:
        ValueError: there is no model of this name.
    """
    if name not in MODELS:
        raise ValueError(f"there is no model {name!r}: choose one of {', '.join(MODELS)}")
    if seed is None:
        return MODELS[name](n_letters, n_languages)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return MODELS[name](n_letters, n_languages)
