"""What a run's events come to: the sections of the page that are about training. Knows of no file and no network."""

from __future__ import annotations

from functools import singledispatchmethod
from typing import Any

from pisyft.aggregation.protocol import UPLOAD
from pisyft.events import (
    Answered,
    Evaluated,
    Event,
    Lost,
    NotReleased,
    PhaseStarted,
    Released,
    RoundGivenUp,
    RoundStarted,
    RunFinished,
    RunStarted,
    RunStopped,
    Summed,
    SumStarted,
    Training,
)

TRAIN = "train"
# Rounds of which accuracy and loss are shown, at most.
_MOST_ROUNDS = 400
# Of what a Pi says, in characters: enough for every reason that PiSyft gives.
_LONGEST_REASON = 600


class Story:
    """Takes events in their order.

    Attributes:
        sections: what is shown, by name:
            run: its settings, and its `state`: "none", "running", "finished" or "stopped".
            round: the last one that began: who has taken which step, how far everybody's training is.
            history: accuracy and loss on the names to choose by, after each round.
            confusion: the last confusion matrix.
            tests: accuracy on the test names, before training and with the best model.
            release: the version that came of the run, or why there is none.
    """

    def __init__(self) -> None:
        self.sections: dict[str, Any] = _nothing_yet()
        self._history: list[dict[str, Any]] = []

    def take(self, happened: float, event: Event) -> None:
        """Take an event that happened so many seconds after 1970 began."""
        if isinstance(event, RunStarted):
            self.sections, self._history = _nothing_yet(), []
        self.sections["run"] = {**self.sections["run"], "heard": happened}
        self._take(event)

    @property
    def _round(self) -> dict[str, Any]:
        if self.sections["round"] is None:
            self.sections["round"] = _new_round(0)
        return self.sections["round"]

    @singledispatchmethod
    def _take(self, event: Event) -> None:
        """An event that the page does not show."""

    @_take.register
    def _(self, event: RunStarted) -> None:
        self.sections["run"] |= {
            "state": "running",
            "phase": "rounds",
            "started": self.sections["run"]["heard"],
            "workers": list(event.workers),
            "languages": list(event.languages),
            "rounds": event.rounds,
            "aggregation": event.aggregation,
            "model": event.model,
            "strategy": event.strategy,
        }

    @_take.register
    def _(self, event: RoundStarted) -> None:
        self.sections["round"] = _new_round(event.number)

    @_take.register
    def _(self, event: SumStarted) -> None:
        steps = list(event.steps)
        if UPLOAD in steps:
            steps.insert(steps.index(UPLOAD), TRAIN)
        # Who has trained in a sum that came to nothing does not train again.
        training = {worker: each for worker, each in self._round["training"].items() if worker in event.participants}
        self.sections["round"] = {
            **_new_round(self._round["number"]),
            "id": event.round_id,
            "protocol": event.protocol,
            "participants": list(event.participants),
            "steps": steps,
            "training": training,
        }

    @_take.register
    def _(self, event: Training) -> None:
        told = {"names": event.names, "of": event.of, "loss": event.loss, "finished": event.finished}
        self._round["training"][event.worker] = told

    @_take.register
    def _(self, event: Answered) -> None:
        self._round["answered"].setdefault(event.step, []).append(event.worker)

    @_take.register
    def _(self, event: Lost) -> None:
        self._round["lost"].setdefault(event.worker, {"step": event.step, "reason": event.reason[:_LONGEST_REASON]})

    @_take.register
    def _(self, event: Summed) -> None:
        self._round["contributors"] = list(event.contributors)

    @_take.register
    def _(self, event: RoundGivenUp) -> None:
        self._round["given_up"] = {
            "reason": event.reason[:_LONGEST_REASON],
            "again_after_seconds": event.again_after_seconds,
        }

    @_take.register
    def _(self, event: Evaluated) -> None:
        figures = {
            "round": event.round,
            "part": event.part,
            "names": event.names,
            "accuracy": event.accuracy,
            "loss": event.loss,
            "by_worker": {worker: list(each) for worker, each in event.by_worker.items()},
        }
        if event.part == "validation":
            self._history = [*(each for each in self._history if each["round"] < event.round), figures]
            self.sections["history"] = _thinned(self._history)
        else:
            self.sections["tests"] = {**self.sections["tests"], "after" if event.round else "before": figures}
        if event.round or self.sections["confusion"] is None:
            self.sections["confusion"] = {
                "languages": self.sections["run"].get("languages", []),
                "rows": [list(row) for row in event.confusion],
                **{key: figures[key] for key in ("round", "part", "names")},
            }

    @_take.register
    def _(self, event: PhaseStarted) -> None:
        self.sections["run"]["phase"] = event.phase

    @_take.register
    def _(self, event: Released) -> None:
        self.sections["release"] = {"version": event.version, "away": list(event.away)}

    @_take.register
    def _(self, event: NotReleased) -> None:
        self.sections["release"] = {"version": None, "reasons": list(event.reasons)}

    @_take.register
    def _(self, event: RunFinished) -> None:
        self.sections["run"] |= {"state": "finished", "best_round": event.best_round}

    @_take.register
    def _(self, event: RunStopped) -> None:
        self.sections["run"] |= {"state": "stopped", "reason": event.reason}


def _nothing_yet() -> dict[str, Any]:
    return {
        "run": {"state": "none"},
        "round": None,
        "history": [],
        "confusion": None,
        "tests": {},
        "release": None,
    }


def _thinned(history: list) -> list:
    """So many rounds as are shown, evenly spread, with the last one."""
    step = -(-len(history) // _MOST_ROUNDS)
    return history[::-step][::-1]


def _new_round(number: int) -> dict[str, Any]:
    return {
        "number": number,
        "id": None,
        "protocol": None,
        "participants": [],
        "steps": [],
        "training": {},
        "answered": {},
        "lost": {},
        "contributors": None,
        "given_up": None,
    }
