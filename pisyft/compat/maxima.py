"""The largest and smallest of shared numbers: of none, and of several that are equal."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="assignment, method-assign"

import functools

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft compares all pairs of numbers, and asks for none whether there is one",
    broke="`max` and `argmax` of a shared tensor without numbers are silently something, where PyTorch raises",
)
def maximum_of_nothing() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    def refusing(method):
        @functools.wraps(method)
        def of_numbers(self, *args, **kwargs):
            if self.shape.numel() == 0:
                raise RuntimeError(f"no numbers to choose among: the tensor's shape is {tuple(self.shape)}")
            return method(self, *args, **kwargs)

        return of_numbers

    AdditiveSharingTensor.argmax = refusing(AdditiveSharingTensor.argmax)
    AdditiveSharingTensor.max = refusing(AdditiveSharingTensor.max)


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft marks every number that none is larger than, and adds up what is marked",
    broke="where two shared numbers are the largest, `max` is silently their sum, and `argmax` that of their positions",
)
def maximum_of_equals() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    mark = AdditiveSharingTensor.argmax

    @functools.wraps(mark)
    def argmax(self, dim=None, keepdim=False, one_hot=False):
        marks = mark(self, dim=dim, keepdim=keepdim, one_hot=True)
        row, along = (marks, dim) if dim is not None else (marks.flatten(), 0)
        # The first of them has no mark before it, as in PyTorch.
        first = (row * (1 - row.cumsum(along) >= 0)).reshape(*marks.shape)
        return first if one_hot else first._one_hot_to_index(dim, keepdim)

    AdditiveSharingTensor.argmax = argmax
