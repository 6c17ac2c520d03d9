"""Every picture. Colours that colour-blind people can tell apart, and letters that can be read on a projector."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator, PercentFormatter

# Okabe and Ito's palette, which stays apart for every common kind of colour blindness; without its yellow, which does
# not from white.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
# With more lines than these, the legend is beside them and not on them.
_LINES_WITH_LEGEND_INSIDE = 4
_TOLD_MISTAKE = 0.15  # part of a language's names that are guessed as another one's
_STYLE: dict = {"font.size": 13, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 110}


def loss_curve(losses: Mapping[str, Sequence[float]], central: float | None = None) -> Figure:
    """The mean loss on each worker's names to choose by after each round, which starts before the first.

    Args:
        losses: for each worker, one value for each round and one before them.
        central: the loss of the same model trained in one place, on the names to test on.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        lines = itertools.cycle(itertools.product(("o-", "s--", "^:"), _COLOURS))
        for (line, colour), (worker, values) in zip(lines, losses.items(), strict=False):
            axes.plot(range(len(values)), values, line, color=colour, label=worker, linewidth=2)
        if central is not None:
            axes.axhline(central, color="#555555", linestyle="--", label="all names in one place\n(on test names)")
        axes.set_xlabel("round")
        axes.set_ylabel("negative log-likelihood")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", alpha=0.3)
        _legend(axes, len(losses), "best")
        axes.set_title("Loss on names to choose by, round by round", loc="left")
    return figure


def loss_by_names(curves: Mapping[str, Sequence[tuple[int, float]]], languages: int) -> Figure:
    """Loss over how many names were trained on, several trainings in one picture, and that of guessing at random.

    Args:
        curves: for each training, names trained on and the loss then.
        languages: how many there are to guess.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        for (label, points), line, colour in zip(
            curves.items(), itertools.cycle(("o-", "s--", "^:")), _COLOURS, strict=False
        ):
            axes.plot(*zip(*points, strict=True), line, color=colour, label=label, linewidth=2)
        axes.axhline(math.log(languages), color="#555555", linestyle=":", label="guessing at random")
        axes.set_xlabel("names trained on")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.set_ylabel("negative log-likelihood")
        axes.set_ylim(bottom=0)
        axes.grid(axis="y", alpha=0.3)
        axes.legend(frameon=False, loc="lower left")
        axes.set_title("Loss, name by name", loc="left")
    return figure


def letter_changes(changes: Mapping[str, Sequence[float]], letters: str) -> Figure:
    """How much the weights of each letter have changed, one row of bars for each part of a network.

    Args:
        changes: for each part, one value for each letter, 0 or more.
        letters: that the bars stand for.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(13, 1.0 + 2.2 * len(changes)), layout="constrained")
        rows = figure.subplots(len(changes), sharex=True, squeeze=False)[:, 0]
        for axes, (part, values), colour in zip(rows, changes.items(), itertools.cycle(_COLOURS), strict=False):
            axes.bar(range(len(letters)), values, color=colour)
            axes.set_ylabel("change")
            axes.set_yticks([])
            axes.set_title(part, loc="left")
            for place, value in enumerate(values):
                if value:
                    axes.annotate(letters[place], (place, value), ha="center", va="bottom", fontsize=13)
            axes.margins(x=0.01, y=0.2)
        rows[-1].set_xticks(range(len(letters)), _shown(letters), fontsize=11)
        rows[-1].get_xticklabels()[letters.find(" ")].set_rotation(90)
    return figure


def _shown(letters: str) -> list[str]:
    return ["space" if letter == " " else letter for letter in letters]


def histograms(samples: Mapping[str, Sequence[float]], label: str, bins: int = 50) -> Figure:
    """How often values of each size occur, one picture beside the other, each with its own axes.

    Args:
        samples: for each picture's title, the values.
        label: of what they are.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5.5 * len(samples), 4), layout="constrained")
        for axes, (title, values), colour in zip(
            figure.subplots(1, len(samples), squeeze=False)[0], samples.items(), itertools.cycle(_COLOURS), strict=False
        ):
            axes.hist(values, bins, color=colour)
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.set_xlabel(label)
            axes.set_ylabel("how often")
            axes.set_title(title, loc="left")
    return figure


def message_sizes(sizes: Mapping[str, Sequence[tuple[int, int]]]) -> Figure:
    """What travels for tensors of different sizes, in bytes, on axes where every step is ten times the one before.

    Args:
        sizes: for each thing that was done, how many numbers the tensor had and how many bytes travelled.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        for (label, points), line, colour in zip(
            sizes.items(), itertools.cycle(("o-", "s--", "^:")), _COLOURS, strict=False
        ):
            axes.loglog(*zip(*points, strict=True), line, color=colour, label=label, linewidth=2.5, markersize=8)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.set_xlabel("numbers in the tensor")
        axes.set_ylabel("bytes that travel")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, loc="upper left")
        axes.set_title("What a message costs", loc="left")
    return figure


def names_held(held: Mapping[str, Sequence[int]], languages: Sequence[str]) -> Figure:
    """How many names of each language every worker holds.

    Args:
        held: for each worker, one count for each language.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 2.0 + 0.38 * len(languages)), layout="constrained")
        axes = figure.subplots()
        left = [0] * len(languages)
        for (worker, counts), colour in zip(held.items(), itertools.cycle(_COLOURS), strict=False):
            axes.barh(languages, counts, left=left, color=colour, label=worker, edgecolor="white")
            left = [before + count for before, count in zip(left, counts, strict=True)]
        axes.invert_yaxis()
        axes.margins(y=0.02)
        axes.set_xlabel("names")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(frameon=False, loc="outside lower center", ncols=min(len(held), 5))
        axes.set_title("Who holds how many names", loc="left")
    return figure


def letters_of(name: str, vectors: Sequence[Sequence[float]], alphabet: str) -> Figure:
    """A name as a network reads it: one row of zeros and a single one for each letter.

    Args:
        vectors: (letters of the name, letters of the alphabet).
        alphabet: the letters that the columns stand for.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(13, 1.3 + 0.24 * len(vectors)), layout="constrained")
        axes = figure.subplots()
        axes.pcolormesh(vectors, cmap="cividis", vmin=0, vmax=1, edgecolors="white", linewidth=0.5)
        axes.set_aspect("equal")
        axes.invert_yaxis()
        axes.set_yticks([row + 0.5 for row in range(len(vectors))], list(name))
        axes.set_xticks([column + 0.5 for column in range(len(alphabet))], _shown(alphabet), fontsize=11)
        axes.get_xticklabels()[alphabet.find(" ")].set_rotation(90)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_title(f"{name}: a one where the letter is, zeros elsewhere", loc="left")
    return figure


def accuracy_curves(curves: Mapping[str, Sequence[tuple[int, float]]], title: str) -> Figure:
    """Accuracy over rounds, several ways to train in one picture.

    Args:
        curves: for each way, rounds done and the accuracy then.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.subplots()
        lines = itertools.cycle(itertools.product(("-", "--", ":"), _COLOURS))
        for (line, colour), (label, points) in zip(lines, curves.items(), strict=False):
            axes.plot(*zip(*points, strict=True), line, color=colour, label=label, linewidth=2)
        axes.set_xlabel("round")
        axes.set_ylabel("accuracy")
        axes.set_ylim(0, 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.grid(axis="y", alpha=0.3)
        _legend(axes, len(curves), "lower right")
        axes.set_title(title, loc="left")
    return figure


def _legend(axes: Axes, lines: int, inside: Literal["best", "lower right"]) -> None:
    if lines <= _LINES_WITH_LEGEND_INSIDE:
        axes.legend(frameon=False, loc=inside)
    else:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))


def language_bars(before: Sequence[float | None], after: Sequence[float | None], languages: Sequence[str]) -> Figure:
    """Which part of each language's held-out names is guessed, before training and after it.

    Args:
        before, after: one value for each language; None where too few names are held out to tell.
    """
    rows = {language: (b, a) for language, b, a in zip(languages, before, after, strict=True)}
    return _pairs_of_bars(rows, ("before", "after"), "Which languages' names are guessed")


def gain_bars(alone: Mapping[str, float], together: Mapping[str, float]) -> Figure:
    """What each worker has gained: accuracy on its own held-out names, trained alone and with the others.

    Args:
        alone: for each worker, of a model that it has trained on its own names only.
        together: for each worker, of the model that all have trained.
    """
    rows = {worker: (alone[worker], together[worker]) for worker in together if worker in alone}
    return _pairs_of_bars(rows, ("trained alone", "trained together"), "What each worker has gained")


def _pairs_of_bars(rows: Mapping[str, tuple[float | None, float | None]], labels: Sequence[str], title: str) -> Figure:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(8, 3.0 + 0.4 * len(rows)), layout="constrained")
        axes = figure.subplots()
        for place, (label, colour) in enumerate(zip(labels, (_COLOURS[1], _COLOURS[0]), strict=True)):
            bars = axes.barh(
                [row + (place - 0.5) * 0.4 for row in range(len(rows))],
                [pair[place] or 0.0 for pair in rows.values()],
                height=0.4,
                color=colour,
                label=label,
            )
            texts = ["too few names" if pair[place] is None else f"{pair[place]:.0%}" for pair in rows.values()]
            axes.bar_label(bars, texts, padding=3, fontsize=11)
        axes.set_yticks(range(len(rows)), list(rows))
        axes.invert_yaxis()
        axes.margins(y=0.02)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.set_xlabel("accuracy on names that were held out")
        figure.legend(frameon=False, loc="outside lower center", ncols=2)
        axes.set_title(title, loc="left")
    return figure


def confusion_matrix(confusion: Sequence[Sequence[int]], languages: Sequence[str]) -> Figure:
    """How the names of each language (row) were guessed (column), as parts of the row."""
    return confusion_matrices({"Which languages are told apart": confusion}, languages)


def confusion_matrices(confusions: Mapping[str, Sequence[Sequence[int]]], languages: Sequence[str]) -> Figure:
    """Several confusion matrices side by side, two in a row.

    Args:
        confusions: for each title, how many names of each language (row) were guessed to be of which (column).
    """
    columns = min(2, len(confusions))
    rows = -(-len(confusions) // columns)
    with matplotlib.rc_context(_STYLE):
        size = (10, 8.5) if len(confusions) == 1 else (1.2 + 7.2 * columns, 7.4 * rows)
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(confusions) :]:
            axes.set_visible(False)
        for axes, (title, confusion) in zip(grid.flat, confusions.items(), strict=False):
            image = _draw_confusion(axes, confusion, languages)
            axes.set_title(title, loc="left")
        figure.colorbar(image, ax=grid, shrink=0.8, label="part of the language's names")
    return figure


def _draw_confusion(axes: Axes, confusion: Sequence[Sequence[int]], languages: Sequence[str]) -> AxesImage:
    parts = [[count / max(sum(row), 1) for count in row] for row in confusion]
    image = axes.imshow(parts, cmap="cividis", vmin=0, vmax=1)
    axes.set_xticks(range(len(languages)), languages, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(languages)), languages)
    axes.set_xlabel("guessed")
    axes.set_ylabel("language of the name")
    axes.spines[:].set_visible(False)
    for row, column in itertools.product(range(len(languages)), repeat=2):
        part, on_diagonal = parts[row][column], row == column
        if on_diagonal or part >= _TOLD_MISTAKE:
            axes.text(
                column,
                row,
                f"{part:.0%}" if sum(confusion[row]) else "–",  # too few names to tell
                ha="center",
                va="center",
                fontsize=11 if on_diagonal else 9,
                color="black" if part > 0.5 else "white",
            )
    return image


def png(figure: Figure) -> bytes:
    """A figure as PNG, to write to a file or to show in a notebook: `Image(plots.png(figure))`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()
