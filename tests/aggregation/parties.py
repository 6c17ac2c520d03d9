"""Participants of simulated rounds, each with an update of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np

from pisyft import classroom
from pisyft.aggregation.agreement import Agreement, Ledger
from pisyft.aggregation.rounds import PROTOCOLS, Rounds, Update, new_agreement
from pisyft.aggregation.signer import Signer
from pisyft.aggregation.simulation import Gone

LAYOUT = {"i2h.weight": (4, 3), "i2h.bias": (4,)}
LENGTH = 16
MODEL = "the model that everybody starts from"


def ids(count: int) -> list[str]:
    return [f"pi{number:02d}" for number in range(count)]


def make_parties(names: Iterable[str], seed: int = 0, **ledger) -> dict[str, Rounds]:
    """A `Rounds` for each, which takes part in every protocol and has an update."""
    names, generator = list(names), np.random.default_rng(seed)
    parties = {}
    for name in names:
        parties[name] = Rounds(Ledger(name, names, **{"protocols": PROTOCOLS, **ledger}))
        parties[name].keep(
            Update(generator.standard_normal(LENGTH), int(generator.integers(1, 10**6)), dict(LAYOUT), MODEL)
        )
    return parties


def signing(parties: Mapping[str, Rounds]) -> dict[str, Rounds]:
    """The same, each with its certificate of a new classroom."""
    signers = make_signers(parties)
    made = {name: Rounds(party.ledger, signers[name]) for name, party in parties.items()}
    for name, party in parties.items():
        made[name].keep(update_of(party))
    return made


def make_signers(names: Iterable[str]) -> dict[str, Signer]:
    """A classroom's members as signers, the coordinator among them."""
    with tempfile.TemporaryDirectory() as folder:
        made = classroom.create(Path(folder) / "room", dict.fromkeys(names, ("127.0.0.1", 1)))
        return {
            name: Signer(
                *((file.parent / part).read_bytes() for part in ("authority.pem", f"{name}.pem", f"{name}.key"))
            )
            for name, file in made.items()
        }


def agree(protocol: str, names: Iterable[str], **changes) -> Agreement:
    return new_agreement(protocol, names, MODEL, LAYOUT, **changes)


def update_of(party: Rounds) -> Update:
    assert party.update is not None
    return party.update


def plain_mean(parties: Mapping[str, Rounds], names: Iterable[str]) -> np.ndarray:
    """The weighted mean in float64, by somebody who sees everything."""
    updates = [update_of(parties[name]) for name in names]
    weights = np.array([update.weight for update in updates], dtype=np.float64)
    return weights @ np.stack([update.values for update in updates]) / weights.sum()


def vanishing(*when: tuple[str, str]) -> Callable[[str, str, object], None]:
    """An `on_message` in which participants vanish, each at the question of a step."""
    gone = set()

    def on_message(participant: str, step: str, message: object) -> None:
        if (participant, step) in when:
            gone.add(participant)
        if participant in gone:
            raise Gone(f"{participant} was switched off")

    return on_message
