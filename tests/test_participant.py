"""What a worker answers to verbs: training that leaves the result on the worker, and figures over enough names only."""

import threading
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from syft.exceptions import GetNotPermittedError

import pisyft.contribution
from pisyft import participant
from pisyft.aggregation.agreement import Ledger
from pisyft.aggregation.errors import Refused
from pisyft.aggregation.rounds import new_agreement
from pisyft.classroom import DEFAULT_FLOOR
from pisyft.learning import floors
from pisyft.learning.models import MODELS, make_model
from pisyft.learning.names import (
    Parts,
    WatchedFolder,
    add_name,
    deal_parts,
    equal_shares,
    read_folder,
    split,
    write_parts,
)
from pisyft.learning.training import Diverged, TrainingSettings
from pisyft.learning.vectors import to_vector
from pisyft.limits import Limits
from pisyft.participant import Participant
from pisyft.release import Card, ModelStore, ReleaseError, Signature, digest_of
from pisyft.transport.server import Caller, Calling
from pisyft.transport.values import pack, unpack


@pytest.fixture
def names(names_folder):
    """What the first of two workers holds, which trains on 140 of them."""
    everything = read_folder(names_folder)
    return deal_parts(split(everything), equal_shares(everything, 2))[0]


class Contribution(pisyft.contribution.Contribution):
    """One that shows what waits to be summed up."""

    def __init__(self) -> None:
        super().__init__(Ledger("alice", ["bob"]))
        self.kept: list[tuple[np.ndarray, int]] = []

    def keep(self, model, change, names, training, forgotten) -> None:
        super().keep(model, change, names, training, forgotten)
        self.kept.append((change, names))


def participant_with(names: Parts, folder: Path) -> tuple[Participant, list[tuple[np.ndarray, int]]]:
    """A participant, and what it keeps for a sum: changes and the names that they were trained on."""
    contribution = Contribution()
    return Participant("alice", names, 5, ModelStore(folder), contribution), contribution.kept


@pytest.fixture
def alice_and_kept(names, tmp_path):
    return participant_with(names, tmp_path / "models")


@pytest.fixture
def alice(alice_and_kept) -> Participant:
    return alice_and_kept[0]


@pytest.fixture
def kept(alice_and_kept) -> list[tuple[np.ndarray, int]]:
    return alice_and_kept[1]


def calling(report=lambda value: None) -> Calling:
    return Calling(Caller("me", is_peer=False), report)


def weights(model="tutorial", seed=1) -> np.ndarray:
    return to_vector(make_model(model, 57, 4, seed)).detach().numpy()


def fit(worker: Participant, report=lambda value: None, round="r1", model="tutorial", start=None, **settings) -> dict:
    start = weights(model) if start is None else start
    return worker.fit(calling(report), round=round, model=model, weights=start, settings=settings)


@pytest.mark.parametrize("model", MODELS)
def test_training_learns_and_the_result_stays(alice, kept, model):
    # Enough steps for the average of the second call, which goes on with nothing, to be comparable to the first.
    first = fit(alice, model=model, passes=1, optimizer="adam", learning_rate=0.01)
    later = fit(alice, model=model, passes=12, optimizer="adam", learning_rate=0.01)

    assert set(first) == {"names", "steps", "loss"}
    assert (first["names"], first["steps"]) == (140, 5)
    assert later["loss"] < first["loss"]
    change, weight = kept[-1]
    assert weight == 140
    assert change.shape == weights(model).shape
    assert np.abs(change).max() > 0


def test_the_same_seeds_give_the_same_update(names, tmp_path):
    changes = []
    for number in range(2):
        worker, kept = participant_with(names, tmp_path / str(number))
        fit(worker, seed=3, passes=2)
        changes.append(kept[0][0])
    assert np.array_equal(*changes)


def test_a_coordinator_that_does_not_know_the_workers_seed_does_not_know_the_order(names, tmp_path):
    changes = []
    for own in (5, 6):
        worker, kept = participant_with(names, tmp_path / str(own))
        worker._seed = own
        fit(worker, seed=3, steps=1, batch_size=16)
        changes.append(kept[0][0])
    assert not np.array_equal(*changes)


def test_settings_travel_as_plain_values(alice):
    assert fit(alice, **asdict(TrainingSettings(passes=0.5)))["names"] == 64


def test_progress_is_told_in_blocks_of_enough_names(alice, monkeypatch):
    monkeypatch.setattr(floors, "_REPORT_SECONDS", -1)
    told = []
    done = fit(alice, told.append, batch_size=1, passes=1)

    blocks = np.diff([0, *(each["names"] for each in told)])
    assert blocks.tolist() == [DEFAULT_FLOOR] * 14
    assert done["loss"] == pytest.approx(sum(each["loss"] for each in told) / 14, rel=1e-3)


def test_a_training_on_too_few_names_is_refused_and_leaves_nothing(alice, kept):
    with pytest.raises(GetNotPermittedError, match="trains on 10 names or more, and not on 9"):
        fit(alice, batch_size=9, steps=1)
    assert kept == []


def test_a_training_on_too_few_names_is_refused_before_it_can_tell_anything_of_them(alice, kept):
    poisoned = np.full_like(weights(), np.nan)
    with pytest.raises(GetNotPermittedError, match="trains on 10 names or more, and not on 1:"):
        fit(alice, start=poisoned, batch_size=1, steps=1)
    with pytest.raises(GetNotPermittedError, match="trains on 10 names or more, and not on 1:"):
        alice.evaluate(calling(), poisoned, alone={"batch_size": 1, "steps": 1})
    assert kept == []


@pytest.mark.parametrize(("batch_size", "step", "told"), [(1, 1, 10), (1, 10, 10), (1, 11, 20), (4, 2, 3), (16, 5, 5)])
def test_where_a_training_diverged_is_told_in_blocks_of_enough_names(alice, monkeypatch, batch_size, step, told):
    """A model can be made to diverge at a name with a certain letter."""

    def diverge(*arguments):
        raise Diverged(step, float("nan"))

    monkeypatch.setattr(alice._trainee, "train", diverge)
    monkeypatch.setattr(participant, "fit", diverge)
    with pytest.raises(Diverged, match=f"at step {told};"):
        fit(alice, batch_size=batch_size)
    with pytest.raises(Diverged, match=f"at step {told};"):
        alice.evaluate(calling(), weights(), alone={"batch_size": batch_size})


@pytest.mark.parametrize("strategy", ["fedavg", "scaffold"])
def test_what_is_learned_while_its_owner_has_it_forgotten_is_not_kept(alice, kept, monkeypatch, strategy):
    train = alice._trainee.train

    def forgotten_meanwhile(*arguments):
        learned = train(*arguments)
        alice.forget()
        return learned

    monkeypatch.setattr(alice._trainee, "train", forgotten_meanwhile)
    start = weights() if strategy == "fedavg" else np.concatenate((weights(), np.zeros_like(weights())))
    with pytest.raises(Refused, match="alice has dropped what it learned meanwhile"):
        fit(alice, start=start)
    assert kept == [] and alice._contribution._rounds.update is None and alice._trainee.control is None


@pytest.mark.parametrize("given", [True, False])
def test_what_scaffold_remembers_of_a_training_counts_where_it_became_part_of_a_sum(
    names, tmp_path, monkeypatch, given
):
    start = np.concatenate((weights(), np.full_like(weights(), 1e-3)))

    def after_rounds(*numbers: int):
        worker, _ = participant_with(names, tmp_path / str(numbers))
        monkeypatch.setattr(Contribution, "was_given", given)
        for number in numbers:
            worker.fit(calling(), f"r{number}", "tutorial", start, {"round": number, "steps": 4})
        return worker._trainee.control

    assert torch.equal(after_rounds(1, 2), after_rounds(2)) is not given


def test_a_diverging_run_names_the_step_and_leaves_no_update(alice, kept):
    with pytest.raises(Diverged, match="diverged: the loss is (nan|inf) at step [0-9]+; take a smaller"):
        fit(alice, learning_rate=1e30, passes=5)
    assert kept == []


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"model": "transformer", "start": weights()}, "no model 'transformer': choose one of tutorial"),
        ({"start": weights()[:-1]}, "does not fit the model's parameters"),
        ({"model": "gru", "start": weights("tutorial")}, "does not fit the model's parameters"),
        ({"momentum": 0.9}, "unknown training setting: .*momentum"),
        ({"batch_size": "many"}, "the training setting batch_size must be of int"),
        ({"batch_size": True}, "the training setting batch_size must be of int"),
        ({"learning_rate": float("nan")}, "the training setting learning_rate must be of float, and finite"),
        ({"passes": float("inf")}, "the training setting passes must be of float, and finite"),
        ({"prior": ["much"]}, "the training setting prior must be of"),
        ({"seed": 2**70}, "the training setting seed must be of int"),
        ({"optimizer": "lbfgs"}, "no optimizer 'lbfgs'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_is_tried(alice, kept, wrong, says):
    with pytest.raises(ValueError, match=says):
        fit(alice, **wrong)
    assert kept == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"batch_size": 4097}, "limit batch_size: 4097, and alice takes 4096 at most; its owner can raise it"),
        ({"passes": 100.5}, "limit passes: 100.5, and alice takes 100 at most"),
        ({"steps": 10**6, "batch_size": 1}, "limit passes: "),
    ],
)
def test_a_training_that_would_take_too_much_is_refused(alice, kept, asked, says):
    with pytest.raises(GetNotPermittedError, match=says):
        fit(alice, **asked)
    with pytest.raises(GetNotPermittedError, match=says):
        alice.evaluate(calling(), weights(), alone=asked)
    assert kept == []


def test_so_many_different_questions_in_a_day_and_no_more(names, tmp_path, monkeypatch):
    """Of what a model can be made to ask, a coordinator gets so many answers; and the same one as often as it likes."""
    limits = Limits(questions_per_day=3)
    alice = Participant("alice", names, 5, ModelStore(tmp_path / "models"), Contribution(), limits=limits)
    first = alice.evaluate(calling(), weights())
    alice.evaluate(calling(), weights(), alone={"steps": 1})
    fit(alice, steps=1)

    for ask in (
        lambda: alice.evaluate(calling(), weights(seed=2)),
        lambda: alice.evaluate(calling(), weights(), part="train"),
        lambda: alice.evaluate(calling(), weights(), alone={"steps": 2}),
        lambda: fit(alice, steps=1, seed=3),
    ):
        with pytest.raises(GetNotPermittedError, match="limit questions_per_day: alice has answered 3"):
            ask()
    assert alice.evaluate(calling(), weights()) == first

    now = time.monotonic
    monkeypatch.setattr("pisyft.learning.questions.time.monotonic", lambda: now() + 24 * 3600 + 1)
    assert alice.evaluate(calling(), weights(seed=2)) != first


def test_a_worker_with_fewer_names_than_the_floor_does_not_train(tmp_path):
    few = split({"Czech": ["Dvorak", "Novak", "Svoboda"], "Polish": ["Nowak", "Kowalski", "Wozniak"]})
    worker, _ = participant_with(few, tmp_path)
    start = to_vector(make_model("tutorial", 57, 2)).detach().numpy()
    with pytest.raises(GetNotPermittedError, match="alice tells figures over 10 names or more, and has 4 to train"):
        fit(worker, start=start)


def test_one_round_at_a_time(alice, monkeypatch):
    started, leave = threading.Event(), threading.Event()

    def slow(*arguments):
        started.set()
        assert leave.wait(60)
        raise Diverged(1, float("nan"))

    monkeypatch.setattr(alice._trainee, "train", slow)

    def train() -> None:
        with pytest.raises(Diverged):
            fit(alice)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        assert started.wait(60)
        with pytest.raises(GetNotPermittedError, match="alice is training for another round"):
            fit(alice)
    finally:
        leave.set()
        thread.join(60)


# Names that their owner adds


@pytest.fixture
def alice_with_folder(names, tmp_path) -> tuple[Participant, Path]:
    write_parts(names, tmp_path / "names")
    contribution = Contribution()
    store = ModelStore(tmp_path / "models")
    alice = Participant("alice", names, 5, store, contribution, folder=WatchedFolder(tmp_path / "names"))
    return alice, tmp_path / "names"


def names_told(alice: Participant) -> dict:
    """What it tells of its names, and not of its machine, whose free memory changes all the time."""
    return {key: value for key, value in alice.describe(calling()).items() if key != "board"}


def test_a_name_that_was_added_is_trained_on_in_the_next_round(alice_with_folder):
    alice, folder = alice_with_folder
    language = alice.describe(calling())["languages"][0]
    before = fit(alice, round="r1")["names"]

    add_name("Zzyzx", language, folder)

    assert fit(alice, round="r2")["names"] == before + 1
    assert alice.describe(calling())["train"] == before + 1


def test_a_name_that_its_owner_holds_out_meanwhile_is_trained_on_no_more(alice_with_folder, names):
    alice, folder = alice_with_folder
    language = alice.describe(calling())["languages"][0]
    before = fit(alice, round="r1")["names"]

    with (folder / "test" / f"{language}.txt").open("a") as file:
        file.write(f"{names.train[language][0]}\nHeldoutova\n")

    assert fit(alice, round="r2")["names"] == before - 1
    assert alice.describe(calling())["test"] == sum(map(len, names.test.values()))


def test_a_folder_that_was_spoiled_does_not_stop_a_worker(alice_with_folder, caplog):
    alice, folder = alice_with_folder
    before = names_told(alice)

    (folder / "train" / f"{before['languages'][0]}.txt").write_bytes(b"\xff")
    assert names_told(alice) == before
    (folder / "train" / f"{before['languages'][0]}.txt").write_text("高橋\n", encoding="utf-8")
    assert names_told(alice) == before

    assert "line 1: no letter of ... is known" in caplog.text and "高橋" not in caplog.text
    assert "is not UTF-8" in caplog.text


def test_a_language_that_is_gone_or_new_waits_for_a_restart(alice_with_folder, caplog):
    alice, folder = alice_with_folder
    before = names_told(alice)
    language, *others = before["languages"]
    files = {part: (folder / part / f"{language}.txt") for part in ("train", "validation", "test")}
    held = {part: file.read_bytes() for part, file in files.items() if file.exists()}

    for part in held:
        files[part].unlink()
    gone = names_told(alice)
    for part, content in held.items():
        files[part].write_bytes(content)
    (folder / "train" / "Klingon.txt").write_text("Worf\n")
    add_name("Novotnyova", language, folder)
    new = names_told(alice)

    assert gone == before
    assert new == {**before, "train": before["train"] + 1, "by_language": new["by_language"]}
    assert new["by_language"] == [before["by_language"][0] + 1, *before["by_language"][1:]] and len(others) == 3
    assert f"the files of {language} are gone" in caplog.text
    assert "new languages (Klingon): start it again once every Pi has them" in caplog.text


# What it is doing, and on what machine


def test_a_worker_tells_what_it_is_doing(alice, monkeypatch):
    doing, told = [], []
    alice._on_change = lambda now: told.append(now())
    train = alice._trainee.train

    def watched(*arguments):
        doing.append(alice.describe(calling())["doing"])
        return train(*arguments)

    monkeypatch.setattr(alice._trainee, "train", watched)
    monkeypatch.setattr(
        participant, "count_guesses", lambda *_: doing.append(alice.describe(calling())["doing"]) or 1 / 0
    )

    fit(alice)
    with pytest.raises(ZeroDivisionError):
        alice.evaluate(calling(), weights())

    assert doing == ["training", "testing"]
    assert told == ["training", "testing"]
    assert alice.describe(calling())["doing"] == "idle"  # also after what failed


def test_a_worker_that_has_joined_a_round_says_so(alice):
    agreement = new_agreement("masks", ["alice", "bob"], "0" * 64, {"w": (3,)})

    alice.verbs["aggregate"](calling(), agreement.round, "join", agreement.as_message())
    joined = alice.describe(calling())["doing"]
    alice.verbs["aggregate"](calling(), agreement.round, "give up", {})

    assert (joined, alice.describe(calling())["doing"]) == ("in a round", "idle")


def test_a_worker_tells_its_machines_facts_as_plain_values(alice):
    told = alice.describe(calling())["board"]

    assert unpack(pack(told)) == told
    assert set(told) == {"model", "temperature_celsius", "memory_bytes", "memory_available_bytes"}


# Releases


def card_for(alice: Participant, **changes) -> dict:
    told = alice.describe(calling())
    facts = {"version": 1, "model": "tutorial", "languages": tuple(told["languages"]), "accuracy": 0.5, "rounds": 3}
    facts |= {"participants": ("alice", "bob"), "alphabet_digest": told["alphabet_digest"]}
    facts |= {"accuracy_by_worker": {"alice": 0.4, "bob": 0.6}}
    return Card(**{**facts, **changes}).as_answer()


def signed(card: dict, values: np.ndarray) -> dict:
    signature = Signature.of(digest_of(Card.from_answer(card), values), Ed25519PrivateKey.generate())
    return {"card": card, "weights": values, "signer": signature.signer, "signature": signature.value}


def test_a_release_is_staged_and_then_put_to_use(alice):
    digest = alice.release(calling(), "stage", **signed(card_for(alice), weights()))
    before = alice.describe(calling())
    version = alice.release(calling(), "commit", digest)
    after = alice.describe(calling())

    assert (before["released"], before["newest"], before["released_accuracy"]) == (0, 0, None)
    assert version == after["released"] == after["newest"] == 1
    assert after["released_accuracy"] == 0.4  # the worker's own


def test_a_release_that_was_aborted_is_gone(alice):
    digest = alice.release(calling(), "stage", **signed(card_for(alice), weights()))

    assert alice.release(calling(), "abort", digest) is None

    with pytest.raises(ReleaseError, match="is staged"):
        alice.release(calling(), "commit", digest)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"languages": ("Klingon",)}, ReleaseError, "other languages or letters"),
        ({"alphabet_digest": "0" * 64}, ReleaseError, "other languages or letters"),
        ({"model": "gru"}, ValueError, "does not fit"),
        ({"model": "oracle"}, ValueError, "no model 'oracle'"),
    ],
)
def test_a_model_that_is_not_for_this_worker_is_not_stored(alice, changes, error, says):
    with pytest.raises(error, match=says):
        alice.release(calling(), "stage", **signed(card_for(alice, **changes), weights()))

    assert alice.describe(calling())["newest"] == 0


def test_a_step_that_there_is_not_is_refused(alice):
    with pytest.raises(ValueError, match="no step 'explode' of a release"):
        alice.release(calling(), "explode")
