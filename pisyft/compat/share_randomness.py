"""Shares, masks and keys drawn where nobody can repeat or foretell them.

PySyft draws them from the generators of PyTorch and NumPy. Whoever sets or guesses the seed, which a notebook does in
its first cell, can take a share apart from the secret, and a Mersenne Twister is known after 624 of its numbers.
"""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

from __future__ import annotations

import functools
import types

import numpy as np
import torch

from pisyft.compat.registry import Moment, repair
from pisyft.compat.remote_functions import runs_on_workers
from pisyft.compat.secure_random import KeyedSource, integers, permutation, unsigned_integers

_UPSTREAM = "none: PySyft draws from the seedable generators of PyTorch and NumPy"
_KEY_WORDS = 4  # 256 bits


class _Instead(types.ModuleType):
    """A module as a part of PySyft sees it: the module itself, but for the functions given."""

    def __init__(self, module: types.ModuleType, **functions) -> None:
        super().__init__(module.__name__)
        self._module = module
        self.__dict__.update(functions)

    def __getattr__(self, name: str):
        return getattr(self._module, name)


def _randint(low=0, high=None, size=(), *, dtype=torch.int64, **options) -> torch.Tensor:
    """`torch.randint`, with either form of its arguments."""
    if isinstance(high, (tuple, list)):
        high, size = None, high
    return integers(low, high, size, dtype) if high is not None else integers(0, low, size, dtype)


def _numpy_randint(low, high, size=None, dtype=np.int64) -> np.ndarray:
    return unsigned_integers(low, high, size, dtype)


_TORCH = _Instead(torch, randint=_randint, randperm=permutation)
_NUMPY = _Instead(np, random=_Instead(np.random, randint=_numpy_randint))


@repair(
    Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="the seed tells additive shares; one of their values never occurs"
)
def additive_shares() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    def generate_shares(self, secret, n_workers, random_type):
        if self.dtype == "custom":
            # A field that is no power of two is kept by `modulo`; the others by integers that wrap around.
            low, high, modulo = self.min_value, self.max_value + 1, self.modulo
        else:
            bits = 32 if random_type == torch.int32 else 64
            low, high, modulo = -(2 ** (bits - 1)), 2 ** (bits - 1), lambda share: share
        shares = [integers(low, high, secret.shape, random_type) for _ in range(n_workers - 1)]
        return [*shares, modulo(secret.type(random_type) - sum(shares))]

    AdditiveSharingTensor.generate_shares = generate_shares


@repair(Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="the seed tells Beaver triples, and with them what they hide")
def beaver_triples() -> None:
    from syft.frameworks.torch.mpc import beaver

    beaver.th = _TORCH


@repair(
    Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="the seed tells the masks of comparison by function secret sharing"
)
def function_secret_sharing_keys() -> None:
    from syft.frameworks.torch.mpc import fss, primitives

    fss.np = primitives.np = _NUMPY


@repair(
    Moment.AFTER_IMPORT,
    upstream=_UPSTREAM,
    broke="the seed tells replicated shares, of which half the ring never occurs",
)
def replicated_shares() -> None:
    from syft.frameworks.torch.mpc.falcon import falcon_helper
    from syft.frameworks.torch.tensors.interpreters import replicated_shared

    def generate_shares(self, plain_text, number_of_shares=3):
        secret = plain_text.detach().to(torch.int64)
        shares = [integers(0, self.ring_size, secret.shape) for _ in range(number_of_shares - 1)]
        return [*shares, (secret - sum(shares)) % self.ring_size]

    def in_same_ring(operation):
        @functools.wraps(operation)
        def operate(self, *args, **kwargs):
            result = operation(self, *args, **kwargs)
            result.ring_size = self.ring_size
            return result

        return operate

    sharing = replicated_shared.ReplicatedSharingTensor
    sharing.generate_shares = generate_shares
    # A result forgot its ring, which went unnoticed in the ring of two, where all shares but one were 0.
    for kind in ("public_linear", "private_linear", "public_multiplication", "private_multiplication"):
        name = f"_ReplicatedSharingTensor__{kind}_operation"
        setattr(sharing, name, in_same_ring(getattr(sharing, name)))
    apply_to_shares = "_ReplicatedSharingTensor__apply_to_shares"
    setattr(sharing, apply_to_shares, in_same_ring(getattr(sharing, apply_to_shares)))
    falcon_helper.torch = _TORCH


@repair(
    Moment.AFTER_IMPORT,
    upstream=_UPSTREAM,
    broke="the seed tells SecureNN's masks; one mask hides all elements of a tensor",
)
def securenn_masks() -> None:
    import syft
    from syft.frameworks.torch.mpc import securenn
    from syft.generic.utils import remote

    def draw_number(low: int, high: int, dtype: str) -> torch.Tensor:
        return integers(low, high, (1,), getattr(torch, dtype))

    draw_number = runs_on_workers(draw_number, securenn)

    def common_number(low, high, dtype, workers):
        first = remote(draw_number, location=workers[0])(low, high, str(dtype).removeprefix("torch."))
        return syft.MultiPointerTensor(children=[first, *(first.copy().move(worker) for worker in workers[1:])])

    def _random_common_bit(*workers, dtype):
        return common_number(0, 2, dtype, workers)

    def _random_common_value(max_value, *workers):
        dtype = securenn.get_torch_dtype(max_value)
        return common_number(1, securenn.get_max_val_field(max_value), dtype, workers)

    def tensor(data, *args, **kwargs):
        made = torch.tensor(data, *args, **kwargs)
        if isinstance(data, torch.Size):
            # In SecureNN's `msb`, `torch.tensor(shape).random_(high)` stands for a mask of this shape. The sum of a
            # number and its mask must not leave 0 <= n < high, or the comparison is wrong: PySyft's was, once in
            # high / (2 * number) times. With a margin of a quarter it holds for numbers up to high / 8.
            made.random_ = lambda high: integers(high // 4, high - high // 4, data)
        return made

    securenn._random_common_bit = _random_common_bit
    securenn._random_common_value = _random_common_value
    securenn.torch = _Instead(torch, randint=_randint, randperm=permutation, tensor=tensor)


@repair(
    Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="shares of zero come from seeds of 33 bits, which can be tried out"
)
def shares_of_zero() -> None:
    import syft
    from syft.frameworks.torch.mpc import przs
    from syft.generic.utils import remote

    def draw_key() -> torch.Tensor:
        return integers(-(2**63), 2**63, (_KEY_WORDS,))

    draw_key = runs_on_workers(draw_key, przs)

    def setup(workers) -> None:
        """Give each worker one key in common with the next and one with the worker before."""
        previous_of = dict(zip([*workers[1:], workers[0]], workers, strict=True))
        keys = {worker: _on(worker, draw_key)() for worker in workers}
        copies = {worker: _moved(keys[previous], worker) for worker, previous in previous_of.items()}
        for worker in workers:
            _on(worker, przs._initialize_generators)(keys[worker], copies[worker])

    def _on(worker, function):
        return function if worker == syft.local_worker else remote(function, location=worker)

    def _moved(key, worker):
        return key.send(worker, no_wrap=True) if not isinstance(key, syft.PointerTensor) else key.copy().move(worker)

    def _initialize_generators(cur_seed, prev_seed) -> None:
        cur_seed.owner.crypto_store.przs.generators = {
            name: KeyedSource(key.numpy().tobytes()) for name, key in (("cur", cur_seed), ("prev", prev_seed))
        }

    def next_elements(generator, ring_size=przs.RING_SIZE, shape=(1,)) -> torch.Tensor:
        return integers(0, ring_size, shape, source=generator)

    przs._initialize_generators = runs_on_workers(_initialize_generators, przs)
    przs.PRZS.setup = staticmethod(setup)
    przs.__dict__["__get_next_elem"] = next_elements
    przs.torch = _Instead(
        torch,
        randint=lambda low, high, shape, dtype, generator: integers(low, high, shape, dtype, source=generator),
    )


@repair(Moment.AFTER_IMPORT, upstream=_UPSTREAM, broke="the seed tells the number that masks a norm in `qr` and DASH")
def masks_of_norms() -> None:
    from syft.frameworks.torch.mpc import przs
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor
    from syft.frameworks.torch.tensors.interpreters.precision import FixedPrecisionTensor
    from syft.generic.utils import remote

    def draw_mask(low: int, high: int, shape: list[int], dtype: str) -> torch.Tensor:
        return integers(low, high, shape, getattr(torch, dtype))

    # Beside other randomness: `linalg`, which calls this, imports all of SciPy, where there is a SciPy.
    draw_mask = runs_on_workers(draw_mask, przs)

    def random_shares(self, low, high):
        """Each worker draws its own share, low <= n < high, so that nobody knows their sum."""
        options = (low, high, list(self.shape), str(self.torch_dtype).removeprefix("torch."))
        self.child = {
            worker: remote(draw_mask, location=share.location)(*options) for worker, share in self.child.items()
        }
        return self

    def random_(self, low, high):
        self.child.random_(low, high)
        return self

    AdditiveSharingTensor.random_ = random_shares
    FixedPrecisionTensor.random_ = random_
