"""NumPy's rules for mixing Python numbers with arrays, where function secret sharing relies on the old ones."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="misc, override"

import numpy as np

from pisyft.compat.registry import Moment, repair


class _Bits(np.ndarray):
    """Unsigned integers that may be the exponent of a negative number: `(-1) ** bits` is 1 or -1."""

    def __rpow__(self, base):
        return np.power(base, np.asarray(self).astype(np.int64))


@repair(
    Moment.AFTER_IMPORT,
    upstream="NumPy 2.0 (NEP 50) stopped choosing the type of a result by the value of a Python number",
    broke="comparison by function secret sharing fails: 'Python integer -1 out of bounds for uint64'",
)
def sign_of_unsigned_integers() -> None:
    from syft.frameworks.torch.mpc import fss

    fss.Array = lambda *shape: np.empty(shape, dtype=np.uint64).view(_Bits)


@repair(
    Moment.BEFORE_IMPORT,
    upstream="NumPy 1.24 removed the alias `np.bool`; NumPy 2.0 brought the name back",
    broke="with NumPy 1.26, comparison by function secret sharing fails: 'numpy has no attribute bool'",
)
def numpy_bool() -> None:
    if "bool" not in dir(np):
        np.bool = np.bool_
