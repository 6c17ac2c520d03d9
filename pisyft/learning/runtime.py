"""The networks of `models`, in NumPy and for one name: what a Pi asks its released model with, without PyTorch.

Each class here is the network of its name there, and computes the same numbers (a test compares them all). There is no
padding, since there is one name, and no training.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np


class Parameters:
    """A model's parameters, taken off its vector in the order of PyTorch's `named_parameters`."""

    def __init__(self, vector: np.ndarray) -> None:
        self._vector, self._taken = vector, 0

    def take(self, *shape: int) -> np.ndarray:
        """The next one, of this shape.

        Raises:
            ValueError: there are not so many numbers left.
        """
        begin, self._taken = self._taken, self._taken + int(np.prod(shape))
        if self._taken > len(self._vector):
            raise ValueError(f"{len(self._vector)} parameters are too few for this model")
        return self._vector[begin : self._taken].reshape(shape)

    @property
    def left(self) -> int:
        return len(self._vector) - self._taken


class Network:
    """What every network here can do."""

    def log_probabilities(self, letters: Sequence[int]) -> np.ndarray:
        """What the language of a name may be, (languages,); the letters' numbers are 1 and more."""
        raise NotImplementedError


class RNN(Network):
    def __init__(self, parameters: Parameters, n_letters: int, n_languages: int, n_hidden: int = 128) -> None:
        self.n_letters, self.n_hidden = n_letters, n_hidden
        self.i2h = parameters.take(n_hidden, n_letters + n_hidden), parameters.take(n_hidden)
        self.i2o = parameters.take(n_languages, n_letters + n_hidden), parameters.take(n_languages)

    def log_probabilities(self, letters: Sequence[int]) -> np.ndarray:
        hidden = np.zeros(self.n_hidden, "f4")
        for letter in letters:
            combined = np.concatenate((np.zeros(self.n_letters, "f4"), hidden))
            combined[letter - 1] = 1
            output, hidden = linear(self.i2o, combined), linear(self.i2h, combined)
        return log_softmax(output)


class Recurrent(Network):
    def __init__(
        self,
        parameters: Parameters,
        n_letters: int,
        n_languages: int,
        gated: bool = False,
        n_embedding: int = 32,
        n_hidden: int = 128,
        bidirectional: bool = False,
    ) -> None:
        self.letter = parameters.take(n_letters + 1, n_embedding)
        size = n_hidden // (1 + bidirectional)
        direction = GatedDirection if gated else Direction
        self.directions = [direction(parameters, n_embedding, size) for _ in range(1 + bidirectional)]
        features = n_hidden * len(self.directions)
        self.guess = parameters.take(n_languages, features), parameters.take(n_languages)

    def log_probabilities(self, letters: Sequence[int]) -> np.ndarray:
        vectors = self.letter[np.asarray(letters)]
        states = [read(each) for read, each in zip(self.directions, (vectors, vectors[::-1]), strict=False)]
        features = [each[-1] for each in states]
        if len(states) > 1:
            features += [each.max(0) for each in states]
        return log_softmax(linear(self.guess, np.concatenate(features)))


class Direction:
    """Reads vectors one after the other: `nn.RNN`, in one direction."""

    gates = 1

    def __init__(self, parameters: Parameters, n_inputs: int, size: int) -> None:
        self.size, rows = size, self.gates * size
        weights = parameters.take(rows, n_inputs), parameters.take(rows, size)
        self.input, self.state = ((each, parameters.take(rows)) for each in weights)

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """The state after each vector: (letters, inputs) to (letters, size)."""
        state, states = np.zeros(self.size, "f4"), []
        for each in vectors @ self.input[0].T + self.input[1]:
            state = self.step(each, linear(self.state, state), state)
            states.append(state)
        return np.array(states)

    def step(self, from_input: np.ndarray, from_state: np.ndarray, state: np.ndarray) -> np.ndarray:
        return np.tanh(from_input + from_state)


class GatedDirection(Direction):
    """The same for `nn.GRU`."""

    gates = 3

    def step(self, from_input: np.ndarray, from_state: np.ndarray, state: np.ndarray) -> np.ndarray:
        (reset, update, new), (reset_by, update_by, new_by) = np.split(from_input, 3), np.split(from_state, 3)
        kept = sigmoid(update + update_by)
        return (1 - kept) * np.tanh(new + sigmoid(reset + reset_by) * new_by) + kept * state


class NGrams(Network):
    def __init__(
        self, parameters: Parameters, n_letters: int, n_languages: int, n_rows: int = 13_000, longest: int = 3
    ) -> None:
        self.n_letters, self.n_rows, self.longest = n_letters, n_rows, longest
        self.bias = parameters.take(n_languages)  # a module's own parameters come before those of modules in it
        self.table = parameters.take(n_rows + 1, n_languages)

    def log_probabilities(self, letters: Sequence[int]) -> np.ndarray:
        return log_softmax(self.table[self.rows(letters)].sum(0) / 2 + self.bias)

    def rows(self, letters: Sequence[int]) -> list[int]:
        """The rows of a name's runs."""
        marked = [self.n_letters + 1, *letters, self.n_letters + 2]
        found = []
        for end in range(len(marked)):
            run = 0
            for length in range(min(self.longest, end + 1)):
                run = (run * 1_000_003 + marked[end - length] + 7_919 * (length + 1)) % 2_147_483_647
                found.append(run * 2_654_435_761 % 2_147_483_647 % self.n_rows)
        return found


class Writer(Network):
    def __init__(
        self,
        parameters: Parameters,
        n_letters: int,
        n_languages: int,
        window: int = 4,
        n_embedding: int = 24,
        n_language: int = 48,
        n_hidden: int = 256,
    ) -> None:
        self.window, self.end = window, n_letters + 1
        self.often, self.prior = parameters.take(n_letters + 2), parameters.take(n_languages)
        self.letter = parameters.take(n_letters + 2, n_embedding)
        self.language = parameters.take(n_languages, n_language)
        self.hidden = parameters.take(n_hidden, window * n_embedding + n_language), parameters.take(n_hidden)
        self.next = parameters.take(n_embedding, n_hidden), parameters.take(n_embedding)

    def log_probabilities(self, letters: Sequence[int]) -> np.ndarray:
        written = np.array([*[0] * self.window, *letters, self.end])
        before = np.lib.stride_tricks.sliding_window_view(written, self.window)[:-1]
        context = self.letter[before].reshape(len(before), -1)
        weight, bias = self.hidden
        of_context = context @ weight[:, : context.shape[1]].T + bias
        of_language = self.language @ weight[:, context.shape[1] :].T
        likelihoods = []
        for each in of_language:
            hidden = np.maximum(of_context + each, 0)
            scores = ((hidden @ self.next[0].T + self.next[1]) @ self.letter.T + self.often).astype("f8")
            foreseen = [log_softmax(row)[letter] for row, letter in zip(scores, written[self.window :], strict=True)]
            likelihoods.append(sum(foreseen))
        return log_softmax(np.array(likelihoods) + self.prior)


class Committee(Network):
    def __init__(self, *members: Network) -> None:
        self.members = members

    def log_probabilities(self, letters: Sequence[int]) -> np.ndarray:
        return log_softmax(np.mean([member.log_probabilities(letters) for member in self.members], 0))


def linear(layer: tuple[np.ndarray, np.ndarray], vector: np.ndarray) -> np.ndarray:
    weight, bias = layer
    return weight @ vector + bias


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.tanh(0.5 * values)  # as the quotient, and never overflows


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max()
    return shifted - np.log(np.exp(shifted).sum())


# The sizes are those of `models.MODELS`.
NETWORKS: dict[str, Callable[[Parameters, int, int], Network]] = {
    "tutorial": RNN,
    "rnn": Recurrent,
    "gru": lambda parameters, letters, languages: Recurrent(parameters, letters, languages, True, 64, 192),
    "ngrams": NGrams,
    "writer": Writer,
    "committee": lambda parameters, letters, languages: Committee(
        NGrams(parameters, letters, languages, n_rows=10_000), Writer(parameters, letters, languages)
    ),
}


def load_network(name: str, vector: np.ndarray, n_letters: int, n_languages: int) -> Network:
    """A network with these parameters, float32, (parameters,).

    Raises:
        ValueError: there is no network of this name, or the parameters do not fit.
    """
    if name not in NETWORKS:
        raise ValueError(f"there is no model {name!r}: choose one of {', '.join(NETWORKS)}")
    parameters = Parameters(vector)
    network = NETWORKS[name](parameters, n_letters, n_languages)
    if parameters.left:
        raise ValueError(f"{len(vector)} parameters are {parameters.left} too many for the model {name}")
    return network
