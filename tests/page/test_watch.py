"""Where the page's facts come from: Pis that answer or not, and a file that grows."""

import json
import threading

import pytest

from pisyft import events
from pisyft.events import EventLog, RoundStarted, to_line
from pisyft.lab import Lab
from pisyft.limits import Limits
from pisyft.page import watch
from pisyft.page.sections import Sections
from pisyft.page.watch import Asker, Presence, Tail, Watch
from pisyft.transport.errors import CallerRefused, TransportError, WorkerRefused, WorkerTimeout
from tests.helpers import wait_until

REFUSED = WorkerRefused("alice", "127.0.0.1:1", "nothing listens there", "Start it.")
SLOW = WorkerTimeout("alice", "127.0.0.1:1", "no answer within 1.5 s", "Wait.")


DESCRIPTION = {"languages": ["Czech", "Irish"], "by_language": [3, 4], "released": 1, "doing": "idle"}


def told(sections: Sections) -> dict:
    return json.loads(sections.since(0)[1])


def test_a_dead_pi_is_noticed_within_five_seconds():
    """The page's promise: a pause, and two time-outs for one that says nothing."""
    assert watch.NOTICED_AFTER_SECONDS == watch.PAUSE_SECONDS + 2 * watch.TIMEOUT_SECONDS < 5


def test_a_pi_is_neither_online_nor_offline_until_it_was_asked():
    assert Presence("alice", "pi:8777").told() == {
        "id": "alice",
        "address": "pi:8777",
        "online": None,
        "since": None,
        "problem": None,
    }


def test_since_when_a_pi_is_there_or_not_changes_when_that_does_and_not_at_every_answer():
    presence, seen = Presence("alice", "pi:8777"), []
    for now, error in [(1.0, None), (2.0, None), (3.0, REFUSED), (4.0, REFUSED), (5.0, None)]:
        if error:
            assert presence.failed(now, error) == watch.PAUSE_SECONDS
        else:
            presence.answered(now, DESCRIPTION)
        seen.append((presence.told()["online"], presence.told()["since"]))

    assert seen == [(True, 1.0), (True, 1.0), (False, 3.0), (False, 3.0), (True, 5.0)]


def test_why_a_pi_is_away_is_told_until_it_returns():
    presence = Presence("alice", "pi:8777")

    presence.failed(1.0, REFUSED)
    away = presence.told()["problem"]
    presence.answered(2.0, DESCRIPTION)

    assert "nothing listens there. Start it." in away
    assert presence.told()["problem"] is None


def test_a_pi_that_misses_one_answer_is_asked_again_at_once_and_only_then_offline():
    presence = Presence("alice", "pi:8777")
    presence.answered(1.0, DESCRIPTION)

    assert presence.failed(2.0, SLOW) == 0
    assert presence.told()["online"]
    assert presence.failed(3.0, SLOW) == watch.PAUSE_SECONDS
    assert not presence.told()["online"]


def test_a_pi_that_lets_nobody_in_is_not_asked_so_often_that_it_locks_this_machine_out():
    refused = CallerRefused("alice", "pi:8777", "it does not let you in", "Who may call is in its configuration.")

    pause = Presence("alice", "pi:8777").failed(1.0, refused)

    assert 60 / pause < Limits().failed_logins_per_minute / 2


def test_what_a_pi_said_last_stays_when_it_is_away():
    presence = Presence("alice", "pi:8777")
    presence.answered(1.0, DESCRIPTION)

    presence.failed(2.0, REFUSED)

    assert presence.told()["by_language"] == [3, 4]


def test_nothing_of_a_description_is_shown_that_is_not_on_the_list():
    presence = Presence("alice", "pi:8777")

    presence.answered(1.0, {**DESCRIPTION, "names": ["Novak"]})

    assert "names" not in presence.told()


@pytest.mark.parametrize(
    "changes",
    [
        {"languages": None},
        {"languages": "Czech", "by_language": "many"},
        {"languages": [["Czech"], "Irish"]},
        {"by_language": [3]},
        {"by_language": [3, -4]},
        {"by_language": [3, float("nan")]},
        {"released": "2"},
        {"doing": 7},
        {"board": ["Raspberry Pi"]},
        {"board": {"model": 5}},
        {"board": {"temperature_celsius": float("inf")}},
        {"board": {"memory_bytes": "8 GB"}},
    ],
)
def test_a_pi_that_describes_itself_as_no_worker_does_is_not_shown_so(changes):
    presence = Presence("alice", "pi:8777")
    presence.answered(1.0, DESCRIPTION)
    before = presence.told()

    with pytest.raises(ValueError, match="what it says of itself makes no sense"):
        presence.answered(2.0, {**DESCRIPTION, **changes})

    assert presence.told() == before


def test_what_is_shown_of_a_pi_has_a_length_that_can_be_sent():
    presence = Presence("alice", "pi:8777")

    presence.answered(1.0, {**DESCRIPTION, "languages": ["x" * 10**6] * 10**4, "by_language": [1] * 10**4})

    assert len(json.dumps(presence.told())) < 20_000


@pytest.mark.parametrize(("told", "shown"), [(True, True), (False, False), (None, False), ("no", False)])
def test_a_pi_is_paused_if_it_says_so(told, shown):
    presence = Presence("alice", "pi:8777")

    presence.answered(1.0, {**DESCRIPTION, "paused": told})

    assert presence.told()["paused"] is shown


def test_a_release_that_a_pi_took_is_shown_until_it_speaks_for_itself():
    presence, seen = Presence("alice", "pi:8777"), []

    presence.took(2)
    assert "released" not in presence.told()  # nothing is known of its names either
    presence.answered(1.0, DESCRIPTION)
    presence.took(2)
    seen.append(presence.told()["released"])
    presence.answered(2.0, DESCRIPTION)
    seen.append(presence.told()["released"])

    assert seen == [2, 1]


@pytest.fixture
def tail(tmp_path):
    made = Tail(tmp_path / "events.jsonl")
    yield made
    made.close()


def test_a_file_that_is_not_there_yet_has_no_lines(tail):
    assert tail.read() == (False, [])


def test_lines_are_read_once_and_only_when_they_are_whole(tail, tmp_path):
    with (tmp_path / "events.jsonl").open("wb", buffering=0) as file:
        file.write(b"one\ntw")
        first = tail.read()
        file.write(b"o\nthree\n")
        second, third = tail.read(), tail.read()

    assert (first, second, third) == ((True, [b"one"]), (False, [b"two", b"three"]), (False, []))


def test_a_new_run_is_read_from_its_beginning(tail, tmp_path):
    for number in (1, 2):
        with EventLog(tmp_path / "events.jsonl") as observe:
            observe(RoundStarted(number))
            is_new, lines = tail.read()

        assert is_new
        assert events.from_line(lines[0])[1] == RoundStarted(number)


def test_a_log_that_is_removed_leaves_what_was_read(tail, tmp_path):
    (tmp_path / "events.jsonl").write_bytes(b"one\n")
    tail.read()

    (tmp_path / "events.jsonl").unlink()

    assert tail.read() == (False, [])


def test_a_watch_shows_workers_and_a_run_and_leaves_no_thread(lab, tmp_path):
    sections = Sections()
    before = set(threading.enumerate())

    with Watch(sections, "room 2", lab.addresses, tmp_path, hint="pisyft train"):
        wait_until(lambda: all(told(sections)[f"pi:{pi}"]["online"] for pi in lab.addresses), "both are online")
        (tmp_path / events.FILE).write_bytes(b"spoiled\n" + to_line(RoundStarted(4), 1.0))
        wait_until(lambda: told(sections)["round"], "the round is shown")

    seen = told(sections)
    assert seen["classroom"] == {"name": "room 2", "pis": ["alice", "bob"], "hint": "pisyft train", "begins": False}
    assert seen["pi:alice"]["languages"] == ["Czech", "Italian", "Japanese", "Polish"]
    assert set(seen["pi:alice"]["board"]) >= {"model", "temperature_celsius"}
    assert seen["round"]["number"] == 4
    assert set(threading.enumerate()) == before


def test_a_release_is_shown_on_those_that_have_it_before_they_are_asked_again(lab, tmp_path):
    put: list[tuple[str, int]] = []

    class Noted(Sections):
        def put(self, values):
            super().put(values)
            put.extend((name, value["released"]) for name, value in values.items() if "released" in (value or {}))

    sections = Noted()
    run = [events.RunStarted(["alice", "bob"], ["Czech"], 5, "additive", "tutorial", "fedavg")]
    with Watch(sections, "room 2", lab.addresses, tmp_path):
        wait_until(lambda: {name for name, _ in put} >= {"pi:alice", "pi:bob"}, "both have answered")
        lines = b"".join(to_line(each, 1.0) for each in [*run, events.Released(2**30, ["bob"])])
        (tmp_path / events.FILE).write_bytes(lines)
        wait_until(lambda: ("pi:alice", 2**30) in put, "alice has it")

    assert ("pi:bob", 2**30) not in put


def test_a_worker_that_is_killed_and_started_again_is_seen_to_go_and_return(names_folder, tmp_path):
    sections = Sections()

    def online() -> bool | None:
        return told(sections)["pi:carol"]["online"]

    with Lab(names_folder, ["carol"]) as lab, Watch(sections, "room", lab.addresses, tmp_path):
        wait_until(online, "carol is online")
        lab.kill("carol")
        wait_until(lambda: not online(), "carol is offline")

    assert "carol" in told(sections)["pi:carol"]["problem"]


def test_who_asks_with_the_wrong_certificates_is_told(names_folder):
    with Lab(names_folder, ["lab-ann", "lab-ben"], certificates=True) as lab:
        host, port = lab.addresses["lab-ann"]
        asker = Asker(host, port, "lab-ann", lab.classroom.credentials, timeout=60)
        assert asker()["worker"] == "lab-ann"
        asker.close()
        with pytest.raises(TransportError):
            Asker(host, port, "lab-ann", None, timeout=60)()
