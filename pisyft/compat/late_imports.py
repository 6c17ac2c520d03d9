"""Parts of PyTorch that are imported late and look at its functions then, when PySyft has replaced them."""

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.BEFORE_HOOK,
    upstream="PyTorch 2.9 imports `torch._dynamo` with the first optimiser, and compares getters such as `Tensor.grad`",
    broke="making an optimiser fails: ''property' object has no attribute '__objclass__''",
)
def dynamo_getters() -> None:
    # The function remembers its answer, so the answer is given while the getters are PyTorch's own. Importing
    # torch._dynamo itself now would do as well, but costs a worker 70 MB that it has no use for.
    torch.overrides.get_default_nowrap_functions()
