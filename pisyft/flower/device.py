"""The ClientApp: what runs on a device. It answers with counts, and with what a training has changed."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message
from flwr.client.mod import secaggplus_mod
from flwr.clientapp import ClientApp
from flwr.common import Code, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.compat.common import recorddict_compat as compat

from pisyft.classroom import DEFAULT_FLOOR
from pisyft.flower.messages import content, values_of, vector_of
from pisyft.flower.secure import refuse_to_clip
from pisyft.learning.alphabet import alphabet_by_name
from pisyft.learning.encoding import encode
from pisyft.learning.evaluation import count_guesses
from pisyft.learning.floors import LossInBlocks, diverging_in_blocks, in_own_order
from pisyft.learning.models import Model, make_model
from pisyft.learning.names import TEST, TRAIN, read_parts, total
from pisyft.learning.strategies import Trainee
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import load_vector
from pisyft.limits import Limits
from pisyft.release import Card, ModelStore, ReleaseError, Signature

SIMULATED_NAMES = "PISYFT_SIMULATED_NAMES"
_OWN, _CONTROL = "pisyft.own", "pisyft.control"

app = ClientApp()


class NotTold(Exception):
    """The device does not answer this. The text says why, and what is possible instead."""


class Device:
    """Names that stay, as a SuperNode's configuration says where they are.

    Args:
        context: Flower's. `node_config` has `names`, the folder of names; and may have `id`, `models` (the folder for
            releases), `alphabet`, and `allow-plain`, without which the device takes part in secure sums only. In
            Flower's simulation, which gives every device a number instead, the environment variable
            `PISYFT_SIMULATED_NAMES` is the folder that `pisyft data split --workers N` has dealt into.
    """

    def __init__(self, context: Context) -> None:
        configured = context.node_config
        if "names" in configured:
            folder = Path(str(configured["names"]))
        elif "partition-id" in configured and SIMULATED_NAMES in os.environ:
            number = int(configured["partition-id"]) + 1
            folder = Path(os.environ[SIMULATED_NAMES]) / f"pi-{number}" / "names"
        else:
            raise NotTold('this SuperNode has no names: start it with --node-config \'names="FOLDER" id="ID"\'')
        self.id = str(configured.get("id", folder.parent.name))
        self.alphabet = alphabet_by_name(str(configured.get("alphabet", "tutorial")))
        # What is simulated is nobody's.
        self.allows_plain = "names" not in configured or bool(configured.get("allow-plain", False))
        self.floor = DEFAULT_FLOOR
        self.names = read_parts(folder, self.alphabet)
        self.languages = tuple(self.names.languages)
        self.store = ModelStore(str(configured.get("models", folder.parent / "models")))

    def describe(self) -> dict:
        """How many names there are, of which languages, and which released model is in use."""
        return {
            "worker": self.id,
            "languages": list(self.languages),
            "alphabet": self.alphabet.name,
            "alphabet_digest": self.alphabet.digest(),
            "by_language": [len(of_language) for of_language in self.names.together.values()],
            **{part: total(of_part) for part, of_part in self.names.items()},
            "floor": self.floor,
            "newest": max(self.store.versions(), default=0),
        }

    def encoded(self, part: str):
        """The names of a part.

        Raises:
            NotTold: they are fewer than the floor.
        """
        of_part = dict(self.names.items()).get(part)
        if of_part is None or total(of_part) < self.floor:
            have = 0 if of_part is None else total(of_part)
            raise NotTold(f"{self.id} tells figures over {self.floor} names or more, and has {have} to {part}")
        return encode(of_part, self.alphabet)

    def model(self, name: str) -> Model:
        """A network of that name, for these letters and languages."""
        return make_model(name, self.alphabet.size, len(self.languages))


@app.query("describe")
def describe(message: Message, context: Context) -> Message:
    """Counts of names, by part and language."""
    return Message(content(Device(context).describe()), reply_to=message)


@app.train(mods=[secaggplus_mod, refuse_to_clip])
def train(message: Message, context: Context) -> Message:
    """Train; what has changed goes through the secure sum."""
    # In float64: Flower adds the clipping range before it rounds, which costs float32 its last digits.
    return _train(message, context, Device(context), np.float64)


@app.train("plain")
def train_in_the_clear(message: Message, context: Context) -> Message:
    """Train; the coordinator sees what has changed on this device. Refused, unless its owner says `allow-plain`."""
    device = Device(context)
    if not device.allows_plain:
        raise NotTold(
            f"{device.id} takes part in secure sums only, so that nobody sees what it has learned: its owner may say "
            "otherwise with --node-config 'allow-plain=true'"
        )
    return _train(message, context, device, np.float32)


def _train(message: Message, context: Context, device: Device, dtype: type) -> Message:
    torch.set_num_threads(1)
    asked = compat.recorddict_to_fitins(message.content, keep_input=True)
    (vector,) = parameters_to_ndarrays(asked.parameters)
    trainee = Trainee(device.encoded(TRAIN))
    if _CONTROL in context.state.array_records:
        trainee.control = torch.tensor(context.state.array_records[_CONTROL][_CONTROL].numpy())
    settings = TrainingSettings.from_values(json.loads(str(asked.config["settings"])))
    if over := Limits().against(settings, len(trainee.names), device.id):
        raise NotTold(over)
    settings = in_own_order(settings, _own_seed(context))
    losses = LossInBlocks(lambda _: None, device.floor)
    if (trained_on := settings.names(len(trainee.names))) < device.floor:
        raise NotTold(f"{device.id} trains on {device.floor} names or more, and not on {trained_on}: take more steps")
    model, start = device.model(str(asked.config["model"])), torch.tensor(vector)
    with diverging_in_blocks(settings, device.floor):
        change, result = trainee.train(model, start, settings, losses.add)
    if trainee.control is not None:  # SCAFFOLD's, which stays here between rounds
        context.state[_CONTROL] = ArrayRecord({_CONTROL: Array(trainee.control.numpy())})
    told = {"names": result.names, "steps": result.steps, "loss": float("nan") if losses.mean is None else losses.mean}
    answer = FitRes(
        Status(Code.OK, ""),
        ndarrays_to_parameters([change.numpy().astype(dtype)]),
        len(trainee.names),
        told,
    )
    return Message(compat.fitres_to_recorddict(answer, keep_input=False), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Count the model's guesses on a part of the names, over the floor."""
    torch.set_num_threads(1)
    device, asked = Device(context), values_of(message.content)
    names = device.encoded(str(asked.get("part", TEST)))
    model = load_vector(device.model(str(asked["model"])), torch.tensor(vector_of(message.content)))
    counts = count_guesses(model, names, len(device.languages)).with_floor(device.floor)
    return Message(content(counts.as_answer()), reply_to=message)


@app.query("release")
def release(message: Message, context: Context) -> Message:
    """Stage, commit or abort a released model, as PiSyft's workers do."""
    device, asked = Device(context), values_of(message.content)
    step = asked.get("step")
    if step == "stage":
        card = Card.from_answer(asked["card"])
        if card.languages != device.languages or card.alphabet_digest != device.alphabet.digest():
            raise ReleaseError("the model is for other languages or letters than this device's names")
        weights = vector_of(message.content)
        load_vector(device.model(card.model), torch.tensor(weights))  # does it fit?
        signature = Signature(bytes.fromhex(asked["signer"]), bytes.fromhex(asked["signature"]))
        done: object = device.store.stage(card, weights, signature)
    elif step == "commit":
        done = device.store.commit(str(asked["digest"]))
    elif step == "abort":
        done = None
        device.store.abort(str(asked["digest"]))
    else:
        raise ValueError(f"there is no step {step!r} of a release, only stage, commit and abort")
    return Message(content({"done": done}), reply_to=message)


def _own_seed(context: Context) -> int:
    """Of this device and run: nobody else knows it, so that nobody knows which names a step was about."""
    if _OWN not in context.state.config_records:
        context.state[_OWN] = ConfigRecord({"seed": secrets.randbits(62)})
    return int(context.state.config_records[_OWN]["seed"])
