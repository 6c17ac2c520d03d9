"""Attacks by saying that one is somebody else, by repeating what was said, and by sums that are about one Pi."""

import os
import ssl
from dataclasses import asdict

import numpy as np
import pytest
import torch
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from syft.exceptions import GetNotPermittedError
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidMessage

from pisyft.aggregation.agreement import digest_of_training, new_round_id
from pisyft.aggregation.errors import Refused
from pisyft.aggregation.rounds import new_agreement
from pisyft.classroom import Classroom, create
from pisyft.learning.models import make_model
from pisyft.learning.remote import find_names
from pisyft.learning.training import TrainingSettings
from pisyft.learning.vectors import layout_of, to_vector
from pisyft.release import ReleaseError, Signature
from pisyft.transport.failures import carry
from pisyft.transport.frames import Call, Result
from pisyft.transport.values import pack
from tests.attacks.attacker import There

for error in (Refused, ReleaseError):
    carry(error)

# What it looks like, from outside, not to be let in.
NOT_LET_IN = (ConnectionClosed, InvalidHandshake, InvalidMessage, ssl.SSLError, ConnectionError, EOFError)


@pytest.fixture(scope="module")
def credentials_of(strict_lab):
    """The certificate of a member of the strict lab's classroom."""
    return lambda member: Classroom.load(strict_lab.folder / "classroom" / member / "classroom.toml").credentials


# Who somebody is


def test_no_certificate(strict_lab, connections):
    """Wants in, in the clear, where TLS is asked for."""
    with pytest.raises(NOT_LET_IN):
        connections(strict_lab, "dan", credentials=None)


def test_the_certificate_of_another_classroom(strict_lab, connections, tmp_path):
    """Wants in with a certificate of its own authority, for the same ids."""
    others = create(tmp_path / "classroom", strict_lab.addresses, "other")
    with pytest.raises(NOT_LET_IN):
        connections(strict_lab, "dan", credentials=Classroom.load(others["coordinator"]).credentials)


@pytest.mark.parametrize(
    ("member", "sender", "peer"),
    [("carla", "me", False), ("coordinator", "carla", True), ("carla", "dan", True), ("carla", "carla\n", True)],
)
def test_the_certificate_of_another_role_or_id(strict_lab, connections, credentials_of, member, sender, peer):
    """Wants to be the coordinator with a Pi's certificate, a Pi with the coordinator's, or another Pi.

    Who somebody is stands in the certificate, and the greeting must say the same.
    """
    with pytest.raises(NOT_LET_IN):
        connections(strict_lab, "dan", sender=sender, peer=peer, credentials=credentials_of(member))
    assert connections(strict_lab, "dan").call("describe")["worker"] == "dan"


def test_a_peer_that_asks_like_a_coordinator(strict_lab, connections, credentials_of):
    """Wants counts, or a training, as another Pi. A peer delivers shares."""
    peer = connections(strict_lab, "dan", sender="carla", peer=True, credentials=credentials_of("carla"))
    for verb in ("describe", "fit", "evaluate", "release", "aggregate"):
        with pytest.raises(GetNotPermittedError, match="has no verb .* for a peer"):
            peer.call(verb)


@pytest.mark.parametrize("sender", ["itself", "mallory", "", "other ", "OTHER", 7])
def test_a_peer_that_nobody_knows(without_certificates, connections, sender):
    """Wants its numbers to count as a participant's share. Peers are pinned on the Pi."""
    me, other = without_certificates.workers
    said = {"itself": me, "other ": f"{other} ", "OTHER": other.upper()}.get(sender, sender)
    peer = connections(without_certificates, me, sender=said, peer=True)
    with pytest.raises(GetNotPermittedError, match=f"is no peer of {me}"):
        peer.put(torch.zeros(3).long())
    with pytest.raises(GetNotPermittedError, match=f"is no peer of {me}"):
        peer.call("deliver", round="0" * 32, share=bytes(64))


# What was said before


def test_the_session_of_another_caller(without_certificates, connections):
    """Wants the answer that another caller is waiting for, by its session's name, under another id."""
    session, (me, other) = os.urandom(16), without_certificates.workers
    first = connections(without_certificates, me, session=session)
    there = first.put(torch.tensor([42.0]))
    value = first.fetch(there)
    assert value.item() == 42.0
    thief = connections(without_certificates, me, session=session, sender=other, peer=True)
    with pytest.raises(GetNotPermittedError):
        thief.fetch(there)


def test_a_request_sent_again(anybody):
    """Wants a request executed twice. A number is executed once, and an old one is not answered at all."""
    number = next(anybody.numbers)
    first = anybody.exchange(Call(number, "ping", pack({"payload": b"once"})))
    assert anybody.exchange(Call(number, "release", pack({"step": "commit"}))) == first, "the answer of before"
    later = anybody.call("ping", payload=b"twice")
    anybody.send(Call(number, "ping", pack({"payload": b"old"})))
    assert later["payload"] == b"twice"
    assert anybody.call("ping", payload=b"again")["payload"] == b"again"
    assert isinstance(anybody.last, Result)


# Rounds


@pytest.fixture
def training() -> dict:
    weights = to_vector(make_model("tutorial", 57, 4, seed=0)).detach().numpy()
    return {"model": "tutorial", "weights": weights, "settings": {"steps": 2, "seed": int.from_bytes(os.urandom(3))}}


def agreed(participants, training, protocol="additive", **changes) -> dict:
    """An agreement on a training, as a message; with changes in it."""
    model = make_model("tutorial", 57, 4)
    settings = asdict(TrainingSettings(**training["settings"]))
    digest = digest_of_training(training["weights"], "tutorial", settings)
    return new_agreement(protocol, participants, digest, layout_of(model)).as_message() | changes


def me_and_others(attacker) -> list[str]:
    return ["alice", "bob"] if attacker.worker == "alice" else ["carla", "dan"]


def join(attacker, message):
    return attacker.call("aggregate", round=message["round"], step="join", message=message)


@pytest.mark.parametrize(
    "changes",
    [
        lambda ids: {"participants": ids[:1]},
        lambda ids: {"participants": sorted([ids[0], "mallory"])},
        lambda ids: {"participants": sorted([*ids, "mallory"])},
        lambda ids: {"participants": ids[1:]},
        lambda ids: {"participants": [ids[0], ids[0]]},
        lambda ids: {"participants": ids[::-1]},
        lambda ids: {"participants": [ids[0], ids[0] + " "]},
        lambda ids: {"participants": [ids[0], 7]},
        lambda ids: {"participants": []},
        lambda ids: {"protocol": "plain"},
        lambda ids: {"protocol": "../plain"},
        lambda ids: {"round": "../../rounds"},
        lambda ids: {"round": "\n" * 32},
        lambda ids: {"length": 0},
        lambda ids: {"length": -1},
        lambda ids: {"length": 2**62},
        lambda ids: {"fixed_point": {"bits": 1}},
        lambda ids: {"threshold": -1, "protocol": "masks"},
        lambda ids: {"threshold": 1, "protocol": "masks"},
        lambda ids: {"extra": 1},
    ],
)
def test_a_round_that_nobody_agreed_on(whoever, training, changes):
    """Wants a sum over one, over participants it has made up, or in a protocol that hides nothing."""
    ids = me_and_others(whoever)
    message = agreed(ids, training) | changes(ids)
    with pytest.raises((Refused, ValueError, MemoryError)):
        join(whoever, message)
        whoever.call("fit", round=message["round"], **training)
        whoever.call("aggregate", round=message["round"], step="share", message={})
        whoever.call("aggregate", round=message["round"], step="upload", message={})


def test_a_round_again(whoever, training):
    """Wants a Pi to contribute to one round twice."""
    message = agreed(me_and_others(whoever), training)
    join(whoever, message)
    with pytest.raises(Refused, match="it has done so already"):
        join(whoever, message)


@pytest.mark.parametrize("step", ["upload", "unmask", "confirm", "share ", "__class__", "", "_give"])
def test_a_step_out_of_turn(whoever, training, step):
    """Wants the update before shares hide it, or a step that is none. A failed step ends the Pi's part."""
    message = agreed(me_and_others(whoever), training)
    join(whoever, message)
    with pytest.raises(Refused):
        whoever.call("aggregate", round=message["round"], step=step, message={})
    with pytest.raises(Refused):
        whoever.call("aggregate", round=message["round"], step="upload", message={})


def test_one_pi_trains_and_the_others_do_not(whoever, training):
    """Wants a sum over all that is one Pi's update, since the others' learning rate is zero.

    What all agree on is the whole training, and what is asked for must be that.
    """
    message = agreed(me_and_others(whoever), training)
    join(whoever, message)
    for other in ({"learning_rate": 0.0}, {"steps": 3}, {"clip": 1e-9}, {"round": 1}):
        settings = {**training["settings"], **other}
        with pytest.raises(Refused, match="in another way"):
            whoever.call("fit", round=message["round"], **(training | {"settings": settings}))


def test_another_training_summed_than_was_agreed_on(whoever, training):
    """Wants the training of another round, or of none, in a sum."""
    message = agreed(me_and_others(whoever), training)
    other = training | {"settings": {**training["settings"], "learning_rate": 1e-6}}
    whoever.call("fit", round=new_round_id(), **other)
    join(whoever, message)
    with pytest.raises(Refused):
        whoever.call("aggregate", round=message["round"], step="share", message={"keys": {}})
        whoever.call("aggregate", round=message["round"], step="upload", message={})


# Sums of pointers


def test_a_peers_share_made_up_by_the_coordinator(mallory, lab, connections):
    """Wants alice's share in a complete sum with numbers that it knows, sent as a coordinator."""
    secret = mallory.op("sum", mallory.names.letters)
    known = mallory.put(torch.zeros(1).long())
    total = mallory.op("add", mallory.op("long", mallory.op("view", secret, 1)), known)
    with pytest.raises(GetNotPermittedError):
        mallory.fetch(total)


@pytest.mark.parametrize(
    "add",
    [
        lambda a, x, y: a.op("add", x, 0, y),
        lambda a, x, y: a.op("__add__", x, 0, y),
        lambda a, x, y: a.op("__radd__", x, 0, y),
        lambda a, x, y: a.op("add", x, y, alpha=0),
        lambda a, x, y: a.op("torch.add", None, x, 0, y),
        lambda a, x, y: a.op("sub", x, 0, y),
        lambda a, x, y: a.op("__sub__", x, 0, y),
        lambda a, x, y: a.op("torch.sub", None, x, 0, y),
        lambda a, x, y: (a.op("add_", x, 0, y), x)[1],
        lambda a, x, y: (a.op("__iadd__", x, 0, y), x)[1],
        lambda a, x, y: (a.op("torch.add_each_", None, [x], [y], 0), x)[1],
        lambda a, x, y: a.op("add", x, y, out=x),
    ],
)
def test_a_sum_of_shares_in_which_one_counts_nought_times(mallory, workers, add):
    """Wants alice's shares labelled as a sum with bob's, and his not in it. A sum takes each term once, or is none."""
    shared = [find_names(each).languages.float().fix_precision().share(*workers).get() for each in workers]
    hers, his = (There(each.child.child.child["alice"].id_at_location, "alice") for each in shared)
    with mallory.refuses("stay there|does not execute"):
        mallory.fetch(add(mallory, hers, his))


def test_a_release_signed_by_somebody_else(whoever):
    """Wants a model of its own put to use. The signature is over the model, and of one coordinator."""
    weights = np.zeros(27_000, np.float32)
    signature = Signature.of("0" * 64, Ed25519PrivateKey.generate())
    with pytest.raises((ReleaseError, ValueError)):
        whoever.call(
            "release", step="stage", card={}, weights=weights, signer=signature.signer, signature=signature.value
        )


def test_a_peer_that_delivers_what_is_no_share(lab, connections):
    """Wants floating-point numbers, or a tensor in the place of names, to arrive as a peer's."""
    peer = connections(lab, "alice", sender="bob", peer=True)
    own = connections(lab, "alice").names.languages
    for value, id in ((torch.zeros(3), None), (torch.zeros(140).long(), own.id)):
        with pytest.raises(GetNotPermittedError):
            peer.put(value, id=id)
    for ask in (peer.fetch, peer.shape):
        with pytest.raises(GetNotPermittedError, match="a peer may deliver shares"):
            ask(own)
