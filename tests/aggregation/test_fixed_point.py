"""Fixed point: sums are exact to the last agreed place, and a number that does not fit is refused by name."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pisyft.aggregation.errors import Refused
from pisyft.aggregation.fixed_point import FixedPoint

LAYOUT = {"i2h.weight": (2, 3), "i2h.bias": (2,)}
# Twelve orders of magnitude, and zero; both signs.
values_of_all_sizes = st.one_of(
    st.just(0.0),
    st.builds(lambda sign, exponent: sign * 10**exponent, st.sampled_from([-1, 1]), st.floats(-9, 3)),
)


@given(data=st.data(), participants=st.integers(2, 50), length=st.integers(1, 5))
def test_the_mean_is_within_n_units_of_float64s(data, participants, length):
    fixed_point = FixedPoint()
    fixed_point.check(participants)
    vectors = np.array(
        data.draw(
            st.lists(
                st.lists(values_of_all_sizes, min_size=length, max_size=length),
                min_size=participants,
                max_size=participants,
            )
        )
    )
    weights = data.draw(st.lists(st.integers(1, 10**6), min_size=participants, max_size=participants))

    total = sum(fixed_point.encode(vector, weight) for vector, weight in zip(vectors, weights, strict=True))
    mean, weight = fixed_point.decode(total, participants)

    expected = [
        math.fsum(weight * value for weight, value in zip(weights, column, strict=True)) / sum(weights)
        for column in vectors.T
    ]
    assert weight == sum(weights)
    assert np.abs(mean - expected).max() <= participants * 2.0**-fixed_point.fraction_bits


@given(values=st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=20), weights=st.lists(st.integers(1, 64)))
def test_a_ring_of_32_bits_gives_the_same_mean_where_the_bounds_allow_it(values, weights):
    weights = [*weights, 3][:8]
    fixed_point = FixedPoint(fraction_bits=18, clip=8.0, max_weight=64, ring_bits=32)
    fixed_point.check(len(weights))
    vector = np.array(values, np.float32)

    total = sum(fixed_point.encode(vector, weight) for weight in weights)
    mean, weight = fixed_point.decode(total, len(weights))

    assert total.dtype == np.uint32
    assert weight == sum(weights)
    assert np.abs(mean - vector).max() <= len(weights) * 2.0**-18


def test_the_largest_values_of_the_heaviest_participants_do_not_overflow():
    fixed_point = FixedPoint(fraction_bits=22, clip=1024.0, max_weight=2**20)
    fixed_point.check(2000)
    extreme = np.array([1024.0, -1024.0])

    total = fixed_point.encode(extreme, 2**20)
    total *= np.uint64(2000)

    assert np.array_equal(fixed_point.decode(total, 2000)[0], extreme)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 1024.1, -1e30])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_number_that_does_not_fit_is_refused_with_its_parameters_name(number, dtype):
    vector = np.zeros(8, dtype)
    vector[7] = number

    with pytest.raises(Refused, match=r"parameter i2h.bias, value 1 is"):
        FixedPoint().encode(vector, 1, LAYOUT)


def test_a_number_that_does_not_fit_is_found_far_behind_in_a_long_vector():
    vector = np.zeros(100_000)
    vector[70_001] = math.nan

    with pytest.raises(Refused, match="parameter b, value 1 is nan: the training has diverged"):
        FixedPoint().encode(vector, 1, {"a": (70, 1000), "b": (30_000,)})


@pytest.mark.parametrize("weight", [0, -1, 2**20 + 1, 1.5, True])
def test_a_weight_out_of_its_range_is_refused(weight):
    with pytest.raises(Refused, match="weight"):
        FixedPoint().encode(np.zeros(2), weight)


def test_the_vector_that_is_encoded_stays_as_it_is():
    vector = np.linspace(-1, 1, 100_000)
    before = vector.copy()

    FixedPoint().encode(vector, 7)

    assert np.array_equal(vector, before)


def test_an_empty_vector_has_a_weight():
    assert list(FixedPoint().encode(np.zeros(0), 5)) == [5]


@pytest.mark.parametrize(
    "fixed_point",
    [
        FixedPoint(fraction_bits=40),
        FixedPoint(clip=1e9),
        FixedPoint(ring_bits=32),
        FixedPoint(ring_bits=16),
        FixedPoint(clip=math.nan),
        FixedPoint(clip=math.inf),
        FixedPoint(clip=-1),
        FixedPoint(fraction_bits=-1),
        FixedPoint(max_weight=0),
        FixedPoint(fraction_bits=0, clip=1e-9, max_weight=2**63),
    ],
)
def test_numbers_that_could_overflow_or_make_no_sense_are_refused(fixed_point):
    with pytest.raises(Refused, match="fixed point"):
        fixed_point.check(2)


def test_random_numbers_are_not_taken_for_a_sum():
    generator = np.random.default_rng(0)
    for _ in range(100):
        with pytest.raises(Refused, match="missing"):
            FixedPoint().decode(generator.integers(0, 2**64, 1000, np.uint64), 2)


def test_a_sum_with_a_right_weight_and_random_values_is_not_taken_for_a_sum():
    total = np.random.default_rng(0).integers(0, 2**64, 1000, np.uint64)
    total[-1] = 5000

    with pytest.raises(Refused, match="a mean lies beyond the clip"):
        FixedPoint().decode(total, 2)
