"""What the policy `strict` leaves of a worker's surface: its verbs."""

from collections.abc import Iterator

import pytest
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.lab import Lab
from pisyft.privacy import GuardedWorker
from pisyft.transport import WebsocketClientWorker


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


def test_an_unknown_policy_is_refused(hook):
    with pytest.raises(ValueError, match="no policy 'lax', only strict and teach"):
        GuardedWorker(hook, "127.0.0.1", 0, "lax-alice", policy="lax")
