"""Whom the attacks are made on: real workers under each policy, which serve a good client after every attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pisyft.lab import Lab
from pisyft.privacy import STRICT, TEACH
from tests.attacks.attacker import Attacker
from tests.helpers import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def strict_lab(names_folder) -> Iterator[Lab]:
    """Carla and dan, as `pisyft worker` starts them: under the policy strict, with the certificates of a classroom."""
    with Lab(names_folder, ["carla", "dan"], policy=STRICT.name, certificates=True) as lab:
        yield lab


def knock(lab: Lab, worker: str, **options) -> Attacker:
    """A connection to a worker of a lab, as its coordinator unless the options say otherwise."""
    credentials = lab.classroom.credentials if lab.classroom else None
    return Attacker(lab.addresses[worker], worker, **({"credentials": credentials} | options))


@pytest.fixture
def connections() -> Iterator[Callable[..., Attacker]]:
    """Makes connections for one test: `connections(lab, worker)`."""
    made: list[Attacker] = []

    def connect(lab: Lab, worker: str, **options) -> Attacker:
        made.append(knock(lab, worker, **options))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def assert_serves(lab: Lab) -> None:
    """A good client is answered by every worker of a lab."""
    for worker in lab.workers:
        client = knock(lab, worker)
        assert client.call("describe")["worker"] == worker
        client.close()


@pytest.fixture
def mallory(lab, connections) -> Iterator[Attacker]:
    """A coordinator of alice, under the policy teach, who wants her names."""
    yield connections(lab, "alice")
    assert_serves(lab)


@pytest.fixture(params=[TEACH.name, STRICT.name])
def anybody(request, connections) -> Iterator[Attacker]:
    """A coordinator of a worker, under either policy."""
    policy = request.param
    lab = request.getfixturevalue("lab" if policy == TEACH.name else "strict_lab")
    attacker = connections(lab, lab.workers[0])
    attacker.connection.socket.settimeout(PATIENCE_SECONDS)
    yield attacker
    assert_serves(lab)
