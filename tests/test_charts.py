"""Tables in a terminal."""

import io

import pytest
from rich.console import Console
from rich.table import Table

from pisyft.charts import Figures

TITLE = "Guessing the language of names"


def printed(width: int) -> list[str]:
    table = Table("worker", "to\ntest", "accuracy", "loss")
    table.add_row("alice", "1234", "41.5%", "2.13")
    table.add_row("together", "56789", "", "3.14")
    console = Console(file=io.StringIO(), width=width)
    console.print(Figures(table, TITLE))
    return console.file.getvalue().splitlines()


def test_a_title_longer_than_its_table_is_one_line():
    title, *lines = printed(80)

    assert title == TITLE
    assert lines[-2].strip("│ ").split() == ["together", "│", "56789", "│", "│", "3.14"]


def test_a_table_that_is_a_little_too_wide_has_no_lines():
    _, first, *_, alice, together = printed(34)

    assert (alice.split(), together.split()) == (["alice", "1234", "41.5%", "2.13"], ["together", "56789", "3.14"])
    assert first.split() == ["to"]


@pytest.mark.parametrize("width", [18, 24])
def test_where_it_is_narrow_rows_are_below_each_other(width):
    lines = [line.rstrip() for line in printed(width)]

    assert lines[lines.index("worker    alice") :] == [
        *("worker    alice", "to test   1234", "accuracy  41.5%", "loss      2.13", ""),
        *("worker   together", "to test  56789", "loss     3.14", ""),
    ]
