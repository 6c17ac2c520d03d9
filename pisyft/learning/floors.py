"""What a worker tells of a training: never of fewer names than its floor, and never which name was when."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pisyft.learning.training import Diverged, TrainingSettings

# How often a worker tells how far it is.
_REPORT_SECONDS = 0.2


def told(figure: float) -> float:
    """A mean as it is told: four digits. A model can be made so that the others say of each name what it is."""
    return float(f"{figure:.4g}")


@contextmanager
def diverging_in_blocks(settings: TrainingSettings, floor: int) -> Iterator[None]:
    """Have a training that diverges tell after which names only in blocks of the floor or more.

    A model can be made so that it diverges at a name with a certain letter: with the step, that would be one name.

    Raises:
        Diverged: the training did; the step is that of the block's end.
    """
    try:
        yield
    except Diverged as error:
        block = -(-floor // settings.batch_size)
        raise Diverged(-(-error.step // block) * block, error.loss) from None


class LossInBlocks:
    """The mean loss, told in blocks of names: the difference of two figures is never about fewer than the floor.

    Args:
        report: called now and then with `{"names": done, "loss": mean loss over the names since it was last called}`.
        floor: how many names a block has at least.
    """

    def __init__(self, report: Callable[[object], None], floor: int) -> None:
        self._report, self._floor = report, floor
        self._told_names, self._told_sum = 0, 0.0
        self._last = time.monotonic()

    @property
    def mean(self) -> float | None:
        """Over all whole blocks."""
        return told(self._told_sum / self._told_names) if self._told_names else None

    def add(self, done: int, mean: float) -> None:
        """Take what `fit` reports: the names done so far, and their mean loss."""
        block = done - self._told_names
        if block < self._floor:
            return
        loss = (mean * done - self._told_sum) / block
        self._told_names, self._told_sum = done, mean * done
        if time.monotonic() - self._last > _REPORT_SECONDS:
            self._last = time.monotonic()
            self._report({"names": done, "loss": told(loss)})


def in_own_order(settings: TrainingSettings, own_seed: int) -> TrainingSettings:
    """The settings with a seed from the coordinator's and the worker's own: the order of names is the worker's secret.

    Settings without a seed have one, too: the order that names have by themselves others may know.
    """
    digest = hashlib.sha256(f"pisyft order {own_seed} {settings.seed or 0}".encode()).digest()
    return replace(settings, seed=int.from_bytes(digest[:4], "big"))
