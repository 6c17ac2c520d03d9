"""Zero-sum masks: every Pi uploads its update under random masks that cancel in the sum, also when some Pis vanish.

Bonawitz et al. 2017, "Practical Secure Aggregation for Privacy-Preserving Machine Learning", figure 4, with the sparse
graph of neighbours of Bell et al. 2020, "Secure Single-Server Aggregation with (Poly)Logarithmic Overhead" (SecAgg+),
from 21 participants on. What is summed is

    upload(u) = update(u) + stream(seed of u) + sum over u's neighbours v of +-stream(secret of u and v)

where u adds what v subtracts. If u vanishes before its upload, its neighbours hand out their shares of the key that its
pairwise masks come from; if it does not, their shares of its seed; never both, so that an upload that was believed lost
and turns up late stays hidden.

The coordinator carries the messages between the Pis. What it must not read is sealed; what it must not change is
signed, where the Pis have keys to sign with.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pisyft.aggregation import shamir
from pisyft.aggregation.agreement import Agreement, least_threshold
from pisyft.aggregation.errors import Refused
from pisyft.aggregation.protocol import CONFIRM, JOIN, SHARE, UNMASK, UPLOAD, Answer, Collector, Contributor
from pisyft.aggregation.streams import add_stream, new_seed

STEPS = (JOIN, SHARE, UPLOAD, CONFIRM, UNMASK)

KEY_BYTES = 32
_SEALED_BYTES = 2 * shamir.SHARE_BYTES + 16
# Up to so many participants, everybody is everybody's neighbour.
COMPLETE_UP_TO = 20


def degree(participants: int) -> int:
    """How many neighbours each of so many participants has: all others, or about 6 log2 of their number."""
    if participants <= COMPLETE_UP_TO:
        return participants - 1
    return min(participants - 1, 2 * math.ceil(3 * math.log2(participants)))


def neighbours(agreement: Agreement) -> Mapping[str, tuple[str, ...]]:
    """Every participant's neighbours, the same for everybody who has the same agreement.

    The participants stand in a circle, in an order drawn from the agreement's digest, and each knows those next to it
    on either side (Bell et al. 2020, section 3.2).
    """
    return _neighbours(agreement.digest, agreement.participants)


@functools.lru_cache(maxsize=4)
def _neighbours(digest: bytes, participants: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    number = len(participants)
    if degree(number) == number - 1:
        return {each: tuple(other for other in participants if other != each) for each in participants}
    circle = sorted(participants, key=lambda each: hashlib.sha256(digest + each.encode()).digest())
    steps = [step for away in range(1, degree(number) // 2 + 1) for step in (away, -away)]
    return {each: tuple(circle[(at + step) % number] for step in steps) for at, each in enumerate(circle)}


def group_size(participants: int) -> int:
    """A participant and its neighbours: those that hold shares of its secrets."""
    return degree(participants) + 1


def _check(agreement: Agreement) -> None:
    group = group_size(len(agreement.participants))
    if not least_threshold(group) <= agreement.threshold <= group:
        raise Refused(
            f"agreement: a threshold of {agreement.threshold} for groups of {group}; it must be "
            f"{least_threshold(group)} at least"
        )


class MasksContributor(Contributor):
    """Agrees on masks with its neighbours, uploads a masked update, and helps to take the masks off the sum."""

    steps = STEPS

    def __init__(self, *arguments, **keywords) -> None:
        super().__init__(*arguments, **keywords)
        _check(self.agreement)
        self._neighbours = neighbours(self.agreement)[self.me]
        # One key seals shares, the other makes masks: the second is given away if this Pi vanishes.
        self._box_key, self._mask_key = X25519PrivateKey.generate(), X25519PrivateKey.generate()
        self._boxes: dict[str, bytes] = {}
        self._masks: dict[str, bytes] = {}
        self._seed = b""
        # Shares of other Pis' seeds and keys; of its own seed, too.
        self._seed_shares: dict[str, bytes] = {}
        self._key_shares: dict[str, bytes] = {}
        self._gone: list[str] = []

    def _answer(self, step, message, update) -> Answer:
        if step == JOIN:
            return self._public_keys(), {}
        if step == SHARE:
            return {"sealed": self._make_shares(message["keys"])}, {}
        if step == UPLOAD:
            self._open(message["sealed"])
            return {"vector": self._masked(update)}, {}
        if step == CONFIRM:
            return {"signature": self._confirm(message["gone"])}, {}
        return self._unmask(message["signatures"]), {}

    def _public_keys(self) -> dict:
        box = self._box_key.public_key().public_bytes_raw()
        mask = self._mask_key.public_key().public_bytes_raw()
        signature = self.signer.sign(_signed_keys(self.agreement, self.me, box, mask)) if self.signer else b""
        return {"box": box, "mask": mask, "signature": signature}

    def _make_shares(self, keys: Mapping[str, Mapping]) -> dict[str, bytes]:
        """Take the neighbours' keys; a sealed share of this Pi's secrets for each of them."""
        self._enough(keys, self._neighbours, "keys")
        seen = {self._box_key.public_key().public_bytes_raw(), self._mask_key.public_key().public_bytes_raw()}
        for other, public in keys.items():
            box, mask = public["box"], public["mask"]
            if self.signer and not self.signer.check(
                other, public["signature"], _signed_keys(self.agreement, other, box, mask)
            ):
                raise Refused(f"{self.name}: the keys of {other} are not signed by {other}")
            if box in seen or mask in seen or box == mask:
                raise Refused(f"{self.name}: the keys of {other} are somebody else's, too")
            seen |= {box, mask}
            self._boxes[other] = self._box_key.exchange(X25519PublicKey.from_public_bytes(box))
            self._masks[other] = self._mask_key.exchange(X25519PublicKey.from_public_bytes(mask))
        self._seed = new_seed()
        holders = {each: _number(self.agreement, each) for each in (self.me, *keys)}
        seeds = shamir.split(self._seed, list(holders.values()), self.agreement.threshold)
        mask_keys = shamir.split(self._mask_key.private_bytes_raw(), list(holders.values()), self.agreement.threshold)
        self._seed_shares[self.me] = seeds[holders[self.me]]
        return {
            other: AESGCM(self._box(self.me, other)).encrypt(
                bytes(12), seeds[holders[other]] + mask_keys[holders[other]], None
            )
            for other in keys
        }

    def _open(self, sealed: Mapping[str, bytes]) -> None:
        self._enough(sealed, self._boxes, "shares")
        for other, box in sealed.items():
            try:
                shares = AESGCM(self._box(other, self.me)).decrypt(bytes(12), box, None)
            except InvalidTag:
                raise Refused(
                    f"{self.name}: the share of {other} cannot be opened; it was changed, or is another round's"
                ) from None
            if len(shares) != 2 * shamir.SHARE_BYTES:
                raise Refused(f"{self.name}: the share of {other} has the wrong length")
            self._seed_shares[other] = shares[: shamir.SHARE_BYTES]
            self._key_shares[other] = shares[shamir.SHARE_BYTES :]

    def _enough(self, given: Mapping[str, object], allowed, what: str) -> None:
        strangers = sorted(set(given) - set(allowed))
        if strangers:
            raise Refused(f"{self.name}: there are {what} of {', '.join(strangers)}, who should have none here")
        if len(given) + 1 < self.agreement.threshold:
            raise Refused(f"{self.name}: {what} of {len(given)} others, and {self.agreement.threshold - 1} are needed")

    def _box(self, sender: str, receiver: str) -> bytes:
        """The key of the one message from sender to receiver, one of whom is this Pi."""
        other = receiver if sender == self.me else sender
        return _derive(self._boxes[other], self.agreement, "share", sender, receiver)

    def _masked(self, update):
        vector = self._ring_of(update)
        add_stream(vector, self._seed)
        for other in self._key_shares:
            add_stream(vector, _mask_seed(self.agreement, self._masks[other], self.me, other), _sign(self.me, other))
        self._boxes.clear()
        self._masks.clear()
        return vector

    def _confirm(self, gone: list[str]) -> bytes:
        if sorted(set(gone)) != gone or not set(gone) <= set(self.others):
            raise Refused(f"{self.name}: {gone} cannot be those who uploaded nothing")
        left = len(self.agreement.participants) - len(gone)
        if left < self.minimum:
            raise Refused(f"{self.name}: a sum of {left} updates, and {self.me} helps with {self.minimum} at least")
        # Each Pi sees other shares, if the coordinator likes. With too few left of those that it has put masks on for,
        # they come off its upload while it is said to be in a sum with others (Bonawitz et al. 2017, figure 4, round 3:
        # at least t of those who sent shares).
        among, group = len({self.me, *self._key_shares} - set(gone)), group_size(len(self.agreement.participants))
        everybody = group == len(self.agreement.participants)
        needed = max(self.agreement.threshold, self.minimum) if everybody else self.agreement.threshold
        if among < needed:
            raise Refused(
                f"{self.name}: of those whose masks it has on, {among} are left with {self.me}, and {needed} must be; "
                "did the coordinator tell it of everybody?"
            )
        self._gone = gone
        return self.signer.sign(_signed_gone(self.agreement, gone)) if self.signer else b""

    def _unmask(self, signatures: Mapping[str, bytes]) -> dict:
        if self.signer:
            signed = _signed_gone(self.agreement, self._gone)
            valid = [each for each in self._neighbours if self.signer.check(each, signatures.get(each), signed)]
            if len(valid) + 1 < self.agreement.threshold:
                raise Refused(
                    f"{self.name}: {len(valid)} neighbours have signed who is gone, and {self.agreement.threshold - 1} "
                    "must; does the coordinator tell each something else?"
                )
        return {
            "seeds": {each: share for each, share in self._seed_shares.items() if each not in self._gone},
            "keys": {each: share for each, share in self._key_shares.items() if each in self._gone},
        }


class MasksCollector(Collector):
    """Carries messages between the participants, adds the masked updates up, and takes the masks off."""

    steps = STEPS

    def __init__(self, agreement: Agreement) -> None:
        super().__init__(agreement)
        _check(agreement)
        self._neighbours = neighbours(agreement)
        self._keys: dict[str, dict] = {}
        self._sealed: dict[str, Mapping[str, bytes]] = {}
        self._members: list[str] | None = None
        self._uploaded: set[str] = set()
        self._signatures: dict[str, bytes] = {}
        self._unmasked: dict[str, tuple[Mapping[str, bytes], Mapping[str, bytes]]] = {}

    def _check_present(self) -> None:
        if self.step == UPLOAD and self._members is None:
            # Those who put masks on for each other.
            self._members = self.present
        if len(self.present) < 2:
            raise self.abort(*list(self.lost.items())[-1])
        for each in self.present if self._members is None else self._members:
            group = {each, *self._neighbours[each]}
            left = group - set(self.lost)
            if len(left) < self.agreement.threshold:
                last = [other for other in self.lost if other in group][-1]
                raise self.abort(
                    ", ".join(sorted(group - left)),
                    f"{self.lost[last]}; {len(left)} of {each} and its neighbours are left, and "
                    f"{self.agreement.threshold} must be",
                )

    def _question(self, participant):
        around = self._neighbours[participant]
        if self.step == SHARE:
            return {"keys": {each: self._keys[each] for each in around if each not in self.lost}}
        if self.step == UPLOAD:
            return {"sealed": {each: self._sealed[each][participant] for each in around if each not in self.lost}}
        if self.step == CONFIRM:
            return {"gone": [each for each in self.agreement.participants if each not in self._uploaded]}
        return {"signatures": {each: self._signatures[each] for each in around if each in self._signatures}}

    def _take(self, participant, step, answer) -> None:
        if step == JOIN:
            keys = {name: answer[name] for name in ("box", "mask", "signature")}
            if not all(isinstance(key, bytes) for key in keys.values()) or len(keys["box"] + keys["mask"]) != 64:
                raise Refused("its keys have the wrong length")
            self._keys[participant] = keys
        elif step == SHARE:
            expected = {each for each in self._neighbours[participant] if each in self._keys}
            sealed = answer["sealed"]
            if not expected - set(self.lost) <= set(sealed) <= expected or not all(
                isinstance(each, bytes) and len(each) == _SEALED_BYTES for each in sealed.values()
            ):
                raise Refused("it sent shares of the wrong length, or for others than its neighbours")
            self._sealed[participant] = dict(sealed)
        elif step == UPLOAD:
            self._add(answer["vector"])
            self._uploaded.add(participant)
        elif step == CONFIRM:
            self._signatures[participant] = answer["signature"]
        else:
            seeds, keys = answer["seeds"], answer["keys"]
            given = (*seeds.values(), *keys.values())
            if not all(isinstance(each, bytes) and len(each) == shamir.SHARE_BYTES for each in given):
                raise Refused("it sent shares of the wrong length")
            self._unmasked[participant] = seeds, keys

    def _finish(self, step) -> None:
        self._check_present()
        if step == UNMASK:
            assert self._members is not None
            for each in self._members:
                self._take_masks_off(each)
            self._decode(tuple(sorted(self._uploaded)))

    def _take_masks_off(self, participant: str) -> None:
        """Reconstruct the one secret of a participant that its holders gave away, and subtract what it made."""
        uploaded = participant in self._uploaded
        shares = {
            _number(self.agreement, holder): given[participant]
            for holder, (seeds, keys) in self._unmasked.items()
            if participant in (given := seeds if uploaded else keys)
        }
        if len(shares) < self.agreement.threshold:
            needed = f"{self.agreement.threshold} are needed"
            raise self.abort(participant, f"{len(shares)} shares of its secret came, and {needed}")
        try:
            secret = shamir.combine(dict(list(shares.items())[: self.agreement.threshold]))
        except Refused as error:
            raise self.abort(participant, str(error)) from error
        if uploaded:
            add_stream(self._sum, secret, -1)
            return
        key = X25519PrivateKey.from_private_bytes(secret)
        if key.public_key().public_bytes_raw() != self._keys[participant]["mask"]:
            raise self.abort(participant, "the shares of its key are wrong")
        for other in self._neighbours[participant]:
            if other in self._uploaded:
                shared = key.exchange(X25519PublicKey.from_public_bytes(self._keys[other]["mask"]))
                # What the other has put on is what the participant would have taken off: its sign, once more.
                add_stream(self._sum, _mask_seed(self.agreement, shared, participant, other), _sign(participant, other))


def _number(agreement: Agreement, participant: str) -> int:
    """Where a participant's shares are taken: from 1 on."""
    return _numbers(agreement.participants)[participant]


@functools.lru_cache(maxsize=4)
def _numbers(participants: tuple[str, ...]) -> dict[str, int]:
    return {each: number for number, each in enumerate(participants, 1)}


def _sign(me: str, other: str) -> int:
    return 1 if me < other else -1


def _mask_seed(agreement: Agreement, shared: bytes, one: str, other: str) -> bytes:
    return _derive(shared, agreement, "mask", *sorted((one, other)))


def _derive(shared: bytes, agreement: Agreement, *use: str) -> bytes:
    """A key for one use in one round, of a secret that two participants share (RFC 5869)."""
    info = json.dumps(["pisyft", *use]).encode() + agreement.digest
    return HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=info).derive(shared)


def _signed_keys(agreement: Agreement, participant: str, box: bytes, mask: bytes) -> bytes:
    return json.dumps(["pisyft", "keys", participant]).encode() + agreement.digest + box + mask


def _signed_gone(agreement: Agreement, gone: list[str]) -> bytes:
    return json.dumps(["pisyft", "gone", *gone]).encode() + agreement.digest
