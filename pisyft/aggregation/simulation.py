"""A whole round in one process: real cryptography, no network. For tests, for measuring, and to look inside.

total = run_round(agreement, {"alice": alice, "bob": bob})      # Rounds, each with an update
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pisyft.aggregation.agreement import Agreement
from pisyft.aggregation.errors import AggregationError
from pisyft.aggregation.protocol import Total
from pisyft.aggregation.rounds import Rounds, make_collector


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
