"""The audit log: every request is in it, no name is, and it answers what has left."""

import json
import stat
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
import torch
from syft.exceptions import GetNotPermittedError

from pisyft.audit import AuditLog, Entry, Left, read, what_has_left
from pisyft.learning.models import make_model
from pisyft.learning.remote import find_names
from pisyft.learning.vectors import to_vector
from tests.helpers import run_pisyft, wait_until


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "models" / "audit.jsonl"


def test_what_is_recorded_is_read_back(file):
    log = AuditLog(file)
    log.record("me", "coordinator", "192.168.1.5", "evaluate", 27, 300)
    log.record("bob", "peer", "192.168.1.22", "fit", 5, 40, "refused", "verb")
    log.close()

    first, second = read(file)

    assert (first.who, first.role, first.address, first.what) == ("me", "coordinator", "192.168.1.5", "evaluate")
    assert (first.times, first.received, first.sent, first.decision, first.rule) == (1, 27, 300, "done", None)
    assert (second.decision, second.rule) == ("refused", "verb")
    assert abs(datetime.fromisoformat(first.time) - datetime.now(timezone.utc)) < timedelta(minutes=10)


def test_it_is_for_its_owner_alone_also_if_the_file_was_there(file):
    file.parent.mkdir()
    file.write_text("")
    file.chmod(0o644)
    log = AuditLog(file)
    log.open()
    log.close()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_device_is_no_log():
    with pytest.raises(OSError, match="it is no file"):
        AuditLog(Path("/dev/null")).open()


def test_what_repeats_is_a_line_at_first_and_then_one_for_all(file):
    log = AuditLog(file)
    for _ in range(1000):
        log.record("me", "coordinator", "127.0.0.1", "pointer: add", 100, 10)
    written_at_once = len(list(read(file)))
    log.close()

    entries = list(read(file))
    assert (written_at_once, len(entries)) == (1, 2)
    assert sum(each.times for each in entries) == 1000
    assert sum(each.received for each in entries) == 100_000


def test_it_is_rotated_and_read_in_order(file, monkeypatch):
    monkeypatch.setattr("pisyft.audit._FILE_BYTES", 2000)
    log = AuditLog(file)
    for number in range(1000):
        log.record("me", "coordinator", "127.0.0.1", f"verb {number}")
    log.close()

    kept = [int(each.what.removeprefix("verb ")) for each in read(file)]
    files = sorted(each.name for each in file.parent.iterdir())
    assert len(files) == 10
    assert all(stat.S_IMODE((file.parent / each).stat().st_mode) == 0o600 for each in files)
    assert kept == list(range(kept[0], 1000))


def test_half_a_line_is_left_out(file):
    log = AuditLog(file)
    log.record("me", "coordinator", "127.0.0.1", "describe")
    log.close()
    with file.open("a") as end:
        end.write('{"time": "2026-')
    log = AuditLog(file)
    log.record("me", "coordinator", "127.0.0.1", "fit")
    log.close()
    assert [each.what for each in read(file)] == ["describe", "fit"]


def test_a_disk_that_is_full_stops_nobody(file, caplog, monkeypatch):
    log = AuditLog(file)

    def full(record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(log._file, "format", full)
    log.record("me", "coordinator", "127.0.0.1", "describe")
    log.close()
    assert "cannot be written" in caplog.text


def entry(**values) -> Entry:
    return Entry(
        **{
            "time": "2026-05-01T09:00:00+00:00",
            "who": "me",
            "role": "coordinator",
            "address": "192.168.1.5",
            "what": "evaluate",
            "times": 1,
            "received": 10,
            "sent": 100,
            "decision": "done",
            **values,
        }
    )


def test_what_has_left_is_told_by_verb_and_receiver():
    entries = [
        entry(),
        entry(times=2, sent=50),
        entry(what="deliver", who="bob", role="peer", sent=7),
        entry(what="fit", decision="refused", rule="paused"),
        entry(what="connect", sent=0),
    ]
    assert what_has_left(entries) == [
        Left("evaluate", "me", "coordinator", 3, 150),
        Left("deliver", "bob", "peer", 1, 7),
    ]


def entries_of(lab, worker: str) -> list[Entry]:
    return list(read(lab.folder / worker / "models" / "audit.jsonl"))


def test_a_worker_takes_down_what_it_is_asked_and_by_which_rule_it_refuses(lab, workers):
    alice, _ = workers
    before = len(entries_of(lab, "alice"))  # other tests have called, some under made-up ids
    languages = len(alice.call("describe")["languages"])
    weights = to_vector(make_model("tutorial", 57, languages, 1)).detach().numpy()
    alice.call("evaluate", weights=np.asarray(weights, "<f4"))
    x = torch.tensor([1.0, 2.0]).send(alice)
    (x + x).get()
    names = find_names(alice)
    with pytest.raises(GetNotPermittedError):
        names.languages.get()
    with pytest.raises(GetNotPermittedError):
        alice.call("Dvorak")
    alice.close()

    def found(what: str, decision: str = "done", rule: str | None = None) -> list[Entry]:
        return [
            each for each in entries_of(lab, "alice") if (each.what, each.decision, each.rule) == (what, decision, rule)
        ]

    wait_until(lambda: found("call", "refused", "verb"), "the last is taken down")
    assert all(found(each) for each in ("connect", "describe", "evaluate", "pointer: __add__", "pointer: get"))
    assert all(found(each)[0].sent > 0 for each in ("describe", "evaluate", "pointer: get"))
    assert found("pointer: get", "refused", "private")
    assert {each.who for each in entries_of(lab, "alice")[before:]} <= {"me", "alice", "bob", "-"}


def test_no_name_is_in_the_log(lab, workers):
    """Also not the one that somebody asks for as if it were a verb."""
    log = (lab.folder / "alice" / "models" / "audit.jsonl").read_text()
    names = {
        name for file in lab.names_of("alice").rglob("*.txt") for name in file.read_text(encoding="utf-8").splitlines()
    }
    assert len(names) > 100
    assert not [name for name in names if f'"{name}"' in log or f" {name} " in log]


@pytest.fixture
def logged(file) -> Path:
    log = AuditLog(file)
    log.record("me", "coordinator", "192.168.1.5", "evaluate", 1000, 2000)
    log.record("[red]me\x1b[0m", "coordinator", "192.168.1.9", "fit", 1000, 0, "refused", "login")
    log.close()
    return file


def test_the_command_shows_what_was_asked_and_what_has_left(logged):
    told = run_pisyft("audit", "--models", logged.parent).stdout

    assert "what has left this Pi" in told
    assert "2,000" in told
    asked, answered = [line for line in told.splitlines() if " evaluate " in line]
    assert asked.split()[2] == "coordinator" and " me " not in answered  # "me" is the coordinator's own word
    assert "[red]me?[0m" in told
    assert "login" in told


def test_the_command_says_that_nothing_was_refused(logged):
    told = run_pisyft("audit", "--file", logged, "--refused", "--since", "2999-01-01").stdout

    assert told == f"{logged}: nothing was refused since then.\n"


def test_the_command_as_json(logged):
    told = json.loads(run_pisyft("audit", "--file", logged, "--refused", "--since", "1h", "--json").stdout)

    assert [each["rule"] for each in told["entries"]] == ["login"]
    assert told["left"] == [{"what": "evaluate", "who": "me", "role": "coordinator", "times": 1, "bytes": 2000}]
    later = json.loads(run_pisyft("audit", "--file", logged, "--since", "2999-01-01", "--json").stdout)
    assert later == {"entries": [], "left": []}


def test_the_command_says_where_to_look_if_there_is_no_log(tmp_path):
    done = run_pisyft("audit", "--models", tmp_path)
    assert done.returncode == 2
    assert "say where with --models DIR, or --file FILE" in " ".join(done.stderr.split())
