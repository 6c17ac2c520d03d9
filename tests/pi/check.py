"""PiSyft on emulated Raspberry Pis: installed from a wheelhouse, a secure round between two workers, a prediction.

    python tests/pi/check.py [--os bookworm] [--cpu cortex-a53] [--out artifacts/pi-check]

Builds a root of each Debian that Raspberry Pi OS is made of, for arm64, and runs `workers/install.sh` and PiSyft in it,
with QEMU in place of the processor, without a network but its own loopback, and as the service's user. Both systems run
at the same time. The whole installation is done once for each system, on the first processor. What it installed is kept
for as long as nothing that goes into it changes; every pair begins with it, and runs `install.sh` again. This and roots
and wheelhouse are in the user's cache (~/.cache/pisyft, or PISYFT_CACHE); nothing else of the machine changes.

Writes summary.json:

    combinations, passed, failed   how many pairs of OS and CPU there are, and how those ended that were run
    installations                  for each OS: cpu, date, pisyft (its wheel's digest), disk_mb (of the installed
                                   environment), and steps, as in results
    results                        for each: os, cpu, passed, date, pisyft, disk_mb, and steps: name, ok, seconds,
                                   resident_mb (of the largest process, QEMU's own memory with it), and what it printed
                                   last where it is not ok
    not_shown                      what an emulation cannot show

and, once all pairs have a result, the table in docs/pi.md. Of pairs that are not asked for, the last result is kept.
Exits with 0 where all that were asked for passed, 1 where one did not, 2 where this machine cannot do it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PISYFT = [sys.executable, "-m", "pisyft"]
SYSTEMS = ("bookworm", "trixie")
# The processor of each Pi, as QEMU calls it.
BOARDS = {"cortex-a53": "Pi 3, Zero 2 W", "cortex-a72": "Pi 4", "cortex-a76": "Pi 5"}
PACKAGES = "python3,python3-venv,ca-certificates,systemd,adduser,passwd,procps,iproute2"
MIRROR = "http://deb.debian.org/debian"
QEMU = "/usr/bin/qemu-aarch64-static"
BINFMT = Path("/proc/sys/fs/binfmt_misc")
# How Linux knows a program for arm64 (Documentation/admin-guide/binfmt-misc.rst); F: QEMU is found from any root.
MAGIC = (
    rb":qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:"
    rb"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:"
)
WORKERS = {"alice": 8777, "bob": 8778}
LANGUAGES = ("Czech", "Italian", "Japanese", "Polish")
NAMES_OF_EACH = 60
ROUNDS = 3  # after one alone, so few names have not taught it enough for a release
STEP_SECONDS = 1800
NOT_SHOWN = [
    "speed: QEMU translates every instruction, and is many times slower than a Pi, in no fixed proportion",
    "heat and power: throttling, under-voltage, a card that is worn",
    "Wi-Fi: the workers talk over loopback (make room shapes a network)",
    "the service under systemd: it is installed and enabled, and its command line run as its user, but not by systemd "
    "(tests/pi/test_boot.py boots it natively)",
    "instructions that QEMU knows and a processor does not, beyond those that its model of that processor leaves out",
]


@dataclass
class Step:
    """One thing that was tried."""

    name: str
    ok: bool
    seconds: float
    resident_mb: float
    said: str = ""


@dataclass
class Result:
    """What came of one OS on one CPU."""

    os: str
    cpu: str
    board: str
    date: str
    pisyft: str
    passed: bool = False
    disk_mb: int = 0
    steps: list[Step] = field(default_factory=list)


def cannot() -> list[str]:
    """Why this machine cannot do it, each with its mend."""
    reasons = []
    if os.geteuid():
        reasons.append("it needs root, for roots of other systems: sudo make pi-check")
    for tool, package in {"debootstrap": "debootstrap", QEMU: "qemu-user-static", "unshare": "util-linux"}.items():
        if shutil.which(tool) is None:
            reasons.append(f"{tool} is not here: apt install {package}")
    if not reasons and not (BINFMT / "qemu-aarch64").exists():
        if not (BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "none", str(BINFMT)], capture_output=True)
        try:
            (BINFMT / "register").write_bytes(MAGIC + QEMU.encode() + b":F")
        except OSError as error:
            reasons.append(f"the kernel does not take programs for arm64 (binfmt_misc: {error.strerror})")
    return reasons


def cache() -> Path:
    return Path(os.environ.get("PISYFT_CACHE", Path.home() / ".cache" / "pisyft"))


def make_root(system: str) -> Path:
    """A root of a Debian for arm64, built once."""
    root = cache() / "roots" / system
    if root.exists():
        return root
    print(f"{system}: building a root (once, some minutes)", flush=True)
    part = root.with_name(f"{system}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    command = ["debootstrap", "--arch=arm64", "--variant=minbase", f"--include={PACKAGES}", system, str(part), MIRROR]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"debootstrap failed for {system}: {(done.stdout + done.stderr)[-500:]}")
    part.rename(root)
    return root


def prepare_bundle(folder: Path) -> None:
    """What comes from the laptop: this project, packages, a classroom, and names for each worker."""
    folder.mkdir()
    # A copy, by links, so that another run may pack the one in the cache anew.
    shutil.copytree(cache() / "wheelhouse", folder / "wheelhouse", copy_function=os.link)
    bundle = folder / "pisyft"
    for part in ("workers", "requirements"):
        shutil.copytree(ROOT / part, bundle / part)
    names = folder / "all"
    names.mkdir()
    for language in LANGUAGES:
        lines = (ROOT / "data/names" / f"{language}.txt").read_text(encoding="utf-8").splitlines()
        (names / f"{language}.txt").write_text("\n".join(lines[:NAMES_OF_EACH]) + "\n", encoding="utf-8")
    workers = [word for worker in WORKERS for word in ("--worker", worker)]
    _here("data", "split", names, "--into", folder / "dealt", *workers)
    pis = [word for worker, port in WORKERS.items() for word in ("--pi", f"{worker}=127.0.0.1:{port}")]
    _here("classroom", "create", "--into", folder / "room", *pis)


def _here(*arguments: object) -> None:
    subprocess.run([*PISYFT, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)


class Machine:
    """A root with changes of its own on top, in which programs run on one kind of processor.

    Args:
        lower: what it begins with, the topmost first; stays as it is.
        work: a folder for the changes.
        bundle: what it finds in /bundle.
    """

    def __init__(self, lower: list[Path], work: Path, bundle: Path, cpu: str) -> None:
        self.upper, self.root, self.cpu = work / "upper", work / "root", cpu
        for folder in (self.upper, work / "scratch", self.root):
            folder.mkdir(parents=True)
        layers = ":".join(map(str, lower))
        layered = f"lowerdir={layers},upperdir={self.upper},workdir={work}/scratch"
        _mount(self.root, "-t", "overlay", "-o", layered, "overlay")
        _mount(self.root / "proc", "-t", "proc", "proc")
        _mount(self.root / "sys", "-t", "sysfs", "sysfs")
        _mount(self.root / "dev", "--rbind", "/dev")
        (self.root / "bundle").mkdir(exist_ok=True)
        _mount(self.root / "bundle", "--bind", str(bundle))

    def start(self, *command: str, user: str | None = None, log: Path) -> subprocess.Popen:
        """Start a program in there."""
        if user:
            command = (
                "/usr/bin/setpriv",
                f"--reuid={user}",
                f"--regid={user}",
                "--init-groups",
                "--no-new-privs",
                *command,
            )
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root" if user is None else "/var/lib/pisyft",
            "QEMU_CPU": self.cpu,
            "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1",
        }
        with log.open("ab") as output:
            return subprocess.Popen(
                ["chroot", str(self.root), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def close(self) -> None:
        subprocess.run(["umount", "--recursive", "--lazy", str(self.root)], check=True)


def _mount(target: Path, *arguments: str) -> None:
    subprocess.run(["mount", *arguments, str(target)], check=True)


class Recorder:
    """Runs steps on a machine, writes down how they went, and stops at the first that fails."""

    def __init__(self, machine: Machine, result: Result, logs: Path) -> None:
        self._machine, self._result, self._logs = machine, result, logs

    @property
    def label(self) -> str:
        return f"{self._result.os}-{self._result.cpu}"

    def run(self, name: str, *command: str, expect: str = "", user: str | None = None) -> str:
        """A program on the machine, until it ends; what it printed. It must succeed, and print what is expected."""
        return self._finish(name, expect, lambda log: self._machine.start(*command, user=user, log=log))

    def run_here(self, name: str, *arguments: str) -> str:
        """`pisyft` on this machine as it is."""

        def start(log: Path) -> subprocess.Popen:
            with log.open("ab") as output:
                return subprocess.Popen(
                    [*PISYFT, *arguments],
                    cwd=ROOT,
                    env={**os.environ, "XDG_CONFIG_HOME": str(self._logs / f"{self.label}-config")},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                )

        return self._finish(name, "", start)

    def _finish(self, name: str, expect: str, start: Callable[[Path], subprocess.Popen]) -> str:
        log = self._logs / f"{self.label}-{name.replace(' ', '-')}.log"
        log.unlink(missing_ok=True)
        begin = time.monotonic()
        status, resident = _wait(start(log), STEP_SECONDS)
        said = log.read_text(encoding="utf-8", errors="replace")
        self.note(name, not status and expect in said, time.monotonic() - begin, resident, said)
        return said

    def note(self, name: str, ok: bool, seconds: float, resident_mb: float, said: str) -> None:
        step = Step(name, ok, round(seconds, 1), round(resident_mb), "" if ok else said[-1500:])
        self._result.steps.append(step)
        print(
            f"{self._result.os} on {self._result.cpu}: {name}: {'ok' if ok else 'FAILED'}, {seconds:.0f} s, "
            f"{resident_mb:.0f} MB",
            flush=True,
        )
        if not ok:
            print(said[-1500:], flush=True)
            raise StepFailed(name)


class StepFailed(Exception):
    pass


def _wait(process: subprocess.Popen, seconds: float) -> tuple[int, float]:
    """The exit status of a process, and the resident memory in MB of the largest of it and its children."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage.ru_maxrss / 1024
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.1)


def service_command(worker: str) -> list[str]:
    """What the service starts."""
    unit = (ROOT / "workers/pisyft-worker@.service").read_text(encoding="utf-8")
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    return shlex.split(line.removeprefix("ExecStart=").replace("%i", worker).replace("$PISYFT_OPTIONS", ""))


@contextlib.contextmanager
def running_workers(machine: Machine, recorder: Recorder, logs: Path, name: str) -> Iterator[None]:
    """Both workers, started as the service does, until the `with` ends; their memory is then noted."""
    started: dict[str, tuple[subprocess.Popen, Path]] = {}
    begin = time.monotonic()
    try:
        for worker in WORKERS:
            log = logs / f"{name}-{worker}.log"
            log.unlink(missing_ok=True)
            started[worker] = (machine.start(*service_command(worker), user="pisyft", log=log), log)
        for worker, (process, log) in started.items():
            while (ready := " is ready " in log.read_text(errors="replace")) is False and process.poll() is None:
                if time.monotonic() - begin > STEP_SECONDS:
                    break
                time.sleep(0.2)
            said = log.read_text(errors="replace")
            recorder.note(f"worker {worker}", ready, time.monotonic() - begin, _resident_mb(process.pid), said)
        yield
        for worker, (process, _) in started.items():
            resident = _resident_mb(process.pid)
            recorder.note(f"worker {worker} after the rounds", resident > 0, 0.0, resident, "it ended")
    finally:
        for process, _ in started.values():
            process.terminate()
        for process, _ in started.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _resident_mb(pid: int) -> float:
    """The most that a process ever had."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def install(recorder: Recorder, worker: str, name: str = "install", expect: str = "Installed:") -> None:
    recorder.run(
        f"{name} {worker}",
        *("/bundle/pisyft/workers/install.sh", "--classroom", f"/bundle/room/{worker}"),
        *("--names", f"/bundle/dealt/{worker}/names", "--wheelhouse", "/bundle/wheelhouse"),
        expect=expect,
    )


def check_processor(machine: Machine, recorder: Recorder, logs: Path, room: Path) -> None:
    """Everything that must work on one kind of Pi, once it is installed."""
    install(recorder, "alice", "install again", "PiSyft is there already")
    with running_workers(machine, recorder, logs, recorder.label):
        # The coordinator is the laptop, as in a classroom: it runs here as it is.
        out = logs / f"{recorder.label}-run"
        for earlier in (out, logs / f"{recorder.label}-config"):  # what it remembers of releases, too
            shutil.rmtree(earlier, ignore_errors=True)
        recorder.run_here(
            "secure rounds",
            *("train", "--classroom", str(room / "coordinator"), "--rounds", str(ROUNDS), "--good-enough", "0"),
            *("--out", str(out)),
        )
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        ok = summary["aggregation"] == "additive" and summary["participants"] == 2 and summary["released_version"] == 1
        recorder.note("released to both", ok, 0.0, 0.0, json.dumps(summary))
        said = recorder.run(
            "doctor",
            *("/usr/local/bin/pisyft", "doctor", "--json", "--classroom", "/etc/pisyft/alice"),
            *("--data", "/var/lib/pisyft/alice"),
            user="pisyft",
            expect='"peer bob"',
        )
        torch = next(each for each in json.loads(said[said.index("{") :])["checks"] if each["name"] == "PyTorch")
        recorder.note("PyTorch runs", torch["state"] == "ok", 0.0, 0.0, torch["found"])
    recorder.run(
        "predict",
        *("/usr/local/bin/pisyft", "predict", "Gadler", "--models", "/var/lib/pisyft/alice/models"),
        user="pisyft",
        expect="Gadler",
    )


def check(system: str, cpus: list[str], out: Path) -> None:
    """One system on several processors, in namespaces of this process's own. Writes each result when it is there."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    logs, layer = out / "logs", installed(system, cpus[0], out)
    if layer is None:
        return
    with tempfile.TemporaryDirectory(dir=cache(), prefix="check-") as work:
        for cpu in cpus:
            result = new_result(system, cpu)
            result.disk_mb = json.loads((layer / "result.json").read_text(encoding="utf-8"))["disk_mb"]
            lower = [layer / "upper", cache() / "roots" / system]
            machine = Machine(lower, Path(work) / cpu, layer / "bundle", cpu)
            try:
                recorder = Recorder(machine, result, logs)
                check_processor(machine, recorder, logs, layer / "bundle/room")
                recorder.run("uninstall", "/bundle/pisyft/workers/install.sh", "--uninstall")
                places = ("opt/pisyft", "etc/pisyft", "var/lib/pisyft", "usr/local/bin/pisyft")
                left = [place for place in places if os.path.lexists(machine.root / place)]
                recorder.note("nothing is left", not left, 0.0, 0.0, ", ".join(left))
                result.passed = True
            except StepFailed:
                pass
            finally:
                machine.close()
            write(result, _result_file(out, system, cpu))


def installed(system: str, cpu: str, out: Path) -> Path | None:
    """The folder with what an installation changed on a system, and with its bundle; None where it failed."""
    layers = cache() / "installed"
    layer = layers / f"{system}-{_digest_of_what_is_installed()}"
    if not (layer / "result.json").exists():
        for earlier in layers.glob(f"{system}-*"):
            shutil.rmtree(earlier)
        layer.mkdir(parents=True)
        prepare_bundle(layer / "bundle")
        result = new_result(system, cpu)
        machine = Machine([cache() / "roots" / system], layer, layer / "bundle", cpu)
        try:
            for worker in WORKERS:
                install(Recorder(machine, result, out / "logs"), worker)
            result.disk_mb = _size_mb(machine.root / "opt/pisyft")
            result.passed = True
            write(result, layer / "result.json")
        except StepFailed:
            write(result, _result_file(out, system, "install"))
            return None
        finally:
            machine.close()
    shutil.copy(layer / "result.json", _result_file(out, system, "install"))
    return layer


def new_result(system: str, cpu: str) -> Result:
    (wheel,) = (cache() / "wheelhouse").glob("pisyft-*.whl")
    return Result(
        system, cpu, BOARDS[cpu], time.strftime("%Y-%m-%d"), hashlib.sha256(wheel.read_bytes()).hexdigest()[:12]
    )


def write(result: Result, file: Path) -> None:
    file.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")


def _digest_of_what_is_installed() -> str:
    digest = hashlib.sha256(time.strftime("%Y-%m").encode())  # a classroom's certificates end one day
    files = [*(ROOT / "workers").iterdir(), *(ROOT / "requirements").iterdir(), *(cache() / "wheelhouse").iterdir()]
    for file in sorted(file for file in files if file.is_file()):
        digest.update(file.name.encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:12]


def _result_file(out: Path, system: str, cpu: str) -> Path:
    return out / f"{system}-{cpu}.json"


def summarise(out: Path) -> dict:
    """What is in summary.json, of all that has a result."""

    def read(names: list[tuple[str, str]]) -> list[dict]:
        files = [_result_file(out, *name) for name in names]
        return [json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()]

    pairs = [(system, cpu) for system in SYSTEMS for cpu in BOARDS]
    results = read(pairs)
    passed = sum(result["passed"] for result in results)
    return {
        "combinations": len(pairs),
        "passed": passed,
        "failed": len(results) - passed,
        "not_shown": NOT_SHOWN,
        "installations": read([(system, "install") for system in SYSTEMS]),
        "results": results,
    }


def _size_mb(folder: Path) -> int:
    return int(subprocess.run(["du", "-sm", str(folder)], capture_output=True, text=True, check=True).stdout.split()[0])


def table(summary: dict) -> str:
    """The results for docs/pi.md."""
    heads = "system, processor, boards, result, installed, again, ready, secure rounds, doctor, predict, worker".split(
        ", "
    )
    lines = [f"| {' | '.join(heads)} |", "|" + " --- |" * len(heads)]
    installations = {(each["os"], each["cpu"]): each for each in summary["installations"]}
    for result in summary["results"]:
        pair = (result["os"], result["cpu"])
        steps = {step["name"]: step for step in result["steps"]}
        steps |= {step["name"]: step for step in installations.get(pair, {"steps": []})["steps"]}

        def seconds(name: str, steps: dict = steps) -> str:
            return f"{steps[name]['seconds']:.0f} s" if name in steps else ""

        worker = steps.get("worker alice after the rounds", {}).get("resident_mb", 0)
        broken = next((step["name"] for step in result["steps"] if not step["ok"]), "not run")
        cells = [
            *(*pair, result["board"], "passed" if result["passed"] else f"failed: {broken}"),
            *map(seconds, ("install alice", "install again alice", "worker bob", "secure rounds", "doctor", "predict")),
            f"{worker:.0f} MB" if worker else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_table(summary: dict, page: Path) -> None:
    begin, end = "<!-- make pi-check: begin -->", "<!-- make pi-check: end -->"
    text = page.read_text(encoding="utf-8")
    before, _, rest = text.partition(begin)
    page.write_text(f"{before}{begin}\n{table(summary)}\n{end}{rest.partition(end)[2]}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--os", action="append", choices=SYSTEMS)
    parser.add_argument("--cpu", action="append", choices=list(BOARDS))
    parser.add_argument("--out", type=Path, default=ROOT / "artifacts/pi-check")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    systems, cpus = options.os or list(SYSTEMS), options.cpu or list(BOARDS)
    if options.inside:
        check(systems[0], cpus, options.out)
        return 0
    if reasons := cannot():
        print("This machine cannot emulate a Pi:\n  " + "\n  ".join(reasons), file=sys.stderr)
        return 2
    out = options.out.resolve()
    (out / "logs").mkdir(parents=True, exist_ok=True)
    asked = [_result_file(out, system, cpu) for system in systems for cpu in cpus]
    for file in asked:
        file.unlink(missing_ok=True)
    subprocess.run([*PISYFT, "classroom", "pack", "--into", str(cache() / "wheelhouse")], check=True, cwd=ROOT)
    for system in systems:
        make_root(system)
    # Mounts, processes and the network's loopback are each system's own, and go with it however it ends.
    own = ["unshare", "--mount", "--propagation=private", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    inside = [*(f"--cpu={cpu}" for cpu in cpus), f"--out={out}", "--inside"]
    running = [subprocess.Popen([*own, sys.executable, __file__, f"--os={system}", *inside]) for system in systems]
    try:
        for process in running:
            process.wait()
    finally:
        for process in running:
            process.kill()
    summary = summarise(out)
    (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if len(summary["results"]) == summary["combinations"]:
        write_table(summary, ROOT / "docs/pi.md")
    print(table(summary))
    print("Not shown by an emulation:\n  " + "\n  ".join(summary["not_shown"]))
    return 0 if all(file.exists() and json.loads(file.read_text())["passed"] for file in asked) else 1


if __name__ == "__main__":
    sys.exit(main())
