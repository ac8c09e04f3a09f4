"""Offer the readers of the Fulcrum logger's files: other packages use `events.native` only through this module."""

from __future__ import annotations

import numpy as np

from analytics_kit.model import Kind
from analytics_kit.study.events.native.buffers import RowBuffers
from analytics_kit.study.events.native.fast import decode
from analytics_kit.study.events.native.reader import count_rows as count_rows_of_kind
from analytics_kit.study.events.native.reader import read_events
from analytics_kit.study.events.native.scanned import compile_scan

__all__ = ["compile_decoders", "count_rows", "read_events"]


def count_rows(raw: bytes, member: str) -> int:
    """Return the number of rows in the bytes of a member of any kind, readable or not."""
    return count_rows_of_kind(raw, "keyboard", member)


def compile_decoders() -> None:
    """Compile the decoder for each shape of line, by decoding one line of it."""
    lines: dict[Kind, bytes] = {"keyboard": b"0,0,a\n", "mouse_movement": b"0,0,0,0\n"}
    for kind, line in lines.items():
        free = RowBuffers(kind, 2).free(1)
        decode(np.frombuffer(line, np.uint8), np.array([0]), np.array([len(line)]), np.empty(1, np.int64), *free)
    compile_scan()
