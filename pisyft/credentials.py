"""Who somebody is on the network: certificates that one authority signed, checked on both sides (mutual TLS)."""

from __future__ import annotations

import hmac
import secrets
import ssl
import stat
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

_TOKEN_BYTES = 32
COORDINATOR, PI = ROLES = ("coordinator", "pi")


class CredentialsError(Exception):
    """A certificate or key cannot be used. The text names the file, and what to do."""


# Nobody resumes a session. A ticket comes after the handshake, while a caller's other thread may be sending its first
# request: OpenSSL's connections are not for two threads at once, and about one request in a thousand was never sent.
NO_TICKETS = 0


@dataclass(frozen=True)
class Identity:
    """Who a certificate is of.

    Attributes:
        id: the member's id.
        role: "coordinator" or "pi".
    """

    id: str
    role: str


@dataclass(frozen=True)
class Credentials:
    """How a member proves who it is, and the certificate of the authority that signs all members'.

    Attributes:
        authority, certificate, key: the files.
        id, role: who the certificate is of.
        token: of a Pi, what a coordinator may show it in place of a certificate; None takes certificates only.
    """

    authority: Path
    certificate: Path
    key: Path = field(repr=False)
    id: str
    role: str
    token: bytes | None = field(default=None, repr=False)

    @classmethod
    def load(cls, authority: Path, certificate: Path, key: Path, token: Path | None = None) -> Credentials:
        """Check that the files are there and fit each other.

        Raises:
            CredentialsError: they do not. The text names the file and the mend.
        """
        own, issuer = _read(certificate), _read(authority)
        try:
            own.verify_directly_issued_by(issuer)
        except Exception as error:  # whatever the cryptography says, the two do not belong together
            raise CredentialsError(
                f"{certificate} is not signed by {authority}: the files are of different classrooms"
            ) from error
        now = datetime.now(timezone.utc)
        if now < own.not_valid_before_utc:
            raise CredentialsError(
                f"{certificate} is valid from {own.not_valid_before_utc:%Y-%m-%d}, and this machine's clock says "
                f"{now:%Y-%m-%d}: set the clock"
            )
        if now > own.not_valid_after_utc:
            raise CredentialsError(
                f"{certificate} expired on {own.not_valid_after_utc:%Y-%m-%d}, and this machine's clock says "
                f"{now:%Y-%m-%d}: make a new classroom with pisyft classroom create, or set the clock"
            )
        _check_key_file(key)
        identity = _identity({attribute.oid: str(attribute.value) for attribute in own.subject})
        if identity is None:
            raise CredentialsError(f"{certificate} does not say whose it is: take one from pisyft classroom create")
        of_pi = read_token(token) if token else None
        credentials = cls(authority, certificate, key, identity.id, identity.role, of_pi)
        credentials.server_context()  # does the key fit?
        return credentials

    def server_context(self) -> ssl.SSLContext:
        """What a worker needs to prove who it is, and to ask callers for the same."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.num_tickets = NO_TICKETS
        # Whoever shows none must show the token, before anything else.
        context.verify_mode = ssl.CERT_OPTIONAL if self.token else ssl.CERT_REQUIRED
        return self._prepared(context)

    def client_context(self) -> ssl.SSLContext:
        """What a caller needs. The worker's certificate must be of the id that is asked for, wherever it listens."""
        return self._prepared(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def authorization(self, worker: str) -> str | None:
        """What to say to a worker, once its certificate was checked; None, where a certificate says enough."""
        return None

    def accepts(self, authorization: str) -> bool:
        """Whether somebody without a certificate has said what a coordinator says."""
        expected = _bearer(self.token) if self.token else ""
        return bool(expected) and hmac.compare_digest(expected.encode(), authorization.encode())

    def _prepared(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            context.load_verify_locations(self.authority)
            context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            raise CredentialsError(
                f"{self.key} is not the key of {self.certificate} ({error.reason or error}): take both from one folder"
            ) from error
        return context


class TokenCredentials(Credentials):
    """A coordinator's, which shows a token in place of a certificate: `key` is the token's file.

    Every Pi is shown a token of its own, made from the coordinator's, so that no Pi can call the others with what it
    was shown.
    """

    @classmethod
    def load_token(cls, authority: Path, token: Path) -> TokenCredentials:
        """Check that the files are there.

        Raises:
            CredentialsError: they are not. The text names the file and the mend.
        """
        _read(authority)
        return cls(authority, authority, token, COORDINATOR, COORDINATOR, read_token(token))

    def authorization(self, worker: str) -> str | None:
        return _bearer(token_for(self.token, worker)) if self.token else None

    def _prepared(self, context: ssl.SSLContext) -> ssl.SSLContext:
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(self.authority)
        return context


def new_token() -> bytes:
    """A token that nobody can guess."""
    return secrets.token_bytes(_TOKEN_BYTES)


def token_for(token: bytes, worker: str) -> bytes:
    """What a worker is shown: tells nothing of the token, nor of what others are shown."""
    return hmac.digest(token, f"pisyft token for {worker}".encode(), "sha256")


def read_token(file: Path) -> bytes:
    """The token in a file.

    Raises:
        CredentialsError: there is none, or others can read it.
    """
    _check_key_file(file)
    try:
        token = bytes.fromhex(file.read_text(encoding="ascii"))
    except OSError as error:
        raise CredentialsError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError:
        token = b""
    if len(token) != _TOKEN_BYTES:
        raise CredentialsError(f"{file} is no token: copy it again from where it was made")
    return token


def _bearer(token: bytes) -> str:
    return f"Bearer {token.hex()}"


def identity_of(connection: object) -> Identity | None:
    """Who is on the other side of a TLS connection, by the certificate that was checked; None without one."""
    certificate = connection.getpeercert() if isinstance(connection, ssl.SSLSocket) else None
    if not certificate:
        return None
    names = {"commonName": NameOID.COMMON_NAME, "organizationalUnitName": NameOID.ORGANIZATIONAL_UNIT_NAME}
    subject: Any = certificate["subject"]
    return _identity({names[name]: value for parts in subject for name, value in parts if name in names})


def _identity(subject: dict) -> Identity | None:
    id, role = subject.get(NameOID.COMMON_NAME), subject.get(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return Identity(id, role) if id and role in ROLES else None


def _read(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except OSError as error:
        raise CredentialsError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CredentialsError(f"{file} is no certificate: copy it again from where it was made") from error


def _check_key_file(key: Path) -> None:
    try:
        mode = key.stat().st_mode
    except OSError as error:
        raise CredentialsError(f"{key} cannot be read: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise CredentialsError(
            f"{key} can be read by others on this machine (mode {stat.S_IMODE(mode):04o}): chmod 600 {key}"
        )
