"""SecAgg+ in Flower, with figures that do not clip, and a device that refuses where Flower would clip silently.

Bell et al. 2020, "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead", as Flower implements it: a vector
`v` of `w` names travels as the integers `round((v * w / max_weight + c) * q / 2c)` under masks modulo 2**32, where `c`
is the clipping range and `q` the quantisation range. Beyond `c`, or above `max_weight` names, Flower cuts it off
without a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from flwr.app import Context, Message, MessageType
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_STATE
from flwr.compat.common import recorddict_compat as compat

# Twice the largest change of a parameter in a round that is not diverging.
CLIPPING_RANGE = 8.0
_MODULUS_BITS = 32
_MOST_QUANTISATION_BITS = 30  # Flower's integers have 32 bits and a sign


class WouldClip(ValueError):
    """A device's part does not fit into the round's figures: Flower would cut it off. The text says which part."""


@dataclass(frozen=True)
class Quantisation:
    """The figures of a secure round.

    Attributes:
        max_weight: how many names a device may have trained on, at the most.
        quantisation_range: how many steps the interval from -CLIPPING_RANGE to CLIPPING_RANGE has.
    """

    max_weight: float
    quantisation_range: int
    clipping_range: float = CLIPPING_RANGE

    @classmethod
    def for_devices(cls, names: Mapping[str, int]) -> Quantisation:
        """The finest figures with which the sum over these devices does not overflow.

        Args:
            names: how many each device trains on, by id.
        """
        bits = min(_MODULUS_BITS - math.ceil(math.log2(max(2, len(names)))) - 1, _MOST_QUANTISATION_BITS)
        # Room for names that are added between the question and the training.
        return cls(float(2 ** math.ceil(math.log2(max(names.values()) + 1))), 2**bits)

    def error_bound(self, names: Mapping[str, int]) -> float:
        """By how much a parameter of the mean may be off: each device rounds its part by a step, its weight by half.

        With `s` the size of a step and `r` the sum of the devices' weights over `max_weight`: n (s + c / 2q) / r.
        """
        step = 2 * self.clipping_range / self.quantisation_range
        ratio = sum(names.values()) / self.max_weight
        return len(names) * (step + self.clipping_range / (2 * self.quantisation_range)) / ratio


def refuse_to_clip(message: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """A modifier after Flower's `secaggplus_mod`: looks at what the app would give away before it is quantised.

    Raises:
        WouldClip: a weight or a value is beyond the round's figures, or is not finite.
    """
    reply = call_next(message, context)
    if message.metadata.message_type != MessageType.TRAIN:
        return reply
    figures = context.state.config_records[RECORD_KEY_STATE]
    result = compat.recorddict_to_fitres(reply.content, keep_input=True)
    check_fits(
        np.concatenate([values.ravel() for values in parameters_to_ndarrays(result.parameters)]),
        result.num_examples,
        Quantisation(
            float(figures["max_weight"]),
            int(figures["target_range"]),
            float(figures["clipping_range"]),
        ),
    )
    return reply


def check_fits(vector: np.ndarray, names: int, figures: Quantisation) -> None:
    """Make sure that nothing of a device's part would be cut off.

    Args:
        vector: what the training has changed, (parameters,).
        names: how many it was trained on.

    Raises:
        WouldClip: something would.
    """
    if names > figures.max_weight:
        raise WouldClip(
            f"trained on {names} names, and this round takes {figures.max_weight:.0f} at the most (max_weight): "
            "Flower would give them a wrong weight"
        )
    if not np.isfinite(vector).all():
        raise WouldClip("the training came to values that are not finite: take a smaller learning rate")
    largest = float(np.abs(vector).max(initial=0.0)) * names / figures.max_weight
    if largest > figures.clipping_range:
        raise WouldClip(
            f"a parameter changed by so much that {largest:.3g} would be cut off at {figures.clipping_range:g}: "
            "take a smaller learning rate"
        )
