"""How a run trains: plain values, which a run keeps, tells and goes on with."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from pisyft.learning.models import MODELS
from pisyft.learning.recipes import recipe
from pisyft.learning.strategies import FedAvg, make_strategy
from pisyft.learning.training import TrainingSettings
from pisyft.wording import counted


@dataclass(frozen=True)
class Settings:
    """How to train. A run with the same settings on the same names comes to the same model.

    By default plainly; `suited` has what is best for each model.

    Attributes:
        rounds: how often the workers train, each time followed by an average.
        batch_size: names in a step of SGD.
        learning_rate: of the workers' optimizer.
        good_enough: the accuracy on every worker's test names from which a model is released.
        seed: of the model's first parameters, and of the order of names.
        aggregation: how the workers' models are summed up: "additive", "masks", or "plain", which hides nothing.
        model: the network's name, as in `learning.models.MODELS`.
        strategy: what becomes of the sum, as in `learning.strategies.STRATEGIES`.
        optimizer: on the workers.
        passes: over a worker's names in each round.
        steps: that a worker takes in each round instead.
        clip: the longest gradient (norm) on a worker; None leaves gradients as they are.
        schedule: of the learning rate, over the rounds: "constant" or "cosine".
        server_learning_rate: of the strategy; None is its own.
        leaning: of the released model towards languages with few names (tau of `models.leaning`).
        margin: by so much may a worker's accuracy be below that of the released model that it has.
        good_enough_together: the accuracy on all workers' test names from which a model is released.
        min_rounds: rounds of training that a model must have had to be released.
    """

    rounds: int = 15
    batch_size: int = 32
    learning_rate: float = 0.1
    good_enough: float = 0.25
    seed: int = 0
    aggregation: str = "additive"
    model: str = "tutorial"
    strategy: str = "fedavg"
    optimizer: str = "sgd"
    passes: float = 1.0
    steps: int | None = None
    clip: float | None = None
    schedule: str = "constant"
    server_learning_rate: float | None = None
    leaning: float = 0.0
    margin: float = 0.05
    good_enough_together: float = 0.0
    min_rounds: int = 1

    def __post_init__(self) -> None:
        """Raises:
        ValueError: there is no such model or strategy, or they do not go together.
        """
        if self.model not in MODELS:
            raise ValueError(f"there is no model {self.model!r}: choose one of {', '.join(MODELS)}")
        self.strategy_from(torch.zeros(0))

    @classmethod
    def suited(cls, model: str = "tutorial", strategy: str = "fedavg", **given: Any) -> Settings:
        """Settings that suit a model under a strategy, but for those that are given.

        Raises:
            ValueError: as for all settings.
        """
        return cls(model=model, strategy=strategy, **{**recipe(model, strategy), **given})

    def strategy_from(self, start: torch.Tensor) -> FedAvg:
        """The strategy, at its first round, from a model as a vector."""
        return make_strategy(self.strategy, start, self.training, self.rounds, **self.options)

    @property
    def options(self) -> dict[str, Any]:
        """The strategy's own."""
        own_rate = self.server_learning_rate is None
        return {"schedule": self.schedule} | ({} if own_rate else {"server_learning_rate": self.server_learning_rate})

    @property
    def training(self) -> TrainingSettings:
        """How a worker trains in a round."""
        return TrainingSettings(
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            optimizer=self.optimizer,
            passes=self.passes,
            steps=self.steps,
            clip=self.clip,
            seed=self.seed,
        )

    @property
    def alone(self) -> TrainingSettings:
        """How a worker trains by itself, at one go, that is compared with all together."""
        once = replace(
            self.training,
            passes=self.rounds * self.passes,
            steps=None if self.steps is None else self.rounds * self.steps,
            schedule=self.schedule,
        )
        strategy = self.strategy_from(torch.zeros(0))
        if self.steps is not None and strategy.paced_by_server:  # it then does what the coordinator would do
            return replace(once, optimizer="adam", learning_rate=strategy.server_learning_rate)
        return once

    def as_text(self) -> str:
        """How is trained, in a line for people."""
        if self.steps is not None:
            each = "a step" if self.steps == 1 else f"{self.steps} steps"
        else:
            each = "a pass" if self.passes == 1 else f"{self.passes:g} passes"
        parts = [
            f"{counted(self.rounds, 'round')} of {each}",
            f"batches of {self.batch_size}",
            f"{self.optimizer} at {self.learning_rate:g}",
            *([] if self.server_learning_rate is None else [f"the coordinator at {self.server_learning_rate:g}"]),
            *([] if self.clip is None else [f"gradients clipped at {self.clip:g}"]),
            f"{self.schedule} schedule",
        ]
        return f"{self.model}, {self.strategy}: {', '.join(parts)}."
