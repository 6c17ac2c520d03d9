"""100,000 malformed inputs for what decodes bytes from a socket: nothing but documented errors, and no memory kept."""

import json
import os
import tracemalloc
from collections import Counter

import msgpack
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pisyft.transport.errors import ProtocolError
from pisyft.transport.frames import (
    Batch,
    Call,
    Failure,
    Frame,
    Hello,
    Progress,
    Request,
    Result,
    Welcome,
    decode,
    encode,
)
from pisyft.transport.values import pack, unpack
from tests.fuzzing.mutations import mutated
from tests.helpers import run_python

FRAMES, VALUES, MESSAGES = 45_000, 45_000, 15_000
_KEPT_BYTES = 4 * 2**20

ARGUMENTS = pack({"weights": np.arange(40, dtype=np.float32), "settings": {"steps": 2, "prior": None}, "part": "test"})
REAL_FRAMES = [
    encode(frame)
    for frame in (
        Hello(os.urandom(16), "me", False),
        Welcome("alice", os.urandom(16)),
        Request(1, True, (1, 2), ("a", 3), b"message" * 9),
        Call(2, "evaluate", ARGUMENTS),
        Progress(2, pack({"names": 10, "loss": 0.5})),
        Result(3, b"value"),
        Failure(4, 3, "builtins", "ValueError", "text", b""),
        Batch((encode(Request(5, False, (), (), b"x")), encode(Call(6, "describe", pack({}))))),
    )
]
REAL_VALUES = [
    pack(value)
    for value in (
        {"a": [1, 2.5, None, True, "text", b"bytes"], "b": {"c": -(2**63)}},
        np.arange(12, dtype=np.float32).reshape(3, 4),
        [np.array([True, False]), np.zeros((0, 3), np.int64), np.float16(1.5)],
        {"confusion": [[1, 2], [3, 4]], "loss_sum": 0.1},
    )
]


def fuzz(decoder, inputs) -> Counter:
    """How many inputs were decoded and how many refused; whatever else a decoder raises fails the test."""
    outcomes: Counter = Counter()
    for data in inputs:
        try:
            decoder(data)
            outcomes["decoded"] += 1
        except ProtocolError as error:
            assert len(str(error)) < 400
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{type(error).__name__}: {error} for {data!r}") from error
    return outcomes


@pytest.mark.parametrize(
    ("decoder", "real", "count"),
    [(decode, REAL_FRAMES, FRAMES), (unpack, REAL_VALUES, VALUES)],
    ids=["frames", "values"],
)
def test_malformed_bytes_are_refused_and_leave_nothing(decoder, real, count):
    fuzz(decoder, mutated(real, count // 10, seed=1))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        outcomes = fuzz(decoder, mutated(real, count // 10, seed=2))
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    outcomes += fuzz(decoder, mutated(real, count - count // 5, seed=3))

    assert outcomes["refused"] > outcomes.total() / 2
    assert outcomes["decoded"], "some changes do no harm"
    assert kept - before < _KEPT_BYTES
    assert peak - before < _KEPT_BYTES, "no input made it take much, for a moment"


def test_malformed_messages_of_pysyft_are_refused_and_leave_nothing():
    assert FRAMES + VALUES + MESSAGES >= 100_000
    done = run_python("-m", "tests.fuzzing.messages", MESSAGES, 4)
    assert done.returncode == 0, done.stderr[-2000:]
    told = json.loads(done.stdout.splitlines()[-1])

    assert told["unexpected"] == {}
    assert sum(told["kinds"].values()) == MESSAGES
    assert told["kinds"]["ProtocolError"] > MESSAGES / 4
    assert told["grown_kilobytes"] < 64 * 1024


simple = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(-9, 9), inner),
    max_leaves=8,
)  # fmt: skip


@settings(max_examples=100, phases=[Phase.explicit, Phase.generate])
@given(simple)
def test_whatever_msgpack_can_say_is_a_value_or_refused(value):
    data = msgpack.packb(value)
    for decoder in (decode, unpack):
        fuzz(decoder, [data])


@settings(max_examples=100, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 9), st.lists(simple, max_size=7))
def test_whatever_stands_in_a_frame_is_of_its_kind_or_refused(code, fields):
    data = msgpack.packb([code, *fields])
    try:
        frame: Frame = decode(data)
    except ProtocolError:
        return
    assert decode(encode(frame)) == frame


@settings(max_examples=100, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 255), st.lists(st.integers(0, 2**64 - 1), max_size=12), st.binary(max_size=64))
def test_whatever_shape_an_array_claims_it_fits_its_bytes_or_is_refused(dtype, shape, elements):
    header = bytes([dtype, len(shape)]) + b"".join(size.to_bytes(8, "little") for size in shape)
    data = msgpack.packb(msgpack.ExtType(1, header + elements))
    try:
        array = unpack(data)
    except ProtocolError:
        return
    assert isinstance(array, np.ndarray)
    assert array.nbytes == len(elements)


@pytest.mark.parametrize("depth", [100, 600, 100_000])
@pytest.mark.parametrize("opening", [b"\x91", b"\x81\xa1a", b"\xdc\x00\x01", b"\xdd\x00\x00\x00\x01"])
def test_deep_nesting_ends_no_process(depth, opening):
    for decoder in (decode, unpack):
        fuzz(decoder, [opening * depth, opening * depth + b"\xc0"])


@pytest.mark.parametrize(
    "header", [b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff"]
)
def test_a_length_beyond_the_bytes_allocates_nothing(header):
    tracemalloc.start()
    try:
        for decoder in (decode, unpack):
            fuzz(decoder, [header, b"\x92" + header * 2])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _KEPT_BYTES
