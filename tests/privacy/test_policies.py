"""What each policy leaves of a worker's surface."""

import re
import subprocess
import sys
from collections.abc import Iterator
from unittest.mock import Mock

import pytest
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.aggregation.errors import Refused
from pisyft.contribution import Contribution
from pisyft.lab import Lab
from pisyft.participant import Participant
from pisyft.privacy import OPEN, STRICT, TEACH, GuardedWorker
from pisyft.refusals import NotPermitted
from pisyft.transport import WebsocketClientWorker
from pisyft.transport.server import Caller
from tests.helpers import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def strict_lab(names_folder) -> Iterator[Lab]:
    with Lab(names_folder, ["strict-alice", "strict-bob"], policy="strict") as lab:
        yield lab


@pytest.fixture
def alice(strict_lab, hook) -> Iterator[WebsocketClientWorker]:
    host, port = strict_lab.addresses["strict-alice"]
    client = WebsocketClientWorker(hook, host, port, id="strict-alice")
    yield client
    client.close()


def refused():
    return pytest.raises(GetNotPermittedError, match="under the policy strict, without pointers.*--policy teach")


def test_verbs_are_answered(alice):
    assert alice.call("describe")["train"] == 140


def test_a_search_is_refused(alice):
    with refused():
        alice.search("#surnames")


def test_a_tensor_that_was_sent_is_refused_when_something_is_waited_for(alice):
    pointer = torch.ones(2).send(alice)
    with refused():
        pointer.get()


def test_a_method_of_the_worker_is_refused(alice):
    with refused():
        alice.command("list_objects")


def test_after_a_refusal_verbs_are_answered(alice):
    with refused():
        alice.search("#surnames")
    assert alice.call("describe")["worker"] == "strict-alice"


@pytest.fixture
def open_carol(hook) -> Iterator[WebsocketClientWorker]:
    """A worker of the policy `open`, in a process of its own."""
    command = [sys.executable, "-m", "pisyft", "worker", "--id", "open-carol", "--policy", "open", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = re.fullmatch(
                r"open-carol is ready on (.*):(\d+): no names, nothing private\n", process.stdout.readline()
            )
            client = WebsocketClientWorker(hook, told[1], int(told[2]), id="open-carol")
            yield client
            client.close()
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def test_an_open_worker_gives_back_what_it_is_sent_and_no_more(open_carol):
    x = torch.tensor([1.0, 2.0]).send(open_carol)

    assert torch.equal((x + x).get(), torch.tensor([2.0, 4.0]))
    with pytest.raises(GetNotPermittedError, match="no verb 'describe' for a coordinator, only ping .rule verb"):
        open_carol.call("describe")
    with pytest.raises(GetNotPermittedError, match="reads no WorkerCommandMessage .rule message"):
        open_carol.objects_count_remote()


def test_an_open_worker_holds_no_names(hook):
    with pytest.raises(GetNotPermittedError, match="works under the policy open and holds no names .rule names"):
        GuardedWorker.own(Mock(policy=OPEN, id="carol"), torch.tensor([1.0]), "#surnames")


def test_a_verb_that_the_policy_does_not_list_is_refused_although_there_is_one():
    worker = object.__new__(GuardedWorker)  # another one in this process would guard it all
    worker.id, worker.policy = "carol", OPEN
    worker._verbs = {"describe": print, "ping": print}
    with pytest.raises(GetNotPermittedError, match="carol has no verb 'describe' for a coordinator, only ping"):
        worker.find_verb("describe", Caller("me", is_peer=False))


def test_what_a_worker_offers_is_what_its_policy_lists():
    """A verb that is added to one and not to the other is refused, or listed in vain."""
    offered = {*Participant.verbs.fget(Mock(_contribution=Mock(verbs={}))), *Contribution.verbs.fget(Mock()), "ping"}
    assert offered == STRICT.verbs == TEACH.verbs
    assert {*Contribution.peer_verbs.fget(Mock()), "ping"} == STRICT.peer_verbs == TEACH.peer_verbs
    assert not STRICT.messages | STRICT.peer_messages | STRICT.methods | STRICT.functions


def test_an_unknown_policy_is_refused(hook):
    with pytest.raises(ValueError, match="no policy 'lax', only strict, teach, open"):
        GuardedWorker(hook, "127.0.0.1", 0, "lax-alice", policy="lax")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(28, "No space left on device", "/home/pi/models/v0001.npz"), "release failed: OSError"),
        (IndexError("Target 17 is out of bounds"), "release failed: IndexError"),
        (KeyError("Dvorak"), "release failed: KeyError"),
        (ValueError("there is no model 'x'"), "there is no model 'x'"),
        (NotPermitted("floor", "too few"), "too few (rule floor)"),
        (Refused("no such round"), "no such round"),
    ],
)
def test_only_what_was_written_to_be_told_is_told_of_what_fails_in_a_verb(error, told):
    assert str(GuardedWorker.as_told(Mock(), "release", error)) == told
