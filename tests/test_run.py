"""A training run from start to end, with real workers."""

import contextlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pisyft import attendance, events, run
from pisyft.aggregation.errors import RoundAborted
from pisyft.checkpoints import CheckpointError, Checkpoints
from pisyft.federation import Federation, FederationError
from pisyft.lab import Lab
from pisyft.learning.evaluation import Counts, add_up
from pisyft.learning.names import read_folder, total, write_folder
from pisyft.owner import OwnersWord
from pisyft.release import ModelStore, Pending, coordinator_key
from pisyft.transport import WebsocketClientWorker
from tests.helpers import free_port, processes_about, run_pisyft, run_python, wait_until
from tests.proxy import Proxy

# What design.md promises.
KEYS = set(
    "workers participants rounds aggregation names_total train_seconds aggregate_seconds accuracy_initial "
    "accuracy_final balanced_accuracy_final accuracy_by_worker centralised_accuracy aggregation_max_error "
    "released_version bytes_sent bytes_received torch python syft".split()
)

# `pisyft train --lab`, which tells on stderr what it opened.
AUDITED = """
import json, os, sys
opened = []
sys.addaudithook(lambda event, details: opened.append(details[0]) if event == "open" else None)
from pisyft.cli import main
main(sys.argv[1:], standalone_mode=False)
json.dump([os.fsdecode(file) for file in list(opened) if isinstance(file, (str, bytes, os.PathLike))], sys.stderr)
"""


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=120)


@dataclass(frozen=True)
class Run:
    """What a run left: its folder, its summary, what it printed, and the files that its process opened."""

    out: Path
    summary: dict
    printed: str
    opened: list[str]


@pytest.fixture(scope="module")
def in_a_lab(names_folder, tmp_path_factory) -> Run:
    """`pisyft train --lab` with three rounds, and a bar that every model reaches."""
    out = tmp_path_factory.mktemp("run") / "out"
    done = run_python(
        *("-c", AUDITED, "train", "--lab", "--names", names_folder, "--out", out),
        *("--rounds", 3, "--good-enough", 0),
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return Run(out, summary, done.stdout, json.loads(done.stderr.splitlines()[-1]))


def test_the_summary_has_what_the_contract_lists(in_a_lab):
    assert set(in_a_lab.summary) >= KEYS


def test_the_summary_tells_who_took_part_and_with_what(in_a_lab, names_folder):
    out, summary = in_a_lab.out, in_a_lab.summary

    assert summary["workers"] == ["alice", "bob"]
    assert (summary["participants"], summary["rounds"], summary["aggregation"]) == (2, 3, "additive")
    assert summary["names_total"] == total(read_folder(names_folder)) == 400
    for worker in summary["workers"]:
        assert summary["names_by_worker"][worker] == total(read_folder(out / "lab" / worker / "names"))
    assert summary["syft"] == "0.2.9"
    assert summary["python"] == sys.version.split()[0]


def test_the_accuracies_are_consistent(in_a_lab):
    summary = in_a_lab.summary

    # Both workers test on 40 names, so that the accuracy over all is the mean of theirs.
    assert summary["accuracy_final"] == pytest.approx(sum(summary["accuracy_by_worker"].values()) / 2)
    for key in ("accuracy_initial", "accuracy_final", "balanced_accuracy_final", "centralised_accuracy"):
        assert 0 <= summary[key] <= 1
        assert summary[key] * 80 == pytest.approx(round(summary[key] * 80))
    # Ten names to test on of each language on each worker: balanced already.
    assert summary["balanced_accuracy_final"] == pytest.approx(summary["accuracy_final"])
    assert summary["loss_final"] < summary["loss_initial"]


def test_secret_sharing_was_exact_and_messages_were_sent(in_a_lab):
    summary = in_a_lab.summary

    assert 0 < summary["aggregation_max_error"] < 1e-4
    assert summary["train_seconds"] > 0 and summary["aggregate_seconds"] > 0
    # The model alone, to two workers in three rounds.
    assert summary["bytes_sent"] > 6 * 27_000 * 4
    assert summary["bytes_received"] > 0


def test_the_pictures_are_there(in_a_lab):
    for name in ("loss.png", "accuracy.png", "confusion.png", "languages.png", "gain.png"):
        assert (in_a_lab.out / name).read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_a_model_that_is_good_enough_is_on_every_worker(in_a_lab):
    out, summary, printed = in_a_lab.out, in_a_lab.summary, in_a_lab.printed

    assert summary["released_version"] == 1
    assert "Released to every worker as version 1." in printed
    for worker in ("alice", "bob"):
        card, weights = ModelStore(out / "lab" / worker / "models").load()
        assert card.participants == ("alice", "bob")
        assert card.languages == ("Czech", "Italian", "Japanese", "Polish")
        assert (card.rounds, card.accuracy) == (summary["best_round"], summary["accuracy_final"])
        assert card.accuracy_by_worker == summary["accuracy_by_worker"]
        assert card.measures["balanced_accuracy"][0] == summary["balanced_accuracy_final"]
        assert (card.strategy, card.aggregation, card.alphabet) == ("fedavg", "additive", "tutorial")
        assert weights.shape == (128 * 185 + 128 + 4 * 185 + 4,)


def test_what_is_printed_has_the_table_the_comparison_and_predictions(in_a_lab):
    summary, printed = in_a_lab.summary, in_a_lab.printed

    for text in ("alice", "bob", "together", "(in one place)", f"{summary['accuracy_final']:.1%}", "> Yamaguchi"):
        assert text in printed


def told(out: Path) -> list[events.Event]:
    """What a run has told who watches."""
    return [events.from_line(line)[1] for line in (out / events.FILE).read_bytes().splitlines(keepends=True)]


def test_what_happened_is_written_for_who_watches(in_a_lab):
    summary = in_a_lab.summary
    happened = told(in_a_lab.out)
    kinds = [type(each).__name__ for each in happened]
    tests = [each for each in happened if isinstance(each, events.Evaluated) and each.part == "test"]

    assert happened[0] == events.RunStarted(
        ["alice", "bob"], ["Czech", "Italian", "Japanese", "Polish"], 3, "additive", "tutorial", "fedavg"
    )
    assert [each.number for each in happened if isinstance(each, events.RoundStarted)] == [1, 2, 3]
    assert [each.round for each in happened if isinstance(each, events.Evaluated)] == [
        0,
        1,
        2,
        3,
        0,
        summary["best_round"],
    ]
    assert kinds.count("Summed") == 3
    assert [each.accuracy for each in tests] == [summary["accuracy_initial"], summary["accuracy_final"]]
    assert {worker: accuracy for worker, (accuracy, _) in tests[1].by_worker.items()} == summary["accuracy_by_worker"]
    assert [each.phase for each in happened if isinstance(each, events.PhaseStarted)] == [
        *("testing", "training alone", "releasing", "training in one place")
    ]
    assert events.Released(1, []) in happened
    assert happened[-1] == events.RunFinished(summary["best_round"])


def test_no_process_is_left(in_a_lab):
    assert processes_about(in_a_lab.out) == []


def test_a_model_below_the_bar_is_not_released(lab, workers, tmp_path, console):
    released = {worker.id: worker.call("describe")["released"] for worker in workers}

    summary = run.train(lab.addresses, run.Settings(rounds=1, good_enough=1.0), tmp_path, console)

    assert summary["released_version"] is None
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == summary
    assert summary["not_released"]
    for worker, accuracy in summary["accuracy_by_worker"].items():
        assert f"Not released: its accuracy on {worker} is {accuracy:.1%}, below 100.0%." in console.file.getvalue()
    for worker in workers:
        assert worker.call("describe")["released"] == released[worker.id]


def test_a_model_must_be_good_enough_together_and_have_had_its_rounds(lab, tmp_path, console):
    settings = run.Settings(rounds=1, good_enough=0, good_enough_together=1.0, min_rounds=2)

    together, rounds = run.train(lab.addresses, settings, tmp_path, console)["not_released"][:2][::-1]

    assert rounds.endswith("of training, and 2 are asked for")  # which round was the best depends on the seed
    assert together.endswith("below 100.0%")


def test_every_worker_trained_alone_too_and_the_laptop_has_the_model(in_a_lab):
    out, summary, printed = in_a_lab.out, in_a_lab.summary, in_a_lab.printed

    assert set(summary["accuracy_alone_by_worker"]) == {"alice", "bob"}
    assert " alone " in printed
    predicted = run_pisyft("predict", "Kowalczyk", "--models", out / "models")
    assert predicted.returncode == 0, predicted.stderr
    assert [line.split("  ")[0] for line in predicted.stdout.strip().splitlines()] == printed.split("\n\n")[
        -2
    ].splitlines()


def test_the_run_is_among_the_runs(in_a_lab):
    (told,) = json.loads(run_pisyft("runs", in_a_lab.out.parent, "--json").stdout)

    assert told == {"run": "out", **in_a_lab.summary}


def test_figures_have_intervals(in_a_lab):
    summary = in_a_lab.summary

    for name, figure in (("accuracy", "accuracy_final"), ("balanced_accuracy", "balanced_accuracy_final")):
        low, high = summary["intervals_final"][name]
        assert low <= summary[figure] <= high
    assert set(summary["intervals_final"]) == {
        *("accuracy", "balanced_accuracy", "macro_f1", "top3_accuracy", "calibration_error")
    }


SHORT = run.Settings(rounds=3, good_enough=1.0, seed=4)


def weights_of(checkpoints: Checkpoints) -> dict:
    return {
        name: value.tolist()
        for name, value in checkpoints.last({**asdict(SHORT), "workers": ["alice", "bob"]}).state.items()
    }


@pytest.fixture
def new_lab(names_folder) -> Iterator[Callable[[], Lab]]:
    """Makes labs of which no worker has trained before, all alike."""
    with contextlib.ExitStack() as labs:
        yield lambda: labs.enter_context(Lab(names_folder, ["alice", "bob"], seed=2))


def test_the_same_seed_comes_to_the_same_model_also_after_a_stop(new_lab, tmp_path, console, monkeypatch):
    whole = run.train(new_lab().addresses, SHORT, tmp_path / "whole", console)
    run_round, rounds = run._run_round, []

    def stopping(*arguments):
        if len(rounds) == 2:
            raise KeyboardInterrupt
        rounds.append(1)
        return run_round(*arguments)

    stopped = new_lab()
    with monkeypatch.context() as patch:
        patch.setattr(run, "_run_round", stopping)
        with pytest.raises(KeyboardInterrupt):
            run.train(stopped.addresses, SHORT, tmp_path / "stopped", console)
    resumed = run.train(stopped.addresses, SHORT, tmp_path / "stopped", console, resume=True)

    assert "Going on after round 2." in console.file.getvalue()
    resumed_told = told(tmp_path / "stopped")
    assert resumed_told[0].after == 2
    assert [each.round for each in resumed_told if isinstance(each, events.Evaluated)][:4] == [0, 1, 2, 3]
    assert weights_of(Checkpoints(tmp_path / "stopped")) == weights_of(Checkpoints(tmp_path / "whole"))
    for key in ("accuracy_final", "loss_final", "best_round", "accuracy_by_worker", "intervals_final"):
        assert resumed[key] == whole[key]


def test_a_run_that_never_was_cannot_go_on(lab, tmp_path, console):
    with pytest.raises(CheckpointError, match="nothing to go on from"):
        run.train(lab.addresses, SHORT, tmp_path, console, resume=True)


def test_the_model_of_the_round_that_was_best_to_choose_by_is_taken(lab, tmp_path, console):
    summary = run.train(lab.addresses, run.Settings(rounds=4, good_enough=1.0, seed=3), tmp_path, console)

    best = Checkpoints(tmp_path).best()
    chosen_by = [add_up(map(Counts.from_answer, told.values())) for told in best.history]
    assert summary["best_round"] == best.round
    assert max(each.accuracy for each in chosen_by) == chosen_by[best.round].accuracy


def test_a_run_that_diverges_names_the_worker_and_the_step_and_keeps_the_last_good_model(
    lab, tmp_path, console, monkeypatch
):
    settings = run.Settings(rounds=3, seed=6)
    run_round = run._run_round

    def wild_after_the_first(federation, strategy, model, settings, *others):
        if strategy.round:
            strategy.settings = replace(strategy.settings, learning_rate=1e30)
        return run_round(federation, strategy, model, settings, *others)

    monkeypatch.setattr(run, "_run_round", wild_after_the_first)
    with pytest.raises(
        run.RunStopped, match=r"round 2: training diverged: .* step \d+.*on worker (alice|bob)"
    ) as stopped:
        run.train(lab.addresses, settings, tmp_path, console)

    assert "last good round, 1," in str(stopped.value)
    last = Checkpoints(tmp_path).last({**asdict(settings), "workers": ["alice", "bob"]})
    assert last.round == 1 and np.isfinite(last.state["weights"]).all()
    assert not (tmp_path / "summary.json").exists()


def test_names_in_greek_and_cyrillic_letters_are_learned_and_guessed(tmp_path, console):
    letters = {"Greek": "αβγδεηιλμνορσ", "Russian": "абвгдежиклмно"}
    names = {
        language: sorted({f"{a}{b}{c}".capitalize() for a in of for b in of[:3] for c in of[:3]})
        for language, of in letters.items()
    }
    write_folder(names, tmp_path / "names")
    settings = run.Settings(rounds=4, good_enough=0, model="gru", optimizer="adam", learning_rate=0.01)

    summary = run.train_in_a_lab(tmp_path / "names", settings, tmp_path / "out", console, alphabet="unicode")
    predicted = run_pisyft("predict", "Βαγγο", "Ёжиков", "--json", "--models", tmp_path / "out" / "models")

    assert (summary["alphabet"], summary["names_total"]) == ("unicode", sum(map(len, names.values())))
    assert summary["accuracy_final"] > 0.9  # two scripts are easy to tell apart
    assert summary["centralised_accuracy"] > 0.9
    guesses = [each["guesses"][0]["language"] for each in json.loads(predicted.stdout)["names"]]
    assert guesses == ["Greek", "Russian"]


@pytest.mark.parametrize(("strategy", "aggregation"), [("fedadam", "additive"), ("scaffold", "masks")])
def test_strategies_and_aggregations_are_chosen_by_name(lab, tmp_path, console, strategy, aggregation):
    settings = run.Settings(
        rounds=2, good_enough=1.0, model="rnn", strategy=strategy, aggregation=aggregation, learning_rate=0.02
    )

    summary = run.train(lab.addresses, settings, tmp_path, console)

    assert (summary["model"], summary["strategy"], summary["aggregation"]) == ("rnn", strategy, aggregation)
    assert summary["loss_final"] < summary["loss_initial"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": "oracle"}, "no model 'oracle': choose one of tutorial"),
        ({"strategy": "hope"}, "no strategy 'hope': choose one of fedavg"),
        ({"optimizer": "luck"}, "no optimizer 'luck': choose one of sgd"),
        ({"strategy": "scaffold", "optimizer": "adam"}, "scaffold corrects plain gradients"),
    ],
)
def test_settings_that_cannot_be_are_told_before_anything_begins(settings, says):
    with pytest.raises(ValueError, match=says):
        run.Settings(**settings)


def test_without_a_lab_nothing_is_compared_with_training_in_one_place(lab, tmp_path, console):
    summary = run.train(lab.addresses, run.Settings(rounds=1, good_enough=1.0), tmp_path, console)

    assert summary["centralised_accuracy"] is None
    assert "(in one place)" not in console.file.getvalue()
    assert (tmp_path / "loss.png").exists()


def test_a_run_with_fewer_than_two_workers_says_who_is_missing_and_closes_its_connection(
    lab, tmp_path, console, monkeypatch
):
    made = []

    class Client(attendance.WebsocketClientWorker):
        def __init__(self, *arguments, **keywords):
            super().__init__(*arguments, **keywords)
            made.append(self)

    monkeypatch.setattr(attendance, "WebsocketClientWorker", Client)
    port = free_port()

    with pytest.raises(FederationError) as refused:
        run.train({**lab.addresses, "bob": ("127.0.0.1", port)}, run.Settings(rounds=1), tmp_path / "out", console)

    first, second = str(refused.value).splitlines()
    assert first == "a federation needs two workers or more, and only alice is there"
    assert second.startswith(f"worker bob at 127.0.0.1:{port}: nothing listens there. Is the worker running? Start it")
    assert [(each.id, "not connected" in str(each)) for each in made] == [("alice", True)]
    assert not (tmp_path / "out").exists()


def test_a_run_begins_without_a_worker_that_is_away_and_owes_it_the_release(lab, tmp_path, console):
    addresses = {**lab.addresses, "carol": ("127.0.0.1", free_port())}

    summary = run.train(addresses, run.Settings(rounds=2, good_enough=0, margin=1, min_rounds=0), tmp_path, console)

    told = " ".join(console.file.getvalue().split())
    assert told.count("worker carol at 127.0.0.1") == 1
    assert "It is asked again before every round." in told
    assert (summary["workers"], summary["away"]) == (["alice", "bob"], ["carol"])
    assert "carol will receive the release at the next run with --out " in told
    assert Pending(ModelStore(tmp_path / "models")).versions() == {"carol": summary["released_version"]}


def test_a_worker_that_comes_later_takes_part_from_then_on(names_folder, tmp_path, console, monkeypatch):
    run_round, taken_part = run._run_round, []
    with Lab(names_folder, ["alice", "bob", "carol"], certificates=True) as lab, contextlib.ExitStack() as later:
        port = free_port()

        def recorded(federation, *others):
            finished = run_round(federation, *others)
            taken_part.append(sorted(finished.total.contributors))
            if len(taken_part) == 1:
                later.enter_context(Proxy(lab.addresses["carol"], port=port))
            return finished

        monkeypatch.setattr(run, "_run_round", recorded)
        summary = run.train(
            *({**lab.addresses, "carol": ("127.0.0.1", port)}, run.Settings(rounds=3, good_enough=0), tmp_path),
            *(console, None, lab.classroom.credentials),
        )

    assert taken_part == [["alice", "bob"], ["alice", "bob", "carol"], ["alice", "bob", "carol"]]
    assert "carol has come, and takes part from now on." in console.file.getvalue()
    assert (summary["workers"], summary["away"]) == (["alice", "bob", "carol"], [])
    assert summary["best_round"] >= 2  # judged by three, not by two
    assert set(summary["accuracy_by_worker"]) == {"alice", "bob", "carol"}


@pytest.fixture(scope="module")
def classroom_of_three(names_folder) -> Iterator[Lab]:
    with Lab(names_folder, ["alice", "bob", "carol"], policy="strict", certificates=True) as lab:
        yield lab


@pytest.mark.parametrize("aggregation", ["masks", "additive"])
def test_a_worker_that_its_owner_pauses_ends_nothing_for_the_others(classroom_of_three, tmp_path, console, aggregation):
    lab, settings = classroom_of_three, run.Settings(rounds=2, good_enough=1.0, aggregation=aggregation)
    owner = OwnersWord(lab.folder / "carol" / "models")
    owner.pause()
    try:
        summary = run.train(
            *(lab.addresses, settings, tmp_path, console), credentials=lab.classroom.credentials, alone=True
        )
    finally:
        owner.resume()

    printed = " ".join(console.file.getvalue().split())
    assert printed.count("carol is left out. carol is paused by its owner") == 1
    assert set(summary["accuracy_by_worker"]) == set(summary["accuracy_alone_by_worker"]) == {"alice", "bob"}
    assert [each.contributors for each in told(tmp_path) if isinstance(each, events.Summed)] == [["alice", "bob"]] * 2
    assert re.search(r"carol .* left out │", console.file.getvalue())  # in the table


def test_a_worker_that_is_paused_during_a_run_takes_part_again_when_it_is_resumed(
    classroom_of_three, tmp_path, console, monkeypatch
):
    lab, run_round, taken_part = classroom_of_three, run._run_round, []
    owner = OwnersWord(lab.folder / "carol" / "models")

    def paused_in_the_second(*arguments):
        if len(taken_part) == 1:
            owner.pause()
        try:
            finished = run_round(*arguments)
        finally:
            owner.resume()
        taken_part.append(finished.total.contributors)
        return finished

    monkeypatch.setattr(run, "_run_round", paused_in_the_second)
    settings = run.Settings(rounds=3, good_enough=1.0, seed=8)
    run.train(lab.addresses, settings, tmp_path, console, credentials=lab.classroom.credentials)

    everybody = ("alice", "bob", "carol")
    assert taken_part == [everybody, ("alice", "bob"), everybody]


def test_a_worker_that_answers_nothing_more_today_ends_nothing_for_the_others(names_folder, hook, tmp_path, console):
    """It joins the round, and refuses to train."""
    options = ["--limit", "questions_per_day=6"]
    with Lab(names_folder, ["alice", "bob", "carol"], certificates=True, worker_options=options) as lab:
        credentials = lab.classroom.credentials
        host, port = lab.addresses["carol"]
        with contextlib.closing(WebsocketClientWorker(hook, host, port, id="carol", credentials=credentials)) as carol:
            weights = np.zeros(128 * 185 + 128 + 4 * 185 + 4, np.float32)
            for question in range(6):
                carol.call("evaluate", weights=weights + question)
        settings = run.Settings(rounds=1, good_enough=1.0)
        summary = run.train(lab.addresses, settings, tmp_path, console, credentials=credentials)

    printed = " ".join(console.file.getvalue().split())
    assert printed.count("carol is left out. limit questions_per_day: carol has answered 6") == 1
    assert set(summary["accuracy_by_worker"]) == {"alice", "bob"}
    assert [each.contributors for each in told(tmp_path) if isinstance(each, events.Summed)] == [["alice", "bob"]]


def test_a_comparison_that_is_refused_ends_no_run_and_its_reason_is_told_whole(lab, tmp_path, console):
    settings = run.Settings(rounds=2, passes=60, good_enough=1.0)

    summary = run.train(lab.addresses, settings, tmp_path, console, alone=True)

    printed = " ".join(console.file.getvalue().split())
    for worker in ("alice", "bob"):
        assert (
            f"Nothing is known of {worker} training alone, to compare. limit passes: 120, and {worker} takes" in printed
        )
    assert "its owner can raise it, in [limits] of classroom.toml" in printed
    assert summary["accuracy_alone_by_worker"] == {}
    assert json.loads((tmp_path / "summary.json").read_text(encoding="utf-8")) == summary


def test_what_a_worker_says_is_printed_as_it_is_also_where_it_looks_like_markup(lab, tmp_path, console, monkeypatch):
    def refuse(*arguments):
        raise RoundAborted("12345678", "upload", "bob", "ValueError: [/home/pi/x] :a: \x1b[2J", True)

    monkeypatch.setattr(run, "_PAUSES_SECONDS", (0,))
    monkeypatch.setattr(Federation, "train_and_sum", refuse)
    with pytest.raises(RoundAborted):
        run.train(lab.addresses, run.Settings(rounds=1), tmp_path, console)

    assert "because of bob: ValueError: [/home/pi/x] :a: ?[2J" in console.file.getvalue()


def test_a_release_is_compared_with_the_model_that_each_worker_has_by_then(classroom_of_three, hook, tmp_path):
    """Which may have come after the worker has described itself: a release that it had missed."""
    lab, key = classroom_of_three, coordinator_key(tmp_path / "coordinator.key")
    with contextlib.ExitStack() as connections:
        workers = []
        for id, (host, port) in lab.addresses.items():
            workers.append(WebsocketClientWorker(hook, host, port, id=id, credentials=lab.classroom.credentials))
            connections.callback(workers[-1].close)
        federation = Federation(workers)
        model, store = federation.new_model(), ModelStore(tmp_path / "models")
        after = federation.evaluate(model)
        federation.release(model, 1.0, 1, store=store, key=key, accuracy_by_worker=dict.fromkeys(lab.addresses, 1.0))

        settings = run.Settings(good_enough=0, margin=0)
        trained = run.Trained(model, model, 1, [], {})
        release = run._release(federation, trained, settings, after, store, key, [], lambda event: None)

    assert release["released_version"] is None
    assert len(release["not_released"]) == 3


def test_the_coordinator_of_a_lab_opens_no_names_file(in_a_lab, names_folder):
    """They are dealt by a process of their own, and read by the workers."""
    folders = [names_folder, *in_a_lab.out.glob("lab/*/names")]

    assert len(folders) == 3
    assert str(in_a_lab.out / "summary.json") in in_a_lab.opened
    assert [file for file in in_a_lab.opened if file.startswith(tuple(f"{folder}/" for folder in folders))] == []


def test_a_coordinator_that_was_killed_goes_on_after_its_last_round(lab, tmp_path):
    """With SIGKILL, at whatever moment: a checkpoint is there whole or not at all."""
    workers = [word for id, (host, port) in lab.addresses.items() for word in ("--worker", f"{id}={host}:{port}")]
    command = ("-m", "pisyft", "train", *workers, "--out", str(tmp_path), "--rounds", "20", "--good-enough", "1")
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL) as process:
        try:
            wait_until((tmp_path / "checkpoint.npz").exists, "the first round is done")
        finally:
            process.kill()
    done = run_python(*command, "--resume")

    assert done.returncode == 0, done.stderr
    assert re.search(r"^Going on after round \d+\.$", done.stdout, re.MULTILINE)
    assert json.loads((tmp_path / "summary.json").read_text())["rounds"] == 20


def test_what_is_refused_for_good_is_not_tried_again(lab, tmp_path, console, monkeypatch):
    monkeypatch.setattr(run, "_PAUSES_SECONDS", (0,))

    with pytest.raises(RoundAborted, match="limit batch_size: 100000, and alice takes 4096 at most"):
        run.train(lab.addresses, run.Settings(batch_size=100_000), tmp_path, console)

    assert "tried again" not in console.file.getvalue()
