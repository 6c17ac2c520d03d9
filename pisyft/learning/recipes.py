"""How to train each model where nobody says otherwise.

Chosen on the validation parts of the project's own names, with three seeds and two workers alike (docs/learning.md).
With other names they are where to begin.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

# Of the workers, where each takes many steps in a round.
_STEPS_ON_WORKERS: dict[str, dict[str, Any]] = {
    # The network is linear in what it remembers, so that its gradients grow without bound (Pascanu et al. 2013, "On the
    # difficulty of training Recurrent Neural Networks"): without a clip it diverges at such a rate.
    "tutorial": {"optimizer": "sgd", "learning_rate": 1.0, "clip": 1.0},
    "rnn": {"optimizer": "adam", "learning_rate": 0.003, "clip": 1.0},
    "gru": {"optimizer": "adam", "learning_rate": 0.003, "clip": 1.0},
    "ngrams": {"optimizer": "adam", "learning_rate": 0.03, "clip": None},
    "writer": {"optimizer": "adam", "learning_rate": 0.01, "clip": 1.0},
    "committee": {"optimizer": "adam", "learning_rate": 0.03, "clip": None},
}
_ROUNDS = {"rounds": 15, "batch_size": 32, "steps": None, "schedule": "cosine", "server_learning_rate": None}
# One step of the coordinator's for one of the workers': their mean change is then the gradient over all names.
_STEPS_ON_COORDINATOR = {
    "rounds": 400,
    "batch_size": 256,
    "steps": 1,
    "schedule": "cosine",
    "optimizer": "sgd",
    "learning_rate": 1.0,
    "clip": None,
}
_SERVER_LEARNING_RATE = {"tutorial": 0.003, "rnn": 0.003, "gru": 0.003}


def recipe(model: str, strategy: str) -> MappingProxyType[str, Any]:
    """What suits a model under a strategy, by the names of `run.Settings`; nothing, where there is no such model."""
    chosen = _STEPS_ON_WORKERS.get(model)
    if chosen is None:
        return MappingProxyType({})
    if strategy in ("fedadam", "fedyogi"):
        server = {"server_learning_rate": _SERVER_LEARNING_RATE.get(model, 0.012)}
        return MappingProxyType({**_STEPS_ON_COORDINATOR, **server})
    if strategy == "scaffold":  # corrects plain gradients
        chosen = {"optimizer": "sgd", "learning_rate": 0.1, "clip": None}
    return MappingProxyType({**_ROUNDS, **chosen})
