"""How much may be asked of the names on a Pi: a model is a question, and its counts are the answer."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Mapping

import numpy as np

from pisyft.aggregation.agreement import digest_of_values
from pisyft.refusals import NotPermitted

_DAY_SECONDS = 24 * 3600.0


class Questions:
    """Counts the different questions of the last 24 hours, all callers together; the same one again is none.

    Counts about one model tell little. Many models, each made with the last answers in mind, spell names: no floor
    helps against that, and how many there may be does.

    Args:
        worker: whose names they are about.
        most: of them in 24 hours (`Limits.questions_per_day`). A worker that is started again counts from nothing.
    """

    def __init__(self, worker: str, most: int) -> None:
        self._worker, self._most = worker, most
        self._lock = threading.Lock()
        # When, by what was asked, the oldest first; short digests, since there may be thousands.
        self._asked: dict[bytes, float] = {}

    def ask(self, weights: np.ndarray, *about: str | None, settings: Mapping | None = None) -> None:
        """Take down a question: what is done with a model, before it is done.

        Args:
            weights: the model's parameters.
            about: the model's name, and what else tells this question from others.
            settings: of a training.

        Raises:
            GetNotPermittedError: it is one too many.
        """
        told = json.dumps([digest_of_values(np.asarray(weights)), about, settings], sort_keys=True)
        question = hashlib.blake2b(told.encode(), digest_size=16).digest()
        with self._lock:
            now = time.monotonic()
            while self._asked and now - self._asked[oldest := next(iter(self._asked))] > _DAY_SECONDS:
                del self._asked[oldest]
            if question in self._asked:
                return
            if len(self._asked) >= self._most:
                raise NotPermitted(
                    "limit",
                    f"limit questions_per_day: {self._worker} has answered {self._most} different questions about its "
                    "names within 24 hours, and goes on with the same ones only; its owner can raise it, in [limits] "
                    "of classroom.toml",
                )
            self._asked[question] = now
