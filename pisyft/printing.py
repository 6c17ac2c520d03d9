"""Printing texts as they are, and not as rich's markup.

What workers say, their ids, and paths may have something in them that looks like markup (`[limits]` would be left out,
and `[/home/pi]` an error) or like an emoji (`:a:`).
"""

from __future__ import annotations

from rich.console import Console


def plain_console(stderr: bool = False) -> Console:
    """A console that takes nothing for markup, neither texts nor the cells of a table."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def say(console: Console, text: str) -> None:
    """Print a text as it is, on whatever console."""
    console.print(text, highlight=False, markup=False, emoji=False)
