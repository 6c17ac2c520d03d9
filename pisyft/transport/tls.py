"""TLS between two workers: a certificate is checked against an authority, or against the first that was seen there."""

from __future__ import annotations

import hashlib
import hmac
import logging
import socket
import ssl
from pathlib import Path

from pisyft.credentials import NO_TICKETS
from pisyft.transport.frames import Id

logger = logging.getLogger(__name__)
# For websockets, which would log headers, tokens among them, and what is in messages.
WIRE = logging.getLogger("pisyft.transport.wire")
WIRE.setLevel(logging.INFO)

# The SHA-256 of the certificate that was seen first, by worker, host and port, of all clients of this process: a
# notebook's cell that is run again makes a new client, which must not believe another certificate. Nothing is written
# down: the next process believes what it sees first.
_seen_first: dict[tuple[Id, str, int], bytes] = {}


def server_context(cert_path: str | Path, key_path: str | Path) -> ssl.SSLContext:
    """What a worker needs to answer with its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.num_tickets = NO_TICKETS
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(str(cert_path), str(key_path))
    return context


class OtherCertificate(ssl.SSLError):
    """A worker shows another certificate than the one that was seen first.

    Args:
        seen, pinned: the SHA-256 of the certificate, and of the one that was expected.
    """

    def __init__(self, seen: bytes, pinned: bytes) -> None:
        super().__init__(
            f"it shows another certificate than at first (SHA-256 {seen.hex(':')} now, {pinned.hex(':')} then)"
        )


class Verifier:
    """Checks the certificates of one worker.

    With an authority's certificate, the worker's must be signed by it and carry the worker's host name. Without one,
    which is all that PySyft's `secure=True` says, the first certificate that a worker shows at an address is trusted,
    and every later one must be the same until this process ends: whoever gets in between meanwhile is noticed. That is
    trust on first use, as ssh has it (RFC 4251, section 4.1), without its file of known hosts: who is in between when
    a process connects for the first time is believed.

    Args:
        ca_path: file with the authority's certificate.
    """

    def __init__(self, ca_path: str | Path | None = None) -> None:
        self._has_authority = ca_path is not None
        self.context = ssl.create_default_context(cafile=None if ca_path is None else str(ca_path))
        if not self._has_authority:
            # Checked by `check` instead, once the handshake has shown the certificate.
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    def check(self, connection: socket.socket, worker: Id, host: str, port: int) -> None:
        """Check the certificate that a connection to a worker was made with.

        Raises:
            OtherCertificate: another one was seen there before.
        """
        if self._has_authority:
            return  # the handshake has checked it
        assert isinstance(connection, ssl.SSLSocket)
        certificate = connection.getpeercert(binary_form=True)
        fingerprint = hashlib.sha256(certificate or b"").digest()
        pinned = _seen_first.setdefault((worker, host, port), fingerprint)
        if pinned is fingerprint:
            logger.warning(
                "trusting the certificate of %s at %s:%d at first sight: SHA-256 %s",
                worker,
                host,
                port,
                fingerprint.hex(":"),
            )
        elif not hmac.compare_digest(pinned, fingerprint):
            raise OtherCertificate(fingerprint, pinned)


# OpenSSL's X509_V_ERR_*: not yet valid, expired, of another authority, of another name.
_NOT_YET, _EXPIRED, _OTHER_AUTHORITY, _OTHER_NAME = {9}, {10}, {18, 19, 20, 21}, {62, 64}


def why_not_trusted(error: ssl.SSLError) -> tuple[str, str]:
    """What is wrong with the worker that a TLS handshake failed with, and what to do."""
    if isinstance(error, OtherCertificate):
        return (
            error.args[0],
            "Somebody may be in between. If its owner has given it a new one, compare them and start this Python, "
            "or the notebook's kernel, again.",
        )
    # Errors of ssl's own have a code and a reason; those that are made by hand have neither.
    code = getattr(error, "verify_code", None)
    if code in _OTHER_NAME:
        return "its certificate is another one's", "Is the address of another Pi in classroom.toml?"
    if code in _OTHER_AUTHORITY:
        return "its certificate is of another classroom", "Use the files of one classroom on all machines."
    if code in _NOT_YET:
        return "its certificate is not valid yet", "Set the clocks of both machines."
    if code in _EXPIRED:
        return (
            "its certificate has expired",
            "Make a new classroom with pisyft classroom create, or set the clock here.",
        )
    if isinstance(error, ssl.SSLEOFError):
        return "it does not speak TLS", "Start it with --classroom, as you connect with a classroom's certificates."
    reason = getattr(error, "reason", None) or (error.args and error.args[-1]) or error
    return f"TLS failed ({reason})", "Check that it is started with a certificate, and with the one that is expected."


def why_not_let_in(error: BaseException | None, has_credentials: bool) -> tuple[str, str]:
    """Why a worker has ended a TLS handshake, and what to do."""
    if not has_credentials:
        return "it lets in members of its classroom only", 'Connect with Classroom.load("classroom.toml").'
    # Which of the two is wrong it does not always say: the connection may be gone before its alert is read.
    return (
        f"it does not accept your certificate ({getattr(error, 'reason', None) or 'it hung up'})",
        "Use the files of one classroom on all machines, and compare their clocks.",
    )
