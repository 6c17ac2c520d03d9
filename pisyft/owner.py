"""What the owner of a Pi tells its worker: by files beside the models, which nobody reaches over the network."""

from __future__ import annotations

import os
from pathlib import Path

from pisyft.files import write_whole

_PAUSED, _FORGOTTEN = "paused", "forgotten"


class OwnersWord:
    """Whether a worker is paused, and whether it is to forget what it has learned.

    Args:
        folder: the worker's, with its models.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paused = str(folder / _PAUSED)
        self._heard = self._forgotten()

    @property
    def is_paused(self) -> bool:
        return os.path.exists(self._paused)  # asked before every operation

    def pause(self) -> None:
        """Have the worker not train, count or sum up, until `resume`; also when it is started again."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(Path(self._paused), b"by its owner; pisyft resume ends it\n")

    def resume(self) -> None:
        Path(self._paused).unlink(missing_ok=True)

    def forget(self) -> None:
        """Have the worker drop what it holds of trainings and rounds, before it answers anything else."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_whole(self._folder / _FORGOTTEN, os.urandom(16).hex().encode() + b"\n")

    def says_forget(self) -> bool:
        """Whether the owner has said `forget` since this was asked last."""
        said = self._forgotten()
        heard, self._heard = self._heard, said
        return said != heard

    def _forgotten(self) -> bytes:
        try:
            return (self._folder / _FORGOTTEN).read_bytes()
        except OSError:
            return b""
