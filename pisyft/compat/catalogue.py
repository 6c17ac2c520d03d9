"""Imports every module with repairs, which registers them, in the order in which they are applied."""

from pisyft.compat import (  # noqa: F401
    absent_modules,
    identifiers,
    integer_division,
    interpreter_exit,
    keyword_tensors,
    late_imports,
    nn_functional,
    no_fork,
    none_pointers,
    numpy_integers,
    optimizers,
    plain_tensors,
    pooling,
    protobuf,
    returned_arguments,
    share_randomness,
    signatures,
    tensor_bytes,
    torch_jit,
    zero_grad,
)
