"""A model's parameters as one vector: what is shared, summed and sent."""

from __future__ import annotations

import math
from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def to_vector(model: nn.Module) -> torch.Tensor:
    """All parameters, one after the other, (parameters,). A pointer, where the parameters are pointers."""
    return torch.cat([parameter.data.view(-1) for parameter in model.parameters()])


def layout_of(model: nn.Module, length: int | None = None) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters by name, in the order of `to_vector`.

    Args:
        length: of a vector that holds something for each parameter more than once, as SCAFFOLD's does.
    """
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    times = 1 if length is None else length // max(1, sum(map(math.prod, shapes.values())))
    return shapes | {f"{name}, {time}": shape for time in range(2, times + 1) for name, shape in shapes.items()}


def load_vector(model: Model, vector: torch.Tensor) -> Model:
    """Set the parameters from a vector that `to_vector` made; returns the model.

    Raises:
        ValueError: the vector has another length than the parameters together.
    """
    parameters = list(model.parameters())
    if vector.dim() != 1 or len(vector) != sum(parameter.numel() for parameter in parameters):
        raise ValueError(f"a vector of shape {tuple(vector.shape)} does not fit the model's parameters")
    with torch.no_grad():
        for parameter, values in zip(parameters, vector.split([each.numel() for each in parameters]), strict=True):
            parameter.copy_(values.view_as(parameter))
    return model
