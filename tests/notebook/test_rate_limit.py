"""Updates keep within the limits, changes of status go first, no channel starves, and no thread is left."""

import logging
import threading
from collections import Counter

import pytest

from analytics_kit.notebook.rate_limit import TOTAL_PER_S, Channel, RateLimiter
from tests.processes import until

LIMIT_S = 30


class Clock:
    """Time that passes only while a thread waits."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class SkippingCondition(threading.Condition):
    """Advance the clock instead of waiting."""

    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def wait(self, timeout=None):
        assert timeout > 0
        self.clock.now += timeout
        return False


class Panels:
    """Channels that note when each of them was sent and request the next update until `until_s`."""

    def __init__(self, n, urgent=(), until_s=110.0):
        self.clock = Clock()
        self.limiter = RateLimiter(clock=self.clock)
        self.limiter._changed = SkippingCondition(self.clock)
        self.sent = []
        self.until_s = until_s
        self.channels = [Channel(lambda number=number: self.send(number, number in urgent)) for number in range(n)]
        with self.limiter._changed:  # all request before the first is sent
            for number, channel in enumerate(self.channels):
                self.limiter.request(channel, number in urgent)

    def send(self, number, urgent):
        self.sent.append((self.clock.now, number))
        if self.clock.now < self.until_s:
            self.limiter.request(self.channels[number], urgent)

    def sent_updates(self):
        """Wait until nothing waits, and return what was sent as (time, number)."""
        until(lambda: not self.limiter._is_running, "nothing waits")
        return self.sent

    def times_of(self, number):
        return [time for time, sender in self.sent_updates() if sender == number]


def most_in_a_second(times):
    """Return the most updates in any one second, whenever it begins."""
    return max(sum(start <= time < start + 1.0 for time in times) for start in times)


@pytest.mark.parametrize(("urgent", "most"), [((), 3), ((0,), 4)])
def test_channel_sends_at_most_four_a_second_and_less_progress(urgent, most):
    times = Panels(1, urgent).times_of(0)
    assert most_in_a_second(times) == most
    assert len(times) >= most * 9


def test_change_of_status_is_sent_at_once_after_much_progress():
    panels = Panels(1, until_s=101.0)
    requested_at = panels.times_of(0)[-1]
    panels.limiter.request(panels.channels[0], urgent=True)
    times = panels.times_of(0)
    assert times[-2:] == [requested_at, requested_at]
    assert most_in_a_second(times) == 4


def test_progress_leaves_room_again_after_a_change_of_status():
    panels = Panels(1, until_s=0)
    panels.limiter.request(panels.channels[0], urgent=True)
    panels.times_of(0)
    panels.sent, panels.until_s = [], 110.0
    panels.limiter.request(panels.channels[0])
    assert most_in_a_second(panels.times_of(0)) == 3


def test_all_channels_together_stay_under_sixty_a_second():
    for urgent in ((), range(50)):
        times = [time for time, _ in Panels(50, urgent).sent_updates()]
        assert most_in_a_second(times) == TOTAL_PER_S < 60
        assert len(times) >= TOTAL_PER_S * 9  # the room is used


def test_urgent_channels_go_first():
    panels = Panels(60, urgent={57, 58}, until_s=0)
    assert [number for _, number in panels.sent_updates()][:2] == [57, 58]
    assert len(panels.sent) == 60


def test_request_stays_urgent_when_progress_is_requested_after_it():
    panels = Panels(60, until_s=0)
    panels.sent_updates()
    with panels.limiter._changed:
        for channel in panels.channels:
            panels.limiter.request(channel, urgent=channel is panels.channels[59])
        panels.limiter.request(panels.channels[59])
    assert panels.sent_updates()[60][1] == 59


def test_no_channel_starves():
    counts = Counter(number for _, number in Panels(50).sent_updates())
    assert len(counts) == 50
    assert max(counts.values()) - min(counts.values()) <= 1


def test_progress_goes_on_beside_a_few_channels_that_are_always_urgent():
    counts = Counter(number for _, number in Panels(50, urgent=range(5)).sent_updates())
    assert min(counts.values()) >= 5
    assert len(counts) == 50


def test_repeated_requests_send_once():
    panels = Panels(0)
    channel, sent = Channel(lambda: sent.append(1)), []
    with panels.limiter._changed:
        for _ in range(100):
            panels.limiter.request(channel)
    panels.sent_updates()
    assert sent == [1]


def test_request_during_sending_is_sent_again():
    """Otherwise the last state would be lost: it came after the content was rendered."""
    sent = []

    def send():
        sent.append(1)
        if len(sent) == 1:
            panels.limiter.request(channel)

    panels, channel = Panels(0), Channel(send)
    panels.limiter.request(channel)
    panels.sent_updates()
    assert sent == [1, 1]


def test_discarded_request_is_not_sent():
    panels, sent = Panels(0), []
    kept, gone = Channel(lambda: sent.append("kept")), Channel(lambda: sent.append("gone"))
    with panels.limiter._changed:
        panels.limiter.request(gone)
        panels.limiter.request(kept)
        panels.limiter.discard(gone)
        panels.limiter.discard(gone)
    panels.sent_updates()
    assert sent == ["kept"]


@pytest.mark.parametrize("error", [KeyError("odd"), SystemExit(3)])
def test_channel_that_raises_does_not_stop_the_others(error, caplog):
    def fail():
        raise error

    panels, sent = Panels(0), []
    with caplog.at_level(logging.ERROR), panels.limiter._changed:
        panels.limiter.request(Channel(fail))
        panels.limiter.request(Channel(lambda: sent.append(1)))
    panels.sent_updates()
    assert sent == [1]
    assert "could not be sent" in caplog.text


def test_thread_lives_only_while_updates_wait():
    """With the real clock: it ends by itself, and a later request starts another."""
    limiter, threads = RateLimiter(), []
    channel = Channel(lambda: threads.append(threading.current_thread()))
    for turn in range(2):
        limiter.request(channel, urgent=True)
        until(lambda turn=turn: len(threads) > turn, "it was sent")
        threads[-1].join(LIMIT_S)
        assert not threads[-1].is_alive()
    assert threads[0] is not threads[1]
    assert threads[0].daemon
