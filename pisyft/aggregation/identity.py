"""Who has said something: signatures by keys that the Pis know of each other from their own configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey


@dataclass(frozen=True)
class Identity:
    """What a Pi signs with, and what it checks the others' signatures with. From its own configuration.

    Attributes:
        key: its own.
        others: the other participants' public keys, by id.
    """

    key: Ed25519PrivateKey
    others: Mapping[str, Ed25519PublicKey]

    def check(self, participant: str, signature: object, message: bytes) -> bool:
        """Whether a participant has signed a message."""
        if participant not in self.others or not isinstance(signature, bytes):
            return False
        try:
            self.others[participant].verify(signature, message)
        except InvalidSignature:
            return False
        return True
