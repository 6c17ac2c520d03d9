"""Where a training run is after each round, on disk: to go on after a stop, and to keep the best model."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pisyft.files import whole_file


class CheckpointError(Exception):
    """A run cannot go on from what is on disk. The text says why, and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A run after a round.

    Attributes:
        round: how many rounds are done.
        settings: of the run, plain values.
        state: what changes from round to round, by name (`FedAvg.state`).
        history: what was counted after each round, and before the first; plain values.
    """

    round: int
    settings: Mapping
    state: Mapping[str, np.ndarray]
    history: list


class Checkpoints:
    """The last round of a run, and the best on validation, each whole or not at all.

        checkpoints = Checkpoints("artifacts/train")
        checkpoints.keep(Checkpoint(round, settings, strategy.state(), history), is_best)

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self._last, self._best = Path(folder) / "checkpoint.npz", Path(folder) / "best.npz"

    def keep(self, checkpoint: Checkpoint, is_best: bool) -> None:
        """Write a checkpoint in place of the one before."""
        self._last.parent.mkdir(parents=True, exist_ok=True)
        # The best first: after a stop between the two, the round is done again, and is the best again.
        for file in (self._best, self._last) if is_best else (self._last,):
            plain = json.dumps(
                {"round": checkpoint.round, "settings": dict(checkpoint.settings), "history": checkpoint.history}
            )
            arrays = {f"state {name}": np.asarray(value) for name, value in checkpoint.state.items()}
            with whole_file(file) as opened:
                np.savez(opened, plain=np.array(plain), **arrays)  # type: ignore[arg-type]

    def best(self) -> Checkpoint:
        """The checkpoint of the best round.

        Raises:
            CheckpointError: there is none, or it is damaged.
        """
        return _of_run(self._best)

    def last(self, settings: Mapping) -> Checkpoint:
        """The checkpoint of the last round.

        Args:
            settings: of the run that is to go on, which must be those that it was begun with.

        Raises:
            CheckpointError: there is none, or it is damaged, or of a run with other settings.
        """
        checkpoint = _of_run(self._last)
        wanted = json.loads(json.dumps(dict(settings)))
        for name in sorted({*wanted, *checkpoint.settings}):
            if wanted.get(name) != checkpoint.settings.get(name):
                raise CheckpointError(
                    f"the run in {self._last.parent} was begun with {name} {checkpoint.settings.get(name)!r}, not "
                    f"{wanted.get(name)!r}: go on with the same settings, or begin another run elsewhere"
                )
        return checkpoint

    def forget(self) -> None:
        """Remove the checkpoints of an earlier run, which another one replaces."""
        self._last.unlink(missing_ok=True)
        self._best.unlink(missing_ok=True)


def _of_run(file: Path) -> Checkpoint:
    """A checkpoint of a run that is to go on."""
    if not file.exists():
        raise CheckpointError(f"there is no {file}: nothing to go on from")
    try:
        return read_checkpoint(file)
    except CheckpointError as error:
        raise CheckpointError(f"{file} is damaged: begin the run again without it") from error


def read_checkpoint(file: Path) -> Checkpoint:
    """The checkpoint in a file.

    Raises:
        CheckpointError: there is no such file, or it is none, or damaged.
    """
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            plain = json.loads(str(stored["plain"]))
            state = {name.removeprefix("state "): stored[name] for name in stored.files if name != "plain"}
        return Checkpoint(int(plain["round"]), dict(plain["settings"]), state, list(plain["history"]))
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no {file}: pisyft train keeps its best model as best.npz in --out") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(
            f"{file} is no checkpoint, or a damaged one: pisyft train keeps its best model as best.npz in --out"
        ) from error
