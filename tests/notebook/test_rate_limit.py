"""What panels send keeps within its limits, changes of state go first, nobody waits for ever, no thread is left."""

import logging
import threading
from collections import Counter

import pytest

from analytics_kit.notebook.rate_limit import ALL_PER_S, Outlet, Pace
from tests.processes import until

LIMIT_S = 30


class Clock:
    """Time that passes only when somebody waits, by as much as is waited."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Skip(threading.Condition):
    """In place of waiting, let the time pass."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def wait(self, timeout=None):
        assert timeout > 0
        self.clock.now += timeout
        return False


class Panels:
    """Outlets that note when each of them was sent, and ask again until `until_s` has come."""

    def __init__(self, n, urgent=(), until_s=110.0):
        self.clock = Clock()
        self.pace = Pace(clock=self.clock)
        self.pace._changed = Skip(self.clock)
        self.sent = []
        self.until_s = until_s
        self.outlets = [Outlet(lambda number=number: self.send(number, number in urgent)) for number in range(n)]
        with self.pace._changed:  # all ask before the first is sent
            for number, outlet in enumerate(self.outlets):
                self.pace.ask(outlet, number in urgent)

    def send(self, number, urgent):
        self.sent.append((self.clock.now, number))
        if self.clock.now < self.until_s:
            self.pace.ask(self.outlets[number], urgent)

    def ran(self):
        """All that was sent, as (time, number), once nothing waits any more."""
        until(lambda: not self.pace._running, "nothing waits")
        return self.sent

    def times_of(self, number):
        return [time for time, sent in self.ran() if sent == number]


def most_in_a_second(times):
    """The most in any one second, whenever that begins."""
    return max(sum(start <= time < start + 1.0 for time in times) for start in times)


@pytest.mark.parametrize(("urgent", "most"), [((), 3), ((0,), 4)])
def test_one_outlet_sends_at_most_four_a_second_and_progress_fewer(urgent, most):
    times = Panels(1, urgent).times_of(0)
    assert most_in_a_second(times) == most
    assert len(times) >= most * 9


def test_progress_leaves_room_for_a_change_of_state():
    """It is sent at once, however much progress was sent before."""
    panels = Panels(1, until_s=101.0)
    asked_at = panels.times_of(0)[-1]
    panels.pace.ask(panels.outlets[0], urgent=True)
    times = panels.times_of(0)
    assert times[-2:] == [asked_at, asked_at]
    assert most_in_a_second(times) == 4


def test_after_a_change_of_state_progress_leaves_room_again():
    panels = Panels(1, until_s=0)
    panels.pace.ask(panels.outlets[0], urgent=True)
    panels.times_of(0)
    panels.sent, panels.until_s = [], 110.0
    panels.pace.ask(panels.outlets[0])
    assert most_in_a_second(panels.times_of(0)) == 3


def test_all_together_stay_under_sixty_a_second():
    for urgent in ((), range(50)):
        times = [time for time, _ in Panels(50, urgent).ran()]
        assert most_in_a_second(times) == ALL_PER_S < 60
        assert len(times) >= ALL_PER_S * 9  # the room is used


def test_what_is_urgent_goes_first():
    panels = Panels(60, urgent={57, 58}, until_s=0)
    assert [number for _, number in panels.ran()][:2] == [57, 58]
    assert len(panels.sent) == 60


def test_an_urgent_word_is_not_forgotten_when_progress_asks_after_it():
    panels = Panels(60, until_s=0)
    panels.ran()
    with panels.pace._changed:
        for outlet in panels.outlets:
            panels.pace.ask(outlet, urgent=outlet is panels.outlets[59])
        panels.pace.ask(panels.outlets[59])
    assert panels.ran()[60][1] == 59


def test_nobody_starves():
    counts = Counter(number for _, number in Panels(50).ran())
    assert len(counts) == 50
    assert max(counts.values()) - min(counts.values()) <= 1


def test_progress_goes_on_beside_a_few_that_are_always_urgent():
    counts = Counter(number for _, number in Panels(50, urgent=range(5)).ran())
    assert min(counts.values()) >= 5
    assert len(counts) == 50


def test_asking_often_sends_once():
    panels = Panels(0)
    outlet, sent = Outlet(lambda: sent.append(1)), []
    with panels.pace._changed:
        for _ in range(100):
            panels.pace.ask(outlet)
    panels.ran()
    assert sent == [1]


def test_what_is_asked_for_while_it_is_sent_is_sent_again():
    """Else the last state would be lost: it came after what is shown was worked out."""
    sent = []

    def send():
        sent.append(1)
        if len(sent) == 1:
            panels.pace.ask(outlet)

    panels, outlet = Panels(0), Outlet(send)
    panels.pace.ask(outlet)
    panels.ran()
    assert sent == [1, 1]


def test_what_is_forgotten_is_not_sent():
    panels, sent = Panels(0), []
    kept, gone = Outlet(lambda: sent.append("kept")), Outlet(lambda: sent.append("gone"))
    with panels.pace._changed:
        panels.pace.ask(gone)
        panels.pace.ask(kept)
        panels.pace.forget(gone)
        panels.pace.forget(gone)
    panels.ran()
    assert sent == ["kept"]


@pytest.mark.parametrize("trouble", [KeyError("odd"), SystemExit(3)])
def test_who_raises_harms_nobody(trouble, caplog):
    def refuse():
        raise trouble

    panels, sent = Panels(0), []
    with caplog.at_level(logging.ERROR), panels.pace._changed:
        panels.pace.ask(Outlet(refuse))
        panels.pace.ask(Outlet(lambda: sent.append(1)))
    panels.ran()
    assert sent == [1]
    assert "could not be sent" in caplog.text


def test_the_thread_is_there_only_while_something_waits():
    """With the real clock: it ends by itself, and a later word starts another."""
    pace, threads = Pace(), []
    outlet = Outlet(lambda: threads.append(threading.current_thread()))
    for turn in range(2):
        pace.ask(outlet, urgent=True)
        until(lambda turn=turn: len(threads) > turn, "it was sent")
        threads[-1].join(LIMIT_S)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]
    assert threads[0].daemon
