"""What of the page is sent again."""

import json

import pytest

from pisyft.page.sections import Sections


def test_whoever_comes_gets_everything_and_then_what_has_changed():
    sections = Sections()
    sections.put({"a": 1, "b": [2]})

    last, everything = sections.since(0)
    sections.put({"b": [3]})
    last, changed = sections.since(last)

    assert json.loads(everything) == {"a": 1, "b": [2]}
    assert json.loads(changed) == {"b": [3]}
    assert sections.since(last) == (last, "")


def test_a_section_that_is_as_it_was_is_not_sent_again():
    sections = Sections()
    sections.put({"a": {"x": 1}})
    last, _ = sections.since(0)

    sections.put({"a": {"x": 1}})

    assert sections.since(last) == (last, "")


def test_a_section_that_changed_twice_is_sent_once():
    sections = Sections()
    sections.put({"a": 1})
    sections.put({"a": 2})

    assert json.loads(sections.since(0)[1]) == {"a": 2}


def test_what_json_does_not_have_is_refused():
    with pytest.raises(ValueError):
        Sections().put({"a": float("nan")})


def test_a_line_break_in_a_text_stays_within_the_json():
    """Server-sent events end at an empty line."""
    sections = Sections()
    sections.put({"a": "x\n\ny\r"})

    assert not {"\n", "\r"} & set(sections.since(0)[1])
