"""What a run's events come to on the page."""

import json

import pytest

from pisyft.events import (
    Answered,
    Evaluated,
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
from pisyft.page.story import Story

STARTED = RunStarted(["alice", "bob"], ["Czech", "Irish"], 5, "additive", "tutorial", "fedavg")
SUM = SumStarted("ab12", "additive", ["alice", "bob"], ["join", "share", "upload"])


def after(*events) -> dict:
    """The sections after these events, a second apart."""
    story = Story()
    for number, event in enumerate(events):
        story.take(100.0 + number, event)
    return json.loads(json.dumps(story.sections, allow_nan=False))


def evaluated(round: int, accuracy: float, part: str = "validation") -> Evaluated:
    return Evaluated(round, part, 40, accuracy, 2.5, [[20, 0], [10, 10]], {"alice": (accuracy, 2.5)})


def test_before_anybody_trains_there_is_nothing():
    told = after()

    assert told["run"] == {"state": "none"}
    assert (told["round"], told["history"], told["confusion"], told["release"]) == (None, [], None, None)


def test_a_run_tells_its_settings_and_when_something_was_last_heard_of_it():
    run = after(STARTED, RoundStarted(1))["run"]

    assert (run["state"], run["rounds"], run["workers"]) == ("running", 5, ["alice", "bob"])
    assert (run["started"], run["heard"]) == (100.0, 101.0)


def test_a_round_knows_who_has_taken_which_step_and_that_training_comes_before_the_upload():
    training = Training("alice", 32, 140, 2.7)
    told = after(STARTED, RoundStarted(3), SUM, Answered("alice", "join"), Answered("bob", "join"), training)["round"]

    assert (told["number"], told["participants"]) == (3, ["alice", "bob"])
    assert told["steps"] == ["join", "share", "train", "upload"]
    assert told["answered"] == {"join": ["alice", "bob"]}
    assert told["training"] == {"alice": {"names": 32, "of": 140, "loss": 2.7, "finished": False}}
    assert told["contributors"] is None


def test_a_sum_that_is_begun_again_without_somebody_keeps_who_has_trained():
    told = after(
        *(STARTED, RoundStarted(1), SUM, Answered("alice", "join"), Training("alice", 140, 140, 2.0, True)),
        Lost("bob", "train", "it was switched off"),
        SumStarted("cd34", "additive", ["alice", "carol"], ["join", "share", "upload"]),
    )["round"]

    assert (told["id"], told["number"], told["participants"]) == ("cd34", 1, ["alice", "carol"])
    assert (told["answered"], told["lost"]) == ({}, {})
    assert list(told["training"]) == ["alice"]


def test_the_first_reason_why_somebody_is_lost_stays():
    told = after(RoundStarted(1), SUM, Lost("bob", "join", "switched off"), Lost("bob", "share", "no answer"))["round"]

    assert told["lost"] == {"bob": {"step": "join", "reason": "switched off"}}


def test_a_sum_and_a_round_that_is_given_up_are_told():
    assert after(RoundStarted(1), SUM, Summed(["alice", "bob"], 280))["round"]["contributors"] == ["alice", "bob"]
    assert after(RoundStarted(1), SUM, RoundGivenUp("bob vanished", 2))["round"]["given_up"] == {
        "reason": "bob vanished",
        "again_after_seconds": 2,
    }


def test_a_round_begins_with_nothing_of_the_one_before():
    told = after(STARTED, RoundStarted(1), SUM, Training("alice", 9, 9, 1.0), RoundGivenUp("x", 2), RoundStarted(2))

    assert told["round"]["number"] == 2
    assert not any(told["round"][key] for key in ("participants", "training", "answered", "lost", "given_up"))


def test_history_has_a_row_for_each_round_and_a_round_that_was_done_again_replaces_it():
    told = after(STARTED, evaluated(0, 0.1), evaluated(1, 0.2), evaluated(2, 0.3), evaluated(1, 0.25))

    assert [(each["round"], each["accuracy"]) for each in told["history"]] == [(0, 0.1), (1, 0.25)]


def test_a_long_run_is_shown_in_as_many_rounds_as_can_be_sent_with_its_last():
    rounds = [each["round"] for each in after(STARTED, *(evaluated(number, 0.5) for number in range(3000)))["history"]]

    assert rounds == list(range(7, 3000, 8))


def test_the_last_confusion_matrix_is_shown_and_the_first_models_on_test_names_is_not():
    told = after(STARTED, evaluated(3, 0.3), evaluated(0, 0.05, "test"))

    assert (told["confusion"]["round"], told["confusion"]["languages"]) == (3, ["Czech", "Irish"])
    assert told["tests"]["before"]["accuracy"] == 0.05
    assert after(STARTED, evaluated(3, 0.3), evaluated(2, 0.4, "test"))["confusion"]["part"] == "test"


@pytest.mark.parametrize(
    ("event", "state", "release"),
    [
        (Released(2, ["bob"]), "finished", {"version": 2, "away": ["bob"]}),
        (NotReleased(["its accuracy is 3 %"]), "finished", {"version": None, "reasons": ["its accuracy is 3 %"]}),
    ],
)
def test_the_end_of_a_run_says_what_was_released(event, state, release):
    told = after(STARTED, PhaseStarted("releasing"), event, RunFinished(4))

    assert (told["run"]["state"], told["run"]["best_round"], told["release"]) == (state, 4, release)


def test_a_run_that_stops_says_why():
    run = after(STARTED, RunStopped("training diverged"))["run"]

    assert (run["state"], run["reason"]) == ("stopped", "training diverged")


def test_a_new_run_begins_from_nothing():
    told = after(STARTED, evaluated(1, 0.2), Released(1, []), RunFinished(1), STARTED)

    assert (told["run"]["state"], told["history"], told["release"]) == ("running", [], None)
    assert "best_round" not in told["run"]


def test_events_of_a_run_whose_beginning_is_missing_do_no_harm():
    told = after(Answered("alice", "join"), Training("alice", 1, 2, None), Summed(["alice"], 1), evaluated(1, 0.2))

    assert told["round"]["number"] == 0
    assert told["confusion"]["languages"] == []
