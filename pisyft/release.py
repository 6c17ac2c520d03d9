"""Released models: is one good enough, whose is it, and where a Pi keeps the ones that were pushed to it."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import numpy as np

from pisyft.files import whole_file, write_whole
from pisyft.wording import counted

# `cryptography` is imported where something is signed or checked: `pisyft predict`, which does neither, is ready in two
# thirds of the time without it.
if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEPT = 5  # versions in a store
_VERSION = re.compile(r"v(\d{4,})\.npz")
_CURRENT, _STAGED, _SIGNER, _PENDING = "current", "staged.npz", "coordinator.pub", "pending.json"
_DOMAIN = b"pisyft release 1\n"

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ReleaseError(Exception):
    """A model cannot be released, stored or loaded. The text says why."""


@dataclass(frozen=True)
class Card:
    """What is known of a released model.

    Attributes:
        version: counts up from 1, the same on every worker.
        model: the architecture's name.
        languages: what its outputs stand for, in order.
        accuracy: over the held-out names of all participants.
        participants: the workers whose names it was trained on.
        rounds: how many rounds of training.
        aggregation: how the participants' models were summed up.
        strategy: what the coordinator did with the sum.
        alphabet, alphabet_digest: the letters that names are spelled in, and `Alphabet.digest()` of them.
        accuracy_by_worker: on each worker's own held-out names, by id.
        measures: other figures over all held-out names, by name: the value, and the ends of its interval.
        date: when it was released, UTC, as ISO 8601 writes it.
    """

    version: int
    model: str
    languages: tuple[str, ...]
    accuracy: float
    participants: tuple[str, ...]
    rounds: int
    aggregation: str = "additive"
    strategy: str = "fedavg"
    alphabet: str = "tutorial"
    alphabet_digest: str = ""
    accuracy_by_worker: Mapping[str, float] = field(default_factory=dict)
    measures: Mapping[str, Sequence[float]] = field(default_factory=dict)
    date: str = field(default_factory=lambda: datetime.now(timezone.utc).isoformat(timespec="seconds"))

    def as_answer(self) -> dict:
        """The card as plain values, as it travels and is stored."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_answer(cls, answer: Mapping) -> Card:
        """The card that `as_answer` wrote.

        Raises:
            ReleaseError: these values are no card.
        """
        try:
            if unknown := sorted(set(answer) - _FIELDS.keys()):
                raise ReleaseError(f"this is no model card: {', '.join(unknown)} belongs to none")
            for name, (kind, fits) in _FIELDS.items():
                if name in answer and not fits(answer[name]):
                    raise ReleaseError(f"this is no model card: its {name} is not {kind}")
            lists = {name: tuple(answer[name]) for name in ("languages", "participants")}
            return cls(**{**answer, **lists})
        except (KeyError, TypeError) as error:
            raise ReleaseError(f"this is no model card: {error!r}") from error

    def as_text(self, digest: str = "") -> str:
        """The card for people to read, fit for a terminal whoever wrote it."""
        from pisyft.untrusted import printable

        measures = dict(self.measures)
        _, *ends = measures.pop("accuracy", (self.accuracy,))
        interval = " (95 %: {:.1%} to {:.1%})".format(*ends) if ends else ""
        lines = [
            f"version {self.version} of {self.date}: model {self.model}, {counted(len(self.languages), 'language')}",
            f"accuracy             {self.accuracy:.1%} on names that were held out{interval}",
        ]
        for name, (value, low, high) in measures.items():
            lines.append(f"  {name.replace('_', ' '):<18} {value:.1%} (95 %: {low:.1%} to {high:.1%})")
        lines += [f"  on {worker:<15} {accuracy:.1%}" for worker, accuracy in self.accuracy_by_worker.items()]
        lines += [
            f"participants         {', '.join(self.participants)}",
            f"rounds               {self.rounds}, {self.strategy}, {self.aggregation} aggregation",
            f"letters              {self.alphabet}",
            f"languages            {', '.join(self.languages)}",
        ]
        if digest:
            lines.append(f"SHA-256              {digest}")
        return "\n".join(map(printable, lines))


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _is_list_of(fits: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(map(fits, value))


def _is_table_of(fits: Callable[[object], bool], value: object) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value)) and all(map(fits, value.values()))


def _is_interval(value: object) -> bool:
    return _is_list_of(_is_number, value) and len(value) == 3  # type: ignore[arg-type]


_TEXT = "a text", _is_text
_TEXTS = "a list of texts", functools.partial(_is_list_of, _is_text)
# What each field of a card must be, in words and as a check.
_FIELDS: dict[str, tuple[str, Callable[[object], bool]]] = {
    "version": ("a whole number from 1 up", lambda value: type(value) is int and value > 0),
    "model": _TEXT,
    "languages": _TEXTS,
    "accuracy": ("a number", _is_number),
    "participants": _TEXTS,
    "rounds": ("a whole number", lambda value: type(value) is int),
    "aggregation": _TEXT,
    "strategy": _TEXT,
    "alphabet": _TEXT,
    "alphabet_digest": _TEXT,
    "accuracy_by_worker": ("a table of numbers", functools.partial(_is_table_of, _is_number)),
    "measures": ("a table of three numbers each", functools.partial(_is_table_of, _is_interval)),
    "date": _TEXT,
}


@dataclass(frozen=True)
class Gate:
    """What a model must reach to be released.

    Attributes:
        accuracy: over all participants' held-out names, at least.
        worker_accuracy: on every single worker's, at least.
        margin: by so much may a worker's accuracy be below that of the model it has, at most.
        rounds: of training, at least.
    """

    accuracy: float = 0.0
    worker_accuracy: float = 0.25
    margin: float = 0.05
    rounds: int = 1

    def reasons_against(
        self, accuracy: float, by_worker: Mapping[str, float], before: Mapping[str, float], rounds: int
    ) -> list[str]:
        """Why a model is not released; nothing, if it is.

        Args:
            accuracy: over all held-out names.
            by_worker: on each worker's own, by id.
            before: what the model that a worker has now reaches there, by id; of those that have one.
            rounds: how many there were.
        """
        reasons = []
        if not by_worker:
            reasons.append("no worker has evaluated it")
        if rounds < self.rounds:
            reasons.append(f"{counted(rounds, 'round')} of training, and {self.rounds} are asked for")
        if not accuracy >= self.accuracy:
            reasons.append(f"its accuracy is {accuracy:.1%}, below {self.accuracy:.1%}")
        for worker, reached in by_worker.items():
            if not reached >= self.worker_accuracy:
                reasons.append(f"its accuracy on {worker} is {reached:.1%}, below {self.worker_accuracy:.1%}")
            if worker in before and not reached >= before[worker] - self.margin:
                reasons.append(
                    f"{worker} would be worse off: {reached:.1%} instead of {before[worker]:.1%}, and it may lose "
                    f"{100 * self.margin:g} points at most"
                )
        return reasons


def digest_of(card: Card, weights: np.ndarray) -> str:
    """SHA-256 of a model and its card, in hexadecimal: what coordinator and workers agree on, and what is signed.

    Over the card as JSON with sorted keys and no spaces, a line end, and the parameters as little-endian float32.
    """
    text = json.dumps(card.as_answer(), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(_DOMAIN + text.encode() + b"\n" + np.asarray(weights, "<f4").tobytes()).hexdigest()


def coordinator_key(file: str | Path | None = None) -> Ed25519PrivateKey:
    """The key in a file, which only its owner may read; made, if there is none yet.

    Args:
        file: `coordinator.key` in the user's configuration folder by default.

    Raises:
        ReleaseError: the file holds something else, or cannot be read or written.
    """
    import platformdirs
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    file = Path(file or platformdirs.user_config_path("pisyft", appauthor=False) / "coordinator.key")
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            made = Ed25519PrivateKey.generate().private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_whole(file, made, mode=0o600)
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except OSError as error:
        raise ReleaseError(
            f"the key that signs releases belongs in {file}, which this user cannot read or make "
            f"({error.strerror}): mend that, or set XDG_CONFIG_HOME to a folder of your own"
        ) from error
    except (ValueError, TypeError) as error:
        raise ReleaseError(f"{file} is no private key: remove it, and a new one is made") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ReleaseError(f"{file} is no Ed25519 key: remove it, and a new one is made")
    return key


@dataclass(frozen=True)
class Signature:
    """Who vouches for a model: the coordinator's public key, 32 bytes, and its signature of the digest, 64 bytes."""

    signer: bytes
    value: bytes

    @classmethod
    def of(cls, digest: str, key: Ed25519PrivateKey) -> Signature:
        return cls(key.public_key().public_bytes_raw(), key.sign(_DOMAIN + digest.encode()))

    def check(self, digest: str) -> None:
        """Raises:
        ReleaseError: the signature is not of this digest by this key.
        """
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.signer).verify(self.value, _DOMAIN + digest.encode())
        except (InvalidSignature, ValueError, TypeError) as error:
            raise ReleaseError("the model's signature is not the coordinator's, or the model was changed") from error


def _in_turn(
    method: Callable[Concatenate[ModelStore, _Arguments], _Result],
) -> Callable[Concatenate[ModelStore, _Arguments], _Result]:
    """Have threads take turns in these methods of a store."""

    @functools.wraps(method)
    def alone(self: ModelStore, /, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        with self._turn:
            return method(self, *args, **kwargs)

    return alone


class ModelStore:
    """The models that were released to a worker, in a folder: each one file with its card, and which one is in use.

    A version is never replaced, and the last five are kept. A release comes in two steps, so that all workers have it
    or none: `stage` stores and checks it, `commit` puts it to use, `abort` forgets it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._turn = threading.RLock()

    def versions(self) -> list[int]:
        """The versions in the store, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(match[1]) for file in self.folder.iterdir() if (match := _VERSION.fullmatch(file.name)))

    @property
    def current(self) -> int | None:
        """The version in use."""
        versions = self.versions()
        try:
            chosen = int((self.folder / _CURRENT).read_text(encoding="ascii"))
        except (OSError, ValueError):
            chosen = 0
        return chosen if chosen in versions else (versions[-1] if versions else None)

    @_in_turn
    def stage(self, card: Card, weights: np.ndarray, signature: Signature | None = None) -> str:
        """Store a model without putting it to use, in place of another that was staged.

        The first coordinator that signs a model is remembered: later ones must have its signature, too.

        Args:
            weights: float32, (parameters,).

        Returns:
            Its digest.

        Raises:
            ReleaseError: this version is there already, or the signature is missing, wrong or of somebody else.
            OSError: it cannot be written.
        """
        digest = digest_of(card, weights)
        if card.version in self.versions() and self.digest(card.version) != digest:
            raise ReleaseError(f"there is another version {card.version} already: a released model is never replaced")
        self._check_signer(digest, signature)
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {"weights": np.asarray(weights, "<f4"), "card": np.array(json.dumps(card.as_answer()))}
        if signature:
            content |= {
                "signer": np.frombuffer(signature.signer, "u1"),
                "signature": np.frombuffer(signature.value, "u1"),
            }
        with whole_file(self.folder / _STAGED) as file:
            np.savez(file, **content)  # type: ignore[arg-type]
        return digest

    @_in_turn
    def staged(self) -> tuple[int, str] | None:
        """The version and the digest of the staged model; None if there is none, or none that can be read."""
        try:
            digest, card, *_ = _read(self.folder / _STAGED)
        except ReleaseError:
            return None
        return card.version, digest

    @_in_turn
    def commit(self, digest: str) -> int:
        """Put the staged model to use; its version. Safe to repeat, when the answer was lost.

        Raises:
            ReleaseError: no model with this digest is staged, or not any more.
        """
        staged = self.folder / _STAGED
        if not staged.exists() or (read := _read(staged))[0] != digest:
            for version in reversed(self.versions()):
                if self.digest(version) == digest:
                    return version
            raise ReleaseError(f"no model with the digest {digest[:12]}... is staged: push it again")
        _, card, _, signature = read
        if signature and not (self.folder / _SIGNER).exists():
            write_whole(self.folder / _SIGNER, signature.signer.hex().encode() + b"\n")
        file = self._file(card.version)
        os.replace(staged, file)
        if self.digest(card.version) != digest:  # another process has staged it just now
            os.replace(file, staged)
            raise ReleaseError(f"another model was staged in place of {digest[:12]}...: push it again")
        self._use(card.version)
        newest_first = [version for version in reversed(self.versions()) if version != card.version]
        for version in newest_first[KEPT - 1 :]:
            self._file(version).unlink()
        return card.version

    @_in_turn
    def abort(self, digest: str) -> None:
        """Forget the staged model, if it is the one with this digest."""
        if (staged := self.staged()) and staged[1] == digest:
            (self.folder / _STAGED).unlink()

    @_in_turn
    def forget(self) -> int:
        """Remove all models, staged ones too, and whose they were; how many there were."""
        versions = self.versions()
        for file in (*map(self._file, versions), *(self.folder / each for each in (_STAGED, _CURRENT, _SIGNER))):
            file.unlink(missing_ok=True)
        return len(versions)

    @_in_turn
    def add(self, card: Card, weights: np.ndarray, signature: Signature | None = None) -> str:
        """Store a model and put it to use, completely or not at all; its digest.

        Raises:
            ReleaseError: as `stage`.
        """
        digest = self.stage(card, weights, signature)
        self.commit(digest)
        return digest

    @_in_turn
    def rollback(self, version: int | None = None) -> Card:
        """Put an older model to use again: the newest that is older than the one in use, or the one that is named.

        Raises:
            ReleaseError: there is none.
        """
        current = self.current
        if current is None:
            raise ReleaseError(f"no released model in {self.folder}")
        older = [each for each in self.versions() if each < current]
        if version is None and not older:
            raise ReleaseError(f"version {current} is the oldest in {self.folder}: there is none to go back to")
        card, _ = self.load(older[-1] if version is None else version)
        self._use(card.version)
        return card

    @_in_turn
    def load(self, version: int | None = None) -> tuple[Card, np.ndarray]:
        """A stored model; the one in use, if no version is given. Weights are float32, (parameters,).

        Raises:
            ReleaseError: there is no such version, or its file is damaged.
        """
        chosen = self.current if version is None else version
        if chosen is None or chosen not in self.versions():
            raise ReleaseError(
                f"no released model in {self.folder}" + (f" of version {version}" if version is not None else "")
            )
        _, card, weights, _ = _read(self._file(chosen))
        return card, weights

    def digest(self, version: int) -> str:
        """The digest of a stored model."""
        return _read(self._file(version))[0]

    def signer(self, version: int) -> bytes | None:
        """The public key of whoever signed a stored model."""
        signature = _read(self._file(version))[3]
        return signature.signer if signature else None

    def _check_signer(self, digest: str, signature: Signature | None) -> None:
        if signature:
            signature.check(digest)
        pinned = self.folder / _SIGNER
        if not pinned.exists():
            return
        if signature is None:
            raise ReleaseError("the model is not signed, and earlier ones were: it is not accepted")
        if signature.signer.hex() != pinned.read_text(encoding="ascii").strip():
            raise ReleaseError(
                f"the model is signed by another coordinator than earlier ones: if that is right, its owner removes "
                f"{pinned.name} from its models"
            )

    def _use(self, version: int) -> None:
        write_whole(self.folder / _CURRENT, f"{version}\n".encode())

    def _file(self, version: int) -> Path:
        return self.folder / f"v{version:04d}.npz"


class Pending:
    """Who has not received a release yet: the coordinator's list, on disk beside its own store.

    A worker that has missed several gets the newest only.
    """

    def __init__(self, store: ModelStore) -> None:
        self._file = store.folder / _PENDING

    def __iter__(self):
        return iter(self.versions())

    def versions(self) -> dict[str, int]:
        """The version that each worker lacks, by its id."""
        try:
            return {worker: int(version) for worker, version in json.loads(self._file.read_bytes()).items()}
        except FileNotFoundError:
            return {}
        except (ValueError, AttributeError, TypeError) as error:
            raise ReleaseError(f"{self._file} is damaged: remove it, and release again") from error

    def owe(self, workers: Iterable[str], version: int) -> None:
        """Note that these workers are to receive a version."""
        self._write({**self.versions(), **dict.fromkeys(workers, version)})

    def settle(self, kept: Sequence[int]) -> None:
        """Note the newest of the versions that are kept in place of those that are not; of none, nothing is owed."""
        before = self.versions()
        settled = {worker: owed if owed in kept else kept[-1] for worker, owed in before.items() if kept}
        if settled != before:
            self._write(settled)

    def delivered(self, worker: str, version: int) -> None:
        """Note that a worker has a version."""
        self._write({other: owed for other, owed in self.versions().items() if other != worker or owed > version})

    def _write(self, versions: dict[str, int]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(self._file, (json.dumps(versions, indent=2) + "\n").encode())


def good_enough(accuracies: Sequence[float], bar: float) -> bool:
    """Whether a model may be released: on every worker's held-out names its accuracy reaches the bar."""
    return bool(accuracies) and min(accuracies) >= bar


def _read(file: Path) -> tuple[str, Card, np.ndarray, Signature | None]:
    """A model's digest, card, weights and signature, all of which belong together."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as stored:
            card = Card.from_answer(json.loads(str(stored["card"])))
            weights = stored["weights"]
            signature = None
            if "signature" in stored:
                signature = Signature(stored["signer"].tobytes(), stored["signature"].tobytes())
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ReleaseError(f"{file} is damaged or no released model: {error}") from error
    digest = digest_of(card, weights)
    if signature:
        signature.check(digest)
    return digest, card, weights, signature
