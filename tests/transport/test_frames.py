"""The wire protocol's frames: what is encoded is decoded, and nothing else is."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import Batch, Failure, Hello, Request, Result, Welcome, decode, encode

ids = st.integers(0, 2**63 - 1) | st.text(max_size=20)
numbers = st.integers(0, 2**63 - 1)
frames = st.one_of(
    st.builds(Hello, st.binary(max_size=16), ids, st.booleans()),
    st.builds(Welcome, ids, st.binary(max_size=16)),
    st.builds(
        Request,
        numbers,
        st.booleans(),
        st.lists(ids, max_size=3).map(tuple),
        st.lists(ids, max_size=3).map(tuple),
        st.binary(max_size=50),
    ),
    st.builds(Batch, st.lists(st.binary(max_size=50), max_size=3).map(tuple)),
    st.builds(Result, numbers, st.binary(max_size=50)),
    st.builds(Failure, numbers, numbers, st.text(), st.text(), st.text(), st.binary(max_size=50)),
)
simple = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(frames)
def test_a_frame_survives_the_wire(frame):
    assert decode(encode(frame)) == frame


@given(st.binary(max_size=200))
def test_bytes_that_are_no_frame_are_refused_as_such(data):
    try:
        frame = decode(data)
    except ProtocolError:
        return
    assert decode(encode(frame)) == frame


@given(st.lists(simple, max_size=7))
def test_msgpack_that_is_no_frame_is_refused_as_such(values):
    try:
        frame = decode(msgpack.packb(values))
    except ProtocolError:
        return
    assert list(frame.__dict__.values()) == [tuple(v) if isinstance(v, list) else v for v in values[1:]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ((3, 1, True, (), ()), "4 values for Request"),
        ((3, True, True, (), (), b""), "Request.number is a bool"),
        ((3, 1, 1, (), (), b""), "Request.waits is a int"),
        ((3, 1, True, (1.5,), (), b""), "Request.discard is a tuple"),
        ((3, 1, True, (), (), "text"), "Request.message is a str"),
        ((99,), "unknown code"),
        ((), "unknown code"),
        ({"3": 1}, "unknown code"),
    ],
)
def test_the_refusal_says_what_is_wrong(values, says):
    with pytest.raises(ProtocolError, match=says):
        decode(msgpack.packb(values))


def test_a_text_message_is_refused():
    with pytest.raises(ProtocolError, match="text message"):
        decode("hello")
