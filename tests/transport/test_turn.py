"""One thread at a time runs PySyft, and who waits for another worker lets the others go on."""

import threading

from pisyft.transport.turn import Turn


def test_a_second_thread_waits_for_its_turn():
    turn, order = Turn(), []
    ready = threading.Event()

    def second():
        ready.set()
        with turn:
            order.append("second")

    with turn:
        thread = threading.Thread(target=second)
        thread.start()
        assert ready.wait(60)
        order.append("first")
    thread.join(60)

    assert order == ["first", "second"]


def test_a_turn_that_is_given_away_is_taken_by_another_thread_and_comes_back():
    turn, taken, order = Turn(), threading.Event(), []

    def second():
        with turn:
            order.append("second")
            taken.set()

    with turn:
        thread = threading.Thread(target=second)
        thread.start()
        with turn.given_away():
            assert taken.wait(60)
        order.append("first again")
    thread.join(60)

    assert order == ["second", "first again"]


def test_who_has_not_the_turn_has_none_to_give():
    turn = Turn()
    with turn.given_away():
        pass
    with turn:  # would wait for ever if the turn had been given back by somebody who did not have it
        held = threading.Thread(target=lambda: turn.given_away().__enter__())
        held.start()
        held.join(60)
        assert turn._holder == threading.get_ident()
