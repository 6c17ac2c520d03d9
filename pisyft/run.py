"""One training run, from the first connection to the released model: what `pisyft train` does, and tells."""

from __future__ import annotations

import itertools
import json
import platform
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import syft
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from pisyft import plots
from pisyft.aggregation import simulation
from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.errors import RoundAborted
from pisyft.aggregation.plain import PlainAggregation
from pisyft.aggregation.rounds import PROTOCOLS, Rounds, Update, new_agreement
from pisyft.compat import PYSYFT
from pisyft.credentials import Credentials
from pisyft.federation import Federation, Round
from pisyft.lab import Lab
from pisyft.learning.evaluation import Counts, add_up, predict
from pisyft.learning.models import RNN
from pisyft.learning.strategies import FedAvg, make_strategy
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.release import good_enough
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import TransportError

_AGGREGATION = {"additive": "secret sharing", "masks": "zero-sum masks", "plain": "adding up in the clear"}
# How long to wait before a round that was given up is tried again: a Pi needs about a minute to start.
_PAUSES_SECONDS = (2, 10, 30, 60)

SURNAMES_TO_PREDICT = ("Qing", "Daniele", "Yamaguchi", "Kowalczyk")


@dataclass(frozen=True)
class Settings:
    """How to train.

    Attributes:
        rounds: passes of every worker over its names, each followed by an average.
        batch_size: names in a step of SGD.
        learning_rate: of SGD.
        good_enough: the accuracy on every worker's held-out names from which a model is released.
        seed: of the model's first parameters, and of the order in which names are trained on.
        aggregation: how the workers' changes are summed up: "additive", "masks", or "plain", which hides nothing.
    """

    rounds: int = 15
    batch_size: int = 32
    learning_rate: float = 0.1
    good_enough: float = 0.25
    seed: int = 0
    aggregation: str = "additive"


def train_in_a_lab(names: Path, settings: Settings, out: Path, console: Console | None = None) -> dict:
    """Train with two local workers, and beside it the same model on all names in one place."""
    console = console or Console()
    console.print("Starting alice and bob, each with names of its own ...")
    allow_plain = settings.aggregation == "plain"
    with Lab(names, ["alice", "bob"], out / "lab", settings.seed, "strict", allow_plain, certificates=True) as lab:
        assert lab.classroom is not None

        def train_centrally() -> Counts:
            with console.status("Training the same model on all names in one place, to compare"):
                answer = lab.train_centrally(settings.rounds, settings.batch_size, settings.learning_rate)
            return Counts.from_answer(answer)

        return train(lab.addresses, settings, out, console, train_centrally, lab.classroom.credentials)


def train(
    addresses: Mapping[str, tuple[str, int]],
    settings: Settings,
    out: Path,
    console: Console | None = None,
    compare: Callable[[], Counts] | None = None,
    credentials: Credentials | None = None,
) -> dict:
    """Train with the workers at these addresses; write summary.json and pictures to `out`, and tell what happens.

    Args:
        addresses: `(host, port)` by worker id.
        compare: trains the same model on all names in one place, where somebody can; returns its counts.
        credentials: the coordinator's in the workers' classroom.

    Returns:
        What is in summary.json.
    """
    console = console or Console()
    hook = syft.TorchHook(torch)
    workers: list[WebsocketClientWorker] = []
    try:
        for worker_id, (host, port) in addresses.items():
            workers.append(WebsocketClientWorker(hook, host, port, id=worker_id, credentials=credentials))
        federation = Federation(workers, settings.batch_size, settings.learning_rate)
        model, history, seconds = _train_rounds(federation, settings, console)
        error = aggregation_error(settings.aggregation, len(workers), len(to_vector(model)), settings.seed)
        accuracy = add_up(history[-1].values()).accuracy
        released = {}
        if good_enough([counts.accuracy for counts in history[-1].values()], settings.good_enough):
            released = federation.release(model, accuracy, settings.rounds)
        central = compare() if compare else None
        summary = _summary(federation, settings, history, seconds, central, error, released)
    finally:
        for worker in workers:
            worker.close()
    _write(out, summary, federation, history, central)
    _tell(console, out, summary, federation, model, history, central, settings)
    return summary


def _train_rounds(federation: Federation, settings: Settings, console: Console) -> tuple[RNN, list, dict[str, float]]:
    """The model, what each worker counted before the first round and after each, and the seconds spent."""
    model = federation.new_model(settings.seed)
    training = TrainingSettings(settings.batch_size, settings.learning_rate, seed=settings.seed)
    strategy = make_strategy("fedavg", to_vector(model), training, settings.rounds)
    history = [federation.evaluate(model)]
    seconds = {"train": 0.0, "aggregate": 0.0}
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("names"),
        TimeElapsedColumn(),
        TextColumn("left:"),
        TimeRemainingColumn(),
        console=console,
    )
    names = sum(each["train"] for each in federation.descriptions.values())
    with progress:
        task = progress.add_task("", total=settings.rounds * names)
        for number in range(settings.rounds):
            progress.update(task, description=f"round {number + 1} of {settings.rounds}")
            done: dict[str, int] = {}

            def show(worker: str, told: dict, done: dict = done, number: int = number) -> None:
                done[worker] = told["names"]
                progress.update(task, completed=number * names + sum(done.values()))

            finished = _run_round(federation, model, strategy, settings, console, show)
            progress.update(task, completed=(number + 1) * names)
            seconds["train"] += finished.train_seconds
            seconds["aggregate"] += finished.aggregate_seconds
            history.append(_evaluate(federation, model, history[-1], console))
    return model, history, seconds


def _run_round(federation: Federation, model: RNN, strategy: FedAvg, settings: Settings, console, show) -> Round:
    """A round that changes the model; one that is given up is tried again, from the model as it was.

    Raises:
        RoundAborted: it was given up too often.
    """
    for again in itertools.count():
        try:
            finished = federation.train_and_sum(
                model, "tutorial", strategy.message().numpy(), strategy.training(), settings.aggregation, show
            )
        except RoundAborted as aborted:
            if again == len(_PAUSES_SECONDS):
                raise
            console.print(f"{aborted}\nThe model stays as it was; the round is tried again.", highlight=False)
            time.sleep(_PAUSES_SECONDS[again])
        else:
            for worker, reason in finished.total.missing.items():
                console.print(f"This round is without {worker}: {reason}", highlight=False)
            strategy.update(torch.from_numpy(finished.total.mean))
            load_vector(model, strategy.weights.float())
            return finished
    raise AssertionError("never reached")


def _evaluate(federation: Federation, model: RNN, before: Mapping[str, Counts], console) -> dict[str, Counts]:
    """What each worker counts; of one that is away, what it counted before."""
    try:
        return federation.evaluate(model)
    except TransportError as error:
        console.print(f"Not everybody has evaluated this round: {error}", highlight=False)
        return dict(before)


def aggregation_error(aggregation: str, participants: int, length: int, seed: int) -> float:
    """The largest difference between a secure mean and a plain one, of random vectors as long as the model.

    In this process, with the protocol that the workers run: the mean of what workers have learned in the clear is what
    nobody sees.
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
        total = simulation.run_round(new_agreement(aggregation, ids, "", layout), rounds)
    return float(np.abs(total.mean - np.mean([update.values for update in updates], axis=0, dtype=np.float64)).max())


def _summary(federation, settings, history, seconds, central, error, released) -> dict:
    before, after = add_up(history[0].values()), add_up(history[-1].values())
    return {
        "workers": [worker.id for worker in federation.workers],
        "participants": len(federation.workers),
        "names_total": federation.names_total,
        "names_by_worker": {worker: sum(each["by_language"]) for worker, each in federation.descriptions.items()},
        **asdict(settings),
        "train_seconds": round(seconds["train"], 2),
        "aggregate_seconds": round(seconds["aggregate"], 2),
        "accuracy_initial": before.accuracy,
        "accuracy_final": after.accuracy,
        "balanced_accuracy_final": after.balanced_accuracy,
        "loss_initial": before.loss,
        "loss_final": after.loss,
        "accuracy_by_worker": {worker: counts.accuracy for worker, counts in history[-1].items()},
        "centralised_accuracy": central.accuracy if central else None,
        "aggregation_max_error": error,
        "released_version": max(released.values(), default=None),
        "bytes_sent": sum(worker.bytes_sent for worker in federation.workers),
        "bytes_received": sum(worker.bytes_received for worker in federation.workers),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "syft": PYSYFT,
    }


def _write(out: Path, summary: dict, federation: Federation, history: list, central: Counts | None) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    losses = {worker.id: [counts[worker.id].loss for counts in history] for worker in federation.workers}
    (out / "loss.png").write_bytes(plots.png(plots.loss_curve(losses, central.loss if central else None)))
    confusion = add_up(history[-1].values()).confusion
    (out / "confusion.png").write_bytes(plots.png(plots.confusion_matrix(confusion, federation.languages)))


def _tell(console, out, summary, federation, model, history, central, settings) -> None:
    table = Table(title="Guessing the language of names that were held out", title_justify="left")
    table.add_column("worker")
    for column in ("names", "to test", "before", "after"):
        table.add_column(column, justify="right")
    for worker, each in federation.descriptions.items():
        table.add_row(
            str(worker),
            str(sum(each["by_language"])),
            str(each["test"]),
            f"{history[0][worker].accuracy:.1%}",
            f"{history[-1][worker].accuracy:.1%}",
        )
    table.add_section()
    tested = sum(each["test"] for each in federation.descriptions.values())
    table.add_row(
        "together",
        str(summary["names_total"]),
        str(tested),
        f"{summary['accuracy_initial']:.1%}",
        f"[bold]{summary['accuracy_final']:.1%}[/bold]",
    )
    if central:
        table.add_row("(in one place)", str(summary["names_total"]), str(tested), "", f"{central.accuracy:.1%}")
    console.print()
    console.print(table)
    for name in SURNAMES_TO_PREDICT:
        console.print(f"\n> {name}", highlight=False)
        for value, language in predict(model, name, federation.languages):
            console.print(f"({value:.2f}) {language}", highlight=False)
    console.print(
        f"\n{settings.rounds} rounds: {summary['train_seconds']:.0f} s of training, "
        f"{summary['aggregate_seconds']:.1f} s of {_AGGREGATION[settings.aggregation]} "
        f"(error {summary['aggregation_max_error']:.0e}).",
        highlight=False,
    )
    if summary["released_version"] is None:
        console.print(f"Not released: below {settings.good_enough:.0%} on a worker.", highlight=False)
    else:
        console.print(f"Released to every worker as version {summary['released_version']}.", highlight=False)
    console.print(f"Written: {out}/summary.json, loss.png, confusion.png", highlight=False)
