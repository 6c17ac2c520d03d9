"""Secure rounds over real workers: what they give, what is refused, and that a refusal is named."""

import functools
import itertools
from dataclasses import asdict, replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pisyft.aggregation.agreement import digest_of_training, digest_of_values, new_round_id
from pisyft.aggregation.errors import GivenAway, Refused, RoundAborted
from pisyft.aggregation.plain import PlainAggregation
from pisyft.aggregation.protocol import GIVE_UP
from pisyft.aggregation.rounds import new_agreement
from pisyft.events import Answered, Lost, Summed, SumStarted, Training
from pisyft.federation import Federation
from pisyft.lab import Lab
from pisyft.learning.training import Diverged, TrainingSettings
from pisyft.learning.vectors import layout_of, to_vector
from pisyft.secure_round import SecureRound
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.errors import WorkerLost

_seeds = itertools.count(100)


@pytest.fixture(scope="module")
def federation(names_folder, hook):
    """Three workers under the strict policy, which take part in plain sums, too."""
    with Lab(names_folder, ["ann", "ben", "cleo"], policy="strict", allow_plain=True) as lab:
        workers = [WebsocketClientWorker(hook, host, port, id=worker) for worker, (host, port) in lab.addresses.items()]
        yield Federation(workers)
        for worker in workers:
            worker.close()


@pytest.fixture
def message(federation) -> np.ndarray:
    return to_vector(federation.new_model(seed=3)).detach().numpy()


def settings(**changes) -> TrainingSettings:
    """With a seed of its own each time, so that no training is one that was summed before."""
    return TrainingSettings(**{"steps": 2, "seed": next(_seeds), **changes})


def train(federation, message, aggregation: str, chosen: TrainingSettings):
    return federation.train_and_sum(federation.new_model(), "tutorial", message, chosen, aggregation)


@pytest.mark.filterwarnings("ignore::pisyft.aggregation.plain.PlainAggregation")
@pytest.mark.parametrize("aggregation", ["additive", "masks", "plain"])
def test_every_aggregation_sums_what_all_have_learned(federation, message, aggregation):
    finished = train(federation, message, aggregation, settings())

    assert finished.total.contributors == ("ann", "ben", "cleo")
    assert finished.total.weight == sum(each["train"] for each in federation.descriptions.values())
    assert 0 < np.abs(finished.total.mean).max() < 1
    assert [told["steps"] for told in finished.told.values()] == [2, 2, 2]


@pytest.mark.parametrize(
    ("aggregation", "steps"),
    [("additive", ["join", "share", "upload"]), ("masks", ["join", "share", "upload", "confirm", "unmask"])],
)
def test_who_watches_is_told_every_step_and_that_training_comes_before_the_upload(
    federation, message, aggregation, steps
):
    told = []
    model = federation.new_model()

    federation.train_and_sum(model, "tutorial", message, settings(steps=40), aggregation, told.append)

    started, *between, summed = told
    everybody = ["ann", "ben", "cleo"]
    assert started == SumStarted(started.round_id, aggregation, tuple(everybody), tuple(steps))
    assert summed == Summed(tuple(everybody), sum(each["train"] for each in federation.descriptions.values()))
    for worker in everybody:
        of_worker = [each for each in between if each.worker == worker]
        trained = [place for place, each in enumerate(of_worker) if isinstance(each, Training)]
        assert [each.step for each in of_worker if isinstance(each, Answered)] == steps
        assert trained == list(range(2, 2 + len(trained)))  # after join and share
        finished = of_worker[trained[-1]]
        held = federation.descriptions[worker]["train"]
        assert finished.finished and finished.names == finished.of == settings(steps=40).names(held)


def test_who_watches_is_told_of_one_that_is_lost_and_why(federation, message):
    told = []
    agreement = new_agreement("masks", ["ann", "ben", "mallory"], digest_of_values(message), {"w": (3,)})
    workers = {worker.id: worker for worker in federation.workers[:2]}

    with pytest.raises(RoundAborted):
        SecureRound(agreement, {**workers, "mallory": federation.workers[2]}, told.append).run()

    lost = {each.worker: each for each in told if isinstance(each, Lost)}
    assert set(lost) == {"ann", "ben", "mallory"}
    assert (lost["ann"].step, "ann does not know mallory" in lost["ann"].reason) == ("join", True)
    assert not any(isinstance(each, Summed) for each in told)


def test_a_worker_that_vanishes_before_others_have_handed_it_their_shares_is_left_out(federation, message, monkeypatch):
    """Cleo, who cannot reach ben, has to say so; the round begins again without ben, and not without cleo."""
    vanished = []

    def call(self, worker, step, message):
        if step == "share" and worker == "cleo" and "ben" in self._workers:
            vanished.append("ben")
            raise Refused("cleo cannot hand its share to ben: nothing listens there")
        if step == GIVE_UP and worker in vanished:
            raise WorkerLost("ben", "pi:8777", "the connection broke", "Look at its log.")
        return ask(self, worker, step, message)

    ask = SecureRound._call
    monkeypatch.setattr(SecureRound, "_call", call)

    finished = train(federation, message, "additive", settings())

    assert finished.total.contributors == ("ann", "cleo")
    assert finished.missing == {"ben": "worker ben at pi:8777: the connection broke. Look at its log."}


def test_the_same_training_is_not_given_away_twice_but_made_anew_however_often_it_is_asked_for(federation, message):
    chosen = settings()

    totals = [train(federation, message, "masks", chosen).total for _ in range(5)]

    assert {each.contributors for each in totals} == {("ann", "ben", "cleo")}
    assert len({each.mean.tobytes() for each in totals}) == 5


def test_a_worker_refuses_to_give_the_same_training_to_a_smaller_sum(federation, message):
    chosen = settings()
    train(federation, message, "additive", chosen)
    ann, ben, _ = federation.workers
    agreement = new_agreement(
        "additive",
        ["ann", "ben"],
        digest_of_training(message, "tutorial", asdict(chosen)),
        layout_of(federation.new_model(), len(message)),
    )
    for worker in (ann, ben):
        worker.call("aggregate", round=agreement.round, step="join", message=agreement.as_message())

    with pytest.raises(GivenAway, match=r"ann has given this update away .* over ann, ben, cleo.* \(on worker ann\)"):
        ann.call("fit", round=agreement.round, model="tutorial", weights=message, settings=asdict(chosen))


def test_plain_says_what_it_means(federation, message):
    with pytest.warns(PlainAggregation, match="the coordinator sees what every single Pi has learned"):
        train(federation, message, "plain", settings())


@pytest.mark.filterwarnings("ignore::pisyft.aggregation.plain.PlainAggregation")
def test_workers_refuse_plain_unless_their_owner_allows_it(workers):
    federation = Federation(workers)
    message = to_vector(federation.new_model()).detach().numpy()

    with pytest.raises(RoundAborted, match="in step 'join' because of alice: .* its protocol is 'plain'"):
        train(federation, message, "plain", settings())


def test_a_worker_whose_training_diverges_is_named_and_the_round_given_up(federation, message):
    with pytest.raises(Diverged, match=r"at step \d+.*on worker (ann|ben|cleo)"):
        train(federation, message, "additive", settings(learning_rate=1e30, steps=20))


def test_a_training_that_begins_with_another_model_than_was_agreed_is_refused_before_it_begins(federation, message):
    ann = federation.workers[0]
    agreement = new_agreement(
        "masks",
        ["ann", "ben", "cleo"],
        digest_of_training(message, "tutorial", asdict(settings(steps=1))),
        layout_of(federation.new_model(), len(message)),
    )
    ann.call("aggregate", round=agreement.round, step="join", message=agreement.as_message())

    with pytest.raises(Refused, match="ann in round .* it was asked to train with another model, or in another way"):
        ann.call(
            "fit", round=agreement.round, model="tutorial", weights=message + 1, settings=asdict(settings(steps=1))
        )


def test_a_training_in_another_way_than_was_agreed_is_refused_before_it_begins(federation, message):
    """With a learning rate of zero on all Pis but one, the sum would be the one Pi's update."""
    ann = federation.workers[0]
    agreed = settings(steps=1)
    agreement = new_agreement(
        "masks",
        ["ann", "ben", "cleo"],
        digest_of_training(message, "tutorial", asdict(agreed)),
        layout_of(federation.new_model(), len(message)),
    )
    ann.call("aggregate", round=agreement.round, step="join", message=agreement.as_message())
    fit = functools.partial(ann.call, "fit", round=agreement.round, model="tutorial", weights=message)

    with pytest.raises(Refused, match="it was asked to train with another model, or in another way"):
        fit(settings=asdict(replace(agreed, learning_rate=0.0)))

    assert fit(settings=asdict(replace(agreed, seed=3)))["steps"] == 1


def test_a_step_of_a_round_that_a_worker_knows_nothing_of_is_refused_by_name(federation):
    with pytest.raises(Refused, match="ben is in no round 00000000"):
        federation.workers[1].call("aggregate", round="0" * 32, step="upload", message={})


@pytest.mark.parametrize(("step", "sent"), [("no such step", {}), ("join", None), ("join", {"round": 7})])
def test_a_message_that_is_none_is_refused_and_the_worker_goes_on(federation, step, sent):
    ann = federation.workers[0]
    with pytest.raises(Refused):
        ann.call("aggregate", round=new_round_id(), step=step, message=sent)
    assert ann.call("describe")["worker"] == "ann"


def test_a_coordinator_delivers_no_shares(federation):
    with pytest.raises(Exception, match="has no verb 'deliver' for a coordinator"):
        federation.workers[0].call("deliver", round="0" * 32, share=bytes(64))


def test_nobody_but_peers_is_summed_with(federation, message):
    agreement = new_agreement("masks", ["ann", "ben", "mallory"], digest_of_values(message), {"w": (3,)})
    with pytest.raises(Refused, match="ann does not know mallory: start it with --peer mallory"):
        federation.workers[0].call("aggregate", round=agreement.round, step="join", message=agreement.as_message())


@pytest.fixture(scope="module")
def certified(names_folder, hook):
    """Two workers of a classroom, under the strict policy."""
    with Lab(names_folder, ["dora", "eve"], policy="strict", certificates=True) as lab:
        workers = lab.classroom.connect(hook)
        yield Federation(workers)
        for worker in workers:
            worker.close()


@pytest.mark.parametrize("aggregation", ["additive", "masks"])
def test_in_a_classroom_everything_works_as_without_certificates(certified, message, aggregation):
    assert train(certified, message, aggregation, settings()).total.contributors == ("dora", "eve")


def test_in_a_classroom_a_coordinator_cannot_put_its_own_keys_in_between(certified, message):
    dora, eve = certified.workers
    agreement = new_agreement(
        "masks", ["dora", "eve"], digest_of_values(message), layout_of(certified.new_model(), len(message))
    )
    keys = {
        worker.id: worker.call("aggregate", round=agreement.round, step="join", message=agreement.as_message())
        for worker in (dora, eve)
    }
    keys["eve"]["mask"] = X25519PrivateKey.generate().public_key().public_bytes_raw()

    with pytest.raises(Refused, match="the keys of eve are not signed by eve"):
        dora.call("aggregate", round=agreement.round, step="share", message={"keys": {"eve": keys["eve"]}})
