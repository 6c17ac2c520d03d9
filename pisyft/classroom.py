"""A classroom: which Pis there are, where, and the certificates by which they and the coordinator know each other.

`create` makes an authority for one classroom, and a folder for each member: its own certificate and key, the
authority's certificate, and `classroom.toml`, in which the member's owner reads and changes who takes part.
"""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pisyft.credentials import COORDINATOR, PI, Credentials, TokenCredentials, new_token, token_for
from pisyft.files import write_whole
from pisyft.limits import Limits, LimitsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CONFIGURATION = "classroom.toml"
DEFAULT_PORT = 8777
DEFAULT_MINIMUM = 2
# Names that a figure is over, at least.
DEFAULT_FLOOR, LEAST_FLOOR = 10, 5
_DAYS = 825  # what browsers and phones accept at most
# A member's id is a label of its certificate's DNS name, and a folder.
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
# Clocks of Pis that have just been switched on lag behind.
_CLOCK_MAY_LAG = timedelta(hours=12)


class ClassroomError(Exception):
    """A classroom cannot be made or used. The text names the file, and what to do."""


@dataclass(frozen=True)
class Classroom:
    """What a member knows of its classroom, from its own `classroom.toml`.

    Attributes:
        name: of the classroom.
        id: the member that this file is of: a Pi's id, or "coordinator".
        pis: where each Pi listens, `(host, port)`, by id. The host may be "": it is then found where the Pi announces
            itself on this network.
        minimum: how many Pis must take part in a secure sum, at least.
        credentials: the member's certificate and key, or the coordinator's token, and the authority's certificate.
        limits: how much of this member's worker its callers may take.
        floor: over how many names a figure must be for this member's worker to tell it, at least.
        languages: what all Pis have agreed to tell apart; empty where each Pi's files say it.
    """

    name: str
    id: str
    pis: Mapping[str, tuple[str, int]]
    minimum: int
    credentials: Credentials = field(repr=False)
    limits: Limits = field(default=Limits(), repr=False)
    floor: int = DEFAULT_FLOOR
    languages: tuple[str, ...] = ()

    @property
    def peers(self) -> dict[str, tuple[str, int]]:
        """All Pis but this member."""
        return {pi: address for pi, address in self.pis.items() if pi != self.id}

    @classmethod
    def load(cls, file: str | Path) -> Classroom:
        """Read a `classroom.toml`.

        Raises:
            ClassroomError: it is not there, or not as it must be.
        """
        path = Path(file)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            # What `classroom create` made, or a folder beside the members' own, as the authority's.
            around = [each / COORDINATOR for each in path.parents[:2] if (each / COORDINATOR / CONFIGURATION).is_file()]
            if around:
                hint = f"every member's is in its own folder, the coordinator's in {around[0]}"
            else:
                hint = "make a classroom with pisyft classroom create"
            raise ClassroomError(f"there is no {path}: {hint}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise ClassroomError(f"{path} cannot be read: {error}") from error
        except tomllib.TOMLDecodeError as error:
            hint = ": is a Pi in it twice?" if "overwrite" in str(error) or "twice" in str(error) else ""
            raise ClassroomError(f"{path} is no TOML: {error}{hint}") from error
        return cls._from_values(values, path)

    @classmethod
    def _from_values(cls, values: dict, path: Path) -> Classroom:
        sections = {"certificates": dict, "limits": dict, "pi": dict}
        _only(
            values, {"classroom": str, "id": str, "minimum": int, "floor": int, "languages": list, **sections}, path, ""
        )
        certificates = values.get("certificates", {})
        _only(certificates, {"authority": str, "own": str, "key": str, "token": str}, path, "certificates.")
        by_token = values.get("id") == COORDINATOR and "token" in certificates
        own = ("authority", "token") if by_token else ("authority", "own", "key")
        for where, required in ((values, ("classroom", "id", "pi")), (certificates, own)):
            for key in required:
                if key not in where:
                    raise ClassroomError(f"{path} says nothing of {key}: compare it with one that is newly made")
        pis = {}
        for pi, address in values["pi"].items():
            if not isinstance(address, dict):
                raise ClassroomError(f'{path}: write [pi.{pi}], and below it host = "..." and port = {DEFAULT_PORT}')
            _only(address, {"host": str, "port": int}, path, f"pi.{pi}.")
            pis[pi] = (address.get("host", ""), address.get("port", DEFAULT_PORT))
        minimum = values.get("minimum", DEFAULT_MINIMUM)
        if minimum < DEFAULT_MINIMUM:
            raise ClassroomError(f"{path}: minimum is {minimum}; below {DEFAULT_MINIMUM} a sum would hide nothing")
        floor = values.get("floor", DEFAULT_FLOOR)
        if floor < LEAST_FLOOR:
            raise ClassroomError(
                f"{path}: floor is {floor}; {LEAST_FLOOR} is the least, so that no figure is about a few names"
            )
        languages = values.get("languages", [])
        if not all(isinstance(each, str) for each in languages) or len(set(languages)) < len(languages):
            raise ClassroomError(f'{path}: languages must be different texts in quotes, as in ["Czech", "Igbo"]')
        if values["id"] not in (*pis, COORDINATOR):
            raise ClassroomError(f"{path} is of {values['id']!r}, which is no Pi of it: {', '.join(pis)}")
        files = {key: path.parent / name for key, name in certificates.items()}
        if by_token:
            credentials: Credentials = TokenCredentials.load_token(files["authority"], files["token"])
        else:
            credentials = Credentials.load(files["authority"], files["own"], files["key"], files.get("token"))
        if credentials.id != values["id"]:
            raise ClassroomError(
                f"{path} is of {values['id']}, and the certificate {credentials.certificate} of {credentials.id}: "
                "put each file into its own folder again"
            )
        try:
            limits = Limits().with_changes(values.get("limits", {}))
        except LimitsError as error:
            raise ClassroomError(f"{path}, [limits]: {error}") from error
        return cls(values["classroom"], values["id"], pis, minimum, credentials, limits, floor, tuple(languages))

    def connect(self, hook, **options) -> list:
        """Connect to all Pis, as PySyft workers; for the coordinator's notebook.

        Raises:
            TransportError: one of them cannot be reached, or is not who it should be.
        """
        from pisyft.transport import WebsocketClientWorker

        workers: list[WebsocketClientWorker] = []
        try:
            for pi, (host, port) in self.pis.items():
                workers.append(WebsocketClientWorker(hook, host, port, id=pi, credentials=self.credentials, **options))
        except BaseException:
            for worker in workers:
                worker.close()
            raise
        return workers


def create(
    folder: str | Path,
    pis: Mapping[str, tuple[str, int]],
    name: str = "classroom",
    minimum: int = DEFAULT_MINIMUM,
    days: int = _DAYS,
    token: bool = False,
    languages: Sequence[str] = (),
) -> dict[str, Path]:
    """Make a classroom: an authority, and a folder for each Pi and for the coordinator.

    The authority's key stays in `authority/`, which nobody needs but who adds a Pi later on.

    Args:
        folder: where to; new or empty.
        pis: where each Pi will listen, `(host, port)`, by id; the host may be "", see `Classroom`.
        days: how long the certificates are good for.
        token: whether the coordinator has a token in place of a certificate. Pis have certificates in any case: who is
            a peer is not to be had by a token.
        languages: what all Pis are to tell apart, see `Classroom`.

    Returns:
        The `classroom.toml` of each member, by id; the coordinator's is "coordinator".

    Raises:
        ClassroomError: the folder is not empty, or an id cannot be one.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        raise ClassroomError(
            f"{folder} is not empty: choose another folder (--into), so that no classroom's keys are lost"
        )
    if len(pis) < 2:
        raise ClassroomError("a classroom needs two Pis or more: a sum over one would be its own model")
    for pi in pis:
        if pi in (COORDINATOR, "authority", "me"):
            raise ClassroomError(f"{pi!r} cannot be a Pi's id: it is reserved, choose another")
        if not _ID.fullmatch(pi):
            raise ClassroomError(f"{pi!r} cannot be a Pi's id: use small letters, digits and hyphens, as in pi-1")
    authority = _Authority(name, days)
    authority.save(folder / "authority")
    made = {}
    secret = new_token() if token else None
    for member, hosts in {COORDINATOR: [], **{pi: [host] if host else [] for pi, (host, _) in pis.items()}}.items():
        own = folder / member
        own.mkdir(parents=True)
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = authority.sign(key.public_key(), member, COORDINATOR if member == COORDINATOR else PI, hosts)
        files = {"authority": "authority.pem"}
        write_whole(own / "authority.pem", _pem(authority.certificate))
        if secret is None or member != COORDINATOR:
            files |= {"own": f"{member}.pem", "key": f"{member}.key"}
            write_whole(own / f"{member}.pem", _pem(certificate))
            write_whole(own / f"{member}.key", _key_pem(key), mode=0o600)
        if secret is not None:
            files["token"] = f"{member}.token"
            shown = secret if member == COORDINATOR else token_for(secret, member)
            write_whole(own / f"{member}.token", shown.hex().encode(), mode=0o600)
        write_whole(own / CONFIGURATION, _configuration(name, member, minimum, files, pis, languages).encode())
        made[member] = own / CONFIGURATION
    return made


class _Authority:
    """Signs the certificates of one classroom's members, and no others."""

    def __init__(self, name: str, days: int) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._from = datetime.now(timezone.utc) - _CLOCK_MAY_LAG
        self._until = self._from + timedelta(days=days)
        # The serial in the name tells two classrooms of one name apart.
        self._subject = _name(f"{name} {os.urandom(4).hex()}", "PiSyft classroom")
        self.certificate = (
            self._builder(self._subject, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def sign(self, key: ec.EllipticCurvePublicKey, member: str, role: str, hosts: list[str]) -> x509.Certificate:
        """A certificate for a member: its id and role in the subject, its id and hosts as names."""
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        names = [x509.DNSName(member), *map(_general_name, hosts)]
        return (
            self._builder(_name(member, role), key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(digital_signature=True), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(authority_key, critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, mode=0o700)
        write_whole(folder / "authority.pem", _pem(self.certificate))
        write_whole(folder / "authority.key", _key_pem(self._key), mode=0o600)

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._from)
            .not_valid_after(self._until)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        )


def _name(common_name: str, unit: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        ]
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(**used: bool) -> x509.KeyUsage:
    all_uses = (
        "digital_signature content_commitment key_encipherment data_encipherment key_agreement key_cert_sign crl_sign "
        "encipher_only decipher_only"
    ).split()
    return x509.KeyUsage(**{use: used.get(use, False) for use in all_uses})


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _configuration(
    name: str,
    member: str,
    minimum: int,
    files: Mapping[str, str],
    pis: Mapping[str, tuple[str, int]],
    languages: Sequence[str],
) -> str:
    lines = [
        f"classroom = {_quoted(name)}",
        f"id = {_quoted(member)}  # who this file is of",
        f"minimum = {minimum}  # Pis that must take part in a secure sum; 3 hides more",
        f"floor = {DEFAULT_FLOOR}  # names that a figure must be over to be told",
        *([f"languages = [{', '.join(map(_quoted, languages))}]  # the same on all Pis"] if languages else []),
        "",
        "[certificates]",
        *(f'{key} = "{file}"' for key, file in files.items()),
    ]
    for pi, (host, port) in pis.items():
        lines += ["", f"[pi.{pi}]", f"host = {_quoted(host)}" if host else "# host: found by mDNS", f"port = {port}"]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    if any(ord(letter) < 32 or letter in '"\\\x7f' for letter in text):
        raise ClassroomError(f"{text!r} cannot stand in {CONFIGURATION}: leave out quotes and backslashes")
    return f'"{text}"'


def _only(values: dict, known: dict[str, type], path: Path, prefix: str) -> None:
    for key, value in values.items():
        if key not in known:
            raise ClassroomError(f"{path}: nothing is called {prefix}{key} here, only {', '.join(known)}")
        if not isinstance(value, known[key]) or isinstance(value, bool):
            kind = {str: "a text in quotes", int: "a whole number", dict: "a section", list: "a list, in brackets"}[
                known[key]
            ]
            raise ClassroomError(f"{path}: {prefix}{key} must be {kind}")
