"""A model's parameters as one vector: what is shared, summed and sent."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Model = TypeVar("Model", bound=nn.Module)


def to_vector(model: nn.Module) -> torch.Tensor:
    """All parameters, one after the other, (parameters,). A pointer, where the parameters are pointers."""
    return torch.cat([parameter.data.view(-1) for parameter in model.parameters()])


def layout_of(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shapes of the parameters by name, in the order of `to_vector`."""
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


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
