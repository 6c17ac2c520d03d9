"""A request sent twice happens once, and a failure that nobody waited for is heard of."""

import threading

from pisyft.transport.frames import Failure, Request, Result
from pisyft.transport.sessions import Session, Sessions


def waiting(number: int) -> Request:
    return Request(number, True, (), (), b"")


def unwaited(number: int) -> Request:
    return Request(number, False, (), (), b"")


def failure(number: int) -> Failure:
    return Failure(number, number, "builtins", "ValueError", "no", b"")


def test_a_new_request_is_executed_and_a_repeated_one_answered_as_before():
    session, executed = Session(), []

    def execute(request):
        executed.append(request.number)
        return Result(request.number, b"done")

    first = session.answer(waiting(1), execute)
    again = session.answer(waiting(1), execute)

    assert executed == [1]
    assert again == first == Result(1, b"done")


def test_a_request_that_was_answered_long_ago_is_neither_executed_nor_answered():
    session = Session()
    session.answer(waiting(2), lambda request: Result(2, b""))
    assert session.answer(waiting(1), lambda request: Result(1, b"")) is None


def test_a_failure_that_nobody_waited_for_answers_the_next_that_waits_which_is_not_executed():
    session, executed = Session(), []

    def execute(request):
        executed.append(request.number)
        return failure(request.number) if request.number < 3 else Result(request.number, b"")

    assert session.answer(unwaited(1), execute) is None
    assert session.answer(unwaited(2), execute) is None
    answer = session.answer(waiting(3), execute)

    assert (answer.number, answer.failed) == (3, 1), "the first failure is the cause"
    assert executed == [1, 2]
    assert session.answer(waiting(4), execute) == Result(4, b""), "it is told once"


def test_a_repeated_request_waits_for_the_one_that_is_still_executed():
    session, started, go_on = Session(), threading.Event(), threading.Event()
    answers = []

    def execute(request):
        started.set()
        assert go_on.wait(60)
        return Result(request.number, b"slow")

    def ask():
        answers.append(session.answer(waiting(1), execute))

    threads = [threading.Thread(target=ask)]
    threads[0].start()
    assert started.wait(60)
    threads.append(threading.Thread(target=ask))
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)

    assert answers == [Result(1, b"slow")] * 2


def to_nobody(data: bytes) -> None:
    pass


def join(sessions: Sessions, name: bytes) -> Session:
    with sessions.joined(name, to_nobody) as session:
        return session


def test_sessions_are_found_again_by_name():
    sessions = Sessions()
    assert join(sessions, b"one") is join(sessions, b"one")
    assert join(sessions, b"one") is not join(sessions, b"two")


def test_old_sessions_are_forgotten():
    sessions = Sessions()
    first = join(sessions, b"first")
    for number in range(256):
        join(sessions, number.to_bytes(2, "big"))
    assert join(sessions, b"first") is not first


def test_a_session_whose_caller_is_connected_is_not_forgotten():
    sessions = Sessions()
    with sessions.joined(b"first", to_nobody) as first:
        for number in range(300):
            join(sessions, number.to_bytes(2, "big"))
        assert join(sessions, b"first") is first


def test_large_answers_are_not_kept_for_everybody_who_ever_called():
    sessions = Sessions()
    for number in range(20):
        with sessions.joined(number, to_nobody) as session:
            session.answer(waiting(1), lambda request: Result(request.number, bytes(2**20)))

    assert join(sessions, 19) is session
    assert join(sessions, 0).answer_bytes == 0


def test_what_is_sent_goes_over_the_newest_connection_and_none_is_kept_that_ended():
    sessions = Sessions()
    first: list[bytes] = []
    second: list[bytes] = []
    with sessions.joined(b"me", first.append) as session:
        session.send(b"one")
        with sessions.joined(b"me", second.append):
            session.send(b"two")
    session.send(b"three")

    assert (first, second) == ([b"one"], [b"two"])
