"""PiSyft on many Pis from one laptop: the packages that they need, and `workers/install.sh` over ssh on each.

Ssh is the system's own, with its user's keys and known hosts.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pisyft
from pisyft.files import write_whole

PYTHONS = ("3.11", "3.13")  # Raspberry Pi OS Bookworm's and Trixie's
MACHINE = "aarch64"
# Which C libraries wheels may be made for: up to Bookworm's, 2.36.
_PLATFORMS = [f"manylinux_2_{minor}_{MACHINE}" for minor in (17, 24, 26, 27, 28, 31, 34, 35, 36)] + [
    f"manylinux2014_{MACHINE}"
]
_CONNECT_SECONDS = 10
_LARGE_SKEW_SECONDS = 300

# What ssh says, and what to do about it. {host} and {user} are the Pi's.
_SSH_ADVICE = {
    "Could not resolve hostname": "there is no host {host}: check the name in classroom.toml, or write its IP address",
    "Connection refused": "ssh is not switched on there: sudo raspi-config, Interface Options, SSH",
    "Permission denied": "it does not let {user} in: ssh-copy-id {user}@{host}, or name another user with --user",
    "Host key verification failed": "another machine than before answers at {host}: if its card was written anew, "
    "ssh-keygen -R {host}",
    "timed out": "no answer from {host}: check that it is switched on and on the same network",
    "No route to host": "no way to {host}: check that it is switched on and on the same network",
    "Network is unreachable": "no way to {host}: is this laptop on the Pis' network?",
}


class InstallationError(Exception):
    """Something is missing here, or a Pi could not be set up. The text says what to do."""


def project_folder() -> Path:
    """The folder with `workers/install.sh`, which is not part of the package.

    Raises:
        InstallationError: PiSyft was installed without it.
    """
    folder = Path(pisyft.__file__).resolve().parents[1]
    if not (folder / "workers" / "install.sh").is_file():
        raise InstallationError(
            "this PiSyft came without workers/install.sh: use the project's folder, after make install"
        )
    return folder


# The wheelhouse


def pack(folder: Path, pythons: Iterable[str] = PYTHONS, tell: Callable[[str], object] = print) -> None:
    """Fill a folder with all packages that a Pi needs, PySyft's and PiSyft's among them. What is there stays.

    Raises:
        InstallationError: something cannot be fetched.
    """
    project = project_folder()
    folder.mkdir(parents=True, exist_ok=True)
    for python in pythons:
        if lacking := missing(folder, python, _pins(project / "requirements/pi.txt")):
            tell(f"Python {python}: {len(lacking)} packages for {MACHINE}")
            _download(folder, python, lacking)
    if lacking := missing(folder, None, _pins(project / "requirements/pysyft.txt")):
        tell("PySyft")
        _download_pysyft(folder, lacking)
    tell("PiSyft")
    build_wheel(project, folder)


def missing(folder: Path, python: str | None, pins: Iterable[str]) -> list[str]:
    """The pins that no wheel in a folder fits, for a version of Python on a Pi."""
    files = [file.name for file in folder.glob("*.whl")]
    return [pin for pin in pins if not any(_fits(file, pin, python) for file in files)]


def _fits(file: str, pin: str, python: str | None) -> bool:
    name, version, *_build, pythons, abi, platform = file.removesuffix(".whl").split("-")
    wanted, _, wanted_version = pin.partition("==")
    if _normal(name) != _normal(wanted) or version != wanted_version:
        return False
    if platform == "any":
        return True
    own = python is not None and f"cp{python.replace('.', '')}" in pythons.split(".")
    return platform.endswith(f"_{MACHINE}") and (own or abi == "abi3")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _pins(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _download(folder: Path, python: str, pins: list[str]) -> None:
    tag = f"cp{python.replace('.', '')}"
    options = ["--no-deps", "--only-binary", ":all:", "--python-version", python, "--implementation", "cp"]
    options += [option for platform in _PLATFORMS for option in ("--platform", platform)]
    options += [option for abi in (tag, "abi3", "none") for option in ("--abi", abi)]
    _pip("download", *options, "--dest", str(folder), *pins)


def _download_pysyft(folder: Path, pins: list[str]) -> None:
    """By their addresses: pip 24.1 and later refuse to download PySyft, and its older resolver cannot download."""
    import requests

    report = _pip(
        *("install", "--dry-run", "--ignore-installed", "--no-deps", "--use-deprecated=legacy-resolver"),
        *("--report", "-", *pins),
    )
    for package in json.loads(report)["install"]:
        source = package["download_info"]
        url, digest = source["url"], source["archive_info"]["hashes"]["sha256"]
        if url.startswith("file:"):
            content = Path(url.removeprefix("file://")).read_bytes()
        else:
            try:
                response = requests.get(url, timeout=60)
                response.raise_for_status()
            except requests.RequestException as error:
                raise InstallationError(f"{url} cannot be fetched: {error}") from error
            content = response.content
        if hashlib.sha256(content).hexdigest() != digest:
            raise InstallationError(f"{url} is not what the package index says it is: try again")
        write_whole(folder / url.rsplit("/", 1)[1], content)


def build_wheel(project: Path, folder: Path) -> Path:
    """PiSyft as a wheel, in place of earlier ones in the folder: the same bytes from the same sources."""
    with tempfile.TemporaryDirectory() as work:
        copy = Path(work) / "pisyft"
        copy.mkdir()
        for name in ("setup.py", "pyproject.toml", "README.md"):
            if (project / name).exists():
                shutil.copyfile(project / name, copy / name)
        shutil.copytree(project / "pisyft", copy / "pisyft", ignore=shutil.ignore_patterns("__pycache__"))
        for file in copy.rglob("*"):
            os.utime(file, (315532800, 315532800))  # 1980, the first date that a zip file knows
        _pip("wheel", "--no-deps", "--wheel-dir", work, str(copy), SOURCE_DATE_EPOCH="315532800")
        (wheel,) = Path(work).glob("*.whl")
        for earlier in folder.glob("pisyft-*.whl"):
            earlier.unlink()
        return Path(shutil.copy(wheel, folder / wheel.name))


def _pip(*arguments: str, **environment: str) -> str:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env={**os.environ, **environment}
    )
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["no reason told"]
        raise InstallationError(f"pip could not fetch what a Pi needs ({errors[-1]}): is this laptop on the internet?")
    return done.stdout


# Over ssh


@dataclass(frozen=True)
class Pi:
    """A Pi to be set up.

    Attributes:
        id: its id in the classroom.
        host, user: for ssh.
        classroom: its folder of the classroom.
        names: names for its worker, if it gets some from here.
    """

    id: str
    host: str
    user: str
    classroom: Path
    names: Path | None = None


@dataclass(frozen=True)
class Installer:
    """Sets up one Pi after the other, or several at once from several threads.

    Args:
        package: PiSyft's wheel.
        wheelhouse: where all other packages are; without it, a Pi fetches them itself.
        options: more options of `pisyft worker`.
    """

    package: Path
    wheelhouse: Path | None = None
    options: str = ""

    def install(self, pi: Pi, tell: Callable[[str], object]) -> None:
        """Set a Pi up, and tell what is being done there.

        Raises:
            InstallationError: it could not be; the Pi is as it was.
        """
        tell("connecting")
        python, has_this = self._probe(pi)
        arguments = ["--classroom", "classroom", "--package", self.package.name]
        if pi.names:
            arguments += ["--names", "names"]
        if self.options:
            arguments += ["--options", self.options]
        wheels = []
        if self.wheelhouse and not has_this:
            project = project_folder() / "requirements"
            pins = _pins(project / "pi.txt") + _pins(project / "pysyft.txt")
            if lacking := missing(self.wheelhouse, python, pins):
                raise InstallationError(
                    f"{self.wheelhouse} has no {lacking[0]} for Python {python} on {MACHINE}: fill it with pisyft "
                    "classroom pack"
                )
            wheels = [file for file in self.wheelhouse.glob("*.whl") if any(_fits(file.name, p, python) for p in pins)]
            arguments += ["--wheelhouse", "wheelhouse"]
        tell("copying")
        _run_there(pi, arguments, lambda stream: self._write(stream, pi, wheels), tell)

    def uninstall(self, pi: Pi, tell: Callable[[str], object]) -> None:
        """Remove everything from a Pi: PiSyft, and the worker's certificates, names and models."""
        tell("connecting")
        _run_there(pi, ["--uninstall"], lambda stream: self._write(stream, None, []), tell)

    def _probe(self, pi: Pi) -> tuple[str, bool]:
        """Its version of Python, and whether this PiSyft is there already; checks what would stop it at once."""
        told = _ssh(
            pi,
            'echo "machine $(uname -m)"; echo "time $(date +%s)"; sudo -n true 2>/dev/null && echo "sudo yes"; '
            'echo "python $(python3 -c \'import sys; print("%d.%d" % sys.version_info[:2])\' 2>/dev/null)"; '
            'echo "current $(readlink "${PISYFT_ROOT:-}/opt/pisyft/current")"',
        )
        facts = dict(line.partition(" ")[::2] for line in told.splitlines())
        if facts.get("machine") != MACHINE:
            raise InstallationError(
                f"it is a {facts.get('machine') or 'machine that says nothing'}, and PyTorch has no packages for that: "
                "install Raspberry Pi OS (64-bit)"
            )
        if "sudo" not in facts:
            raise InstallationError(f"sudo asks {pi.user} for a password there: log in, and run workers/install.sh")
        if not facts.get("python"):
            raise InstallationError("there is no python3: sudo apt install python3-venv")
        if abs(ahead := int(facts.get("time") or 0) - time.time()) > _LARGE_SKEW_SECONDS:
            raise InstallationError(
                f"its clock is {abs(ahead) / 3600:.1f} hours {'ahead of' if ahead > 0 else 'behind'} this laptop's: "
                "sudo timedatectl set-ntp true, or sudo date --set"
            )
        return facts["python"], facts.get("current", "").endswith("/" + self._key(facts["python"]))

    def _key(self, python: str) -> str:
        """What `install.sh` calls this version of PiSyft and of all that it needs."""
        project = project_folder() / "requirements"
        content = (project / "pi.txt").read_bytes() + (project / "pysyft.txt").read_bytes()
        return hashlib.sha256(content + f"{python}\n".encode() + self.package.read_bytes()).hexdigest()[:12]

    def _write(self, stream: IO[bytes], pi: Pi | None, wheels: list[Path]) -> None:
        """The files that `install.sh` needs there, as a tar file."""
        project = project_folder()
        with tarfile.open(fileobj=stream, mode="w|") as tar:
            for name in ("workers/install.sh", "workers/pisyft-worker@.service", *_lists(project)):
                tar.add(project / name, name, filter=_anonymous)
            if pi is None:
                return
            tar.add(self.package, self.package.name, filter=_anonymous)
            tar.add(pi.classroom, "classroom", filter=_anonymous)
            if pi.names:
                tar.add(pi.names, "names", filter=_anonymous)
            for wheel in wheels:
                tar.add(wheel, f"wheelhouse/{wheel.name}", filter=_anonymous)


def _lists(project: Path) -> list[str]:
    return [f"requirements/{file.name}" for file in sorted((project / "requirements").glob("*.txt"))]


def _anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _run_there(pi: Pi, arguments: list[str], write: Callable[[IO[bytes]], None], tell: Callable[[str], object]) -> None:
    """Unpack what `write` writes into a folder there that only its owner reads, and run `install.sh` from it."""
    quoted = " ".join(f"'{argument}'" for argument in arguments)
    # At home and not in /tmp, which may be memory, of which a Pi has little.
    command = (
        'folder=$(mktemp -d "$HOME/.pisyft-install.XXXXXX") && trap "rm -rf \'$folder\'" EXIT && cd "$folder" && '
        f"tar -xf - && sudo -n bash workers/install.sh {quoted} 2>&1 </dev/null"
    )
    process = subprocess.Popen(
        _ssh_command(pi, command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdin and process.stdout and process.stderr
    last = ""
    with process:
        try:
            with process.stdin:
                write(process.stdin)
        except BrokenPipeError:
            pass  # its end is told below
        for line in (line.decode(errors="replace") for line in process.stdout):
            if line.startswith(("==> ", "Error: ")):
                last = line.strip().removeprefix("==> ")
                tell(last)
        complaint = process.stderr.read().decode(errors="replace")
    if process.returncode:
        if last.startswith("Error: "):
            raise InstallationError(last.removeprefix("Error: "))
        raise InstallationError(_why(pi, complaint))


def _ssh(pi: Pi, command: str) -> str:
    """What a command there prints.

    Raises:
        InstallationError: ssh does not get there.
    """
    done = subprocess.run(_ssh_command(pi, command), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode == 255 or (done.returncode and not done.stdout):
        raise InstallationError(_why(pi, done.stderr))
    return done.stdout


def _ssh_command(pi: Pi, command: str) -> list[str]:
    # A Pi that is new is believed at first sight, as a person would; one that changed is not. Nothing asks anything.
    options = ("BatchMode=yes", f"ConnectTimeout={_CONNECT_SECONDS}", "StrictHostKeyChecking=accept-new")
    flags = [flag for option in options for flag in ("-o", option)]
    return ["ssh", *flags, "--", f"{pi.user}@{pi.host}", command]


def _why(pi: Pi, complaint: str) -> str:
    for said, advice in _SSH_ADVICE.items():
        if said in complaint:
            return advice.format(host=pi.host, user=pi.user)
    lines = [line for line in complaint.splitlines() if line.strip()]
    return f"ssh {pi.user}@{pi.host}: {lines[-1] if lines else 'the connection ended'}"
