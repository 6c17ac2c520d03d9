"""The networks, by name. Each is the shortest correct statement of its equations.

All read names as `encoding.Encoded` has them, aligned at the last letter, and none lets padding change its answer.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

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

    def loss(
        self,
        letters: torch.Tensor,
        languages: torch.Tensor,
        adjustment: torch.Tensor | float = 0.0,
        smoothing: float = 0.0,
    ) -> torch.Tensor:
        """What training makes small: a scalar, the mean over the names.

        Args:
            languages: of the names, int64, (batch,).
            adjustment: added to the log-probabilities, (languages,).
            smoothing: which part of the target is spread over all languages.
        """
        return functional.cross_entropy(
            self.log_probabilities(letters) + adjustment, languages, label_smoothing=smoothing
        )

    def favour(self, offsets: torch.Tensor) -> None:
        """Add to the scores of the languages, (languages,), in place: its guesses then lean to some of them."""
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

    def favour(self, offsets: torch.Tensor) -> None:
        self.i2o.bias.data += offsets


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
    """An embedding of the letters, a recurrent network over a name, and a linear layer on its hidden state.

    Args:
        recurrence: `nn.RNN` or `nn.GRU`.
        n_embedding: numbers that stand for a letter.
        dropout: which part of the state is left out while training; of the embedding, a third of it.
        bidirectional: reads names from their end, too, with half of the hidden state for each direction, and looks at
            the largest value that each part of the state ever had beside the last one.
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
        self.guess = nn.Linear(n_hidden * (1 + bidirectional), n_languages)
        self.dropout, self.letter_dropout = nn.Dropout(dropout), nn.Dropout(dropout / 3)

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        states, last = self.read(packed(self.letter_dropout(self.letter(letters)), letters))
        features = list(last)
        if self.read.bidirectional:
            features.append(pad_packed_sequence(states, padding_value=-1.0)[0].amax(0))
        return self.guess(self.dropout(torch.cat(features, 1))).log_softmax(1)

    def favour(self, offsets: torch.Tensor) -> None:
        self.guess.bias.data += offsets


def packed(vectors: torch.Tensor, letters: torch.Tensor) -> PackedSequence:
    """The vectors (longest name, batch, size) of the names alone, without padding, as PyTorch's networks read them."""
    lengths = (letters > 0).sum(0)
    # PyTorch wants names to begin at the first step; here they end at the last.
    steps = torch.arange(len(letters)).unsqueeze(1) + (len(letters) - lengths)
    moved = vectors.gather(0, steps.clamp(max=len(letters) - 1).unsqueeze(2).expand_as(vectors))
    return pack_padded_sequence(moved, lengths, enforce_sorted=False)


class NGrams(Model):
    """Adds up, over all runs of one to three letters in a name, how much each speaks for every language.

    A linear model, which averages well. Runs share `n_rows` rows by a fixed hash, so that nobody need tell which there
    are (Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning").

    Args:
        n_rows: of the table.
        longest: letters in the longest run.
        dropout: which part of the runs is left out while training.
    """

    def __init__(
        self, n_letters: int, n_languages: int, n_rows: int = 13_000, longest: int = 3, dropout: float = 0.4
    ) -> None:
        super().__init__()
        self.n_letters, self.n_languages, self.n_rows = n_letters, n_languages, n_rows
        self.longest, self.dropout = longest, dropout
        self.table = nn.EmbeddingBag(n_rows + 1, n_languages, mode="sum", padding_idx=n_rows)
        nn.init.normal_(self.table.weight, std=0.02)
        self.bias = nn.Parameter(torch.zeros(n_languages))

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        rows = self.rows(letters)
        kept = 1 - self.dropout if self.training else 1.0
        if self.training:
            rows = rows.masked_fill(torch.rand(rows.shape) > kept, self.n_rows)
        # Half of the sum: steps of Adam are equally long for all parameters, and a name has dozens of these.
        return (self.table(rows) / (2 * kept) + self.bias).log_softmax(1)

    def rows(self, letters: torch.Tensor) -> torch.Tensor:
        """The rows of a name's runs, (batch, runs); `n_rows`, which is zeros, for runs that reach into padding."""
        begin, end = self.n_letters + 1, self.n_letters + 2
        nothing = torch.zeros_like(letters[:1])
        marked = torch.cat((nothing, letters, nothing + end))
        first = (marked == 0) & (torch.cat((marked[1:], nothing)) > 0)
        marked = marked.masked_fill(first, begin)
        found = []
        run, whole = torch.zeros_like(marked), torch.ones_like(marked, dtype=torch.bool)
        for length in range(self.longest):
            before = functional.pad(marked, (0, 0, length, 0))[: len(marked)]
            run = (run * 1_000_003 + before + 7_919 * (length + 1)) % 2_147_483_647
            whole = whole & (before > 0)
            # Mixed once more, so that runs that are alike meet in a row by chance only, whatever `n_rows` is.
            found.append(torch.where(whole, run * 2_654_435_761 % 2_147_483_647 % self.n_rows, self.n_rows))
        return torch.cat(found).t()

    def favour(self, offsets: torch.Tensor) -> None:
        self.bias.data += offsets


class Writer(Model):
    """Knows how each language writes names, and asks which one would have written this.

    By Bayes' rule a name's languages are as probable as p(language) p(first letter | language) p(second letter | first,
    language) ... p(end | last letters, language), divided by their sum. A letter is foreseen from the few before it, as
    in Bengio et al. 2003, "A Neural Probabilistic Language Model". What is trained is to foresee names, not to tell
    languages apart, so that it errs about other names than a network that is trained for that.

    Args:
        window: how many letters before it a letter is foreseen from.
        n_embedding: numbers that stand for a letter.
        n_language: numbers that stand for a language.
        dropout: which part of the hidden values is left out while training; of the letters' numbers, a third of it.
    """

    def __init__(
        self,
        n_letters: int,
        n_languages: int,
        window: int = 4,
        n_embedding: int = 24,
        n_language: int = 48,
        n_hidden: int = 256,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.n_languages, self.window, self.end = n_languages, window, n_letters + 1
        # Nothing, which comes before a name begins, is the number 0, as padding is.
        self.letter = nn.Embedding(n_letters + 2, n_embedding)
        self.language = nn.Embedding(n_languages, n_language)
        self.hidden = nn.Linear(window * n_embedding + n_language, n_hidden)
        self.next = nn.Linear(n_hidden, n_embedding)
        self.often = nn.Parameter(torch.zeros(n_letters + 2))
        self.prior = nn.Parameter(torch.zeros(n_languages))
        self.dropout, self.letter_dropout = nn.Dropout(dropout), nn.Dropout(dropout / 3)
        for embedding in (self.letter, self.language):
            nn.init.normal_(embedding.weight, std=0.3)

    def log_likelihoods(self, letters: torch.Tensor, languages: torch.Tensor) -> torch.Tensor:
        """How probable each name is in a language: log p(name | language), (batch,).

        Args:
            letters: (longest name, batch).
            languages: one for each name, int64, (batch,).
        """
        written = functional.pad(letters, (0, 0, self.window, 0))
        written = torch.cat((written, torch.full_like(letters[:1], self.end)))
        letter, before = written[self.window :], written.unfold(0, self.window, 1)[:-1]
        real = letter > 0
        context = self.letter_dropout(self.letter(before[real])).flatten(1)
        language = self.language(languages.expand_as(letter)[real])
        hidden = self.dropout(self.hidden(torch.cat((context, language), 1)).relu())
        # A letter has the same numbers whether it comes before or after.
        scores = self.next(hidden) @ self.letter.weight.t() + self.often
        foreseen = -functional.cross_entropy(scores, letter[real], reduction="none")
        # In float64, since a long name's sum is large beside what tells languages apart.
        return torch.zeros(letter.shape, dtype=torch.float64).masked_scatter(real, foreseen.double()).sum(0)

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        each = torch.arange(self.n_languages).unsqueeze(1).expand(-1, letters.shape[1])
        likelihoods = torch.stack([self.log_likelihoods(letters, language) for language in each], 1)
        return (likelihoods + self.prior).log_softmax(1).float()

    def loss(
        self,
        letters: torch.Tensor,
        languages: torch.Tensor,
        adjustment: torch.Tensor | float = 0.0,
        smoothing: float = 0.0,
    ) -> torch.Tensor:
        """How improbable names and their languages are together; `smoothing` has no meaning here."""
        prior = (self.prior + adjustment).log_softmax(0)
        return -(self.log_likelihoods(letters, languages) + prior[languages]).mean()

    def favour(self, offsets: torch.Tensor) -> None:
        self.prior.data += offsets


class Committee(Model):
    """Several networks, each trained as if it were alone, which guess together: the mean of their log-probabilities."""

    def __init__(self, *members: Model) -> None:
        super().__init__()
        self.members: Sequence[Model] = nn.ModuleList(members)  # type: ignore[assignment]
        self.n_languages = members[0].n_languages

    def log_probabilities(self, letters: torch.Tensor) -> torch.Tensor:
        return torch.stack([member.log_probabilities(letters) for member in self.members]).mean(0).log_softmax(1)

    def loss(self, *batch, **keywords) -> torch.Tensor:
        # A sum, so that no member's gradient depends on how many there are.
        return torch.stack([member.loss(*batch, **keywords) for member in self.members]).sum()

    def favour(self, offsets: torch.Tensor) -> None:
        for member in self.members:
            member.favour(offsets)


MODELS: dict[str, Callable[[int, int], Model]] = {
    "tutorial": lambda letters, languages: RNN(letters, 128, languages),
    "rnn": lambda letters, languages: Recurrent(nn.RNN, letters, languages),
    "gru": lambda letters, languages: Recurrent(nn.GRU, letters, languages, 64, 192, dropout=0.3),
    "ngrams": NGrams,
    "writer": Writer,
    "committee": lambda letters, languages: Committee(
        NGrams(letters, languages, n_rows=10_000), Writer(letters, languages)
    ),
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


def leaning(model: Model, counts: torch.Tensor, tau: float) -> Model:
    """A copy of a trained model whose guesses lean towards languages that it saw few names of.

    Scores less `tau` times the logarithm of each language's part (Menon et al. 2021, "Long-tail learning via logit
    adjustment", section 4.1): 0 is the model as it is, 1 guesses as if all languages were equally frequent. Between
    them, both accuracy and balanced accuracy can be better than at 0.

    Args:
        counts: how many names of each language the model was trained on, over all workers, (languages,).
    """
    copied = copy.deepcopy(model)
    copied.favour(-tau * (counts / counts.sum()).clamp(min=1e-6).log())
    return copied
