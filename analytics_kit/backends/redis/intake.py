"""Take messages from the queue, and leave those of other applications to their workers.

As long as nothing foreign waits, a worker blocks until a message arrives. When it has taken one that is not of this
package, it puts it back at once, and from then on picks its own messages out of the list, five times a second, until
nothing foreign waits any more.
"""

from __future__ import annotations

import logging
import time
from typing import Any

import redis
from rq.exceptions import NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from analytics_kit.backends.redis import rq_queue
from analytics_kit.backends.redis.attempts import AttemptStore
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.redis.keys import as_text
from analytics_kit.backends.redis.rq_queue import QueueMessage, RefusedMessageError
from analytics_kit.backends.redis.scripts import load_script
from analytics_kit.backends.redis.server_errors import is_unknown_command

logger = logging.getLogger(__name__)
PICK_INTERVAL_S = 0.2


class Intake:
    """Takes the messages of this package from the connection's queue, one at a time."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self._keys = connection, rq_queue.rq_keys(connection)
        self._pick = connection.register_script(load_script("take"))
        self._is_shared = False
        """Whether messages of another application wait on the queue."""
        self._passed_over: set[str] = set()
        """Foreign messages whose ids look like ours."""
        self._warned: set[str] = set()

    def take(self, timeout_s: float | None) -> tuple[Job, QueueMessage] | None:
        """Return the next message and the rq job that carries it, or None when none came within the timeout.

        Without a timeout it does not wait. Messages that are refused are removed, with a warning.
        """
        deadline = time.monotonic() + (timeout_s or 0.0)
        while True:
            left_s = deadline - time.monotonic()
            rq_job_id = self._picked() if self._is_shared else self._popped(None if timeout_s is None else left_s)
            if rq_job_id is not None:
                if taken := self._opened(rq_job_id):
                    return taken
            elif left_s <= 0:
                return None
            elif self._is_shared:
                time.sleep(min(PICK_INTERVAL_S, left_s))

    def _popped(self, timeout_s: float | None) -> bytes | None:
        if timeout_s is None:
            entry: Any = self._connection.lmove(self._keys.queue, self._keys.intermediate)
            return entry  # type: ignore[no-any-return]
        if timeout_s <= 0:
            return None
        try:
            entry = self._connection.blmove(self._keys.queue, self._keys.intermediate, timeout_s)
        except redis.ResponseError as error:
            if not is_unknown_command(error):
                raise
            answer: Any = self._connection.blpop([self._keys.queue], timeout_s)  # Redis before 6.2
            entry = answer[1] if answer else None
        return entry  # type: ignore[no-any-return]

    def _picked(self) -> bytes | None:
        """Return the first message of the queue that is ours."""
        keys = [self._keys.queue, self._keys.intermediate]
        entry, foreign = self._pick(keys, [rq_queue.OWN_ID_PREFIX, *self._passed_over])
        if entry is None and not foreign:
            self._is_shared = False
            self._passed_over.clear()
        return entry  # type: ignore[no-any-return]

    def _opened(self, entry: bytes) -> tuple[Job, QueueMessage] | None:
        """Return what a message asks for; put it back where it is foreign, and remove it where it is refused."""
        rq_job_id = as_text(entry)
        if not rq_job_id:
            self._connection.lrem(self._keys.intermediate, 1, entry)
            self._warn("An entry of the queue is no text; it was removed.")
            return None
        try:
            job = Job.fetch(rq_job_id, self._connection, JSONSerializer)
            message = rq_queue.message_of(job, self._connection)
        except NoSuchJobError:  # cancelled, or expired
            self._connection.lrem(self._keys.intermediate, 1, entry)
            return None
        except RefusedMessageError as refused:
            rq_queue.forget_taken(self._connection, rq_job_id)
            self._warn(f"A message was refused: {refused}.")
            if refused.attempt is not None:
                namespace, attempt = refused.attempt
                AttemptStore(self._connection, namespace).refuse_unsigned(attempt)
            return None
        except redis.ConnectionError:
            raise
        except Exception:  # rq could not even restore it
            if rq_queue.is_own_id(rq_job_id):  # recovery queues the step again
                rq_queue.forget_taken(self._connection, rq_job_id)
                self._warn("A message could not be read; it was removed.")
                return None
            message = None
        if message is not None:
            return job, message
        rq_queue.put_back(self._connection, rq_job_id)
        if rq_queue.is_own_id(rq_job_id):
            self._passed_over.add(rq_job_id)
        self._is_shared = True
        self._warn(
            f"Another application uses the queue {self._keys.name!r} of this Redis; its messages are left alone. "
            "Give ANALYTICS_KIT_QUEUE another name."
        )
        return None

    def _warn(self, text: str) -> None:
        """Warn, once for each text, in the log and for `doctor`."""
        if text not in self._warned:
            self._warned.add(text)
            logger.warning(text)
        rq_queue.note_refusal(self._connection, text)
