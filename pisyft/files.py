"""Files that are there whole or not at all, also when the power goes; and files that others read meanwhile."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(target: Path, mode: int = 0o644, sync: bool = True) -> Iterator[BinaryIO]:
    """A file to write to. It takes the place of `target` when it is complete and on disk, unless an error is raised.

    Once this returns, so is its name. A power cut on the way may leave a file `.*.tmp` beside it, which nothing reads.

    Args:
        mode: who may read it; the file has it from the start.
        sync: whether it must outlast a power cut; what need not be, spares the card.
    """
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=".", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            if sync:
                os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)  # Ctrl-C may come when it has its name already
        raise
    if sync:
        _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    """Have the names of a folder's files on disk, too: without it, a power cut may bring the earlier file back."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot, as some on a network
            raise
    finally:
        os.close(opened)


def write_whole(target: Path, content: bytes, mode: int = 0o644, sync: bool = True) -> None:
    """Write a file as `whole_file` does."""
    with whole_file(target, mode, sync) as file:
        file.write(content)


def new_file(target: Path) -> BinaryIO:
    """A new file to write to, in the place of an earlier one, which stays as it was for who reads it just then."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    return target.open("xb")
