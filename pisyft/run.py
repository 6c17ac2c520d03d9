"""One training run, from the first connection to the released model: what `pisyft train` does."""

from __future__ import annotations

import itertools
import math
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from syft.exceptions import GetNotPermittedError

from pisyft import events, report
from pisyft.aggregation.errors import RoundAborted
from pisyft.aggregation.simulation import largest_error
from pisyft.attendance import Attendance
from pisyft.checkpoints import Checkpoint, Checkpoints
from pisyft.credentials import Credentials
from pisyft.events import EventLog, Observer
from pisyft.federation import Federation, FederationError, Round
from pisyft.lab import Lab, LabError
from pisyft.learning.evaluation import Counts, add_up
from pisyft.learning.models import leaning
from pisyft.learning.strategies import FedAvg
from pisyft.learning.training import Diverged
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.printing import say
from pisyft.release import Gate, ModelStore, coordinator_key
from pisyft.rollout import deliver
from pisyft.settings import Settings
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import TransportError

# How long to wait before a round that was given up is tried again: a Pi needs about a minute to start.
_PAUSES_SECONDS = (2, 10, 30, 60)


class RunStopped(Exception):
    """A run came to no end. The text says why, and what is kept of it."""


class _LeftOut:
    """Tells which worker is left out of something, and why: each reason once, until the worker takes part again."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._told: dict[str, str] = {}

    def __call__(self, worker: str, reason: object) -> None:
        if self._told.get(worker) != str(reason):
            self._told[worker] = str(reason)
            self._tell(f"{worker} is left out. {reason}")

    def of_these_nobody(self, workers: Iterable[str]) -> None:
        for worker in workers:
            self._told.pop(worker, None)


@dataclass
class Trained:
    """What training came to.

    Attributes:
        start: the model before the first round.
        best: the model of the round that was best on the names to choose by.
        best_round: which round that was.
        history: what each worker counted on these names before the first round and after each.
        seconds: spent on training, and on summing up.
    """

    start: Any
    best: Any
    best_round: int
    history: list[dict[str, Counts]]
    seconds: dict[str, float]


def train_in_a_lab(
    names: Path,
    settings: Settings,
    out: Path,
    console: Console | None = None,
    resume: bool = False,
    alphabet: str = "tutorial",
) -> dict:
    """Train with two local workers, and beside it the same model on all names in one place, and on each worker's."""
    console = console or Console()
    say(console, "Starting alice and bob, each with names of its own ...")
    allow_plain = settings.aggregation == "plain"
    with Lab(names, ["alice", "bob"], out / "lab", settings.seed, "strict", allow_plain, True, alphabet) as lab:
        assert lab.classroom is not None

        def train_centrally() -> Counts | None:
            try:
                with console.status("Training the same model on all names in one place, to compare"):
                    return Counts.from_answer(lab.train_centrally(settings))
            except LabError as error:  # a comparison: the run is worth telling without it
                say(console, f"Nothing was trained in one place, to compare. {error}")
                return None

        key = coordinator_key(out / "lab" / "coordinator.key")
        return train(
            *(lab.addresses, settings, out, console, train_centrally, lab.classroom.credentials),
            alone=True,
            resume=resume,
            key=key,
        )


def train(
    addresses: Mapping[str, tuple[str, int]],
    settings: Settings,
    out: Path,
    console: Console | None = None,
    compare: Callable[[], Counts | None] | None = None,
    credentials: Credentials | None = None,
    *,
    alone: bool = False,
    resume: bool = False,
    key: Ed25519PrivateKey | None = None,
) -> dict:
    """Train with the workers at these addresses; write summary.json and pictures to `out`, and tell what happens.

    Two of them must be there. The others are asked for again before every round, and take part when they return. Who
    does not take part in something, because it cannot be reached or its owner does not permit it (it is paused, or a
    limit is reached), is left out of that, and the others go on.
    What happens is also written to events.jsonl in `out`, as it happens (see `events`).

    Which round's model is taken is decided on the workers' names to choose by ("validation"). Their test names are
    looked at once, at the end, for the figures that are told and for whether the model is released.

    Args:
        addresses: `(host, port)` by worker id.
        compare: trains the same model on all names in one place, where somebody can; returns its counts, or None.
        credentials: the coordinator's in the workers' classroom.
        alone: have every worker train a model alone as well, to see what it gains.
        resume: go on with the run in `out` after its last complete round.
        key: signs released models; the user's by default.

    Returns:
        What is in summary.json.

    Raises:
        CheckpointError: there is no run with these settings to go on with.
        FederationError: fewer than two workers are there, or they cannot train together.
        RoundAborted: a round was given up too often. `resume` goes on.
        RunStopped: training diverged.
    """
    console = console or Console()
    store = ModelStore(out / "models")
    key = key or coordinator_key()
    with Attendance(addresses, credentials) as attendance:

        def tell(text: str) -> None:
            say(console, text)

        left_out = _LeftOut(tell)

        def deliver_to(workers: Collection) -> None:
            for worker_id, version in deliver(list(workers), store, key).items():
                tell(f"{worker_id} has received version {version}, which it had missed.")

        def let_in() -> None:
            """Have those take part who have come since."""
            for worker in attendance.ask(tell):
                try:
                    federation.admit(worker)
                except (FederationError, GetNotPermittedError, TransportError) as error:
                    tell(f"{worker.id} has come and does not take part. {error}")
                else:
                    tell(f"{worker.id} has come, and takes part from now on.")
                    deliver_to([worker])

        federation = Federation(_enough(attendance, tell), settings.batch_size, settings.learning_rate)
        for note in federation.notes():
            tell(note)
        deliver_to(federation.workers)
        with EventLog(out / events.FILE) as observe:
            trained = _train_rounds(
                *(federation, list(addresses), let_in, left_out, settings, out, console, resume, observe)
            )
            if settings.leaning:
                counts = torch.tensor(federation.names_by_language)
                trained.best = leaning(trained.best, counts, settings.leaning)
            observe(events.PhaseStarted("testing"))
            before = federation.evaluate(trained.start, "test", settings.model, left_out=left_out)
            observe(_evaluated(0, "test", before))
            after = federation.evaluate(trained.best, "test", settings.model, left_out=left_out)
            observe(_evaluated(trained.best_round, "test", after))
            length = len(to_vector(trained.best))
            error = largest_error(settings.aggregation, len(federation.workers), length, settings.seed)
            on_their_own = {}
            if alone:
                observe(events.PhaseStarted("training alone"))
                on_their_own = _train_alone(federation, trained, settings, console)
            observe(events.PhaseStarted("releasing"))
            release = _release(federation, trained, settings, after, store, key, list(attendance.away), observe)
            central = None
            if compare:
                observe(events.PhaseStarted("training in one place"))
                central = compare()
            outcome = report.Outcome(
                federation, settings, trained, before, after, on_their_own, central, error, release
            )
            summary = report.summarise(outcome)
            observe(events.RunFinished(trained.best_round))
    report.write(outcome, summary, out)
    report.tell(outcome, summary, out, console)
    return summary


def _enough(attendance: Attendance, tell: Callable[[str], object]) -> list[WebsocketClientWorker]:
    """The workers that are there.

    Raises:
        FederationError: fewer than two. The text says who is missing, and why.
    """
    present = attendance.ask()
    reasons = [str(error) for error in attendance.away.values()]
    if len(present) < 2:
        there = f"only {present[0].id} is" if present else "none is"
        raise FederationError("\n".join([f"a federation needs two workers or more, and {there} there", *reasons]))
    for reason in reasons:
        tell(f"{reason}\nThe others begin. It is asked again before every round.")
    return present


def _train_rounds(
    federation: Federation,
    everybody: list[str],
    let_in: Callable[[], None],
    left_out: _LeftOut,
    settings: Settings,
    out: Path,
    console: Console,
    resume: bool,
    observe: Observer,
) -> Trained:
    start = federation.new_model(settings.seed, settings.model)
    strategy = settings.strategy_from(to_vector(start))
    checkpoints = Checkpoints(out)
    plain = {**asdict(settings), "workers": everybody}
    history: list[dict[str, Counts]] = []
    if resume:
        last = checkpoints.last(plain)
        strategy.restore({name: torch.from_numpy(value) for name, value in last.state.items()})
        history = [{worker: Counts.from_answer(each) for worker, each in told.items()} for told in last.history]
        say(console, f"Going on after round {last.round}.")
    else:
        checkpoints.forget()
    model = federation.new_model(settings.seed, settings.model)
    seconds = {"train": 0.0, "aggregate": 0.0}
    told = (settings.rounds, settings.aggregation, settings.model, settings.strategy, strategy.round)
    observe(events.RunStarted(everybody, federation.languages, *told))
    for number, each in enumerate(history):
        _tell_counts(observe, number, each)

    def keep() -> None:
        load_vector(model, strategy.weights.float())
        history.append(_choose_by(federation, model, history[-1] if history else {}, settings, left_out))
        is_best = max(range(len(history)), key=lambda number: (_goodness(history[number]), number)) == strategy.round
        state = {name: value.numpy() for name, value in strategy.state().items()}
        told = [{worker: counts.as_answer() for worker, counts in each.items()} for each in history]
        checkpoints.keep(Checkpoint(strategy.round, plain, state, told), is_best)
        _tell_counts(observe, strategy.round, history[-1])

    if not history:
        keep()
    with report.progress(console) as progress:
        task = progress.add_task("")
        while strategy.round < settings.rounds:
            let_in()
            names = sum(settings.training.names(each["train"]) for each in federation.descriptions.values())
            progress.update(
                task,
                description=f"round {strategy.round + 1} of {settings.rounds}",
                total=round(settings.rounds * names),
                completed=round(strategy.round * names),
            )
            done: dict[str, int] = {}

            def show(event: events.Event, done: dict = done, before: float = strategy.round * names) -> None:
                observe(event)
                if isinstance(event, events.Training):
                    done[event.worker] = event.names
                    progress.update(task, completed=round(before + sum(list(done.values()))))

            try:
                finished = _run_round(federation, strategy, model, settings, console, show)
            except Diverged as error:
                raise RunStopped(
                    f"round {strategy.round + 1}: {error}. What is kept: the model of the last good round, "
                    f"{strategy.round}, in {out}/checkpoint.npz, and the best one in {out}/best.npz"
                ) from error
            left_out.of_these_nobody(finished.total.contributors)
            for worker, reason in finished.missing.items():
                left_out(worker, reason)
            seconds["train"] += finished.train_seconds
            seconds["aggregate"] += finished.aggregate_seconds
            keep()
            progress.update(task, completed=round(strategy.round * names))
    best = checkpoints.best()
    load_vector(model, torch.from_numpy(best.state["weights"]).float())
    return Trained(start, model, best.round, history, seconds)


def _run_round(
    federation: Federation, strategy: FedAvg, model, settings: Settings, console: Console, observe: Observer
) -> Round:
    """A round, and what the strategy makes of it; one that is given up is tried again, from the model as it was.

    Raises:
        Diverged: nothing has changed then.
        RoundAborted: it was given up too often.
    """
    for again in itertools.count():
        observe(events.RoundStarted(strategy.round + 1))
        try:
            finished = federation.train_and_sum(
                model, settings.model, strategy.message().numpy(), strategy.training(), settings.aggregation, observe
            )
        except RoundAborted as aborted:
            tries_again = again < len(_PAUSES_SECONDS) and not _is_refused_for_good(str(aborted))
            pause = _PAUSES_SECONDS[again] if tries_again else None
            observe(events.RoundGivenUp(str(aborted), pause))
            if pause is None:
                raise
            say(console, f"{aborted}\nThe model stays as it was; the round is tried again.")
            time.sleep(pause)
        else:
            strategy.update(torch.from_numpy(finished.total.mean))
            return finished
    raise AssertionError("never reached")


def _is_refused_for_good(reason: str) -> bool:
    """Whether a worker refuses by a rule that will still be there at the next try (`refusals.RULES`)."""
    rule = re.search(r"\(rule ([a-z-]+)\)", reason)
    return rule is not None and rule[1] not in ("busy", "paused")


def _choose_by(
    federation: Federation, model, before: Mapping[str, Counts], settings: Settings, left_out: _LeftOut
) -> dict[str, Counts]:
    """What the workers count on the names to choose by; of one that is left out, what it counted before.

    Nothing, where no worker has enough of these names.
    """
    try:
        return {**before, **federation.evaluate(model, "validation", settings.model, left_out=left_out)}
    except FederationError:
        return dict(before)


def _evaluated(number: int, part: str, counts: Mapping[str, Counts]) -> events.Evaluated:
    """What the workers have counted together after a round, to be told."""
    together = add_up(counts.values())
    by_worker = {worker: (each.accuracy, each.loss) for worker, each in counts.items()}
    figures = (together.names, together.accuracy, together.loss)
    return events.Evaluated(number, part, *figures, together.confusion, by_worker)


def _tell_counts(observe: Observer, number: int, counts: Mapping[str, Counts]) -> None:
    """Tell what was counted on the names to choose by, where somebody has enough of them."""
    if counts:
        observe(_evaluated(number, "validation", counts))


def _goodness(counts: Mapping[str, Counts]) -> tuple[int, float, float]:
    """The better, the greater; equal where nobody could tell. First comes how many workers have told something."""
    if not counts:
        return (0, 0.0, 0.0)
    together = add_up(counts.values())
    return (len(counts), together.accuracy, -together.loss if math.isfinite(together.loss) else -math.inf)


def _train_alone(federation: Federation, trained: Trained, settings: Settings, console: Console) -> dict[str, Counts]:
    """What each worker counts that trains alone; nothing, where none does. It is a comparison: no run ends with it."""

    def left_out(worker: str, reason: Exception) -> None:
        say(console, f"Nothing is known of {worker} training alone, to compare. {reason}")

    with console.status("Every worker trains the same model alone, to compare"):
        try:
            return federation.evaluate_alone(trained.start, settings.alone, "test", settings.model, left_out=left_out)
        except FederationError:  # all are left out, and each has been told
            return {}


def _release(federation, trained: Trained, settings: Settings, after, store: ModelStore, key, absent, observe) -> dict:
    """The release, for the summary: its version and who lacks it, or why there is none."""
    together = add_up(after.values())
    by_worker = {worker: counts.accuracy for worker, counts in after.items()}
    federation.ask_again()  # some have taken a release since they came
    in_use = {worker: each["released_accuracy"] for worker, each in federation.descriptions.items()}
    before = {worker: accuracy for worker, accuracy in in_use.items() if accuracy is not None}
    gate = Gate(settings.good_enough_together, settings.good_enough, settings.margin, settings.min_rounds)
    reasons = gate.reasons_against(together.accuracy, by_worker, before, trained.best_round)
    if reasons:
        observe(events.NotReleased(reasons))
        return {"released_version": None, "not_released": reasons, "away": []}
    measures = {name: (each.value, each.low, each.high) for name, each in together.measures().items()}
    delivered = federation.release(
        trained.best,
        together.accuracy,
        trained.best_round,
        name=settings.model,
        store=store,
        key=key,
        away=absent,
        strategy=settings.strategy,
        aggregation=settings.aggregation,
        accuracy_by_worker=by_worker,
        measures=measures,
    )
    away = [*(str(worker.id) for worker in federation.workers if worker.id not in delivered), *absent]
    assert store.current is not None
    observe(events.Released(store.current, away))
    return {"released_version": store.current, "not_released": [], "away": away}
