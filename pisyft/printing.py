"""Printing texts as they are, and not as rich's markup.

What workers say, their ids, and paths may have something in them that looks like markup (`[limits]` would be left out,
and `[/home/pi]` an error) or like an emoji (`:a:`).
"""

from __future__ import annotations

import os
from typing import Any

from rich.console import Console

from pisyft.untrusted import printable


class _PlainConsole(Console):
    """What `plain_console` makes."""

    def __init__(self, stderr: bool) -> None:
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def print(self, *objects: Any, **options: Any) -> None:
        if not self.is_terminal and all(isinstance(each, str) for each in objects):
            options.setdefault("soft_wrap", True)  # a path in two lines is none
        super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """After `pisyft train | head -1`: what was begun may take hours, and is worth more than to be told."""
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.file.fileno())
        os.close(nowhere)


def plain_console(stderr: bool = False) -> Console:
    """A console that takes nothing for markup, neither texts nor the cells of a table.

    To a file it writes texts whole, where a terminal wraps them. When what reads it ends (`pisyft train | head -1`) it
    is silent from then on.
    """
    return _PlainConsole(stderr)


def say(console: Console, text: str) -> None:
    """Print a text as it is, on whatever console; its lines say nothing to the terminal."""
    console.print("\n".join(map(printable, text.split("\n"))), highlight=False, markup=False, emoji=False)
