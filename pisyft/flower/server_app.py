"""The ServerApp: a whole run, from the first question to the released model."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from pisyft.flower.coordinator import FlowerError, FlowerFederation
from pisyft.learning.evaluation import Counts, add_up
from pisyft.learning.models import Model, leaning, make_model
from pisyft.learning.strategies import make_strategy
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector, to_vector
from pisyft.release import Card, Gate, ModelStore, ReleaseError, coordinator_key

# How often to look whether the SuperNodes are there.
_LOOK_SECONDS = 0.5

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run's configuration says, and write summary.json to its `out`."""
    asked = context.run_config
    out = Path(str(asked["out"]))
    out.mkdir(parents=True, exist_ok=True)
    try:
        nodes = wait_for_nodes(grid, int(asked["supernodes"]), float(asked["wait-seconds"]))
        federation = FlowerFederation(grid, context, nodes)
        model, strategy, aggregation = (str(asked[each]) for each in ("model", "strategy", "aggregation"))
        rounds, options = int(asked["rounds"]), options_of(asked)
        run = Run(federation, model, strategy, settings_of(asked), rounds, aggregation, options)
        run.train(on_round=lambda done: _tell(out, {"round": done, "of": run.rounds}))
        # Without a margin: devices do not tell how well the model does that they have.
        gate = Gate(float(asked["good-enough-together"]), float(asked["good-enough"]), 1.0, int(asked["min-rounds"]))
        summary = run.finish(gate, ModelStore(out / "models"), float(asked["leaning"]))
    except Exception as error:
        _tell(out, {"error": f"{type(error).__name__}: {error}"})
        raise
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    _tell(out, {"done": True})


def settings_of(asked: Mapping[str, Any]) -> TrainingSettings:
    """How devices train, by the run's configuration.

    Raises:
        ValueError: a setting has a value that it cannot have.
    """
    return TrainingSettings(
        batch_size=int(asked["batch-size"]),
        learning_rate=float(asked["learning-rate"]),
        optimizer=str(asked["optimizer"]),
        passes=float(asked["passes"]),
        steps=int(asked["steps"]) or None,
        clip=float(asked["clip"]) or None,
        seed=int(asked["seed"]),
    )


def options_of(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The strategy's own settings, by the run's configuration."""
    rate = float(asked["server-learning-rate"])
    return {"schedule": str(asked["schedule"])} | ({"server_learning_rate": rate} if rate else {})


def wait_for_nodes(grid: Grid, wanted: int, seconds: float) -> list[int]:
    """Flower's ids of the SuperNodes, as soon as so many are there.

    Raises:
        FlowerError: they are not, in time.
    """
    until = time.monotonic() + seconds
    while len(nodes := sorted(grid.get_node_ids())) < wanted:
        if time.monotonic() > until:
            raise FlowerError(
                f"{len(nodes)} of {wanted} SuperNodes are connected after {seconds:.0f} s: are they started, and "
                "registered with flwr supernode register?"
            )
        time.sleep(_LOOK_SECONDS)
    return nodes


class Run:
    """One training run over Flower.

    Args:
        federation: the devices.
        model: the network's name.
        strategy: what becomes of the mean, by name.
        settings: how a device trains.
        rounds: how many.
        aggregation: "secagg" or "plain".
        options: the strategy's own settings.

    Attributes:
        history: what each device counted on its names to choose by, before the first round and after each.
        round_seconds: how long each round took, with its evaluation.
        missing: for each round, the devices that are not in its sum, by id, and why.
    """

    def __init__(
        self,
        federation: FlowerFederation,
        model: str,
        strategy: str,
        settings: TrainingSettings,
        rounds: int,
        aggregation: str,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.federation, self.name, self.settings, self.rounds = federation, model, settings, rounds
        self.aggregation, self._strategy_name = aggregation, strategy
        self.start = self._new_model()
        self.strategy = make_strategy(strategy, to_vector(self.start), settings, rounds, **options)
        self.best, self.best_round = self._new_model(), 0
        self.history: list[dict[str, Counts]] = []
        self.round_seconds: list[float] = []
        self.missing: list[dict[str, str]] = []

    def train(self, on_round: Callable[[int], object] = lambda done: None) -> None:
        """All rounds; keeps the model that is best on the names to choose by."""
        model = self._new_model()
        self.history.append(self.federation.evaluate(model, self.name, "validation"))
        while self.strategy.round < self.rounds:
            began = time.perf_counter()
            message = self.strategy.message().numpy()
            mean = self.federation.train(message, self.name, self.strategy.training(), self.aggregation)
            self.missing.append(dict(self.federation.missing))
            self.strategy.update(torch.from_numpy(mean))
            load_vector(model, self.strategy.weights.float())
            self.history.append(self.federation.evaluate(model, self.name, "validation"))
            self.round_seconds.append(time.perf_counter() - began)
            if self._accuracy(-1) >= max(self._accuracy(each) for each in range(len(self.history) - 1)):
                load_vector(self.best, to_vector(model))
                self.best_round = self.strategy.round
            on_round(self.strategy.round)

    def finish(self, gate: Gate, store: ModelStore, tau: float = 0.0) -> dict:
        """Test the best model once, release it if it is good enough; what summary.json has.

        Args:
            tau: how much it is to lean to languages with few names (`models.leaning`).
        """
        if tau:
            counts = torch.tensor([each["by_language"] for each in self.federation.descriptions.values()]).sum(0)
            self.best = leaning(self.best, counts, tau)
        before = self.federation.evaluate(self.start, self.name, "test")
        after = self.federation.evaluate(self.best, self.name, "test")
        first, last = add_up(before.values()), add_up(after.values())
        by_worker = {worker: counts.accuracy for worker, counts in after.items()}
        reasons = gate.reasons_against(last.accuracy, by_worker, {}, self.best_round)
        version = None
        try:
            version = None if reasons else self._release(last, by_worker, store)
            lacking = {} if reasons else dict(self.federation.missing)
        except ReleaseError as error:  # what was learned is told all the same
            reasons, lacking = [str(error)], {}
        return {
            "engine": "flower",
            "workers": list(self.federation.descriptions),
            "participants": len(self.federation.descriptions),
            "names_total": sum(sum(each["by_language"]) for each in self.federation.descriptions.values()),
            "rounds": self.rounds,
            "best_round": self.best_round,
            "model": self.name,
            "strategy": self._strategy_name,
            "aggregation": self.aggregation,
            "batch_size": self.settings.batch_size,
            "learning_rate": self.settings.learning_rate,
            "passes": self.settings.passes,
            "steps": self.settings.steps,
            "clip": self.settings.clip,
            "schedule": self.strategy.schedule,
            "server_learning_rate": self.strategy.server_learning_rate,
            "leaning": tau,
            "round_seconds": [round(each, 3) for each in self.round_seconds],
            "accuracy_initial": first.accuracy,
            "accuracy_final": last.accuracy,
            "balanced_accuracy_final": last.balanced_accuracy,
            "accuracy_by_worker": by_worker,
            "accuracy_by_round": [add_up(each.values()).accuracy if each else None for each in self.history],
            "missing_by_round": self.missing,
            "released_version": version,
            "not_released": reasons,
            "away": list(lacking),
            "away_reasons": lacking,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "flwr": metadata.version("flwr"),
        }

    def _release(self, counts: Counts, by_worker: Mapping[str, float], store: ModelStore) -> int:
        federation = self.federation
        newest = max([0, *store.versions(), *(each["newest"] for each in federation.descriptions.values())])
        card = Card(
            newest + 1,
            self.name,
            tuple(federation.languages),
            counts.accuracy,
            tuple(federation.descriptions),
            self.best_round,
            aggregation=self.aggregation,
            strategy=self._strategy_name,
            alphabet=federation.alphabet.name,
            alphabet_digest=federation.alphabet.digest(),
            accuracy_by_worker=by_worker,
            measures={name: (each.value, each.low, each.high) for name, each in counts.measures().items()},
        )
        return federation.release(card, self.best, store, coordinator_key())

    def _new_model(self) -> Model:
        federation = self.federation
        return make_model(self.name, federation.alphabet.size, len(federation.languages), self.settings.seed)

    def _accuracy(self, number: int) -> float:
        counts = self.history[number]
        return add_up(counts.values()).accuracy if counts else 0.0


def _tell(out: Path, event: dict) -> None:
    """A line for whoever waits for the run: Flower's own way to tell is its log."""
    with (out / "flower.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(event) + "\n")
