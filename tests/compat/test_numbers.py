"""Fixed-precision and shared tensors against plain PyTorch, on numbers that hypothesis chooses.

A number x is kept as the integer nearest to x * 10**digits on the side of zero. What may differ, in units of the last
digit ("ulp", 10**-digits), with both operands exact in fixed precision:

    addition, subtraction, sum, comparison, relu, max, argmax    0
    product, or quotient by an integer                           1 (2 if shared: each worker truncates its share)
    matrix product of inner size n                               1 (2 if shared), since it truncates the sum once
    product of k factors                                         that of one product, times the factors that follow
    mean of shares                                               2

Truncating shares fails altogether once in 2**63 / (10**(2 * digits) * product) times; in the field of 32 bits that is
once in about 2**31 / (10**(2 * digits) * product), which is why products are tested there without shares.
"""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import pisyft  # noqa: F401  (repairs PySyft)

syft = pytest.importorskip("syft")

DIGITS = 3
ULP = 10.0**-DIGITS
FIELDS = ("long", "int")

few = settings(max_examples=4, deadline=None)
many = settings(max_examples=30, deadline=None)


@pytest.fixture(scope="module")
def workers():
    hook = syft.hook if hasattr(torch, "torch_hooked") else syft.TorchHook(torch)
    known = hook.local_worker._known_workers
    return [
        known.get(name) or syft.VirtualWorker(hook, id=name)
        for name in ("virtual-alice", "virtual-bob", "virtual-carol")
    ]


def vectors(limit=20, min_size=0, max_size=5):
    """Float tensors whose elements are exact in fixed precision."""
    numbers = st.integers(-limit * 10**DIGITS, limit * 10**DIGITS).map(lambda n: n * ULP)
    return st.lists(numbers, min_size=min_size, max_size=max_size).map(lambda each: torch.tensor(each).float())


@st.composite
def pairs(draw, limit=20, min_size=0, max_size=5):
    """Two vectors of the same size."""
    first = draw(vectors(limit, min_size, max_size))
    return first, draw(vectors(limit, len(first), len(first)))


def exactly(numbers):
    # PySyft cuts off digits, and 0.57 * 1000 is 569.99... in floating point.
    return (numbers.double() + numbers.sign().double() * ULP / 10).float()


def fixed(numbers, field="long", digits=DIGITS):
    return exactly(numbers).fix_precision(dtype=field, precision_fractional=digits)


def shared(numbers, workers, field="long", digits=DIGITS):
    alice, bob, carol = workers
    return fixed(numbers, field, digits).share(alice, bob, crypto_provider=carol, dtype=field)


def agree(actual, expected, ulps):
    """Equal but for so many units of the last digit, and for what 32-bit floats cannot tell apart."""
    assert actual.shape == expected.shape
    tolerance = ulps * ULP + 1e-6 * (1 + expected.abs())
    assert ((actual - expected).abs() <= tolerance).all(), (actual, expected)


def opened(tensor):
    return tensor.get().float_precision()


@pytest.mark.parametrize("field", FIELDS)
class TestFixedPrecision:
    @given(pairs())
    @many
    def test_sum_and_difference_are_exact(self, field, workers, both):
        x, y = both
        agree((fixed(x, field) + fixed(y, field)).float_precision(), x + y, 0)
        agree((fixed(x, field) - fixed(y, field)).float_precision(), x - y, 0)
        agree((-fixed(x, field)).float_precision(), -x, 0)
        agree(fixed(x, field).sum().float_precision(), x.sum(), 0)

    @given(pairs())
    @many
    def test_product_rounds_towards_zero(self, field, workers, both):
        x, y = both
        agree((fixed(x, field) * fixed(y, field)).float_precision(), x * y, 1)
        agree((fixed(x, field) * 3).float_precision(), x * 3, 0)

    @given(pairs(limit=10))
    @many
    def test_chained_products(self, field, workers, both):
        x, y = both
        agree((fixed(x, field) * fixed(y, field) * fixed(x, field)).float_precision(), x * y * x, 1 + 10)
        agree((fixed(x, field) ** 3).float_precision(), x**3, 1 + 10)

    @given(vectors(), st.integers(1, 50))
    @many
    def test_quotient_by_an_integer(self, field, workers, x, divisor):
        agree((fixed(x, field) / divisor).float_precision(), x / divisor, 1)
        agree((fixed(-x, field) / divisor).float_precision(), -(fixed(x, field) / divisor).float_precision(), 0)

    @given(pairs())
    @many
    def test_quotient_by_a_tensor(self, field, workers, both):
        x, y = both
        y = torch.where(y.abs() < 0.5, torch.ones_like(y), y)
        agree((fixed(x, field) / fixed(y, field)).float_precision(), x / y, 1)

    @given(pairs(limit=10))
    @many
    def test_matrix_product(self, field, workers, both):
        x, y = (each.reshape(1, -1) for each in both)
        agree((fixed(x, field) @ fixed(y, field).t()).float_precision(), x @ y.t(), 1)
        agree(fixed(x, field).mm(fixed(y, field).t()).float_precision(), x @ y.t(), 1)
        agree(fixed(x.t(), field).matmul(fixed(y, field)).float_precision(), x.t() @ y, 1)

    @given(pairs(min_size=1))
    @many
    def test_comparisons_are_exact(self, field, workers, both):
        x, y = both
        for compare in (torch.Tensor.__gt__, torch.Tensor.__ge__, torch.Tensor.__lt__, torch.Tensor.__le__):
            agree(compare(fixed(x, field), fixed(y, field)).float_precision(), compare(x, y).float(), 0)
        agree((fixed(x, field) == fixed(x, field)).float_precision(), torch.ones_like(x), 0)
        agree(fixed(x, field).relu().float_precision(), x.relu(), 0)
        agree(fixed(x, field).max().float_precision(), x.max(), 0)
        assert x[int(fixed(x, field).argmax().float_precision())] == x.max()


@pytest.mark.parametrize("field", FIELDS)
class TestShares:
    @given(pairs())
    @many
    def test_sum_and_difference_are_exact(self, field, workers, both):
        x, y = both
        agree(opened(shared(x, workers, field)), x, 0)
        agree(opened(shared(x, workers, field) + shared(y, workers, field)), x + y, 0)
        agree(opened(shared(x, workers, field) - shared(y, workers, field)), x - y, 0)
        agree(opened(shared(x, workers, field) * 3), x * 3, 0)
        agree(opened(shared(x, workers, field).sum()), x.sum(), 0)

    @given(vectors(min_size=1), st.integers(1, 50))
    @many
    def test_quotient_by_an_integer_and_mean(self, field, workers, x, divisor):
        # Rings wrap around: in that of 32 bits, one quotient in 2**31 / (10**digits * number) is lost.
        if field == "long":
            agree(opened(shared(x, workers, field) / divisor), x / divisor, 2)
            agree(opened(shared(x, workers, field).mean()), x.mean(), 2)
            agree(opened(torch.mean(shared(x, workers, field))), x.mean(), 2)

    @given(pairs(min_size=1, max_size=3))
    @few
    def test_comparisons_are_exact(self, field, workers, both):
        x, y = both
        agree(opened(shared(x, workers, field) >= shared(y, workers, field)), (x >= y).float(), 0)
        agree(opened(shared(x, workers, field).relu()), x.relu(), 0)


class TestProductsOfShares:
    @given(pairs())
    @many
    def test_product(self, workers, both):
        x, y = both
        agree(opened(shared(x, workers) * shared(y, workers)), x * y, 2)
        agree(opened(shared(x, workers) * fixed(y)), x * y, 2)

    @given(pairs(limit=5, min_size=1))
    @many
    def test_chained_truncations(self, workers, both):
        x, y = both
        product = shared(x, workers) * shared(y, workers) * shared(y, workers) * shared(x, workers)
        agree(opened(product), x * y * y * x, 2 + 2 * 5 + 2 * 25)
        agree(opened(shared(x, workers) ** 3), x**3, 2 + 2 * 5)

    @given(pairs(min_size=1))
    @many
    def test_matrix_product(self, workers, both):
        x, y = (each.reshape(1, -1) for each in both)
        agree(opened(shared(x, workers) @ shared(y, workers).t()), x @ y.t(), 2)
        agree(opened(shared(x, workers).mm(shared(y, workers).t())), x @ y.t(), 2)
        agree(opened(shared(x.t(), workers).matmul(shared(y, workers))), x.t() @ y, 2)

    @given(vectors(min_size=1, max_size=3))
    @few
    def test_maximum(self, workers, x):
        agree(opened(shared(x, workers).max()), x.max(), 0)
        assert x[int(opened(shared(x, workers).argmax()))] == x.max()

    @given(vectors(limit=5, min_size=1, max_size=2))
    @few
    def test_function_secret_sharing_compares_exactly(self, workers, x):
        alice, bob, carol = workers
        y = fixed(x).share(alice, bob, crypto_provider=carol, protocol="fss")
        agree(opened(y >= 0), (x >= 0).float(), 0)
        agree(opened(y == y), torch.ones_like(x), 0)


# PySyft's approximations: smallest and largest number, error. All of them multiply repeatedly, so that they need
# digits; the errors are for five of them.
APPROXIMATIONS = {
    "sigmoid": (-5, 5, 0.01),
    "tanh": (-5, 5, 0.01),
    "exp": (-3, 2, 0.12),
    "log": (0.25, 20, 0.12),
    "reciprocal": (0.25, 5, 0.02),
}


@pytest.mark.parametrize("name", APPROXIMATIONS)
@given(data=st.data())
@few
def test_approximations_of_shares(workers, name, data):
    low, high, error = APPROXIMATIONS[name]
    numbers = st.integers(int(low * 1000), int(high * 1000)).map(lambda n: n / 1000)
    x = torch.tensor(data.draw(st.lists(numbers, min_size=1, max_size=3)))
    approximation = opened(getattr(shared(x, workers, digits=5), name)())
    assert ((approximation - getattr(x, name)()).abs() <= error).all(), (approximation, x)
