"""One repair after the other; whoever watches sees all of it, and one that fails stops no other."""

import threading
from pathlib import Path

import pytest

from experiments.page.runner import Runner, Task
from jaxgan.errors import UserError


def last(runner: Runner, task: Task):
    *_, snapshot = runner.watch(task)
    return snapshot


@pytest.fixture
def blocked():
    """A runner whose only task waits until it is told to go on."""
    runner, go_on, began = Runner(), threading.Event(), threading.Event()

    def work(teller):
        began.set()
        assert go_on.wait(10)

    first = runner.add(Task("anna", Path("first"), work))
    assert began.wait(10)
    yield runner, first, go_on
    go_on.set()


def test_tasks_wait_for_each_other_and_know_how_many_come_before(blocked):
    runner, first, go_on = blocked
    order = []
    second = runner.add(Task("bert", Path("second"), lambda teller: order.append("second")))
    third = runner.add(Task("anna", Path("third"), lambda teller: order.append("third")))
    assert next(runner.watch(second)).before == 1 and next(runner.watch(third)).before == 2
    assert runner.of("bert") == [second] and runner.of("anna") == [first, third] and runner.of("carl") == []
    assert runner.folders() == {Path("first"), Path("second"), Path("third")}
    go_on.set()
    assert last(runner, third).state == "finished" and order == ["second", "third"]
    assert last(runner, first).state == "finished" and runner.of("anna") == []


def test_a_task_that_waits_is_cancelled_at_once(blocked):
    runner, _, go_on = blocked
    second = runner.add(Task("bert", Path("second"), lambda teller: pytest.fail("it was cancelled")))
    runner.cancel(second)
    assert last(runner, second).state == "failed" and "Cancelled" in last(runner, second).message
    go_on.set()


def test_a_task_is_asked_to_end_and_tells_how_it_gets_on():
    runner, seen = Runner(), []

    def work(teller):
        for step in range(1, 1001):
            teller.stepped(step, 1000)
            if step == 3:
                teller.tell(picture=b"png")
                runner.cancel(task)
            if teller.is_cancelled():
                return

    task = Task("anna", Path("a"), work)
    runner.add(task)
    seen = list(runner.watch(task))
    assert seen[-1].state == "finished" and seen[-1].is_cancelled and seen[-1].picture == b"png"
    assert seen[-1].step == 3 and seen[-1].steps == 1000 and seen[-1].seconds_left >= 0


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("no such face"), "no such face"),
        (FileNotFoundError(2, "No such file", "a.png"), "a.png: No such file"),
        (KeyError("x"), "Something went wrong that should not: KeyError"),
    ],
)
def test_a_failure_is_told_and_the_next_task_runs(error, message):
    runner = Runner()

    def fail(teller):
        raise error

    failed = runner.add(Task("anna", Path("a"), fail))
    fine = runner.add(Task("bert", Path("b"), lambda teller: None))
    assert last(runner, fine).state == "finished"
    assert last(runner, failed).state == "failed" and message in last(runner, failed).message
