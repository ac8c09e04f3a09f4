"""Run the Lua scripts that change the keys of a job in one step.

They are Lua because several keys change together and what is legal depends on what they hold. The scripts are files
in `lua/`; `prelude.lua`, which all of them begin with, names their keys and arguments.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from analytics_kit.backends.record import Attempt, ChangeRefusedError, RecordState
from analytics_kit.backends.redis.connection import Connection
from analytics_kit.backends.redis.keys import ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY, JobKeys

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
        self._keys = keys
        self._scripts = {name: connection.register_script(source) for name, source in load_scripts().items()}

    def run(self, name: str, attempt: Attempt, *arguments: Any) -> list[Any]:
        """Run a script; attempt number 0 stands for a caller that holds no step."""
        job_id = attempt.job_id
        keys = [*self._keys.all_of(job_id), ACTIVE_KEY, CLEANUP_KEY, DELAYED_KEY]
        subject = [job_id, self._keys.member(job_id), self._keys.channel, attempt.step, str(attempt.number or "")]
        answer: list[Any] = self._scripts[name](keys, [*subject, *arguments])
        return answer

    def change(self, name: str, attempt: Attempt, *arguments: Any) -> list[Any]:
        """Run a script; raises ChangeRefusedError when it refuses the change."""
        answer = self.run(name, attempt, *arguments)
        if not answer[0]:
            raise ChangeRefusedError(RecordState(answer[1].decode()) if answer[1] else None)
        return answer


@cache
def load_scripts() -> dict[str, str]:
    """Return the source of each script."""
    folder = files("analytics_kit.backends.redis") / "lua"
    return {
        name: "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in parts)
        for name, parts in SCRIPTS.items()
    }
