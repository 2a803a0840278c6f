"""Signals: at once, or after the piece of work that they come in."""

import os
import signal
import threading

import pytest

from experiments import interrupts


@pytest.fixture(autouse=True)
def _handlers_are_given_back():
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    yield
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_command_ends_at_once(number):
    with pytest.raises(KeyboardInterrupt), interrupts.handled():
        os.kill(os.getpid(), number)
        pytest.fail("went on")


@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_loop_ends_its_piece_of_work_and_saves(number):
    said, done = [], []
    with pytest.raises(KeyboardInterrupt), interrupts.handled(), interrupts.postponed(said.append) as requested:
        while not requested():
            os.kill(os.getpid(), number)
            done.append("work")
        done.append("saved")
    assert done == ["work", "saved"] and len(said) == 1


def test_the_second_one_does_not_wait():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts.postponed(done.append):
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            done.append("saved")
        pytest.fail("went on")
    assert done[1:] == ["saved"]


def test_without_a_signal_nothing_happens():
    with interrupts.handled(), interrupts.postponed(pytest.fail) as requested:
        assert not requested()


def test_threads_get_no_signals_and_work_all_the_same():
    seen = []

    def work():
        with interrupts.handled(), interrupts.postponed(pytest.fail) as requested:
            seen.append(requested())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
