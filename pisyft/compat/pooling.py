"""PySyft's Python port of average pooling, which promises the very numbers of PyTorch's own."""

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="PyTorch 1.7 made `sum` add up pairwise",
    broke="PySyft's AvgPool2d and PyTorch's differ in the last digit, since the one uses `sum` and the other does not",
)
def average_pooling() -> None:
    from syft.frameworks.torch.nn.pool import AvgPool2d

    ported = AvgPool2d.forward

    def forward(self, data):
        if hasattr(data, "child"):
            return ported(self, data)
        return torch.nn.functional.avg_pool2d(data, self.kernel_size, self.stride)

    AvgPool2d.forward = forward
