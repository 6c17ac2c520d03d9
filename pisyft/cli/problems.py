"""What the `pisyft` command tells instead of a traceback."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import click


class Problem(click.ClickException):
    """Something that the person who typed the command can mend."""

    exit_code = 2


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Ctrl-C comes at the end of the block: for imports, which take seconds and do not bear it.

    In the middle of one it may be lost (Python prints "Exception ignored in ... _get_module_lock"), or leave half of
    NumPy behind, whose first use then fails with an error about something else.
    """
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # Ctrl-C does something else, or nothing
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
