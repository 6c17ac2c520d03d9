"""SecAgg+ with PiSyft's figures: as exact as promised, and a device that refuses what Flower would cut off."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("flwr", reason="pisyft[flower] is not installed")

from flwr.common.secure_aggregation.quantization import dequantize, quantize

from pisyft.flower.secure import CLIPPING_RANGE, Quantisation, WouldClip, check_fits


def flowers_mean(vectors, names, figures):
    """The mean as Flower's workflow computes it, without masks: they cancel."""
    target, clip = figures.quantisation_range, figures.clipping_range
    ratios = [round(each / figures.max_weight * target) for each in names]
    parts = [
        quantize([vector * (ratio / target)], clip, target)[0].astype(np.int64)
        for vector, ratio in zip(vectors, ratios, strict=True)
    ]
    assert sum(part.max(initial=0) for part in parts) < 2**32 and sum(ratios) < 2**32, "the sum would wrap around"
    (total,) = dequantize([sum(parts)], clip, target)
    return (total - (len(parts) - 1) * clip) * (target / sum(ratios))


@given(st.lists(st.integers(10, 100_000), min_size=2, max_size=20), st.integers(0, 2**32 - 1))
def test_the_error_stays_below_the_bound_and_below_a_ten_thousandth(names, seed):
    generator = np.random.default_rng(seed)
    vectors = [generator.uniform(-4, 4, 50) for _ in names]
    figures = Quantisation.for_devices({str(number): each for number, each in enumerate(names)})

    error = np.abs(flowers_mean(vectors, names, figures) - np.average(vectors, axis=0, weights=names)).max()

    bound = figures.error_bound({str(number): each for number, each in enumerate(names)})
    assert error <= bound + 1e-12
    assert bound < 1e-4


def test_flowers_own_figures_cut_ten_thousand_names_off_and_ours_do_not():
    vectors, names = [np.full(3, 5.0), np.zeros(3)], [10_000, 10_000]
    flowers_own = Quantisation(max_weight=1000.0, quantisation_range=2**22)

    cut_off = flowers_mean(vectors, names, flowers_own)
    exact = flowers_mean(vectors, names, Quantisation.for_devices({"a": 10_000, "b": 10_000}))

    assert np.abs(cut_off - 2.5).max() > 1
    assert np.abs(exact - 2.5).max() < 1e-6


@pytest.mark.parametrize(
    ("vector", "names", "says"),
    [
        (np.zeros(3), 2049, "2049 names, and this round takes 2048"),
        (np.array([0.0, np.nan]), 10, "not finite"),
        (np.array([np.inf]), 10, "not finite"),
        (np.array([-8.1]), 2048, "would be cut off at 8"),
    ],
)
def test_a_device_refuses_what_would_be_cut_off(vector, names, says):
    with pytest.raises(WouldClip, match=says):
        check_fits(vector, names, Quantisation(2048.0, 2**30))


def test_what_just_fits_is_taken():
    check_fits(np.array([-CLIPPING_RANGE, CLIPPING_RANGE]), 2048, Quantisation(2048.0, 2**30))
    check_fits(np.zeros(0), 1, Quantisation(2048.0, 2**30))


def test_many_devices_leave_fewer_steps_so_that_their_sum_fits():
    few = Quantisation.for_devices({str(number): 100 for number in range(2)})
    many = Quantisation.for_devices({str(number): 100 for number in range(1000)})

    assert few.quantisation_range == 2**30
    assert 1000 * many.quantisation_range < 2**32
