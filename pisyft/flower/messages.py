"""What coordinator and device tell each other in Flower's records: one float vector, and plain values as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

DESCRIBE, RELEASE = "query.describe", "query.release"
# Under the plain name, since Flower's secure workflow asks for that.
TRAIN_SECURELY, TRAIN_IN_THE_CLEAR = "train", "train.plain"
EVALUATE = "evaluate"

_VALUES, _VECTOR = "values", "vector"


def content(values: Mapping[str, Any], vector: np.ndarray | None = None) -> RecordDict:
    """Values that JSON knows, and a vector, float32 or float64, (parameters,), as the content of a message."""
    record = RecordDict({_VALUES: ConfigRecord({"json": json.dumps(values)})})
    if vector is not None:
        record[_VECTOR] = ArrayRecord({_VECTOR: Array(np.ascontiguousarray(vector))})
    return record


def values_of(record: RecordDict) -> dict[str, Any]:
    """The values in a message's content.

    Raises:
        ValueError: there are none.
    """
    try:
        values = json.loads(str(record.config_records[_VALUES]["json"]))
    except (KeyError, ValueError) as error:
        raise ValueError("the message has no values: both sides need the same version of PiSyft") from error
    if not isinstance(values, dict):
        raise ValueError("the message's values are no object")
    return values


def vector_of(record: RecordDict) -> np.ndarray:
    """The vector in a message's content, float32 or float64, (parameters,).

    Raises:
        ValueError: there is none.
    """
    try:
        vector = record.array_records[_VECTOR][_VECTOR].numpy()
    except KeyError as error:
        raise ValueError("the message has no vector: both sides need the same version of PiSyft") from error
    if vector.ndim != 1 or vector.dtype not in (np.float32, np.float64):
        raise ValueError(f"the message's vector is {vector.dtype} of shape {vector.shape}")
    return vector
