"""Refuse to pickle or copy what holds connections, locks or threads, and say what to do instead."""

from __future__ import annotations

from typing import NoReturn


class Handle:
    """An object of one process, such as a connection. Pickling and copying it raises TypeError."""

    _other_processes = "Make a new one in the other process."
    """What to do instead of pickling."""

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        """Raise TypeError: `pickle`, `copy` and all that sends objects to other processes call this."""
        raise TypeError(
            f"A {type(self).__name__} can't be pickled or copied, since it is a connection of this process. "
            f"{self._other_processes}"
        )
