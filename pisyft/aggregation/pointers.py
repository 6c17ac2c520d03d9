"""Additive secret sharing: a sum of which nobody sees the terms, with PySyft's AdditiveSharingTensor.

Each worker writes its vector in fixed point, splits it into as many uniformly random shares as there are workers,
keeps one and sends each of the others one. Each worker adds up the shares it holds. The coordinator adds those sums,
which gives the sum of the vectors and nothing else. (Additive n-of-n sharing over the integers modulo 2**64, as in
Damgard, Pastro, Smart and Zakarias 2012, "Multiparty Computation from Somewhat Homomorphic Encryption", section 1.)
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import torch

# Decimal places of the fixed point. A weight of 0.123456789 travels as 123456; the ring holds up to 9.2e12.
PRECISION = 6


def secure_sum(vectors: Sequence[torch.Tensor], workers: Sequence) -> torch.Tensor:
    """The sum of vectors that lie on different workers.

    Args:
        vectors: pointers to float vectors of one shape, one on each worker.
        workers: all of them, at least two. They must know each other: shares go from worker to worker.

    Returns:
        The sum, float32, of the vectors' shape; its error is at most len(vectors) * 10**-PRECISION and
        the rounding of float32.

    Raises:
        ValueError: fewer than two workers, or not one vector on each.
        TransportError: a worker could not be reached.
    """
    if len(workers) < 2:
        raise ValueError("a sum of one worker's vector is that vector: secret sharing needs two workers or more")
    if [vector.location.id for vector in vectors] != [worker.id for worker in workers]:
        raise ValueError("secret sharing needs one vector on each worker, in the order of the workers")
    shared = [vector.fix_precision(precision_fractional=PRECISION).share(*workers).get() for vector in vectors]
    return functools.reduce(operator.add, shared).get().float_precision()
