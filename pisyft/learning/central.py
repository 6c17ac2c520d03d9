"""The same model, trained on all names in one place: what a federation is compared with.

Run as a program, so that the coordinator of a federation never reads a name:
    python -m pisyft.learning.central --passes 10 FOLDER FOLDER ...
prints the counts over the names that each folder's worker tests on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

import torch

from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import Counts, add_up, count_guesses
from pisyft.learning.models import RNN
from pisyft.learning.names import read_parts
from pisyft.learning.training import TrainingSettings, fit


def train_centrally(
    folders: Sequence[str], passes: int, batch_size: int, learning_rate: float, seed: int
) -> tuple[RNN, Counts]:
    """Train on what the workers with these folders train on, taken together; test on what they test on."""
    hands = [read_parts(folder, seed=seed) for folder in folders]
    languages = hands[0].languages
    everything = {language: [name for hand in hands for name in hand.train[language]] for language in languages}
    torch.manual_seed(seed)
    model = RNN(n_languages=len(languages))
    fit(
        model,
        encode(everything),
        TrainingSettings(batch_size=batch_size, learning_rate=learning_rate, passes=passes, seed=seed),
    )
    counts = add_up(count_guesses(model, encode(hand.test), len(languages)) for hand in hands)
    return model, counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--passes", type=int, required=True)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # products this small are slower in several threads, much slower on a busy machine
    _, counts = train_centrally(
        arguments.folders, arguments.passes, arguments.batch_size, arguments.learning_rate, arguments.seed
    )
    print(json.dumps(counts.as_answer()))


if __name__ == "__main__":
    main()
