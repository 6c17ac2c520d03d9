"""Requests on their way: in order, in batches, and kept until a later one is answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.transport.frames import Batch, Request, decode
from pisyft.transport.outbox import Origin, Outbox


def request(number: int, size: int = 10) -> Request:
    return Request(number, False, (), (), bytes(size))


def numbers(messages) -> list[int]:
    """The numbers of the requests in websocket messages."""
    found = []
    for message in messages:
        frame = decode(message)
        requests = [decode(each) for each in frame.requests] if isinstance(frame, Batch) else [frame]
        found += [each.number for each in requests]
    return found


def test_small_requests_travel_together():
    outbox = Outbox()
    for number in range(1, 6):
        outbox.add(request(number))

    messages = list(outbox.take())

    assert len(messages) == 1
    assert numbers(messages) == [1, 2, 3, 4, 5]


def test_a_large_request_travels_alone():
    outbox = Outbox()
    outbox.add(request(1))
    outbox.add(request(2, size=100_000))
    outbox.add(request(3))

    messages = list(outbox.take())

    assert [numbers([message]) for message in messages] == [[1], [2], [3]]


def test_nothing_is_sent_twice_over_one_connection():
    outbox = Outbox()
    outbox.add(request(1))
    list(outbox.take())
    outbox.add(request(2))

    assert numbers(outbox.take()) == [2]
    assert list(outbox.take()) == []


def test_what_was_not_answered_is_sent_again_over_the_next_connection():
    outbox = Outbox()
    for number in (1, 2, 3):
        outbox.add(request(number))
    list(outbox.take())
    outbox.answered(1)

    outbox.rewind()

    assert numbers(outbox.take()) == [2, 3]


def test_an_interrupted_sending_goes_on_where_it_stopped():
    outbox = Outbox()
    for number in (1, 2, 3):
        outbox.add(request(number, size=100_000))
    messages = outbox.take()
    next(messages)
    messages.close()  # the first was not confirmed by asking for the second

    assert numbers(outbox.take()) == [1, 2, 3]


@pytest.mark.parametrize("sent", [True, False])
def test_a_request_that_is_given_up_leaves_the_ones_before_on_their_way(sent):
    outbox = Outbox()
    for number in (1, 2, 3):
        outbox.add(request(number))
    if sent:
        list(outbox.take())
        outbox.rewind()

    outbox.withdraw(3)
    outbox.withdraw(1)  # not the last: stays

    assert numbers(outbox.take()) == [1, 2]


def test_it_tells_where_a_kept_request_came_from():
    outbox = Outbox()
    outbox.add(request(1), Origin("matmul", "notebook.py:3"))
    assert str(outbox.origin(1)) == "matmul, notebook.py:3"
    outbox.answered(1)
    assert outbox.origin(1) is None


@pytest.mark.parametrize(("count", "size"), [(1024, 1), (16, 2**20)])
def test_it_is_full_before_it_grows_without_bound(count, size):
    outbox = Outbox()
    for number in range(1, count):
        outbox.add(request(number, size))
        assert not outbox.is_full or size * number >= 15 * 2**20
    outbox.add(request(count, size))
    assert outbox.is_full
    outbox.answered(count)
    assert not outbox.is_full


@given(st.lists(st.sampled_from(["add", "take", "rewind", "answer"]), max_size=60), st.data())
def test_every_request_is_sent_in_order_whatever_happens(steps, data):
    outbox = Outbox()
    added = answered = 0
    arrived: list[int] = []
    for step in steps:
        if step == "add":
            added += 1
            outbox.add(request(added, data.draw(st.integers(1, 40_000))))
        elif step == "take":
            arrived += [number for number in numbers(outbox.take()) if number > max(arrived, default=0)]
        elif step == "rewind":
            outbox.rewind()
        else:
            answered = data.draw(st.integers(answered, max([answered, *arrived])))
            outbox.answered(answered)
    arrived += [number for number in numbers(outbox.take()) if number > max(arrived, default=0)]

    assert arrived == list(range(1, added + 1))
