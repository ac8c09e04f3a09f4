"""Run the Lua scripts that change the keys of a job in one step.

They are Lua because several keys change together and what is legal depends on what they hold. The scripts are files
in `lua/`; `prelude.lua`, which all of them begin with, names their keys and arguments. `take.lua` is about rq's
queue and has its own.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from analytics_kit.backends.record import Attempt, ChangeRefusedError, RecordState
from analytics_kit.backends.redis.connection import Connection, queue_keys
from analytics_kit.backends.redis.keys import JobKeys

SCRIPTS = {
    "change_state": ["prelude", "change_state"],
    "claim": ["prelude", "claim"],
    "publish_progress": ["prelude", "shards", "publish_progress"],
    "split": ["prelude", "shards", "split"],
    "finish_shard": ["prelude", "shards", "finish_shard"],
    "retry": ["prelude", "retry"],
    "take_over": ["prelude", "take_over"],
    "queue_due": ["prelude", "queue_due"],
    "release": ["prelude", "release"],
    "delete": ["prelude", "delete"],
}
"""The files that make up each script."""


class JobScripts:
    """The scripts, registered with a connection, for the jobs of one namespace."""

    def __init__(self, connection: Connection, keys: JobKeys) -> None:
        self._keys, shared = keys, queue_keys(connection)
        self._shared_keys = [shared.active, shared.cleanup, shared.delayed]
        self._scripts = {name: connection.register_script(source) for name, source in load_scripts().items()}

    def run(self, name: str, attempt: Attempt, *arguments: Any) -> list[Any]:
        """Run a script; attempt number 0 stands for a caller that holds no step."""
        job_id = attempt.job_id
        keys = [*self._keys.all_of(job_id), *self._shared_keys]
        subject = [job_id, self._keys.member(job_id), self._keys.channel, attempt.step, str(attempt.number or "")]
        answer: list[Any] = self._scripts[name](keys, [*subject, *arguments])
        return answer

    def change(self, name: str, attempt: Attempt, *arguments: Any) -> list[Any]:
        """Run a script; raises ChangeRefusedError when it refuses the change."""
        answer = self.run(name, attempt, *arguments)
        if not answer[0]:
            raise ChangeRefusedError(state_of(answer[1]) if answer[1] else None)
        return answer


def state_of(value: bytes) -> RecordState:
    """Return the state that a record's field holds; one that is not known counts as failed, as it is listed."""
    try:
        return RecordState(value.decode())
    except ValueError:
        return RecordState.FAILED


@cache
def load_scripts() -> dict[str, str]:
    """Return the source of each script."""
    return {name: "\n".join(map(load_script, parts)) for name, parts in SCRIPTS.items()}


@cache
def load_script(name: str) -> str:
    """Return the content of a file of `lua/`."""
    return (files("analytics_kit.backends.redis") / "lua" / f"{name}.lua").read_text(encoding="utf-8")
