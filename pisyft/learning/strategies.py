"""How many models become one, by name: what a worker trains, what it contributes, what the coordinator makes of it.

A round: the coordinator sends `message()`, every worker answers it with one float vector (`Trainee.train`), a secure
sum gives the mean of these vectors weighted by names, and `update` takes it. Nothing else travels, so that whatever a
strategy needs to know about a worker goes through the same secure sum.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import torch

from pisyft.learning.encoding import Encoded
from pisyft.learning.models import Model
from pisyft.learning.training import FitResult, TrainingSettings, check_schedule, fit, pace
from pisyft.learning.vectors import load_vector, to_vector


class FedAvg:
    """The mean of the workers' models, weighted by names (McMahan et al. 2017, "Communication-Efficient Learning of
    Deep Networks from Decentralized Data", algorithm 1). The other strategies change one step of it.

    Args:
        weights: the model to start from, as a vector.
        settings: how workers train; each round goes on in their stream of batches where the last one ended.
        rounds: how many rounds there will be, for the schedule.
        schedule: of the learning rate, over the rounds (see `training.pace`).
        server_learning_rate: how much of the mean change is taken.

    Attributes:
        weights: the model, float64, (parameters,).
        round: how many rounds are done.
    """

    name = "fedavg"
    paced_by_server = False

    def __init__(
        self,
        weights: torch.Tensor,
        settings: TrainingSettings,
        rounds: int,
        schedule: str = "constant",
        server_learning_rate: float = 1.0,
    ) -> None:
        check_schedule(schedule)
        self.weights = weights.double()
        self.settings = settings
        self.rounds, self.schedule = rounds, schedule
        self.server_learning_rate = server_learning_rate
        self.round = 0

    def message(self) -> torch.Tensor:
        """What goes to every worker: the model, float32, (parameters,)."""
        return self.weights.float()

    def training(self) -> TrainingSettings:
        """How the workers train in this round."""
        learning_rate = self.settings.learning_rate * (1.0 if self.paced_by_server else self._pace())
        return replace(self.settings, round=self.round, learning_rate=learning_rate)

    def update(self, mean: torch.Tensor) -> None:
        """Take what the workers contributed, as the mean weighted by their names, and go on to the next round."""
        self._step(mean.double())
        self.round += 1

    def state(self) -> dict[str, torch.Tensor]:
        """What changes from round to round, to save and `restore`."""
        return {name: value for name, value in vars(self).items() if isinstance(value, torch.Tensor)} | {
            "round": torch.tensor(self.round)
        }

    def restore(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on where a strategy with the same settings was when it told its `state`."""
        for name, value in state.items():
            setattr(self, name, int(value) if name == "round" else value.clone())

    def _step(self, change: torch.Tensor) -> None:
        self.weights = self.weights + self.server_learning_rate * change

    def _pace(self) -> float:
        """The part of the learning rate that this round takes."""
        return pace(self.schedule, self.round, self.rounds)


class FedProx(FedAvg):
    """FedAvg whose workers are pulled towards the common model while they train (Li et al. 2020, "Federated
    Optimization in Heterogeneous Networks"): `settings.proximal`, 0.1 if it is not set."""

    name = "fedprox"

    def __init__(self, weights: torch.Tensor, settings: TrainingSettings, rounds: int, **options) -> None:
        super().__init__(weights, replace(settings, proximal=settings.proximal or 0.1), rounds, **options)


class FedLC(FedAvg):
    """FedAvg for workers with unequal languages: each corrects its loss for how often every language occurs there
    (Zhang et al. 2022, "Federated Learning with Label Distribution Skew via Logits Calibration", with the logarithm
    of Menon et al. 2021): `settings.logit_adjustment`, 1 if it is not set, towards `settings.prior`."""

    name = "fedlc"

    def __init__(self, weights: torch.Tensor, settings: TrainingSettings, rounds: int, **options) -> None:
        settings = replace(settings, logit_adjustment=settings.logit_adjustment or 1.0)
        super().__init__(weights, settings, rounds, **options)


class FedAdam(FedAvg):
    """The mean change is taken for a gradient, and Adam steps against it (Reddi et al. 2021, "Adaptive Federated
    Optimization", algorithm 2, with the bias correction of Kingma and Ba, since rounds are few).

    With workers that take a single step of SGD this is Adam on batches of all workers together, whatever each worker
    holds. The schedule is for the server's learning rate.
    """

    name = "fedadam"
    paced_by_server = True
    betas = (0.9, 0.99)
    epsilon = 1e-5  # a smaller one would make steps of what fixed point rounds off

    def __init__(
        self,
        weights: torch.Tensor,
        settings: TrainingSettings,
        rounds: int,
        schedule: str = "constant",
        server_learning_rate: float = 0.003,
    ) -> None:
        super().__init__(weights, settings, rounds, schedule, server_learning_rate)
        self.mean = torch.zeros_like(self.weights)
        self.variance = torch.zeros_like(self.weights)

    def _step(self, change: torch.Tensor) -> None:
        first, second = self.betas
        # Per unit of the workers' learning rate, so that epsilon means the same for all.
        gradient = -change / self.settings.learning_rate
        self.mean = first * self.mean + (1 - first) * gradient
        self.variance = self._new_variance(gradient**2, second)
        mean = self.mean / (1 - first ** (self.round + 1))
        variance = self.variance / (1 - second ** (self.round + 1))
        rate = self.server_learning_rate * self._pace()
        self.weights = self.weights - rate * mean / (variance.sqrt() + self.epsilon)

    def _new_variance(self, square: torch.Tensor, second: float) -> torch.Tensor:
        return second * self.variance + (1 - second) * square


class FedYogi(FedAdam):
    """FedAdam whose variance changes by a fixed part of the square only, so that it does not fall quickly."""

    name = "fedyogi"

    def _new_variance(self, square: torch.Tensor, second: float) -> torch.Tensor:
        return self.variance - (1 - second) * square * torch.sign(self.variance - square)


class Scaffold(FedAvg):
    """Every worker corrects its steps by how its gradients differ from all workers' (Karimireddy et al. 2020,
    "SCAFFOLD: Stochastic Controlled Averaging for Federated Learning", algorithm 1, option II).

    The message is the model and the common control variate, one after the other; so is the contribution: the change
    of the model and the change of the worker's own control variate. Workers take plain SGD.
    """

    name = "scaffold"

    def __init__(self, weights: torch.Tensor, settings: TrainingSettings, rounds: int, **options) -> None:
        if settings.optimizer != "sgd" or settings.clip is not None or settings.weight_decay:
            raise ValueError("scaffold corrects plain gradients: take the optimizer sgd, without clip and weight_decay")
        if settings.schedule != "constant":
            raise ValueError("scaffold takes equal steps within a round: give the schedule to the strategy")
        super().__init__(weights, settings, rounds, **options)
        self.control = torch.zeros_like(self.weights)

    def message(self) -> torch.Tensor:
        return torch.cat((self.weights, self.control)).float()

    def _step(self, change: torch.Tensor) -> None:
        of_model, of_control = change.chunk(2)
        super()._step(of_model)
        self.control = self.control + of_control


STRATEGIES: dict[str, Callable[..., FedAvg]] = {
    strategy.name: strategy for strategy in (FedAvg, FedProx, FedAdam, FedYogi, Scaffold, FedLC)
}


def make_strategy(
    name: str, weights: torch.Tensor, settings: TrainingSettings, rounds: int, **options: float | str
) -> FedAvg:
    """A strategy by name, at its first round.

    Raises:
        ValueError: there is no strategy of this name, or it cannot work with these settings.
    """
    if name not in STRATEGIES:
        raise ValueError(f"there is no strategy {name!r}: choose one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name](weights, settings, rounds, **options)


class Trainee:
    """One worker's side of every strategy.

    Args:
        names: what it trains on.

    Attributes:
        control: SCAFFOLD's control variate, which stays with the worker between rounds.
    """

    def __init__(self, names: Encoded) -> None:
        self.names = names
        self.control: torch.Tensor | None = None
        # For which round it was last changed, and what it was before.
        self._before: tuple[int, torch.Tensor | None] | None = None

    def forget(self) -> None:
        """Drop what earlier rounds have left."""
        self.control = self._before = None

    def take_back(self) -> None:
        """Have the last training not count, since it became part of no sum: the coordinator knows nothing of it."""
        if self._before is not None:
            _, self.control = self._before
            self._before = None

    def train(
        self,
        model: Model,
        message: torch.Tensor,
        settings: TrainingSettings,
        report: Callable[[int, float], object] | None = None,
    ) -> tuple[torch.Tensor, FitResult]:
        """Train from what the coordinator sent; what to contribute, and what training was like.

        Args:
            model: of the right kind; what its parameters are does not matter.
            message: the strategy's, float32: the model's parameters, or twice as many for SCAFFOLD.

        Returns:
            A vector as long as the message, to be weighted by the worker's names and summed.

        Raises:
            Diverged: the loss is not a number any more; there is nothing to contribute.
            ValueError: the message does not fit the model.
        """
        length = len(to_vector(model))
        if message.shape == (2 * length,):
            return self._train_scaffold(model, message, settings, report)
        load_vector(model, message)
        result = fit(model, self.names, settings, report)
        return to_vector(model) - message, result

    def _train_scaffold(self, model, message, settings, report) -> tuple[torch.Tensor, FitResult]:
        start, common = message.chunk(2)
        if self._before is not None and self._before[0] == settings.round:  # that round was given up
            self.take_back()
        own = self.control
        if own is None or settings.round == 0 or own.shape != common.shape:  # a new run, or another model
            own = torch.zeros_like(common)
        load_vector(model, start)
        result = fit(model, self.names, settings, report, correction=common - own)
        change = to_vector(model) - start
        self._before = (settings.round, self.control)
        # Every step moved by -rate * (gradient - own + common); this is the mean gradient.
        self.control = own - common - change / (result.steps * settings.learning_rate)
        return torch.cat((change, self.control - own)), result
