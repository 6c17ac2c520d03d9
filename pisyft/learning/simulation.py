"""A federation in one process, without secrets: the same training and strategies, to measure and to choose with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from pisyft.learning.encoding import Encoded
from pisyft.learning.models import Model
from pisyft.learning.strategies import FedAvg, Trainee
from pisyft.learning.training import Diverged
from pisyft.learning.vectors import load_vector


def simulate(
    model: Model,
    workers: Sequence[Encoded],
    strategy: FedAvg,
    on_round: Callable[[int], object] = lambda done: None,
    decimals: int = 6,
) -> Model:
    """Train for all rounds of the strategy, in place.

    With a single worker it is training in one place.

    Args:
        workers: the names that each worker trains on; a worker without names is left out.
        on_round: called after each round with how many are done; the model is then the round's.
        decimals: of the fixed-point numbers that contributions are summed in.

    Raises:
        Diverged: the text names the round and the worker, counted from 1.
    """
    trainees = [Trainee(names) for names in workers if len(names)]
    total = sum(len(trainee.names) for trainee in trainees)
    while strategy.round < strategy.rounds:
        settings, message = strategy.training(), strategy.message()
        mean = torch.zeros(len(message), dtype=torch.float64)
        for number, trainee in enumerate(trainees, 1):
            try:
                contribution, _ = trainee.train(model, message, settings)
            except Diverged as error:
                raise Diverged(error.step, error.loss, f"round {strategy.round + 1}, worker {number}") from error
            weighted = contribution.double() * (len(trainee.names) / total)
            mean += weighted.round(decimals=decimals)
        strategy.update(mean)
        load_vector(model, strategy.weights.float())
        model.eval()
        on_round(strategy.round)
    return model
