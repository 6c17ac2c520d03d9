"""The tutorial's corpus, from PyTorch's site: downloaded, checked, and kept in the user's data folder."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import platformdirs
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from pisyft.learning.names import NamesError, read_folder

URL = "https://download.pytorch.org/tutorial/data.zip"
IN_ARCHIVE = PurePosixPath("data/names")
LANGUAGES = frozenset(
    "Arabic Chinese Czech Dutch English French German Greek Irish Italian Japanese Korean Polish Portuguese Russian "
    "Scottish Spanish Vietnamese".split()
)
# The archive has 3 MB and 20,074 names, 73 to 9,408 of a language. What is far from that is something else.
MAX_ARCHIVE_BYTES = 50_000_000
MAX_UNPACKED_BYTES = 200_000_000  # of everything that the archive claims to hold
MAX_FILE_BYTES = 1_000_000
PLAUSIBLE_TOTAL = range(10_000, 40_000)
PLAUSIBLE_LANGUAGE = range(40, 15_000)

ATTEMPTS = 5
TIMEOUT_SECONDS = 30
DIGESTS = "SHA256SUMS"


class FetchError(Exception):
    """The corpus could not be brought. The text says why, and what to do."""


def corpus_folder() -> Path:
    """Where the corpus is kept, whether or not it is there: in the user's data folder."""
    return Path(platformdirs.user_data_dir("pisyft", appauthor=False)) / "names"


def fetch(
    url: str = URL,
    folder: Path | None = None,
    report: Callable[[int, int | None], object] = lambda received, size: None,
    pause_seconds: float = 1.0,
) -> Path:
    """Download the corpus, check it, and put it into a folder; all of it or nothing.

    A download that breaks off goes on where it was, after a pause that doubles each time; also in a later call.

    Args:
        folder: where its 18 files go, with their SHA-256 digests; `corpus_folder()` by default.
        report: called with the bytes that have come, and those of the whole archive where that is known.

    Returns:
        The folder.

    Raises:
        FetchError: there is no network, the server does not have it, or what it sent is not the corpus.
        OSError: the folder cannot be written.
    """
    folder = folder or corpus_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    archive = folder.parent / f"{folder.name}.zip.part"
    _download(url, archive, report, pause_seconds)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        unpacked = Path(temporary) / "names"
        try:
            _unpack(archive, unpacked)
            _check(unpacked)
        except FetchError:
            _forget(archive)  # going on with it would never mend it
            raise
        digests = [f"{_digest(file)}  {file.name}\n" for file in sorted(unpacked.glob("*.txt"))]
        header = f"# {url}\n# {_digest(archive)}  the archive\n"
        (unpacked / DIGESTS).write_text(header + "".join(digests), encoding="utf-8")
        if folder.exists():
            folder.rename(Path(temporary) / "replaced")
        unpacked.rename(folder)
    _forget(archive)
    return folder


def is_whole(folder: Path) -> bool:
    """Whether the corpus is in a folder, every file of it as it was fetched."""
    try:
        lines = (folder / DIGESTS).read_text(encoding="utf-8").splitlines()
        recorded = dict(line.split("  ")[::-1] for line in lines if not line.startswith("#"))
        return {f"{language}.txt" for language in LANGUAGES} == set(recorded) and all(
            _digest(folder / file) == digest for file, digest in recorded.items()
        )
    except (OSError, ValueError):
        return False


def names_to_use(bundled: Path = Path("data/names")) -> Path:
    """The corpus, where it has been fetched; otherwise the names that come with the project."""
    return corpus_folder() if is_whole(corpus_folder()) else bundled


def _download(url: str, archive: Path, report: Callable, pause_seconds: float) -> None:
    with requests.Session() as session:
        # Retries answers that say "later". Connections that cannot be made, or that break off, are retried below.
        later = Retry(
            total=ATTEMPTS,
            connect=0,
            read=0,
            other=0,
            status_forcelist=(429, 500, 502, 503, 504),
            backoff_factor=pause_seconds,
            respect_retry_after_header=False,  # it may say an hour
        )
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(max_retries=later))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                _receive(session, url, archive, report)
                return
            except requests.exceptions.RetryError as error:
                raise FetchError(f"{url} is not available now, asked {ATTEMPTS} times: try again later") from error
            except requests.exceptions.SSLError as error:
                raise FetchError(f"{url} cannot be trusted: {error}. Check this machine's clock and proxy") from error
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                if attempt == ATTEMPTS:
                    raise FetchError(_broken_off(url, archive)) from error
                time.sleep(pause_seconds * 2 ** (attempt - 1))
            except requests.RequestException as error:
                raise FetchError(f"{url} cannot be fetched: {error}") from error


def _broken_off(url: str, archive: Path) -> str:
    if archive.exists() and archive.stat().st_size:
        return f"the connection to {url} broke off {ATTEMPTS} times: try again, which goes on where this ended"
    return f"{url} cannot be reached: check the network"


def _receive(session: requests.Session, url: str, archive: Path, report: Callable) -> None:
    """One request, for all or for what is missing."""
    start = archive.stat().st_size if archive.exists() else 0
    validator = _validator_of(archive)
    # If-Range: the rest, if it is of the same file; otherwise all of it (RFC 9110, section 13.1.5).
    headers = {"Accept-Encoding": "identity"}
    if start and validator.exists():
        headers |= {"Range": f"bytes={start}-", "If-Range": validator.read_text(encoding="utf-8")}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if response.status_code == 416:  # nothing is missing, or it has become shorter: begin again
            _forget(archive)
            raise requests.ConnectionError(f"{url} has nothing from byte {start} on")
        if not response.ok:
            raise FetchError(f"{url} answers {response.status_code} {response.reason}: has it moved?")
        if response.status_code != 206:
            start = 0
            _forget(archive)
            # Only a strong validator says that two answers are equal byte for byte.
            etag = response.headers.get("ETag", "")
            if same := etag if etag.startswith('"') else response.headers.get("Last-Modified", ""):
                validator.write_text(same, encoding="utf-8")
        length = response.headers.get("Content-Length")
        size = start + int(length) if length else None
        received = start
        with archive.open("ab") as file:
            report(received, size)
            for chunk in response.iter_content(8192):
                received += len(chunk)
                if received > MAX_ARCHIVE_BYTES:
                    break
                file.write(chunk)
                report(received, size)
    if received > MAX_ARCHIVE_BYTES:
        _forget(archive)
        raise FetchError(f"{url} has more than {MAX_ARCHIVE_BYTES // 1_000_000} MB: it is not the corpus")
    if size is not None and received < size:
        raise requests.ConnectionError(f"{url} broke off after {received} of {size} bytes")


def _unpack(archive: Path, folder: Path) -> None:
    """Write the archive's names to a folder, and nothing else of it anywhere."""
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
            for entry in entries:
                path = PurePosixPath(entry.filename.replace("\\", "/"))
                if path.is_absolute() or ".." in path.parts or ":" in entry.filename:
                    raise FetchError(
                        f"the archive has a path that leads outside, {entry.filename!r}: it is not trusted"
                    )
            if sum(entry.file_size for entry in entries) > MAX_UNPACKED_BYTES:
                raise FetchError("the archive claims to hold far more than the corpus: it is not trusted")
            seen = set()
            for entry in entries:
                path = PurePosixPath(entry.filename)
                if path.parent != IN_ARCHIVE or path.suffix != ".txt":
                    continue
                if path.stem not in LANGUAGES or path.name in seen:
                    raise FetchError(f"the archive has a file {entry.filename!r} that the corpus has not")
                seen.add(path.name)
                # One byte more than allowed: what an entry says of its size may be wrong.
                with opened.open(entry) as file:
                    content = file.read(MAX_FILE_BYTES + 1)
                if len(content) > MAX_FILE_BYTES:
                    raise FetchError(f"{entry.filename!r} is larger than any file of the corpus: it is not trusted")
                (folder / path.name).write_bytes(content)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise FetchError(f"what came is no whole zip archive ({error}): try again") from error


def _check(folder: Path) -> None:
    """Is this the corpus: 18 languages, UTF-8, plausible numbers?"""
    missing = sorted(LANGUAGES - {file.stem for file in folder.glob("*.txt")})
    if missing:
        raise FetchError(f"the archive has no {IN_ARCHIVE}/{missing[0]}.txt ({18 - len(missing)} of 18 files)")
    try:
        names = read_folder(folder)
    except NamesError as error:
        raise FetchError(f"the archive is not the corpus: {str(error).replace(f'{folder}{os.sep}', '')}") from error
    lines = {file.stem: len(file.read_text(encoding="utf-8-sig").splitlines()) for file in folder.glob("*.txt")}
    for language, count in sorted(lines.items()):
        if count not in PLAUSIBLE_LANGUAGE or not names[language]:
            raise FetchError(f"the archive is not the corpus: it has {count} {language} names")
    if sum(lines.values()) not in PLAUSIBLE_TOTAL:
        raise FetchError(f"the archive is not the corpus: it has {sum(lines.values())} names, not about 20,000")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _validator_of(archive: Path) -> Path:
    return archive.with_suffix(".validator")


def _forget(archive: Path) -> None:
    archive.unlink(missing_ok=True)
    _validator_of(archive).unlink(missing_ok=True)
