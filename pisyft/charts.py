"""Charts for a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.bar import Bar
from rich.console import RenderableType
from rich.table import Table

from pisyft.learning.names import Parts, total

_SIDE_BY_SIDE = 4  # workers in columns; more of them are in rows, so that a terminal of 80 characters shows them
_BAR = 12


def dealt(hands: Mapping[str, Parts]) -> Table:
    """Who holds what: how many names of which languages each worker has, to train on, to choose by and to test on.

    Args:
        hands: each worker's names, by its id.
    """
    return _languages_in_rows(hands) if len(hands) <= _SIDE_BY_SIDE else _workers_in_rows(hands)


def _languages_in_rows(hands: Mapping[str, Parts]) -> Table:
    table = Table(title="Who holds how many names", title_justify="left")
    table.add_column("language")
    width = _BAR // len(hands)
    for worker in hands:
        table.add_column(worker, justify="right")
        table.add_column("", width=width)
    everything = {worker: hand.together for worker, hand in hands.items()}
    for language in next(iter(hands.values())).languages:
        counts = [len(names[language]) for names in everything.values()]
        row: list[RenderableType] = [language]
        for count in counts:
            row += [str(count) if count else "·", Bar(max(sum(counts), 1), 0, count, width=width, color="cyan")]
        table.add_row(*row)
    table.add_section()
    for part in ("train", "validation", "test", "together"):
        sums = [str(total(getattr(hand, part))) for hand in hands.values()]
        table.add_row(part, *(cell for each in sums for cell in (each, "")), end_section=part == "test")
    return table


def _workers_in_rows(hands: Mapping[str, Parts]) -> Table:
    table = Table(title="Who holds how many names", title_justify="left")
    table.add_column("worker")
    for column in ("train", "validation", "test"):
        table.add_column(column, justify="right")
    table.add_column("together", width=_BAR)
    table.add_column("mostly")
    largest = max(total(hand.together) for hand in hands.values())
    for worker, hand in hands.items():
        names = hand.together
        held = total(names)
        mostly = sorted(names, key=lambda language: -len(names[language]))[:2]
        table.add_row(
            worker,
            *(str(total(of_part)) for _, of_part in hand.items()),
            Bar(largest, 0, held, width=_BAR, color="cyan"),
            ", ".join(f"{language} {len(names[language]) / held:.0%}" for language in mostly if names[language]),
        )
    return table
