"""Whom the attacks are made on: real workers under each policy, which serve a good client after every attack."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pisyft.audit import FILE, Entry, read
from pisyft.lab import Lab
from pisyft.privacy import OPEN, STRICT, TEACH
from tests.attacks.attacker import Attacker
from tests.helpers import PATIENCE_SECONDS


@pytest.fixture(scope="session")
def strict_lab(names_folder) -> Iterator[Lab]:
    """Carla and dan, as `pisyft worker` starts them: under the policy strict, with the certificates of a classroom."""
    with Lab(names_folder, ["carla", "dan"], policy=STRICT.name, certificates=True) as lab:
        yield lab


@pytest.fixture(scope="session")
def open_lab(names_folder) -> Iterator[Lab]:
    """Erin and frank, under the policy open: they hold no names, and give back whatever they are sent."""
    with Lab(names_folder, ["erin", "frank"], policy=OPEN.name) as lab:
        yield lab


# The fixture of the lab under each policy.
LABS = {TEACH.name: "lab", STRICT.name: "strict_lab", OPEN.name: "open_lab"}


@pytest.fixture
def audited(request) -> Callable[[Attacker], list[Entry]]:
    """What the audit log of an attacker's worker says so far."""
    return lambda attacker: list(
        read(request.getfixturevalue(LABS[attacker.policy]).folder / attacker.worker / "models" / FILE)
    )


@pytest.fixture
def peak_of(request) -> Callable[[Attacker], float]:
    """The megabytes that an attacker's worker has had at most so far."""

    def peak(attacker: Attacker) -> float:
        process = request.getfixturevalue(LABS[attacker.policy])._processes[attacker.worker]
        status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))) / 1024

    return peak


def knock(lab: Lab, worker: str, **options) -> Attacker:
    """A connection to a worker of a lab, as its coordinator unless the options say otherwise."""
    credentials = lab.classroom.credentials if lab.classroom else None
    return Attacker(lab.addresses[worker], worker, lab.policy, **({"credentials": credentials} | options))


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
        assert client.call("ping", payload=b"there?")["payload"] == b"there?"
        if lab.policy != OPEN.name:
            assert client.call("describe")["worker"] == worker
        client.close()


@pytest.fixture
def mallory(lab, connections) -> Iterator[Attacker]:
    """A coordinator of alice, under the policy teach, who wants her names."""
    yield connections(lab, "alice")
    assert_serves(lab)


@pytest.fixture(params=[TEACH.name, STRICT.name, OPEN.name])
def anybody(request, connections) -> Iterator[Attacker]:
    """A coordinator of a worker, under each policy."""
    yield from _coordinator(request, connections)


@pytest.fixture(params=[TEACH.name, STRICT.name])
def whoever(request, connections) -> Iterator[Attacker]:
    """A coordinator of a worker that holds names, under each policy that lets it."""
    yield from _coordinator(request, connections)


@pytest.fixture(params=[TEACH.name, OPEN.name])
def without_certificates(request) -> Iterator[Lab]:
    """A lab whose callers are whoever they say, under each policy that takes pointers."""
    lab = request.getfixturevalue(LABS[request.param])
    yield lab
    assert_serves(lab)


def _coordinator(request, connections) -> Iterator[Attacker]:
    lab = request.getfixturevalue(LABS[request.param])
    attacker = connections(lab, lab.workers[0])
    attacker.connection.socket.settimeout(PATIENCE_SECONDS)
    yield attacker
    assert_serves(lab)
