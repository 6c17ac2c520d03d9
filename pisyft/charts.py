"""Charts for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from pisyft.learning.names import Parts, total
from pisyft.release import Card
from pisyft.untrusted import printable

if TYPE_CHECKING:
    from pisyft.learning.evaluation import Counts  # needs PyTorch

_SIDE_BY_SIDE = 4  # workers in columns; more of them are in rows, so that a terminal of 80 characters shows them
_BAR = 12


class Figures:
    """A table of which nothing is cut: where it is narrow, without lines, or else with its rows below each other.

    Args:
        table: its cells are texts.
        title: in a line of its own, which may be longer than the table is wide.
    """

    def __init__(self, table: Table, title: str = "") -> None:
        self._table, self._title = table, title

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._title:
            yield from console.render(Text(self._title, "table.title"), options)
        table = self._table
        if _width(console, table) > options.max_width:
            table.box, table.padding, table.pad_edge = None, (0, 2, 0, 0), False
        if _width(console, table) <= options.max_width:
            yield from console.render(table, options)
            return
        for cells in zip(*(column.cells for column in table.columns), strict=True):
            below = Table.grid(padding=(0, 2, 0, 0))
            for column, cell in zip(table.columns, cells, strict=True):
                if cell:
                    below.add_row(str(column.header).replace("\n", " "), cell)
            yield from console.render(Group(below, ""), options)


def _width(console: Console, table: Table) -> int:
    """How wide a table would like to be, in characters."""
    return console.measure(table, options=console.options.update(max_width=10_000)).maximum


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


def evaluations(title: str, counts: Mapping[str, Counts], together: Counts) -> Figures:
    """How good a model is on each worker's names, and on all of them.

    Args:
        counts: what each worker has counted, by its id.
        together: what they have counted together.
    """
    table = Table()
    table.add_column("worker")
    for column in ("names", "accuracy", "balanced", "top 3", "loss"):
        table.add_column(column, justify="right")
    for worker, each in [*counts.items(), ("together", together)]:
        balanced = f"{each.balanced_accuracy:.1%}" if each.tells_languages else "too few"
        figures = [f"{each.accuracy:.1%}", balanced, f"{each.top3_accuracy:.1%}"]
        if each is together:
            table.add_section()
        table.add_row(worker, str(each.names), *figures, f"{each.loss:.2f}")
    return Figures(table, title)


def releases(cards: Sequence[Card], current: int | None) -> Figures:
    """Released versions, and which is in use."""
    table = Table()
    for column in ("version", "date", "model", "letters", "accuracy", "rounds", "workers"):
        table.add_column(column, justify="right" if column in ("version", "accuracy", "rounds") else "left")
    for card in cards:
        used = card.version == current
        table.add_row(
            f"{'in use: ' if used else ''}{card.version}",
            printable(card.date[:10]),
            printable(card.model),
            printable(card.alphabet),
            f"{card.accuracy:.1%}",
            str(card.rounds),
            printable(", ".join(card.participants)),
            style="bold" if used else "",
        )
    return Figures(table)


_SETTINGS = (
    *("workers", "names", "rounds", "model", "strategy", "aggregation", "alphabet", "batch_size", "learning_rate"),
    *("optimizer", "passes", "steps", "clip", "schedule", "server_learning_rate", "leaning", "seed"),
)
_ALWAYS_TOLD = ("workers", "names", "rounds")
_FIGURES = {
    "accuracy": "accuracy_final",
    "balanced": "balanced_accuracy_final",
    "central": "centralised_accuracy",
}


def runs(summaries: Sequence[Mapping]) -> Figures:
    """Training runs side by side: their figures, and the settings in which they differ. The best are bold.

    Args:
        summaries: what each run's summary.json has, and its name as `run`.
    """
    settings = [{key: _setting(summary, key) for key in _SETTINGS} for summary in summaries]
    differing = [key for key in _SETTINGS if len({each[key] for each in settings}) > 1]
    alike = [f"{key} {settings[0][key]}" for key in _ALWAYS_TOLD if key not in differing and settings[0][key]]
    told = {name: key for name, key in _FIGURES.items() if any(each.get(key) is not None for each in summaries)}
    table = Table()
    table.add_column("run")
    for column in (*differing, *told, "released"):
        table.add_column(column.replace("_", "\n"), justify="right")
    for summary, own in zip(summaries, settings, strict=True):
        figures: list[RenderableType] = []
        for key in told.values():
            value = summary.get(key)
            best = value is not None and value == max(each.get(key) or 0 for each in summaries)
            figures.append("" if value is None else Text(f"{value:.1%}", style="bold" if best else ""))
        version = summary.get("released_version")
        table.add_row(
            summary["run"],
            *(own[key] for key in differing),
            *figures,
            "no" if version is None else f"version {version}",
        )
    return Figures(table, ", ".join(alike))


def _setting(summary: Mapping, key: str) -> str:
    if key == "workers":
        return str(len(summary.get("workers", ())))
    value = summary.get("names_total" if key == "names" else key)
    return "" if value is None else str(value)
