"""Warnings that PySyft's own code causes, and that its users can do nothing about."""

# PySyft and PyTorch are patched here, which types cannot describe.
# mypy: disable-error-code="attr-defined"

import functools

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="none: PySyft warns of `field`, which its own Beaver triples and comparisons pass",
    broke="'UserWarning: Use dtype instead of field' at the first product of shared tensors",
)
def field_of_shares() -> None:
    from syft.frameworks.torch.tensors.interpreters.additive_shared import AdditiveSharingTensor

    original = AdditiveSharingTensor.__init__

    @functools.wraps(original)
    def __init__(self, *args, **kwargs) -> None:
        field = kwargs.get("field")
        if kwargs.get("dtype") is None and isinstance(field, int) and field > 0:
            kwargs["dtype"] = "int" if field <= 2**32 else "long"
        original(self, *args, **kwargs)

    AdditiveSharingTensor.__init__ = __init__


@repair(
    Moment.BEFORE_IMPORT,
    upstream="websockets 14 deprecated `WebSocketCommonProtocol` with its legacy implementation, which it will remove",
    broke="`import syft` warns, and will fail: PySyft's websocket workers name the class in annotations",
)
def websocket_annotations() -> None:
    import websockets

    # An attribute goes before the function by which the package imports its deprecated names on demand.
    websockets.WebSocketCommonProtocol = object


@repair(
    Moment.AFTER_IMPORT,
    upstream="websockets 14 deprecated `WebSocketCommonProtocol`; the name stands for nothing while PySyft is imported",
    broke="other code that still uses the class would find `object`",
)
def websocket_annotations_done() -> None:
    import websockets

    vars(websockets).pop("WebSocketCommonProtocol", None)
