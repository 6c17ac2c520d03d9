"""The operations that pointers may have executed on a Pi: arithmetic, views and reductions, and nothing else.

What is not listed is refused, so that a new version of PyTorch adds nothing. Left out on purpose: whatever reads or
writes files, takes or returns Python objects, or changes the process (`torch.load`, `apply_`, `numpy`, `set_`, ...).
"""

from collections.abc import Mapping, Sequence

_BINARY = "add sub mul div matmul mm bmm mv dot remainder fmod pow maximum minimum eq ne lt le gt ge".split()
_UNARY = (
    "abs neg exp log log2 log1p sqrt rsqrt square reciprocal sign floor ceil round trunc "
    "relu sigmoid tanh softmax log_softmax clamp clone detach copy contiguous "
    "float double half long int type t float_precision float_prec"
).split()
_VIEWS = (
    "view reshape flatten squeeze unsqueeze transpose permute expand expand_as repeat narrow select index_select "
    "gather chunk split unbind masked_fill flip roll"
).split()
_REDUCTIONS = "sum mean var std norm prod max min argmax argmin topk sort argsort cumsum".split()
_DUNDERS = (
    "__add__ __radd__ __sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __mod__ __pow__ "
    "__matmul__ __neg__ __abs__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ __getitem__"
).split()

IN_PLACE = frozenset(
    "add_ sub_ mul_ div_ neg_ zero_ fill_ clamp_ addcmul_ addcdiv_ copy_ requires_grad_ detach_ "
    "__iadd__ __isub__ __imul__ __itruediv__".split()
)
# Functions that change all tensors in their first argument, a list, in place.
IN_PLACE_FUNCTIONS = frozenset({"torch.add_each_", "torch.zero_each_"})
SHARING = frozenset({"fix_precision", "fix_prec", "share"})
ADDITIONS = frozenset({"add", "__add__", "__radd__"})

# Not foretold on tensors without elements: they make or undo PySyft's chains, or follow a graph that is there.
UNFORETOLD = SHARING | {"float_precision", "float_prec", "backward"}

# Whose results are as large as what is there already.
SAME_SIZE = UNFORETOLD | IN_PLACE | IN_PLACE_FUNCTIONS

METHODS = frozenset(_BINARY + _UNARY + _VIEWS + _REDUCTIONS + _DUNDERS + ["backward", "addmm", "view_as"]) | (
    IN_PLACE | SHARING
)
FUNCTIONS = (
    IN_PLACE_FUNCTIONS
    | frozenset(
        f"torch.{name}"
        for name in (*_BINARY, *_UNARY, *_VIEWS, *_REDUCTIONS, *"cat stack addmm zeros_like ones_like where".split())
    )
    | frozenset(
        f"torch.nn.functional.{name}"
        for name in (
            "linear relu tanh sigmoid softmax log_softmax nll_loss cross_entropy mse_loss dropout embedding".split()
        )
    )
)

# What has a function change something that is not its result, make a result without memory of its own, or make shares
# that are not random numbers of 64 bits.
_REFUSED_ARGUMENTS = frozenset({"out", "inplace", "max_norm", "sparse", "field", "random_type"})
_MOST_ARGUMENTS = {
    "torch.nn.functional.relu": 1,  # the second is inplace
    "torch.nn.functional.dropout": 3,  # the fourth is inplace
    "torch.nn.functional.embedding": 3,  # the fourth is max_norm, which changes the table
}


def refused_argument(name: str, args: Sequence, kwargs: Mapping) -> str | None:
    """What an operation must not be called with, if it is."""
    most = _MOST_ARGUMENTS.get(name)
    if most is not None and len(args) > most:
        return f"more than {most} arguments"
    return next((key for key, value in kwargs.items() if key in _REFUSED_ARGUMENTS and value is not None), None)
