"""Training where the names are: plain PyTorch, in one process. What `fit` runs on a Pi."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields

import torch
from torch import nn

from pisyft.learning.encoding import Encoded
from pisyft.learning.models import Model

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "sgd": torch.optim.SGD,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
}
SCHEDULES = ("constant", "cosine")
# The part of a language that a worker has no name of, in `logit_adjustment`: its logarithm stays finite.
_RARE = 1e-4


class Diverged(Exception):
    """Training was stopped since the loss is not a number any more. The text says at which step.

    Attributes:
        step: counted from 1 within this call of `fit`.
        loss: infinite, or not a number.
    """

    def __init__(self, step: int, loss: float, where: str = "") -> None:
        place = f"{where}, step {step}" if where else f"step {step}"
        super().__init__(f"training diverged: the loss is {loss} at {place}; take a smaller learning rate")
        self.step, self.loss = step, loss


@dataclass(frozen=True)
class TrainingSettings:
    """How to train on one worker. Plain values only, so that it travels as a dict.

    Attributes:
        batch_size: names in a step.
        learning_rate: of the optimizer.
        optimizer: "sgd", "adam" or "adamw".
        weight_decay: of the optimizer.
        passes: how often to go through all names; fractions of a pass are full steps, too.
        steps: how many steps to take instead.
        schedule: of the learning rate, over the steps of this training (see `pace`).
        round: how many rounds of this length came before; this one goes on in the stream of batches where they ended.
        seed: shuffles the names, anew in each pass, and chooses what dropout leaves out; None keeps their order.
        clip: the longest gradient (norm); None leaves gradients as they are.
        label_smoothing: which part of the target is spread over all languages.
        proximal: FedProx's mu (Li et al. 2020, "Federated Optimization in Heterogeneous Networks"): pulls towards the
            model that training started from.
        logit_adjustment: how much the loss allows for how often each language occurs here (tau; Menon et al. 2021,
            "Long-tail learning via logit adjustment", equation 10; Zhang et al. 2022 for federations, FedLC): 0 not at
            all; 1 trains for names that come as `prior` says, though they come otherwise here.
        prior: the part of each language among the names that the model is for; None is all alike.
    """

    batch_size: int = 32
    learning_rate: float = 0.1
    optimizer: str = "sgd"
    weight_decay: float = 0.0
    passes: float = 1.0
    steps: int | None = None
    schedule: str = "constant"
    round: int = 0
    seed: int | None = 0
    clip: float | None = None
    label_smoothing: float = 0.0
    proximal: float = 0.0
    logit_adjustment: float = 0.0
    prior: tuple[float, ...] | None = None

    @classmethod
    def from_values(cls, values: Mapping[str, object]) -> TrainingSettings:
        """Settings by name, from somebody else.

        Raises:
            ValueError: an unknown one, or one that has a value it cannot have.
        """
        if not isinstance(values, Mapping):
            raise ValueError("training settings are values by name")
        kinds = {field.name: str(field.type) for field in fields(cls)}
        for name, value in values.items():
            if name not in kinds:
                raise ValueError(f"unknown training setting: {str(name)[:40]!r}; there are {', '.join(kinds)}")
            if not _is_of(kinds[name], value):
                raise ValueError(f"the training setting {name} must be of {kinds[name]}, and finite")
        prior = values.get("prior")
        return cls(**{**values, "prior": tuple(prior) if isinstance(prior, (list, tuple)) else None})  # type: ignore[arg-type]

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise ValueError(f"there is no optimizer {self.optimizer!r}: choose one of {', '.join(OPTIMIZERS)}")
        check_schedule(self.schedule)
        if self.batch_size < 1:
            raise ValueError(f"a batch of {self.batch_size} names cannot be: take 1 or more")

    def names(self, held: int) -> int:
        """On how many names somebody trains who holds so many; those of a second pass count again."""
        per_pass, steps = -(-held // self.batch_size), _steps(held, self)
        begin = self.round * steps % per_pass
        whole_passes = (begin + steps) // per_pass  # each ends with a batch that may be smaller
        return steps * self.batch_size - whole_passes * (per_pass * self.batch_size - held)


def check_schedule(schedule: str) -> None:
    """Raises:
    ValueError: there is no such schedule.
    """
    if schedule not in SCHEDULES:
        raise ValueError(f"there is no schedule {schedule!r}: choose one of {', '.join(SCHEDULES)}")


def pace(schedule: str, done: int, of: int) -> float:
    """The part of the learning rate to go on with: always 1, or a cosine that falls from 1 to 0 over the whole
    (Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts)."""
    return 1.0 if schedule == "constant" else 0.5 * (1 + math.cos(math.pi * done / of))


def _is_of(kind: str, value: object) -> bool:
    """Whether a value is of the type that stands behind a field's name."""
    if value is None or isinstance(value, bool):
        return value is None and kind.endswith(" | None")
    kind = kind.removesuffix(" | None")
    if kind == "int":
        return isinstance(value, int) and abs(value) < 2**63
    if kind == "float":
        return isinstance(value, (int, float)) and math.isfinite(value)
    if kind == "str":
        return isinstance(value, str)
    return isinstance(value, (list, tuple)) and all(_is_of("float", each) for each in value)


@dataclass(frozen=True)
class FitResult:
    """What `fit` did.

    Attributes:
        names: how many names it trained on; those of a second pass count again.
        steps: how many steps it took.
        loss: the mean loss over these names, while training.
    """

    names: int
    steps: int
    loss: float


def fit(
    model: Model,
    names: Encoded,
    settings: TrainingSettings,
    report: Callable[[int, float], object] | None = None,
    correction: torch.Tensor | None = None,
) -> FitResult:
    """Train the model on the names, in place.

    Args:
        report: called after each step with the names done so far and their mean loss.
        correction: SCAFFOLD's, added to each gradient: (parameters,).

    Raises:
        Diverged: the loss is infinite or not a number; the model is then of no use.
    """
    parameters = list(model.parameters())
    optimizer = OPTIMIZERS[settings.optimizer](
        parameters, lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    start = [parameter.detach().clone() for parameter in parameters]
    corrections = _like(parameters, correction) if correction is not None else None
    adjustment = _adjustment(names, model.n_languages, settings)
    done, loss_sum, step = 0, 0.0, 0
    with torch.random.fork_rng():
        if settings.seed is not None:
            torch.manual_seed(settings.seed * 1_000_003 + settings.round)
        model.train()
        steps = _steps(len(names), settings)
        for step, batch in enumerate(batches(names, settings), 1):
            for group in optimizer.param_groups:
                group["lr"] = settings.learning_rate * pace(settings.schedule, step - 1, steps)
            optimizer.zero_grad()
            loss = model.loss(batch.letters, batch.languages, adjustment, settings.label_smoothing)
            loss.backward()
            with torch.no_grad():
                for index, parameter in enumerate(parameters):
                    if parameter.grad is None:  # no part in what the model says
                        continue
                    if settings.proximal:
                        parameter.grad.add_(parameter - start[index], alpha=settings.proximal)
                    if corrections is not None:
                        parameter.grad.add_(corrections[index])
            if settings.clip is not None:
                nn.utils.clip_grad_norm_(parameters, settings.clip)
            value = loss.item()
            if not math.isfinite(value):
                raise Diverged(step, value)
            optimizer.step()
            done += len(batch)
            loss_sum += value * len(batch)
            if report is not None:
                report(done, loss_sum / done)
        model.eval()
    return FitResult(done, step, loss_sum / max(done, 1))


def batches(names: Encoded, settings: TrainingSettings) -> Iterator[Encoded]:
    """The names in batches, in as many passes as the settings say; the last batch of a pass may be smaller."""
    per_pass, steps = -(-len(names) // settings.batch_size), _steps(len(names), settings)
    first = settings.round * steps
    stream = itertools.chain.from_iterable(
        _order(len(names), settings, number).split(settings.batch_size) for number in itertools.count(first // per_pass)
    )
    begin = first % per_pass
    for indices in itertools.islice(stream, begin, begin + steps):
        yield names.choose(indices)


def _steps(names: int, settings: TrainingSettings) -> int:
    """How many steps a training on so many names takes."""
    if settings.steps is not None:
        return settings.steps
    return round(settings.passes * -(-names // settings.batch_size))


def _order(count: int, settings: TrainingSettings, number: int) -> torch.Tensor:
    """The order of the names in pass `number`."""
    if settings.seed is None:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(settings.seed * 1_000_003 + number))


def _adjustment(names: Encoded, n_languages: int, settings: TrainingSettings) -> torch.Tensor | float:
    """What is added to the log-probabilities before the loss, (languages,)."""
    if not settings.logit_adjustment:
        return 0.0
    here = torch.bincount(names.languages, minlength=n_languages) / len(names)
    wanted = torch.tensor(settings.prior) if settings.prior else torch.full((n_languages,), 1 / n_languages)
    return settings.logit_adjustment * (here.clamp(min=_RARE).log() - wanted.clamp(min=_RARE).log())


def _like(parameters: list[nn.Parameter], vector: torch.Tensor) -> list[torch.Tensor]:
    parts = vector.split([parameter.numel() for parameter in parameters])
    return [part.view_as(parameter) for part, parameter in zip(parts, parameters, strict=True)]
