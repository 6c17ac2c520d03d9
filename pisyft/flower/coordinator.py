"""A federation seen from the coordinator, whose workers are Flower's nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.common import FitIns, FitRes, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common import recorddict_compat as compat
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.workflow import SecAggPlusWorkflow
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.serverapp import Grid

from pisyft.flower.messages import DESCRIBE, EVALUATE, RELEASE, TRAIN_IN_THE_CLEAR, content, values_of
from pisyft.flower.secure import Quantisation
from pisyft.learning.alphabet import alphabet_by_name
from pisyft.learning.evaluation import Counts
from pisyft.learning.models import Model
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import to_vector
from pisyft.release import Card, ModelStore, ReleaseError, Signature

# The part of a device's neighbours that must stay for its masks to be taken off, and how many neighbours it has: all of
# them, until that is more than a graph needs (Bell et al. 2020, section 4).
_THRESHOLD = 0.6
_MOST_NEIGHBOURS = 51


class FlowerError(Exception):
    """These nodes cannot train together, or a round came to nothing. The text says which node, and why."""


class FlowerFederation:
    """Devices that train one model together over Flower, each on names that stay with it.

    Args:
        grid: Flower's connection to the SuperLink.
        context: of the ServerApp.
        nodes: Flower's ids of the devices that take part.
        timeout: seconds to wait for the answers to one step.

    Attributes:
        descriptions: what each device tells about its names, by its id.
        missing: the devices that are not in the last sum, count or release, by id, and why.
        languages: the languages that all know, in the order of the model's outputs.

    Raises:
        FlowerError: too few devices, or with different languages or letters.
    """

    def __init__(self, grid: Grid, context: Context, nodes: Iterable[int], timeout: float = 600.0) -> None:
        self._grid, self._context, self._timeout = grid, context, timeout
        self._round = 0
        self.nodes: dict[str, int] = {}
        self.missing: dict[str, str] = {}
        answers = self._ask({node: content({}) for node in nodes}, DESCRIBE)
        told = {node: values_of(answer) for node, answer in answers.items()}
        self.nodes = {each["worker"]: node for node, each in told.items()}
        self.descriptions: dict[str, dict] = {each["worker"]: each for each in told.values()}
        self._check(len(told))
        first = next(iter(self.descriptions.values()))
        self.languages: list[str] = first["languages"]
        self.alphabet = alphabet_by_name(first["alphabet"])

    def _check(self, answered: int) -> None:
        if answered < 2:
            raise FlowerError("a federation needs two devices or more: a sum over one would be its own model")
        if len(self.nodes) < answered:
            raise FlowerError("two SuperNodes have the same id: give each its own with --node-config 'id=\"ID\"'")
        first, *others = self.descriptions.values()
        for each in others:
            for what in ("languages", "alphabet_digest"):
                if each[what] != first[what]:
                    raise FlowerError(f"{first['worker']} and {each['worker']} have different {what.split('_')[0]}")

    @property
    def names_to_train(self) -> dict[str, int]:
        """How many names each device trains on, of those that have enough of them."""
        counts = {worker: each["train"] for worker, each in self.descriptions.items()}
        return {worker: count for worker, count in counts.items() if count >= self.descriptions[worker]["floor"]}

    def train(self, message: np.ndarray, name: str, settings: TrainingSettings, aggregation: str) -> np.ndarray:
        """Have all devices train; the mean of what changed, weighted by names, float64, as long as the message.

        Args:
            message: the strategy's, float32.
            name: of the network.
            aggregation: "secagg", or "plain", in which the coordinator sees each device's change.

        Raises:
            FlowerError: too few devices have trained.
        """
        self._round += 1
        names = self.names_to_train
        if len(names) < 2:
            raise FlowerError("fewer than two devices have enough names to train on")
        asked = FitIns(
            ndarrays_to_parameters([np.ascontiguousarray(message, np.float32)]),
            {"model": name, "settings": json.dumps(asdict(settings))},
        )
        if aggregation == "secagg":
            return self._train_securely(asked, names)
        requests = {self.nodes[worker]: compat.fitins_to_recorddict(asked, keep_input=True) for worker in names}
        answers = self._of_whoever_is_there(requests, TRAIN_IN_THE_CLEAR, least=2)
        results = [compat.recorddict_to_fitres(answer, keep_input=True) for answer in answers.values()]
        changes = [parameters_to_ndarrays(each.parameters)[0].astype(np.float64) for each in results]
        return np.average(changes, axis=0, weights=[each.num_examples for each in results])

    def _train_securely(self, asked: FitIns, names: Mapping[str, int]) -> np.ndarray:
        figures = Quantisation.for_devices(names)
        participants = _Participants([GridClientProxy(self.nodes[each], self._grid, 0) for each in names], asked)
        context = LegacyContext(self._context, strategy=participants)
        context.state.config_records[MAIN_CONFIGS_RECORD] = ConfigRecord({WorkflowKey.CURRENT_ROUND: self._round})
        context.state.array_records[MAIN_PARAMS_RECORD] = ArrayRecord()
        workflow = SecAggPlusWorkflow(
            1.0 if len(names) <= _MOST_NEIGHBOURS else _MOST_NEIGHBOURS,
            _THRESHOLD,
            max_weight=figures.max_weight,
            clipping_range=figures.clipping_range,
            quantization_range=figures.quantisation_range,
            timeout=self._timeout,
        )
        watched = _Watched(self._grid)
        workflow(watched, context)
        self.missing = self._by_worker(watched.failures)
        if participants.mean is None:
            told = "; ".join(f"{worker}: {reason}" for worker, reason in self.missing.items())
            raise FlowerError(f"round {self._round} has no sum. {told or 'too few devices answered'}")
        return participants.mean

    def evaluate(self, model: Model, name: str, part: str) -> dict[str, Counts]:
        """What each device counts on a part of its names, by its id; of those that are there and have enough of them.

        Raises:
            FlowerError: none of them has answered.
        """
        able = [worker for worker, each in self.descriptions.items() if each[part] >= each["floor"]]
        vector = to_vector(model).numpy()
        requests = {self.nodes[worker]: content({"model": name, "part": part}, vector) for worker in able}
        answers = self._of_whoever_is_there(requests, EVALUATE, least=1) if able else {}
        return {
            worker: Counts.from_answer(values_of(answers[self.nodes[worker]]))
            for worker in able
            if self.nodes[worker] in answers
        }

    def release(self, card: Card, model: Model, store: ModelStore, key: Ed25519PrivateKey) -> int:
        """Push the model to all devices, or to none: staged everywhere first, then put to use.

        Once all have it, it is released: a device that then fails to put it to use is in `missing`.

        Raises:
            ReleaseError: a device refuses it. Nobody uses it then.
        """
        weights = to_vector(model).numpy().astype("<f4")
        digest = store.stage(card, weights)
        signature = Signature.of(digest, key)
        stage = {
            "step": "stage",
            "card": card.as_answer(),
            "signer": signature.signer.hex(),
            "signature": signature.value.hex(),
        }
        nodes = list(self.nodes.values())
        try:
            staged = self._ask({node: content(stage, weights) for node in nodes}, RELEASE)
            if any(values_of(answer)["done"] != digest for answer in staged.values()):
                raise FlowerError("a device has stored something else than was sent")
        except FlowerError as error:
            self._send({node: content({"step": "abort", "digest": digest}) for node in nodes}, RELEASE)
            store.abort(digest)
            raise ReleaseError(f"not released to anybody, since not everybody takes it. {error}") from error
        store.commit(digest)
        commit = {node: content({"step": "commit", "digest": digest}) for node in nodes}
        self._of_whoever_is_there(commit, RELEASE, least=0)
        return card.version

    def _ask(self, requests: Mapping[int, RecordDict], kind: str) -> dict[int, RecordDict]:
        """Ask nodes, all at the same time; what each answers, by its Flower id.

        Raises:
            FlowerError: one of them did not answer, or failed.
        """
        return self._of_whoever_is_there(requests, kind, least=len(requests))

    def _of_whoever_is_there(self, requests: Mapping[int, RecordDict], kind: str, least: int) -> dict[int, RecordDict]:
        """Ask nodes; what those answer that do. Why the others do not is in `missing`.

        Raises:
            FlowerError: they are fewer than `least`.
        """
        replies = self._send(requests, kind)
        failed = {node: str(reply.error.reason) for node, reply in replies.items() if reply.has_error()}
        failed |= dict.fromkeys(set(requests) - set(replies), f"no answer within {self._timeout:.0f} s")
        self.missing = self._by_worker(failed)
        if len(requests) - len(failed) < least:
            told = "; ".join(f"{worker}: {reason}" for worker, reason in self.missing.items())
            raise FlowerError(f"{kind.split('.')[-1]} failed. {told}")
        return {node: reply.content for node, reply in replies.items() if node not in failed}

    def _by_worker(self, by_node: Mapping[int, str]) -> dict[str, str]:
        workers = {node: worker for worker, node in self.nodes.items()}
        return {workers.get(node, f"node {node}"): _readable(reason) for node, reason in by_node.items()}

    def _send(self, requests: Mapping[int, RecordDict], kind: str) -> dict[int, Message]:
        group = str(self._round)
        messages = [Message(each, node, kind, group_id=group) for node, each in requests.items()]
        replies = self._grid.send_and_receive(messages, timeout=self._timeout)
        return {reply.metadata.src_node_id: reply for reply in replies}


class _Participants:
    """What Flower's secure workflow takes for a strategy: whom to ask, and where the mean goes."""

    def __init__(self, proxies: list[GridClientProxy], asked: FitIns) -> None:
        self._proxies, self._asked = proxies, asked
        self.mean: np.ndarray | None = None

    def configure_fit(self, *_: Any) -> list[tuple[GridClientProxy, FitIns]]:
        return [(proxy, self._asked) for proxy in self._proxies]

    def aggregate_fit(self, _: int, results: list[tuple[GridClientProxy, FitRes]], failures: list) -> tuple[None, dict]:
        # The workflow has written the weighted mean into each result, in the place of what the device would have sent.
        self.mean = parameters_to_ndarrays(results[0][1].parameters)[0].astype(np.float64)
        return None, {}


class _Watched:
    """Flower's grid, which remembers what nodes answered in place of a result: the workflow keeps it to itself."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self.failures: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Iterable[Message], **options: Any) -> list[Message]:
        replies = list(self._grid.send_and_receive(messages, **options))
        self.failures |= {each.metadata.src_node_id: str(each.error.reason) for each in replies if each.has_error()}
        return replies


def _readable(reason: str) -> str:
    """What a device's app raised, as Python would print it: Flower writes `<class 'module.Type'>:<'text'>`."""
    raised = re.fullmatch(r"<class '(?:\w+\.)*(\w+)'>:<'(.*)'>", reason, re.DOTALL)
    return ": ".join(raised.groups()) if raised else reason
