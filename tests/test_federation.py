"""A federation of two guarded workers: it learns, it averages, it tells counts, and it refuses what cannot work."""

import pytest
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.federation import Federation, FederationError
from pisyft.learning.evaluation import Counts, add_up
from pisyft.learning.models import RNN
from pisyft.learning.training import Diverged, TrainingSettings
from pisyft.learning.vectors import to_vector


def test_it_knows_what_its_workers_tell(workers):
    federation = Federation(workers, batch_size=32)
    assert federation.languages == ["Czech", "Italian", "Japanese", "Polish"]
    assert federation.names_total == 400
    assert federation.batches_per_round == 2 * 5


def test_it_learns(workers):
    federation = Federation(workers, batch_size=16, learning_rate=0.1)
    model = federation.new_model()
    before = add_up(federation.evaluate(model, "train").values())
    for _ in range(10):
        federation.train_round(model)
    after = add_up(federation.evaluate(model, "train").values())

    assert after.accuracy > before.accuracy + 0.2
    assert after.loss < before.loss
    assert after.names == before.names == 280


@pytest.mark.parametrize("aggregation", ["additive", "masks"])
def test_workers_that_train_by_themselves_learn_too_and_from_other_names_in_each_round(workers, aggregation):
    federation = Federation(workers, batch_size=16, learning_rate=0.1)
    model = federation.new_model()
    before = add_up(federation.evaluate(model, "train").values())
    rounds = [federation.fit_round(model, aggregation=aggregation) for _ in range(10)]
    after = add_up(federation.evaluate(model, "train").values())

    assert after.accuracy > before.accuracy + 0.2
    assert rounds[0].total.weight == 280
    assert rounds[0].total.contributors == ("alice", "bob")
    assert rounds[0].told["alice"]["steps"] == 9


def test_a_round_that_diverges_leaves_the_model_as_it_was(workers):
    federation = Federation(workers)
    model = federation.new_model()
    start = to_vector(model).clone()

    with pytest.raises(Diverged):
        federation.fit_round(model, TrainingSettings(learning_rate=1e6, passes=3))

    assert torch.equal(to_vector(model), start)


def test_a_round_without_training_changes_nothing(workers):
    """The average of equal models is the model: what secret sharing and fixed point may add is 1e-6 a worker."""
    federation = Federation(workers)
    model = federation.new_model(seed=3)
    start = to_vector(model).clone()
    federation.aggregate(model, [model.copy().send(worker) for worker in federation.workers])
    assert (to_vector(model) - start).abs().max() < 3e-6


def test_the_secret_average_of_test_vectors_is_their_plain_average(workers):
    assert 0 < Federation(workers).aggregation_error() < 1e-5


def test_workers_train_at_the_same_time_and_tell_how_far_they_are(workers):
    federation = Federation(workers)
    told = []
    settings = TrainingSettings(batch_size=1, passes=60, learning_rate=0.001)
    done = federation.fit(federation.new_model(), "tutorial", settings, "r1", lambda *each: told.append(each))

    assert {worker: each["names"] for worker, each in done.items()} == {"alice": 140 * 60, "bob": 140 * 60}
    for worker in ("alice", "bob"):
        names = [each["names"] for teller, each in told if teller == worker]
        assert names and names == sorted(names)


def test_a_diverging_worker_is_named(workers):
    federation = Federation(workers)
    with pytest.raises(Diverged, match="training diverged: .* at step .* .on worker alice."):
        federation.fit(federation.new_model(), "tutorial", TrainingSettings(learning_rate=1e30, passes=5), "r2")


def test_what_a_worker_learns_alone_is_counted_and_nothing_else_is_told(workers):
    federation = Federation(workers)
    model = federation.new_model()
    before = federation.evaluate(model)

    alone = federation.evaluate_alone(model, TrainingSettings(batch_size=16, passes=6))

    for worker, counts in alone.items():
        assert counts.loss < before[worker].loss
    assert federation.evaluate(model) == before
    with pytest.raises(GetNotPermittedError, match="nothing of names that it has trained on alone"):
        federation.evaluate_alone(model, TrainingSettings(), part="train")


def test_every_batch_is_told(workers):
    federation = Federation(workers, batch_size=20)
    told = []
    federation.train_round(federation.new_model(), on_batch=lambda: told.append(1))
    assert len(told) == federation.batches_per_round == 14


def test_the_same_seed_gives_the_same_model_and_leaves_the_generator_alone(workers):
    federation = Federation(workers)
    state = torch.random.get_rng_state()
    first, second, other = (to_vector(federation.new_model(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_release_reaches_every_worker_with_a_version_that_counts_up(workers):
    federation = Federation(workers)
    first = federation.release(federation.new_model(), accuracy=0.5, rounds=3)
    second = federation.release(federation.new_model(), accuracy=0.6, rounds=4)
    assert set(first) == {"alice", "bob"}
    assert all(second[worker] == first[worker] + 1 for worker in first)
    assert all(worker.call("describe")["released"] == second[worker.id] for worker in workers)


@pytest.mark.parametrize("count", [0, 1])
def test_one_worker_is_no_federation(workers, count):
    with pytest.raises(FederationError, match="two workers or more"):
        Federation(workers[:count])


def test_the_same_worker_twice_is_no_federation(workers):
    with pytest.raises(FederationError, match="two workers have the same id: alice, alice"):
        Federation([workers[0], workers[0]])


def test_a_model_for_other_languages_is_refused(workers):
    with pytest.raises(ValueError, match="does not fit"):
        Federation(workers).evaluate(RNN(n_languages=18))


class Told:
    """A worker that tells what it is, and counts every name as right."""

    def __init__(self, worker_id: str, **description: object) -> None:
        told = {"languages": ["Greek", "Irish"], "alphabet": "tutorial", "alphabet_digest": "a", "floor": 10}
        told |= {"by_language": [40, 40], "train": 56, "validation": 10, "test": 14}
        self.id, self._description = worker_id, {**told, **description}

    def call(self, verb: str, **arguments: object) -> dict:
        if verb == "describe":
            return self._description
        assert verb == "evaluate"
        return Counts(((8, 0), (0, 6)), 1.0).as_answer()


def test_workers_that_spell_names_in_different_letters_are_no_federation():
    with pytest.raises(FederationError, match=r"alice and bob spell names in different letters \(unicode, tutorial\)"):
        Federation([Told("alice", alphabet="unicode", alphabet_digest="b"), Told("bob")])


def test_a_worker_with_too_few_names_to_train_on_is_named_before_anything_begins():
    with pytest.raises(FederationError, match="worker bob has 9 names to train on, fewer than 10, .*or leave it out"):
        Federation([Told("alice"), Told("bob", train=9)])


def test_a_worker_with_too_few_names_to_test_on_is_not_asked_and_is_noted():
    federation = Federation([Told("alice"), Told("bob", test=9, validation=3)])

    assert set(federation.evaluate(federation.new_model())) == {"alice"}
    assert set(federation.evaluate(federation.new_model(), "validation")) == {"alice"}
    assert federation.notes() == [
        "bob has 3 names to choose by, fewer than 10.",
        "bob has 9 names to test on, fewer than 10: it tells nothing.",
    ]


def test_no_worker_with_enough_names_to_test_on_is_told():
    federation = Federation([Told("alice", test=9), Told("bob", test=0)])

    with pytest.raises(
        FederationError, match="no worker has 10 names to test: add names, or deal them to fewer workers"
    ):
        federation.evaluate(federation.new_model())


def test_a_worker_with_one_language_and_a_language_of_nobody_are_noted():
    one, two = Told("alice", by_language=[80, 0]), Told("bob", by_language=[40, 0])

    assert Federation([one, two]).notes() == [
        "All names of alice are Greek: alone it learns to say that of every name.",
        "All names of bob are Greek: alone it learns to say that of every name.",
        "No worker has names of Irish: nobody can learn to guess them.",
    ]
