"""What is told and written about a training run: progress, the table at its end, summary.json, pictures."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from pisyft import plots
from pisyft.charts import Figures
from pisyft.compat import PYSYFT
from pisyft.federation import Federation
from pisyft.learning.evaluation import Counts, add_up, predict
from pisyft.printing import say
from pisyft.wording import counted

if TYPE_CHECKING:
    from pisyft.run import Settings, Trained

SURNAMES_TO_PREDICT = ("Qing", "Daniele", "Yamaguchi", "Kowalczyk")
_AGGREGATION = {"additive": "secret sharing", "masks": "zero-sum masks", "plain": "adding up in the clear"}


@dataclass(frozen=True)
class Outcome:
    """What a run has come to.

    Attributes:
        federation: whose workers trained.
        settings: how.
        trained: the models, and how it went.
        before, after: what each worker counted on its test names, with the first model and with the best.
        alone: the same with a model that it trained alone; empty, where none did.
        central: the counts of the same model trained in one place, where somebody could.
        aggregation_error: the largest difference between a secure mean and a plain one.
        release: for the summary, the version that was released and who lacks it, or why none was.
    """

    federation: Federation
    settings: Settings
    trained: Trained
    before: Mapping[str, Counts]
    after: Mapping[str, Counts]
    alone: Mapping[str, Counts]
    central: Counts | None
    aggregation_error: float
    release: Mapping[str, object]


def progress(console: Console) -> Progress:
    """A bar that counts the names that have been trained on."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("names"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
    )


def summarise(outcome: Outcome) -> dict:
    """What summary.json has: plain values."""
    federation, trained = outcome.federation, outcome.trained
    first, last = add_up(outcome.before.values()), add_up(outcome.after.values())
    measures = last.measures()
    tested = [index for index, row in enumerate(last.confusion) if sum(row) or index in last.pooled_languages]
    return {
        "workers": [worker.id for worker in federation.workers],
        "participants": len(federation.workers),
        "names_total": federation.names_total,
        "names_by_worker": {worker: sum(each["by_language"]) for worker, each in federation.descriptions.items()},
        **asdict(outcome.settings),
        "alphabet": federation.alphabet.name,
        "best_round": trained.best_round,
        "train_seconds": round(trained.seconds["train"], 2),
        "aggregate_seconds": round(trained.seconds["aggregate"], 2),
        "accuracy_initial": first.accuracy,
        "accuracy_final": last.accuracy,
        "balanced_accuracy_final": last.balanced_accuracy if last.tells_languages else None,
        "macro_f1_final": last.macro_f1 if last.tells_languages else None,
        "top3_accuracy_final": last.top3_accuracy,
        "calibration_error_final": last.calibration_error,
        "intervals_final": {name: [each.low, each.high] for name, each in measures.items()},
        "loss_initial": first.loss,
        "loss_final": last.loss,
        "accuracy_by_worker": {worker: counts.accuracy for worker, counts in outcome.after.items()},
        "accuracy_alone_by_worker": {worker: counts.accuracy for worker, counts in outcome.alone.items()},
        "languages_not_tested": [
            language for index, language in enumerate(federation.languages) if index not in tested
        ],
        "centralised_accuracy": outcome.central.accuracy if outcome.central else None,
        "aggregation_max_error": outcome.aggregation_error,
        **outcome.release,
        "bytes_sent": sum(worker.bytes_sent for worker in federation.workers),
        "bytes_received": sum(worker.bytes_received for worker in federation.workers),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "syft": PYSYFT,
    }


def write(outcome: Outcome, summary: dict, out: Path) -> None:
    """Write summary.json and the pictures to a folder."""
    languages, history, central = outcome.federation.languages, outcome.trained.history, outcome.central
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    first, last = add_up(outcome.before.values()), add_up(outcome.after.values())
    figures = {}
    if last.tells_languages:
        figures["confusion"] = plots.confusion_matrix(last.confusion, languages)
        figures["languages"] = plots.language_bars(first.recalls(), last.recalls(), languages)
    if told := history[-1]:
        # A worker that came later has told nothing of the first rounds.
        losses = {each: [counts[each].loss if each in counts else math.nan for counts in history] for each in told}
        accuracies = {
            each: [(done, counts[each].accuracy) for done, counts in enumerate(history) if each in counts]
            for each in told
        }
        accuracies["together"] = [(done, add_up(each.values()).accuracy) for done, each in enumerate(history) if each]
        figures["loss"] = plots.loss_curve(losses, central.loss if central else None)
        figures["accuracy"] = plots.accuracy_curves(accuracies, "Accuracy on names to choose by, round by round")
    if summary["accuracy_alone_by_worker"]:
        figures["gain"] = plots.gain_bars(summary["accuracy_alone_by_worker"], summary["accuracy_by_worker"])
    for name in ("confusion", "languages", "loss", "accuracy", "gain"):
        (out / f"{name}.png").unlink(missing_ok=True)  # an earlier run's
    for name, figure in figures.items():
        (out / f"{name}.png").write_bytes(plots.png(figure))


def tell(outcome: Outcome, summary: dict, out: Path, console: Console) -> None:
    """Print what came of a run; `summary` and the pictures are in `out`."""
    console.print()
    console.print(_table(outcome, summary))
    federation, trained = outcome.federation, outcome.trained
    for name, measure in add_up(outcome.after.values()).measures().items():
        say(console, f"{name.replace('_', ' ')}: {measure}")
    if summary["balanced_accuracy_final"] is None:
        say(console, "Of single languages nothing is told: no worker has enough test names of one.")
    if missing := summary["languages_not_tested"]:
        say(console, f"No worker tests names of {', '.join(missing)}: nothing is known of them.")
    for name in SURNAMES_TO_PREDICT:
        say(console, f"\n> {name}")
        for value, language in predict(trained.best, name, federation.languages, alphabet=federation.alphabet):
            say(console, f"({value:.2f}) {language}")
    say(
        console,
        f"\n{counted(summary['rounds'], 'round')}, the best of them {trained.best_round}: "
        f"{summary['train_seconds']:.0f} s of training, {summary['aggregate_seconds']:.1f} s of "
        f"{_AGGREGATION[summary['aggregation']]} (error {summary['aggregation_max_error']:.0e}).",
    )
    for reason in summary["not_released"]:
        say(console, f"Not released: {reason}.")
    if summary["away"]:
        say(console, f"{', '.join(summary['away'])} will receive the release at the next run with --out {out}.")
    if summary["released_version"] is not None:
        who = "every worker" if not summary["away"] else "all others"
        say(console, f"Released to {who} as version {summary['released_version']}.")
    say(console, f"Written: {out}/summary.json and {', '.join(sorted(f.name for f in out.glob('*.png')))}")


def _has_too_few(description: Mapping) -> bool:
    return description["test"] < description["floor"]


def _table(outcome: Outcome, summary: dict) -> Figures:
    """Accuracies on the test names: a row for each worker, and one for all."""
    before, after, alone, central = outcome.before, outcome.after, summary["accuracy_alone_by_worker"], outcome.central
    table = Table()
    table.add_column("worker")
    for column in ("names", "to test", "before", *(["alone"] if alone else []), "after"):
        table.add_column(column, justify="right")
    for worker, each in outcome.federation.descriptions.items():
        table.add_row(
            Text(str(worker)),
            str(sum(each["by_language"])),
            str(each["test"]),
            f"{before[worker].accuracy:.1%}" if worker in before else "",
            *([f"{alone[worker]:.1%}" if worker in alone else ""] if alone else []),
            f"{after[worker].accuracy:.1%}" if worker in after else "too few" if _has_too_few(each) else "left out",
        )
    table.add_section()
    tested = sum(counts.names for counts in after.values())
    nothing = [""] if alone else []
    table.add_row(
        "together",
        str(summary["names_total"]),
        str(tested),
        f"{summary['accuracy_initial']:.1%}",
        *nothing,
        Text(f"{summary['accuracy_final']:.1%}", style="bold"),
    )
    if central:
        in_one_place = f"{central.accuracy:.1%}"
        table.add_row("(in one place)", str(summary["names_total"]), str(tested), "", *nothing, in_one_place)
    return Figures(table, "Guessing the language of names that were held out")
