"""How is the embedded pool of workers kept up?"""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import time
from dataclasses import dataclass, field

from analytics_kit.backends import ledger
from analytics_kit.backends.ledger import Connection
from analytics_kit.backends.perform import death, lost_with
from analytics_kit.backends.place import Place
from analytics_kit.backends.worker import spawn

GRACE_S = 5.0
"""A running job gets this long when the broker is stopped."""
COMPILING_AFTER_S = 3.0
"""Workers that take longer than this to come up are compiling, not merely importing."""
QUICK_S = 10.0
"""A worker that died younger than this makes the next one wait."""
BACK_OFF_LIMIT_S = 30.0


@dataclass
class Slot:
    """One place in the pool: the process in it, the pipe that keeps it, and when the next may start."""

    name: str = ""
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started_at: float = 0.0
    back_off_s: float = 0.0
    next_at: float = 0.0


@dataclass
class Pool:
    """The workers. The first one comes up alone, so that what it compiles is there for the others."""

    connection: Connection
    place: Place
    warm: str
    size: int
    slots: list[Slot] = field(default_factory=list)
    _number: itertools.count[int] = field(default_factory=itertools.count)
    _begun_at: float = field(default_factory=time.monotonic)
    _ready: bool = False
    _compiling: bool = False

    def tick(self) -> None:
        """Start who is missing, and tell of whom was lost."""
        now = time.monotonic()
        if not self._ready:
            self._wait_for_first(now)
        for _ in range(len(self.slots), self.size if self._ready else 1):
            self.slots.append(Slot())
        for slot in self.slots:
            if slot.process is not None and slot.process.poll() is not None:
                self._bury(slot, now)
            if slot.process is None and now >= slot.next_at:
                slot.name = f"embedded-{os.getpid()}-{next(self._number)}"
                slot.process, slot.pipe = spawn(
                    self.warm, slot.name, os.environ, self.place.socket, self.place.folder
                )
                slot.started_at = now

    def stop(self) -> None:
        """End all: running jobs get GRACE_S."""
        living = [slot for slot in self.slots if slot.process is not None]
        for slot in living:
            if slot.process is not None and slot.process.poll() is None:
                slot.process.terminate()
        ends = time.monotonic() + GRACE_S
        for slot in living:
            if slot.process is not None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.process.wait(max(0.0, ends - time.monotonic()))
                os.close(slot.pipe)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    slot.process.wait(1)
                slot.process.kill()
                slot.process.wait()

    def _wait_for_first(self, now: float) -> None:
        if ledger.workers(self.connection)[0]:
            self._ready = True
            ledger.tell_pool(self.connection)
        elif not self._compiling and now - self._begun_at > COMPILING_AFTER_S:
            self._compiling = True
            ledger.tell_pool(self.connection, phase="compiling")

    def _bury(self, slot: Slot, now: float) -> None:
        code = slot.process.returncode if slot.process else 0
        os.close(slot.pipe)
        slot.process = None
        lost_with(self.connection, slot.name, death(-code if code < 0 else code << 8))
        quick = now - slot.started_at < QUICK_S
        slot.back_off_s = min(max(slot.back_off_s * 2, 0.5), BACK_OFF_LIMIT_S) if quick else 0.0
        slot.next_at = now + slot.back_off_s
        if not self._ready:
            ledger.tell_pool(self.connection, notice=f"The workers do not start; see {self.place.log}.")
