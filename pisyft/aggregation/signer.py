"""Who has said something: signatures with the certificates of a classroom, so that a coordinator can change nothing."""

from __future__ import annotations

import functools
from datetime import datetime, timezone

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_ECDSA = ec.ECDSA(hashes.SHA256())
_LENGTH_BYTES = 2
# What the certificate of a Pi says in its subject, and no other member's.
_PI = "pi"


class Signer:
    """Signs with a Pi's key, and checks that another Pi signed with the key that the authority has certified.

    A signature brings its certificate along: its length in two bytes, the certificate (DER), the signature (ECDSA).

    Args:
        authority: certificate of the classroom's authority, PEM.
        certificate: the Pi's own, PEM.
        key: the Pi's own, PEM.
    """

    def __init__(self, authority: bytes, certificate: bytes, key: bytes) -> None:
        self._authority = x509.load_pem_x509_certificate(authority)
        der = x509.load_pem_x509_certificate(certificate).public_bytes(serialization.Encoding.DER)
        self._prefix = len(der).to_bytes(_LENGTH_BYTES, "big") + der
        own = serialization.load_pem_private_key(key, password=None)
        assert isinstance(own, ec.EllipticCurvePrivateKey)
        self._key = own
        self._certified = functools.lru_cache(maxsize=1024)(self._public_key)

    def sign(self, message: bytes) -> bytes:
        """A signature of this Pi."""
        return self._prefix + self._key.sign(message, _ECDSA)

    def check(self, participant: str, signature: object, message: bytes) -> bool:
        """Whether a participant has signed a message."""
        if not isinstance(signature, bytes):
            return False
        length = _LENGTH_BYTES + int.from_bytes(signature[:_LENGTH_BYTES], "big")
        try:
            self._certified(participant, signature[_LENGTH_BYTES:length]).verify(signature[length:], message, _ECDSA)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def _public_key(self, participant: str, der: bytes) -> ec.EllipticCurvePublicKey:
        """The key that a certificate says is a participant's.

        Raises:
            ValueError, TypeError, InvalidSignature: it says something else, or is not the authority's.
        """
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(self._authority)
        named = {attribute.oid: attribute.value for attribute in certificate.subject}
        now = datetime.now(timezone.utc)
        if (named.get(NameOID.COMMON_NAME), named.get(NameOID.ORGANIZATIONAL_UNIT_NAME)) != (participant, _PI):
            raise ValueError("the certificate is of somebody else")
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise ValueError("the certificate has expired, or is not valid yet")
        key = certificate.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("the certificate is of another kind of key")
        return key
