"""TLS between two workers: a certificate is checked against an authority, or against the one that was seen first."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import ssl
from pathlib import Path

logger = logging.getLogger(__name__)


def server_context(cert_path: str | Path, key_path: str | Path) -> ssl.SSLContext:
    """What a worker needs to answer with its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(cert_path), str(key_path))
    return context


class Verifier:
    """Checks the certificates of one worker.

    With an authority's certificate, the worker's must be signed by it and carry the worker's host name. Without one,
    which is all that PySyft's `secure=True` says, the first certificate seen is trusted and every later one must be
    the same, as ssh does it (RFC 4251, section 4.1): whoever gets in between later on is noticed.

    Args:
        ca_path: file with the authority's certificate.
    """

    def __init__(self, ca_path: str | Path | None = None) -> None:
        self._pinned: bytes | None = None
        self._has_authority = ca_path is not None
        self.context = ssl.create_default_context(cafile=None if ca_path is None else str(ca_path))
        if not self._has_authority:
            # Checked by `check` instead, once the handshake has shown the certificate.
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    def check(self, connection: socket.socket, name: str) -> None:
        """Check the certificate that a connection was made with.

        Args:
            name: the worker's, for the log.

        Raises:
            ssl.SSLCertVerificationError: it is another one than before.
        """
        if self._has_authority:
            return  # the handshake has checked it
        assert isinstance(connection, ssl.SSLSocket)
        certificate = connection.getpeercert(binary_form=True)
        fingerprint = hashlib.sha256(certificate or b"").digest()
        if self._pinned is None:
            self._pinned = fingerprint
            logger.warning("trusting the certificate of %s at first sight: SHA-256 %s", name, fingerprint.hex(":"))
        elif not hmac.compare_digest(self._pinned, fingerprint):
            raise ssl.SSLCertVerificationError("its certificate is another one than before")
