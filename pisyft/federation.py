"""A federation, seen from the coordinator: several workers that hold names, and one model trained with all of them."""

from __future__ import annotations

import functools
import itertools
import secrets
import tempfile
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from torch import nn

from pisyft.aggregation.agreement import digest_of_training
from pisyft.aggregation.errors import GivenAway, RoundAborted
from pisyft.aggregation.pointers import secure_sum
from pisyft.aggregation.protocol import Total
from pisyft.aggregation.rounds import new_agreement
from pisyft.events import Observer, Training, ignore
from pisyft.learning.alphabet import alphabet_by_name
from pisyft.learning.evaluation import Counts
from pisyft.learning.models import RNN, Model, make_model
from pisyft.learning.remote import RemoteNames, find_names, train_batch
from pisyft.learning.training import Diverged, TrainingSettings
from pisyft.learning.vectors import layout_of, load_vector, to_vector
from pisyft.release import Card, ModelStore, coordinator_key
from pisyft.rollout import next_version, roll_out
from pisyft.secure_round import DOES_NOT_TAKE_PART, SecureRound, in_parallel
from pisyft.transport.failures import carry

carry(Diverged)

Report = Callable[[str, dict], object]
# Is told which worker does not take part in something, and why.
LeftOut = Callable[[str, Exception], object]


# How many seeds to try for a training that is not exactly one that was summed before.
_SEEDS = 3


class FederationError(Exception):
    """These workers cannot train one model together. The text says which of them differ, and in what."""


@dataclass(frozen=True)
class Round:
    """What a round has come to.

    Attributes:
        total: the mean of what changed, and whose changes are in it.
        missing: why the other workers' are not, by id: also of those that the sum was begun again without.
        told: what each worker told when it had trained (see `Federation.fit`), by id.
        train_seconds: in which the workers trained.
        aggregate_seconds: the rest.
    """

    total: Total
    missing: Mapping[str, str]
    told: dict[str, dict]
    train_seconds: float
    aggregate_seconds: float


class Federation:
    """Workers that train one model together, each on names that stay with it.

        federation = Federation([alice, bob])
        model = federation.new_model()
        for _ in range(10):
            federation.train_round(model)
        print(federation.evaluate(model))

    Args:
        workers: connected workers, two or more, each with its own id and all with the same languages.
        batch_size: names in a step of SGD.
        learning_rate: of SGD.

    Attributes:
        descriptions: what each worker tells about its names, by id.
        languages: the languages that all workers know, in the order of the model's outputs.
        alphabet: the letters that all workers spell names in.

    Raises:
        FederationError: too few workers, two with one id, or with different languages or letters.
    """

    def __init__(self, workers: Sequence, batch_size: int = 32, learning_rate: float = 0.1) -> None:
        ids = [worker.id for worker in workers]
        if len(ids) < 2:
            raise FederationError("a federation needs two workers or more: a sum over one would be its own model")
        if len(set(ids)) < len(ids):
            raise FederationError(f"two workers have the same id: {', '.join(map(str, ids))}")
        self.workers: list = []
        self.descriptions: dict = {}
        self.batch_size, self.learning_rate = batch_size, learning_rate
        for worker in workers:
            self.admit(worker)
        first = self.descriptions[ids[0]]
        self.languages: list[str] = first["languages"]
        self.alphabet = alphabet_by_name(first["alphabet"])
        self._found_names: dict[object, RemoteNames] = {}
        self._fitted = 0

    def admit(self, worker) -> None:
        """Have another connected worker take part, from the next round on.

        Raises:
            FederationError: its languages or letters differ from the others', or it has too few names.
        """
        description = worker.call("describe")
        first, known = next(iter(self.descriptions.items()), (worker.id, description))
        if description["languages"] != known["languages"]:
            differing = sorted(set(description["languages"]) ^ set(known["languages"]))
            raise FederationError(
                f"workers {first} and {worker.id} have different languages ({', '.join(differing)} on one of them "
                "only): give every worker a file for each language"
            )
        if description["alphabet_digest"] != known["alphabet_digest"]:
            raise FederationError(
                f"workers {first} and {worker.id} spell names in different letters "
                f"({known['alphabet']}, {description['alphabet']}): start all workers with the "
                "same --alphabet, and the same version of PiSyft"
            )
        if description["train"] < description["floor"]:
            raise FederationError(
                f"worker {worker.id} has {description['train']} names to train on, fewer than "
                f"{description['floor']}, so that a model could tell something about one of them: add names to it, "
                "or leave it out"
            )
        self.workers.append(worker)
        self.descriptions[worker.id] = description

    def ask_again(self) -> None:
        """Have the workers that can be reached describe themselves again: they may have new names, or a new model."""
        self.descriptions |= self._in_parallel(lambda worker: worker.call("describe"), left_out=lambda *_: None)

    @property
    def names_total(self) -> int:
        """How many names the workers hold together."""
        return sum(sum(each["by_language"]) for each in self.descriptions.values())

    @property
    def names_by_language(self) -> list[int]:
        """How many names of each language the workers hold together."""
        return [sum(of) for of in zip(*(each["by_language"] for each in self.descriptions.values()), strict=True)]

    @property
    def batches_per_round(self) -> int:
        return sum(-(-each["train"] // self.batch_size) for each in self.descriptions.values())

    def new_model(self, seed: int = 0, name: str = "tutorial") -> Any:
        """A network with fresh parameters; the same seed gives the same ones. The tutorial's, or another of `MODELS`.

        Raises:
            ValueError: there is no model of this name.
        """
        return make_model(name, self.alphabet.size, len(self.languages), seed)

    def train_round(self, model: RNN, on_batch: Callable[[], object] = lambda: None) -> None:
        """One pass of every worker over its names, by pointer, and the average of their models, in place.

        Federated averaging, weighted by names (McMahan et al. 2017, "Communication-Efficient Learning of Deep
        Networks from Decentralized Data", algorithm 1), through a secure sum.

        Args:
            on_batch: called after each batch of each worker.
        """
        self.aggregate(model, self.train_apart(model, on_batch))

    def train_apart(self, model: RNN, on_batch: Callable[[], object] = lambda: None) -> list[RNN]:
        """One pass of every worker over its names from the same start: a model of pointers for each worker."""
        models = [model.copy().send(worker) for worker in self.workers]
        batches = [self._names_on(worker).batches(self.batch_size) for worker in self.workers]
        # In turns, so that one worker computes while the next is told what to do.
        for turn in itertools.zip_longest(*batches):
            for remote, batch in zip(models, turn, strict=True):
                if batch is not None:
                    train_batch(remote, batch, self.learning_rate)
                    on_batch()
        return models

    def _names_on(self, worker) -> RemoteNames:
        if worker.id not in self._found_names:
            self._found_names[worker.id] = find_names(worker)
        return self._found_names[worker.id]

    def aggregate(self, model: RNN, models: Sequence[RNN]) -> None:
        """Set the model to the average of the workers' models, of which nobody sees any."""
        trained_on = [self.descriptions[worker.id]["train"] for worker in self.workers]
        weighted = [to_vector(each) * (names / sum(trained_on)) for each, names in zip(models, trained_on, strict=True)]
        load_vector(model, secure_sum(weighted, self.workers))

    def fit_round(
        self,
        model: Model,
        settings: TrainingSettings | None = None,
        aggregation: str = "additive",
        name: str = "tutorial",
        observe: Observer = ignore,
    ) -> Round:
        """A round with one message to each worker, which trains by itself, and the mean of what changed, in place.

        Args:
            settings: by default a pass over the names, with this federation's batch size and learning rate.
            aggregation: "additive", "masks" or "plain".
            name: of the network, as in `MODELS`.
            observe: is told how far everybody is, in any thread.

        Raises:
            RoundAborted: there is no sum, because of whom and in which step. The model is as it was.
            Diverged: on one of the workers. The model is as it was.
        """
        chosen = settings or TrainingSettings(self.batch_size, self.learning_rate)
        weights = _as_array(model)
        # Each round goes on in the workers' order of names where the one before has ended.
        finished = self.train_and_sum(model, name, weights, replace(chosen, round=self._fitted), aggregation, observe)
        self._fitted += 1
        load_vector(model, torch.from_numpy(weights + finished.total.mean).float())
        return finished

    def evaluate(
        self,
        model: Model,
        part: str = "test",
        name: str = "tutorial",
        without: Collection[str] = (),
        left_out: LeftOut | None = None,
    ) -> dict[str, Counts]:
        """What each worker counts on its own names, by id; of those that have enough names in this part to tell.

        Args:
            part: "train", "validation" or "test".
            name: of the network, as in `MODELS`.
            without: the ids of workers that are not asked.
            left_out: is told of workers that are away, or whose owners do not permit it; the others' counts are
                returned. By default the first one's error is raised.

        Raises:
            FederationError: no worker has enough names in this part, or all of them are left out.
        """
        return self._evaluate(part, without, left_out, model=name, weights=_as_array(model))

    def evaluate_alone(
        self,
        model: Model,
        settings: TrainingSettings,
        part: str = "test",
        name: str = "tutorial",
        without: Collection[str] = (),
        left_out: LeftOut | None = None,
    ) -> dict[str, Counts]:
        """What each worker counts when it has trained the model on its own names alone: neither leaves it.

        Args:
            left_out: as for `evaluate`; it is told of workers on which training diverged, too.

        Raises:
            FederationError: no worker has enough names in this part, or all of them are left out.
            Diverged: on one of the workers, where nobody is left out.
        """
        arguments = {"model": name, "weights": _as_array(model), "alone": asdict(settings)}
        return self._evaluate(part, without, left_out, **arguments)

    def _evaluate(
        self, part: str, without: Collection[str], left_out: LeftOut | None, **arguments
    ) -> dict[str, Counts]:
        asked = [worker for worker in self.workers if worker.id not in without]
        able = [worker for worker in asked if self._has_enough(worker, part)]
        if not able:
            floor = max(each["floor"] for each in self.descriptions.values())
            raise FederationError(f"no worker has {floor} names to {part}: add names, or deal them to fewer workers")
        answers = self._in_parallel(lambda worker: worker.call("evaluate", part=part, **arguments), able, left_out)
        if not answers:
            raise FederationError(f"no worker that has names to {part} takes part now")
        return {worker: Counts.from_answer(answer) for worker, answer in answers.items()}

    def _has_enough(self, worker, part: str) -> bool:
        description = self.descriptions[worker.id]
        return description[part] >= description["floor"]

    def notes(self) -> list[str]:
        """What is worth knowing of these workers' names before they train: whose figures are missing, and why."""
        notes = []
        for worker, each in self.descriptions.items():
            held = [language for language, count in zip(self.languages, each["by_language"], strict=True) if count]
            if len(held) == 1 and len(self.languages) > 1:
                notes.append(f"All names of {worker} are {held[0]}: alone it learns to say that of every name.")
            if each["validation"] < each["floor"]:
                notes.append(f"{worker} has {each['validation']} names to choose by, fewer than {each['floor']}.")
            if each["test"] < each["floor"]:
                notes.append(
                    f"{worker} has {each['test']} names to test on, fewer than {each['floor']}: it tells nothing."
                )
        together = zip(self.languages, self.names_by_language, strict=True)
        if nobodys := [language for language, count in together if not count]:
            notes.append(f"No worker has names of {', '.join(nobodys)}: nobody can learn to guess them.")
        return notes

    def release(
        self,
        model: Model,
        accuracy: float,
        rounds: int,
        *,
        name: str = "tutorial",
        store: ModelStore | None = None,
        key: Ed25519PrivateKey | None = None,
        away: Collection[str] = (),
        **facts: object,
    ) -> dict[str, int]:
        """Push the model to every worker, to all or none; the version that each has put to use, by id.

        Args:
            accuracy: over all held-out names.
            rounds: of training.
            name: of the network, as in `MODELS`.
            store: the coordinator's own. From it, `rollout.deliver` brings the model to workers that are away now.
            key: signs the model; the user's by default.
            away: the ids of other workers, which are to receive it when they return.
            facts: what else its card tells; see `release.Card`.

        Raises:
            ReleaseError: a worker refuses the model, or none can be reached. Nobody uses it then.
        """
        with tempfile.TemporaryDirectory() as temporary:
            kept = store or ModelStore(temporary)
            card = Card(
                next_version(self.workers, kept),
                name,
                tuple(self.languages),
                accuracy,
                tuple(str(worker.id) for worker in self.workers),
                rounds,
                alphabet=self.alphabet.name,
                alphabet_digest=self.alphabet.digest(),
                **facts,  # type: ignore[arg-type]
            )
            rollout = roll_out(self.workers, card, _as_array(model), kept, key or coordinator_key(), away)
        return dict.fromkeys(rollout.delivered, rollout.version)

    def aggregation_error(self, seed: int = 0) -> float:
        """The largest difference between a secure average and a plain one, of test vectors as long as the model.

        The vectors are the coordinator's own, drawn for this check: plain averages of real models are what the
        workers refuse.
        """
        generator = torch.Generator().manual_seed(seed)
        length = len(to_vector(self.new_model()))
        vectors = [torch.randn(length, generator=generator) for _ in self.workers]
        pointers = [vector.send(worker) for vector, worker in zip(vectors, self.workers, strict=True)]
        secure = secure_sum(pointers, self.workers) / len(vectors)
        plain = torch.stack(vectors).double().mean(0)
        return (secure - plain).abs().max().item()

    def fit(
        self, model: Model, name: str, settings: TrainingSettings, round_id: str, report: Report = lambda *_: None
    ) -> dict[str, dict]:
        """Have every worker train the model on its own names, at the same time. What changed stays there.

        Args:
            model: where training begins.
            name: of the network, as in `MODELS`.
            settings: the same for every worker.
            round_id: under which the workers keep what changed.
            report: called with a worker's id and what it tells while it is at work, in any thread.

        Returns:
            What each worker tells when it is done: how many `names` and `steps`, and the mean `loss`.

        Raises:
            Diverged: on one of the workers.
            GetNotPermittedError: one of the workers refuses.
        """
        weights = _as_array(model)
        return self._in_parallel(lambda worker: _fit(worker, name, weights, settings, round_id, report))

    def train_and_sum(
        self,
        model: Model,
        name: str,
        message: np.ndarray,
        settings: TrainingSettings,
        aggregation: str = "additive",
        observe: Observer = ignore,
    ) -> Round:
        """A round: all workers train on their names, at the same time, and a secure sum gives the mean of what changed.

        Who cannot be reached, or is not permitted by its owner to take part (it is paused, or a limit is reached),
        before anybody has given anything away is left out, as long as two are left; with masks, whoever vanishes later,
        too. It is asked again in the next round.

        Args:
            model: of the kind that is trained.
            name: of the network, as in `MODELS`.
            message: what a strategy sends to the workers, float32.
            settings: the same for every worker.
            aggregation: "additive", "masks" or "plain".
            observe: is told how far everybody is, in any thread.

        Raises:
            RoundAborted: there is no sum, because of whom and in which step.
            Diverged: on one of the workers.
        """
        told: dict[str, dict] = {}
        missing: dict[str, str] = {}
        train_seconds, start = 0.0, time.monotonic()
        workers = {str(worker.id): worker for worker in self.workers}
        training, layout = digest_of_training(message, name, asdict(settings)), layout_of(model, len(message))
        while True:
            agreement = new_agreement(aggregation, workers, training, layout)

            def train(present: Sequence[str], round_id: str = agreement.round, workers: dict = workers) -> dict:
                nonlocal train_seconds
                began = time.monotonic()

                def fit(worker_id: str) -> dict:
                    of = settings.names(self.descriptions[worker_id]["train"])

                    def tell(_: str, so_far: dict, finished: bool = False) -> None:
                        observe(Training(worker_id, so_far["names"], of, so_far["loss"], finished))

                    done = _fit(workers[worker_id], name, message, settings, round_id, tell)
                    tell(worker_id, done, finished=True)
                    return done

                outcomes = in_parallel(fit, [worker_id for worker_id in present if worker_id not in told])
                train_seconds += time.monotonic() - began
                failures = {worker_id: each for worker_id, each in outcomes.items() if isinstance(each, Exception)}
                told.update({worker_id: each for worker_id, each in outcomes.items() if worker_id not in failures})
                for diverged in (each for each in failures.values() if isinstance(each, Diverged)):
                    raise diverged
                return failures

            secure_round = SecureRound(agreement, workers, observe)
            try:
                total = secure_round.run(train)
                seconds = time.monotonic() - start - train_seconds
                return Round(total, {**missing, **total.missing}, told, train_seconds, seconds)
            except RoundAborted as aborted:
                missing |= secure_round.left_out
                left = {each: worker for each, worker in workers.items() if each not in missing}
                if aborted.released or len(left) == len(workers) or len(left) < 2:
                    raise
                workers = left

    def _in_parallel(self, call: Callable, workers: Sequence | None = None, left_out: LeftOut | None = None) -> dict:
        """Call a function with every worker, or some, at the same time; what it returned for each, by id.

        Args:
            left_out: is told of workers that do not take part, and why; the others' outcomes are returned.

        Raises:
            Exception: what the call with the first of the workers, in their order, raised; the others are done by then.
        """
        asked = self.workers if workers is None else workers
        by_id = {worker.id: worker for worker in asked}
        outcomes = in_parallel(lambda worker: call(by_id[worker]), by_id)
        failures = {worker: outcome for worker, outcome in outcomes.items() if isinstance(outcome, Exception)}
        for worker, error in failures.items():
            if left_out is None or not isinstance(error, (*DOES_NOT_TAKE_PART, Diverged)):
                raise error
            left_out(str(worker), error)
        return {worker: outcome for worker, outcome in outcomes.items() if worker not in failures}


def _fit(worker, name: str, message: np.ndarray, settings: TrainingSettings, round_id: str, report: Report) -> dict:
    """Train on one worker, with another seed where the same training was part of another sum."""
    for again in itertools.count(1):
        try:
            return worker.call(
                "fit",
                functools.partial(report, worker.id),
                round=round_id,
                model=name,
                weights=message,
                settings=asdict(settings),
            )
        except GivenAway:
            if again == _SEEDS:
                raise
            # Not one that follows from it: that would have been given away in the run before.
            settings = replace(settings, seed=secrets.randbits(31))
    raise AssertionError("never reached")


def _as_array(model: nn.Module) -> np.ndarray:
    return to_vector(model).detach().numpy()
