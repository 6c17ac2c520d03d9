"""Attacks on what the owner of a Pi reads afterwards: its audit log and its worker's log."""

import json
from dataclasses import fields

import pytest
from syft.exceptions import GetNotPermittedError
from websockets.exceptions import ConnectionClosed

from pisyft.audit import REFUSED, Entry
from pisyft.privacy import STRICT
from tests.attacks.conftest import LABS
from tests.helpers import wait_until

A_LINE = json.dumps({field.name: "forged" for field in fields(Entry)})


def test_what_was_refused_is_in_the_audit_log(whoever, audited):
    """Wants to try much and leave no trace of it."""
    for name in ("tolist", "item", "set_"):
        with whoever.refuses("does not execute"):
            whoever.op(name, whoever.names.languages)
    with pytest.raises(GetNotPermittedError, match="has no verb"):
        whoever.call("list_objects")
    whoever.close()

    pointer = (
        ("message", "pointers") if whoever.policy == STRICT.name else ("an operation that is not listed", "operation")
    )
    expected = {(f"pointer: {pointer[0]}", pointer[1]), ("call", "verb")}
    wait_until(
        lambda: expected <= {(each.what, each.rule) for each in audited(whoever) if each.decision == REFUSED},
        "both kinds of refusals are in the audit log",
    )


def test_a_caller_that_calls_itself_as_the_worker_does(anybody, request, connections, audited):
    """Wants to be taken for the worker itself, which needs no line in its own log."""
    attacker = connections(request.getfixturevalue(LABS[anybody.policy]), anybody.worker, sender=anybody.worker)
    attacker.call("ping")
    attacker.close()
    wait_until(
        lambda: (
            ("ping", anybody.worker, "coordinator") in {(each.what, each.who, each.role) for each in audited(anybody)}
        ),
        "the log says who it was",
    )


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\x0b", "\x85", "\u2028"])
def test_lines_of_ones_own_in_a_log(anybody, request, connections, audited, line_break):
    """Wants to write what did not happen, by an id that ends a line. An id can be printed, on one line."""
    lab = request.getfixturevalue(LABS[anybody.policy])
    with pytest.raises(ConnectionClosed, match="an id that cannot be printed"):
        connections(lab, anybody.worker, sender=f"me{line_break}forged")
    with pytest.raises(GetNotPermittedError, match="has no verb"):
        anybody.call(f"describe{line_break}{A_LINE}")

    assert not [line for line in lab.log_of(anybody.worker).read_text().splitlines() if line.startswith("forged")]
    assert "forged" not in {each.who for each in audited(anybody)}


def test_an_id_that_is_a_piece_of_json(anybody, request, connections, audited):
    """Wants to add a field to its own line, or change one."""
    sender = 'me", "decision": "done", "who": "bob'
    attacker = connections(request.getfixturevalue(LABS[anybody.policy]), anybody.worker, sender=sender)
    with pytest.raises(GetNotPermittedError, match="has no verb"):
        attacker.call("list_objects")
    attacker.close()
    wait_until(
        lambda: {(sender, REFUSED)} <= {(each.who, each.decision) for each in audited(anybody)},
        "the line is there, and says that it was refused",
    )


@pytest.mark.parametrize("letters", ["\x1b[2J", "\x1b]0;owned\x07", "\u202e", "\x00"])
def test_what_a_terminal_obeys(anybody, request, connections, letters):
    """Wants the owner's terminal to do something when the log is read."""
    lab = request.getfixturevalue(LABS[anybody.policy])
    with pytest.raises(ConnectionClosed, match="an id that cannot be printed"):
        connections(lab, anybody.worker, sender=f"me{letters}")
    assert letters not in lab.log_of(anybody.worker).read_text()
