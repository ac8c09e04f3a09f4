"""When may a panel send what it shows? Not too often, all together not too much, changes of state first."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

ALL_PER_S = 50
"""Messages a second of all panels of this process together; a server drops what goes far beyond."""
logger = logging.getLogger(__name__)


@dataclass(eq=False)
class Outlet:
    """One thing that is sent again and again, such as what a panel shows now."""

    send: Callable[[], object]
    every_s: float = 0.3
    """Progress is sent this often at most; a change of state waits only for `per_s`."""
    per_s: int = 4
    """More is never sent in any one second."""
    sent_at: deque[float] = field(default_factory=deque, repr=False)
    urgent: bool = False

    def due_at(self) -> float:
        """When it may be sent next. Progress leaves room in each second for a change of state."""
        room = self.per_s if self.urgent else max(1, self.per_s - 1)
        due = self.sent_at[-room] + 1.0 if len(self.sent_at) >= room else 0.0
        return due if self.urgent or not self.sent_at else max(due, self.sent_at[-1] + self.every_s)


class Pace:
    """Sends what asks to be sent when it may be, on a daemon thread that is there only while something waits."""

    def __init__(self, all_per_s: int = ALL_PER_S, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._waiting: dict[Outlet, None] = {}
        self._all = deque[float](maxlen=all_per_s)
        self._running = False

    def ask(self, outlet: Outlet, urgent: bool = False) -> None:
        """Have it sent soon; what is shown then counts, however often it was asked for."""
        with self._changed:
            self._waiting[outlet] = None
            outlet.urgent = outlet.urgent or urgent
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, daemon=True, name="analytics_kit panels").start()
            self._changed.notify()

    def forget(self, outlet: Outlet) -> None:
        """Send it no more."""
        with self._changed:
            self._waiting.pop(outlet, None)

    def _run(self) -> None:
        while (outlet := self._next()) is not None:
            try:
                outlet.send()
            except BaseException:  # also SystemExit: others wait for this thread
                logger.exception("What a panel shows could not be sent.")

    def _next(self) -> Outlet | None:
        """Wait until something may be sent, and take it; None when nothing waits."""
        with self._changed:
            while self._waiting:
                now = self._clock()
                outlet, due = self.choose(self._waiting, now)
                if len(self._all) == self._all.maxlen:
                    due = max(due, self._all[0] + 1.0)
                if due <= now:
                    return self._take(outlet, now)
                self._changed.wait(due - now)
            self._running = False
            return None

    @staticmethod
    def choose(waiting: dict[Outlet, None], now: float) -> tuple[Outlet, float]:
        """What is to be sent next, and when: of what is due first the urgent, then what was sent longest ago."""
        dues = [(outlet, outlet.due_at()) for outlet in waiting]
        ready = [(outlet, due) for outlet, due in dues if due <= now]
        if not ready:
            return min(dues, key=lambda each: each[1])
        return min(ready, key=lambda each: (not each[0].urgent, each[0].sent_at[-1] if each[0].sent_at else 0.0))

    def _take(self, outlet: Outlet, now: float) -> Outlet:
        del self._waiting[outlet]
        outlet.urgent = False
        outlet.sent_at.append(now)
        if len(outlet.sent_at) > outlet.per_s:
            outlet.sent_at.popleft()
        self._all.append(now)
        return outlet


pace = Pace()
"""Of all panels of this process."""
