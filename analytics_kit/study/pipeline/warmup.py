"""Compile or load every kernel, and import every library, before the first job needs them.

That takes 10 s the first time, and a second once the kernels are on disk (`study/schema/kernel_cache.py`).
"""

from __future__ import annotations

import io

import numpy as np

from analytics_kit.model import KINDS
from analytics_kit.options import Options
from analytics_kit.study.archive.base import without_gc
from analytics_kit.study.events import quality_flags
from analytics_kit.study.events.reading import compile_decoders
from analytics_kit.study.events.table import EventTable, Grouped, ReadMember
from analytics_kit.study.metrics.entropy import sample_entropies
from analytics_kit.study.metrics.evaluate import evaluate
from analytics_kit.study.schema.columns import SCREEN_LIMIT_PX
from analytics_kit.study.store.event_parquet import pack, write_events


def warm() -> None:
    """Process a tiny made-up trial of every kind, without polars: a process that is to fork must not run it.

    Garbage collection is off meanwhile: compiling makes millions of objects and no garbage.
    """
    with without_gc():
        _warm()


def _warm() -> None:
    t = np.array([0.0, 0.1, 0.5, 0.4])
    groups = {}
    compile_decoders()
    for kind in KINDS:
        keyboard = kind == "keyboard"
        position = np.empty(0) if keyboard else t.copy()
        codes = np.zeros(len(t) if keyboard else 0, np.int8)
        rows = ReadMember("warm", 0, len(t), len(t))
        table = EventTable(kind, [rows], t.copy(), position, position.copy(), codes, None)
        table.key_number = codes.astype(np.int64)
        offsets = np.array([0, len(t)])
        quality_flags.count_flags(
            table.t, table.x, table.y, offsets, float(SCREEN_LIMIT_PX), np.zeros((1, 3, 2), np.int64)
        )
        groups[kind] = Grouped(table, 1)
        groups[kind].sort_by_time()
        write_events(io.BytesIO(), groups[kind], 0)  # pyarrow looks for pandas when it is first given an array
    x_differences = evaluate(groups, 1, Options()).x_differences
    assert x_differences is not None  # noqa: S101  all metrics are requested
    sample_entropies(x_differences)
    pack(t, 100.0)
