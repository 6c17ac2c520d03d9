"""What a run tells whoever watches: as lines of JSON, which can be read back while the run goes on."""

import dataclasses
import json
import math
import threading
import typing

import pytest

from pisyft import events
from pisyft.events import Evaluated, Event, EventLog, RoundStarted, RunStopped, Training, from_line, to_line

VALUES = {
    int: 7,
    float: 0.5,
    str: "alice",
    bool: True,
    float | None: 1.5,
    typing.Optional[float]: 1.5,  # noqa: UP045 - another object than the line above on Python 3.10
}


def example(kind: type[Event]) -> Event:
    """One of the kind, with plain values in all fields."""
    hints = typing.get_type_hints(kind)
    return kind(**{each.name: VALUES.get(hints[each.name], ["alice", "bob"]) for each in dataclasses.fields(kind)})


def told(file) -> list[Event]:
    return [from_line(line)[1] for line in file.read_bytes().splitlines(keepends=True)]


@pytest.mark.parametrize("kind", Event.kinds.values(), ids=lambda kind: kind.__name__)
def test_every_event_is_a_line_that_reads_as_the_same_event(kind):
    event = example(kind)

    line = to_line(event, 1700000000.1234)

    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert from_line(line) == (1700000000.123, event)


@pytest.mark.parametrize("loss", [math.inf, -math.inf, math.nan])
def test_a_loss_that_is_no_number_is_left_out_since_json_has_none(loss):
    line = to_line(Evaluated(1, "test", 20, 0.5, loss, [[1]], {"alice": (0.5, loss)}), 0)

    json.loads(line, parse_constant=pytest.fail)
    assert from_line(line)[1].loss is None
    assert from_line(line)[1].by_worker == {"alice": [0.5, None]}


@pytest.mark.parametrize(
    "line",
    [b'{"event":"Eclipse","time":1}', b'{"event":"RoundStarted","time":1,"number":2,"moon":"full"}'],
    ids=["event", "field"],
)
def test_what_a_later_version_tells_is_passed_over(line):
    assert from_line(line) is None


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"7", b'{"time":1}', b'{"event":"RoundStarted"}', b"\xff"])
def test_a_line_of_something_else_is_refused(line):
    with pytest.raises(ValueError):
        from_line(line)


def test_an_earlier_runs_log_stays_until_the_first_event(tmp_path):
    file = tmp_path / "run" / events.FILE
    with EventLog(file) as observe:
        observe(RoundStarted(1))

    with EventLog(file) as observe:
        assert told(file) == [RoundStarted(1)]
        observe(RoundStarted(2))
        assert told(file) == [RoundStarted(2)]  # to be read at once


def test_a_run_that_ends_early_says_why(tmp_path):
    file = tmp_path / events.FILE

    with pytest.raises(ZeroDivisionError), EventLog(file) as observe:
        observe(RoundStarted(1))
        raise ZeroDivisionError("by nothing")
    early = told(file)
    with pytest.raises(KeyboardInterrupt), EventLog(file) as observe:
        observe(RoundStarted(1))
        raise KeyboardInterrupt

    assert early == [RoundStarted(1), RunStopped("by nothing")]
    assert told(file) == [RoundStarted(1), RunStopped("interrupted")]


def test_a_run_that_never_began_leaves_an_earlier_runs_log(tmp_path):
    file = tmp_path / events.FILE
    file.write_bytes(to_line(RoundStarted(1), 0))

    with pytest.raises(ZeroDivisionError), EventLog(file):
        raise ZeroDivisionError

    assert told(file) == [RoundStarted(1)]


def test_a_log_that_cannot_be_written_says_so_once_and_stops_nobody(tmp_path, caplog):
    (tmp_path / "run").write_text("a file, where a folder should be")

    with EventLog(tmp_path / "run" / events.FILE) as observe:
        observe(RoundStarted(1))
        observe(RoundStarted(2))

    assert caplog.text.count("cannot be written") == 1


def test_lines_of_several_threads_stay_whole(tmp_path):
    file = tmp_path / events.FILE
    with EventLog(file) as observe:

        def train(worker: str) -> None:
            for names in range(200):
                observe(Training(worker, names, 200, 1.0))

        threads = [threading.Thread(target=train, args=[worker]) for worker in ("alice", "bob", "carol")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    written = told(file)
    for worker in ("alice", "bob", "carol"):
        assert [each.names for each in written if each.worker == worker] == list(range(200))
