"""One worker's part in a federation: names that stay, and the verbs that answer questions about them."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

import numpy as np
import torch

from pisyft import board
from pisyft.aggregation.agreement import digest_of_training
from pisyft.classroom import DEFAULT_FLOOR, LEAST_FLOOR
from pisyft.contribution import Contribution
from pisyft.learning.alphabet import TUTORIAL, Alphabet
from pisyft.learning.encoding import Encoded, encode, mask, one_hot
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.floors import LossInBlocks, diverging_in_blocks, in_own_order
from pisyft.learning.models import Model, make_model
from pisyft.learning.names import TEST, TRAIN, VALIDATION, NamesError, Parts, WatchedFolder, total, with_added
from pisyft.learning.questions import Questions
from pisyft.learning.strategies import Trainee
from pisyft.learning.training import Diverged, TrainingSettings, fit
from pisyft.learning.vectors import load_vector
from pisyft.limits import Limits
from pisyft.owner import OwnersWord
from pisyft.privacy import GuardedWorker
from pisyft.refusals import NotPermitted
from pisyft.release import Card, ModelStore, ReleaseError, Signature
from pisyft.transport.failures import carry
from pisyft.transport.server import Calling

carry(Diverged)
carry(ReleaseError)

logger = logging.getLogger(__name__)


class Participant:
    """One worker's part in a federation: names that stay, and answers about them in counts.

    `verbs` are what a coordinator may call by name, and all that it may call. Each takes a `Calling` first, then plain
    values and NumPy arrays by name, and returns plain values. They are called in any thread, also at the same time.

    Args:
        worker_id: the id of the worker.
        names: its names, in three parts.
        seed: mixed into the order in which names are trained on.
        store: where released models go.
        contribution: its part in secure sums.
        alphabet: the letters that names are spelled in, the same on every worker.
        folder: where the names are from. Those that are added to it are trained on from the next `fit` on.
        limits: how much a coordinator may ask for.
        floor: over how many names a figure must be to be told, at least.
        owner: says when the worker is paused, and what it is to forget.
        on_change: is told how to ask what the worker does now, when that may have changed.
    """

    def __init__(
        self,
        worker_id: str,
        names: Parts,
        seed: int,
        store: ModelStore,
        contribution: Contribution,
        alphabet: Alphabet = TUTORIAL,
        folder: WatchedFolder | None = None,
        limits: Limits | None = None,
        floor: int = DEFAULT_FLOOR,
        owner: OwnersWord | None = None,
        on_change: Callable[[Callable[[], str]], object] = lambda doing: None,
    ) -> None:
        self._owner, self._on_change = owner, on_change
        if floor < LEAST_FLOOR:
            raise ValueError(
                f"a floor of {floor} names; {LEAST_FLOOR} is the least, so that no figure is about a few names"
            )
        self._limits, self._floor = limits or Limits(), floor
        self._questions = Questions(worker_id, self._limits.questions_per_day)
        self._worker_id = worker_id
        self._languages = tuple(names.languages)
        self._alphabet = alphabet
        self._seed = seed
        self._names = names
        for part, of_part in names.items():
            if part != VALIDATION and not total(of_part):
                raise NamesError(f"{worker_id} has no names to {part} on: give it two or more of a language")
        # Shuffled, for pointers, which take them in the order that they have here.
        self._parts = {part: encode(of_part, alphabet, seed) for part, of_part in names.items() if total(of_part)}
        self._trainee = Trainee(self._parts[TRAIN])
        self._store = store
        self._training = threading.Lock()
        self._contribution = contribution
        self._folder = folder
        self._reading = threading.Lock()
        # Since verbs are called at the same time, there may be several; the last one is told.
        self._at_work: list[str] = []
        self._accuracy_of: tuple[int | None, float | None] = (None, None)

    @property
    def verbs(self) -> dict[str, Callable]:
        return {
            "describe": self.describe,
            "fit": self.fit,
            "evaluate": self.evaluate,
            "release": self.release,
            **self._contribution.verbs,
        }

    def forget(self) -> None:
        """Drop what was learned from the names and not yet given away, and leave the round that is under way.

        What was given away before is remembered: the same training would give it away again.
        """
        self._contribution.forget()
        self._trainee.forget()
        self._accuracy_of = (None, None)

    def describe(self, calling: Calling) -> dict:
        """How many names there are, of which languages, how few are too few, and which released model is in use.

        `doing` is what the worker is at: "training", "testing", "taking a release", "in a round" (it waits for its next
        step) or "idle". `board` is what machine it runs on (see `board.facts`).
        """
        self._take_added_names()
        return {
            "worker": self._worker_id,
            "languages": list(self._languages),
            "alphabet": self._alphabet.name,
            "alphabet_digest": self._alphabet.digest(),
            "by_language": [len(of_language) for of_language in self._names.together.values()],
            **{part: total(of_part) for part, of_part in self._names.items()},
            "floor": self._floor,
            "released": self._store.current or 0,
            "newest": max(self._store.versions(), default=0),
            "released_accuracy": self._released_accuracy(),
            "doing": self._doing(),
            "paused": self._owner is not None and self._owner.is_paused,
            "board": board.facts(),
        }

    def fit(self, calling: Calling, round: str, model: str, weights: np.ndarray, settings: Mapping) -> dict:
        """Train a model on the worker's names. What changed stays here, to be summed up by `aggregate`.

        While it trains it tells `{"names": done, "loss": mean loss over the names since it last told}`.

        Args:
            round: the id of the round.
            model: the name of the network.
            weights: what the strategy sends: the parameters to begin with, one vector, float32.
            settings: of `TrainingSettings`, by name. The order of the names comes from its seed and the worker's own,
                so that a coordinator cannot tell which names a step was about.

        Returns:
            How many `names` it trained on (those of a second pass count again), in how many `steps`, and the mean
            `loss`.

        Raises:
            GetNotPermittedError: there are too few names, or the settings would have it train on too few; or there were
                too many questions today.
            Refused: the round under way is about another training: other parameters, or other settings; or its owner
                has meanwhile dropped what was learned.
            GivenAway: a training exactly like this one has been part of another sum.
            Diverged: the loss is not finite.
            ValueError: an unknown model or setting, or parameters that do not fit.
        """
        self._take_added_names()
        names = self._enough_names(TRAIN)
        chosen = self._own_settings(settings, len(names))
        forgotten = self._contribution.forgotten
        made, start = self._make_model(model), _vector(weights)
        training = digest_of_training(weights, model, asdict(TrainingSettings.from_values(settings)))
        losses = LossInBlocks(calling.report, self._floor)
        with self._only_training():
            self._contribution.check(round, made, len(weights), training)
            self._questions.ask(weights, "fit", model, settings=asdict(chosen))
            if not self._contribution.was_given:
                self._trainee.take_back()
            with diverging_in_blocks(chosen, self._floor):
                change, result = self._trainee.train(made, start, chosen, losses.add)
            try:
                self._contribution.keep(made, change.numpy(), len(names), training, forgotten)
            finally:
                if self._contribution.forgotten != forgotten:
                    self._trainee.forget()
        return {"names": result.names, "steps": result.steps, "loss": losses.mean}

    def evaluate(
        self,
        calling: Calling,
        weights: np.ndarray,
        model: str = "tutorial",
        part: str = TEST,
        alone: Mapping | None = None,
    ) -> dict:
        """Count the model's guesses on a part of the names: "train", "validation" or "test".

        Args:
            weights: the model's parameters as one vector, float32.
            alone: of `TrainingSettings`, by name: train the model on this worker's names first, and alone, to see what
                it gains from the others. Nothing of that is kept or given away but the counts.

        Raises:
            GetNotPermittedError: there are too few names, or there were too many questions today.
            Diverged: training alone did.
            ValueError: an unknown model, part or setting, or parameters that do not fit.
        """
        names = self._enough_names(part)
        made = self._load_model(model, weights)
        if alone is None:
            self._questions.ask(weights, "evaluate", model, part)
        elif part == TRAIN:
            raise NotPermitted("floor", f"{self._worker_id} tells nothing of names that it has trained on alone")
        else:
            own = self._enough_names(TRAIN)
            chosen = self._own_settings(alone, len(own))
            self._questions.ask(weights, "evaluate", model, part, settings=asdict(chosen))
            with self._only_training(), diverging_in_blocks(chosen, self._floor):
                fit(made, own, chosen, LossInBlocks(calling.report, self._floor).add)
        with self._busy("testing"):
            return count_guesses(made, names, len(self._languages)).with_floor(self._floor).as_answer()

    def release(
        self,
        calling: Calling,
        step: str,
        digest: str = "",
        card: Mapping | None = None,
        weights: np.ndarray | None = None,
        signer: bytes = b"",
        signature: bytes = b"",
    ) -> str | int | None:
        """Take a released model in two steps, so that all workers have it or none.

        Args:
            step: "stage" checks and stores a model, "commit" puts it to use, "abort" forgets it.
            digest: of the model that is meant, to commit or abort.
            card: what is known of the model, to stage; see `release.Card`.
            weights: its parameters, one vector, float32.
            signer, signature: the coordinator's public key, and what it has signed.

        Returns:
            The model's digest when it was staged, its version when it was committed.

        Raises:
            ReleaseError: the model is not for this worker's names, not the coordinator's, or replaces another one.
            ValueError: the parameters do not fit.
        """
        with self._busy("taking a release"):
            return self._take_release(step, digest, card, weights, Signature(signer, signature))

    def _take_release(
        self, step: str, digest: str, card: Mapping | None, weights: np.ndarray | None, signature: Signature
    ) -> str | int | None:
        if step == "commit":
            return self._store.commit(digest)
        if step == "abort":
            self._store.abort(digest)
            return None
        if step != "stage" or card is None or weights is None:
            raise ValueError(f"there is no step {step!r} of a release, only stage (of a model), commit and abort")
        read = Card.from_answer(card)
        if read.languages != self._languages or read.alphabet_digest != self._alphabet.digest():
            raise ReleaseError("the model is for other languages or letters than this worker's names")
        self._load_model(read.model, weights)  # does it fit?
        return self._store.stage(read, weights, signature)

    def own_tensors(self, worker: GuardedWorker) -> None:
        """Register the names to train on, for pointers: found by tags, never fetched."""
        train = self._parts[TRAIN]
        made = {  # all of them, before the first is registered
            "#letters": one_hot(train.letters, self._alphabet.size),
            "#mask": mask(train.letters),
            "#languages": train.languages,
        }
        for tag, tensor in made.items():
            worker.own(tensor, "#surnames", "#train", tag)

    def _take_added_names(self) -> None:
        """Read the names again if their owner has changed them. What is held out stays held out."""
        with self._reading:
            try:
                found = self._folder.read_if_changed() if self._folder else None
                if found is None:
                    return
                if gone := sorted(set(self._languages) - set(found.languages)):
                    raise NamesError(f"the files of {', '.join(gone)} are gone: bring them back, or start it again")
            except (NamesError, OSError) as error:
                problem = re.sub(r"'[^']*'", "...", str(error))  # what is quoted may be a name
                logger.warning("%s goes on with the names that it had: %s", self._worker_id, problem)
                return
            if new := sorted(set(found.languages) - set(self._languages)):
                logger.warning(
                    "%s has new languages (%s): start it again once every Pi has them", self._worker_id, ", ".join(new)
                )
            self._names = with_added(self._names, found, self._alphabet)
            if total(self._names.train):
                self._parts[TRAIN] = self._trainee.names = encode(self._names.train, self._alphabet, self._seed)

    @contextmanager
    def _only_training(self) -> Iterator[None]:
        """The one training that is under way.

        Raises:
            GetNotPermittedError: there is another.
        """
        if not self._training.acquire(blocking=False):
            raise NotPermitted("busy", f"{self._worker_id} is training for another round: wait until it has finished")
        try:
            with self._busy("training"):
                yield
        finally:
            self._training.release()

    @contextmanager
    def _busy(self, doing: str) -> Iterator[None]:
        """What `describe` tells meanwhile."""
        self._at_work.append(doing)
        self.tell_doing()
        try:
            yield
        finally:
            self._at_work.remove(doing)

    def tell_doing(self) -> None:
        """Have it known what the worker does now."""
        self._on_change(self._doing)

    def _doing(self) -> str:
        at_work = list(self._at_work)
        return at_work[-1] if at_work else "in a round" if self._contribution.is_in_a_round else "idle"

    def _released_accuracy(self) -> float | None:
        """What the model in use has reached on this worker's names when it was released."""
        version = self._store.current
        if self._accuracy_of[0] != version:  # else read already: somebody who watches asks every other second
            try:
                card, _ = self._store.load(version)
            except ReleaseError:
                return None
            self._accuracy_of = (version, card.accuracy_by_worker.get(self._worker_id))
        return self._accuracy_of[1]

    def _enough_names(self, part: str) -> Encoded:
        counts = {each: total(of_part) for each, of_part in self._names.items()}
        if part not in counts:
            raise ValueError(f"there is no part {part!r} of the names, only {', '.join(counts)}")
        if counts[part] < self._floor:
            raise NotPermitted(
                "floor",
                f"{self._worker_id} tells figures over {self._floor} names or more, and has {counts[part]} to {part}: "
                "give it more names",
            )
        return self._parts[part]

    def _own_settings(self, settings: Mapping, names: int) -> TrainingSettings:
        """The settings for a training on so many names, which nobody else knows the order of.

        Raises:
            GetNotPermittedError: it would be on too few of them, or take longer, or more memory, than the worker's
                limits allow.
            ValueError: an unknown setting, or a value that it cannot have.
        """
        chosen = TrainingSettings.from_values(settings)
        if over := self._limits.against(chosen, names, self._worker_id):
            raise NotPermitted("limit", f"{over}; its owner can raise it, in [limits] of classroom.toml")
        if (trained_on := chosen.names(names)) < self._floor:
            raise NotPermitted(
                "floor",
                f"{self._worker_id} trains on {self._floor} names or more, and not on {trained_on}: take more steps",
            )
        return in_own_order(chosen, self._seed)

    def _make_model(self, name: str) -> Model:
        return make_model(name, self._alphabet.size, len(self._languages))

    def _load_model(self, name: str, weights: np.ndarray) -> Model:
        return load_vector(self._make_model(name), _vector(weights))


def _vector(weights: object) -> torch.Tensor:
    """Raises:
    ValueError: it is no array.
    """
    if not isinstance(weights, np.ndarray):
        raise ValueError("weights are an array of numbers")
    return torch.tensor(weights)
