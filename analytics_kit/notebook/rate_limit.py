"""Limit how often panels send updates, singly and together; changes of status go first."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

TOTAL_PER_S = 50
"""Messages a second of all panels of this process together; a Jupyter server drops messages far above that."""
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Channel:
    """One kind of update that is sent repeatedly, such as the live content of one panel."""

    send: Callable[[], object]
    interval_s: float = 0.3
    """Least time between two updates of progress; a change of status waits only for `limit_per_s`."""
    limit_per_s: int = 4
    """Most updates in any one second."""
    sent_at: deque[float] = field(default_factory=deque, repr=False)
    is_urgent: bool = False

    def due_at(self) -> float:
        """Return when the next update may be sent. Progress leaves room in each second for a change of status."""
        limit = self.limit_per_s if self.is_urgent else max(1, self.limit_per_s - 1)
        due = self.sent_at[-limit] + 1.0 if len(self.sent_at) >= limit else 0.0
        return due if self.is_urgent or not self.sent_at else max(due, self.sent_at[-1] + self.interval_s)


class RateLimiter:
    """Sends requested updates when they are due, on a daemon thread that lives only while updates are waiting."""

    def __init__(self, total_per_s: int = TOTAL_PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: dict[Channel, None] = {}
        self._sent_at = deque[float](maxlen=total_per_s)
        self._is_running = False

    def request(self, channel: Channel, urgent: bool = False) -> None:
        """Send an update of the channel soon; repeated requests give one update with the latest content."""
        with self._changed:
            self._waiting[channel] = None
            channel.is_urgent = channel.is_urgent or urgent
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, daemon=True, name="analytics_kit panels").start()
            self._changed.notify()

    def discard(self, channel: Channel) -> None:
        """Drop a waiting update of the channel."""
        with self._changed:
            self._waiting.pop(channel, None)

    def _run(self) -> None:
        while (channel := self._next_due()) is not None:
            try:
                channel.send()
            except BaseException:  # also SystemExit: other channels depend on this thread
                logger.exception("An update of a panel could not be sent.")

    def _next_due(self) -> Channel | None:
        """Wait until an update is due and take it; return None when nothing waits."""
        with self._changed:
            while self._waiting:
                now = self._clock()
                channel, due = self.pick_next(self._waiting, now)
                if len(self._sent_at) == self._sent_at.maxlen:
                    due = max(due, self._sent_at[0] + 1.0)
                if due <= now:
                    return self._mark_sent(channel, now)
                self._changed.wait(due - now)
            self._is_running = False
            return None

    @staticmethod
    def pick_next(waiting: dict[Channel, None], now: float) -> tuple[Channel, float]:
        """Return the next channel and when it is due: of those due first the urgent, then the longest unsent."""
        channels = [(channel, channel.due_at()) for channel in waiting]
        due_now = [(channel, due) for channel, due in channels if due <= now]
        if not due_now:
            return min(channels, key=lambda each: each[1])
        return min(due_now, key=lambda each: (not each[0].is_urgent, each[0].sent_at[-1] if each[0].sent_at else 0.0))

    def _mark_sent(self, channel: Channel, now: float) -> Channel:
        del self._waiting[channel]
        channel.is_urgent = False
        channel.sent_at.append(now)
        if len(channel.sent_at) > channel.limit_per_s:
            channel.sent_at.popleft()
        self._sent_at.append(now)
        return channel


rate_limiter = RateLimiter()
"""Shared by all panels of this process."""
