"""Tensors given to a hooked method or function by keyword."""

import functools

import torch

from pisyft.compat.registry import Moment, repair


@repair(
    Moment.AFTER_IMPORT,
    upstream="PyTorch's optimisers pass tensors by keyword (Adamax in 2.9: `torch.maximum(..., out=...)`)",
    broke="PySyft unwraps positional arguments only, so that an empty wrapper is computed with: silently, NaN",
)
def tensors_by_keyword() -> None:
    from syft.generic.frameworks.hook import hook_args

    by_method, by_function = hook_args.unwrap_args_from_method, hook_args.unwrap_args_from_function

    @functools.wraps(by_method)
    def unwrap_args_from_method(attr, method_self, args_, kwargs_):
        return by_method(attr, method_self, args_, _without_wrappers(kwargs_))

    @functools.wraps(by_function)
    def unwrap_args_from_function(attr, args_, kwargs_, return_args_type=False):
        return by_function(attr, args_, _without_wrappers(kwargs_), return_args_type)

    hook_args.unwrap_args_from_method = unwrap_args_from_method
    hook_args.unwrap_args_from_function = unwrap_args_from_function


def _without_wrappers(keywords: dict | None) -> dict | None:
    if not keywords:
        return keywords
    return {name: value.child if _is_wrapper(value) else value for name, value in keywords.items()}


def _is_wrapper(value: object) -> bool:
    return isinstance(value, torch.Tensor) and hasattr(value, "child")
