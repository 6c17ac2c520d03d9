"""The same model, trained on all names in one place: what a federation is compared with.

Run as a program, so that the coordinator of a federation never reads a name:
    python -m pisyft.learning.central --model tutorial --rounds 15 FOLDER FOLDER ...
prints the counts over the names that each folder's worker tests on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from pisyft.learning.alphabet import alphabet_by_name
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import Counts, add_up, count_guesses
from pisyft.learning.models import Model, make_model
from pisyft.learning.names import read_parts
from pisyft.learning.simulation import simulate
from pisyft.learning.strategies import make_strategy
from pisyft.learning.training import Diverged, TrainingSettings
from pisyft.learning.vectors import to_vector


def train_centrally(
    folders: Sequence[str],
    training: TrainingSettings,
    rounds: int,
    model: str = "tutorial",
    strategy: str = "fedavg",
    options: Mapping[str, float | str] | None = None,
    alphabet: str = "tutorial",
) -> tuple[Model, Counts]:
    """Train on what the workers with these folders train on, taken together; test on what they test on.

    It is the federation's strategy with one worker, who has all names.

    Args:
        training: of a worker. Where that is a number of steps, they take the batches of all workers here.
        options: of the strategy.
    """
    letters = alphabet_by_name(alphabet)
    hands = [read_parts(folder, letters, seed=training.seed or 0) for folder in folders]
    languages = hands[0].languages
    everything = {language: [name for hand in hands for name in hand.train[language]] for language in languages}
    if training.steps is not None:
        training = replace(training, batch_size=training.batch_size * len(folders))
    made = make_model(model, letters.size, len(languages), training.seed)
    simulate(
        made,
        [encode(everything, letters)],
        make_strategy(strategy, to_vector(made), training, rounds, **(options or {})),
    )
    return made, add_up(count_guesses(made, encode(hand.test, letters), len(languages)) for hand in hands)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--model", default="tutorial")
    parser.add_argument("--strategy", default="fedavg")
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--training", type=json.loads, default={}, help="TrainingSettings by name, JSON")
    parser.add_argument("--options", type=json.loads, default={}, help="the strategy's, JSON")
    parser.add_argument("--alphabet", default="tutorial")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # products this small are slower in several threads, much slower on a busy machine
    training = TrainingSettings.from_values(arguments.training)
    how = (arguments.rounds, arguments.model, arguments.strategy, arguments.options, arguments.alphabet)
    try:
        _, counts = train_centrally(arguments.folders, training, *how)
    except Diverged as error:
        raise SystemExit(f"With all names, {error}") from error
    print(json.dumps(counts.as_answer()))


if __name__ == "__main__":
    main()
