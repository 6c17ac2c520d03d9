"""A whole round in one process: real cryptography, no network. For tests, for measuring, and to look inside.

total = run_round(agreement, {"alice": alice, "bob": bob})      # Rounds, each with an update
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping

import numpy as np

from pisyft.aggregation.agreement import Agreement, Ledger
from pisyft.aggregation.errors import AggregationError
from pisyft.aggregation.plain import PlainAggregation
from pisyft.aggregation.protocol import Total
from pisyft.aggregation.rounds import PROTOCOLS, Rounds, Update, make_collector, new_agreement


class Gone(Exception):
    """A participant that does not answer any more."""


def run_round(
    agreement: Agreement,
    participants: Mapping[str, Rounds],
    on_message: Callable[[str, str, dict], object] = lambda participant, step, message: None,
) -> Total:
    """Run a round as a coordinator does it.

    Args:
        participants: those of the agreement, by id.
        on_message: called with who, the step and the message, for whatever is sent or answered; if it raises `Gone`,
            that participant has vanished, and its answer with it.

    Raises:
        RoundAborted: the round came to no sum.
    """
    collector = make_collector(agreement)
    while (step := collector.step) is not None:
        for each, question in collector.ask().items():
            try:
                on_message(each, step, question)
                answer, to_others = participants[each].answer(step, agreement.round, question)
                for other, message in to_others.items():
                    on_message(each, step, {"to": other, "share": message})
                    participants[other].deliver(each, agreement.round, message)
                on_message(each, step, answer)
                collector.take(each, answer)
            except (Gone, AggregationError) as error:
                collector.lose(each, str(error) or "it has vanished")
        collector.advance()
    assert collector.total is not None
    return collector.total


def largest_error(aggregation: str, participants: int, length: int, seed: int) -> float:
    """The largest difference between a secure mean and a plain one, of random vectors.

    In this process, with the protocol that workers run: the plain mean of what workers have learned nobody sees.
    """
    generator = np.random.default_rng(seed)
    ids = [f"worker {number}" for number in range(participants)]
    layout = {"parameters": (length,)}
    rounds = {each: Rounds(Ledger(each, ids, protocols=PROTOCOLS)) for each in ids}
    updates = [Update(generator.standard_normal(length, np.float32), 1, layout, "") for _ in ids]
    for each, update in zip(rounds.values(), updates, strict=True):
        each.keep(update)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PlainAggregation)  # these vectors are nobody's
        total = run_round(new_agreement(aggregation, ids, "", layout), rounds)
    return float(np.abs(total.mean - np.mean([update.values for update in updates], axis=0, dtype=np.float64)).max())
