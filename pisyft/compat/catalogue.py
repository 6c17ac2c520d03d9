"""Imports every module with repairs, which registers them, in the order in which they are applied."""

from pisyft.compat import (  # noqa: F401
    absent_modules,
    identifiers,
    integer_division,
    interpreter_exit,
    late_imports,
    nn_functional,
    no_fork,
    protobuf,
    share_randomness,
    tensor_bytes,
    torch_jit,
    zero_grad,
)
