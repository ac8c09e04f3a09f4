"""Measure the metrics against parsing the same events, and mousetrap's measures against a numpy loop.

Times are processor times, which other programs disturb less.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl

import analytics_kit as ak
from analytics_kit.model import KINDS, Kind
from analytics_kit.options import Options
from analytics_kit.study.archive.base import CHUNK_BYTES, Archive
from analytics_kit.study.archive.source import open_archive
from analytics_kit.study.events.reading import read_events
from analytics_kit.study.events.table import Grouped
from analytics_kit.study.metrics.entropy import sample_entropies
from analytics_kit.study.metrics.evaluate import evaluate
from analytics_kit.study.pipeline.plan import Shard, make_plan
from analytics_kit.study.pipeline.warmup import warm
from analytics_kit.study.schema.issues import Issues
from benchmarks import kh2017, studies
from benchmarks.jobs import Row

ROUNDS = 5
COMPILE = (
    "import time; from analytics_kit.study.pipeline.warmup import warm; "
    "start = time.perf_counter(); warm(); print({})"
)


def quickest(call: Callable[[], object]) -> float:
    """Return the processor seconds of the quickest of `ROUNDS` calls."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times)


def inflated(archive: Archive, shard: Shard, kind: Kind) -> list[bytes]:
    """Return the members of a kind as bytes."""
    work = sorted((w for w in shard.members if w.kind == kind), key=lambda w: (w.slot, w.member))
    members = [archive.members[w.member] for w in work]
    return [
        archive.read(member) if member.raw_bytes <= CHUNK_BYTES else b"".join(archive.chunks(member))
        for member in members
    ]


def by_polars(texts: list[bytes], keyboard: bool) -> object:
    """Parse joined members by polars' reader, and nothing else."""
    body = b"".join(text.partition(b"\n")[2] for text in texts)
    schema = {"clock": pl.Binary, "t": pl.Float64}
    schema |= {"key": pl.String} if keyboard else {"x": pl.Float64, "y": pl.Float64}
    return pl.read_csv(body, has_header=False, schema=schema, columns=list(range(1, len(schema))))


def measured(path: Path) -> tuple[int, float, float, float]:
    """Return the rows of a study, and the seconds of reading them, of polars' parse, and of all metrics."""
    rows, read, polars, metrics = 0, 0.0, 0.0, 0.0
    options = Options()
    with open_archive(str(path), options) as archive:
        for shard in make_plan(archive, options, Issues()).shards:
            groups: dict[Kind, Grouped] = {}
            for kind in KINDS:
                texts = inflated(archive, shard, kind)
                if not texts:
                    continue
                work = sorted((w for w in shard.members if w.kind == kind), key=lambda w: (w.slot, w.member))
                pairs = [(archive.members[w.member], w.slot) for w in work]
                inflating = quickest(lambda kind=kind, shard=shard: inflated(archive, shard, kind))
                read += (
                    quickest(lambda pairs=pairs, kind=kind: read_events(archive, pairs, kind, Issues())) - inflating
                )
                polars += quickest(lambda texts=texts, kind=kind: by_polars(texts, kind == "keyboard"))
                groups[kind] = Grouped(read_events(archive, pairs, kind, Issues()), shard.trials)
                groups[kind].sort_by_time()
                rows += len(groups[kind].table.t)
            differences = evaluate(groups, shard.trials, options).x_differences
            metrics += quickest(lambda groups=groups, shard=shard: evaluate(groups, shard.trials, options))
            metrics += quickest(lambda differences=differences: sample_entropies(differences))
    return rows, read, polars, metrics


def parsing(folder: Path) -> Iterator[Row]:
    """Measure all metrics against the parse of the same events."""
    for name, make, goal in (("small", studies.small_files, 2.5), ("large", studies.large_files, 1.0)):
        rows, read, polars, metrics = measured(make(folder))
        yield (
            f"all metrics of {rows:,} events in {name} files",
            f"{1000 * metrics:.0f} ms, polars' parse {1000 * polars:.0f} ms: {metrics / polars:.2f} times "
            f"(our own {1000 * read:.0f} ms: {metrics / read:.2f})",
            f"≤ {goal:g} times",
            metrics <= goal * polars,
        )


def compiling() -> Iterator[Row]:
    """Measure the compilation that an installation does once."""
    seconds = []
    for clock in ("time.perf_counter() - start", "time.process_time()"):
        with tempfile.TemporaryDirectory() as cache:
            command = [sys.executable, "-c", COMPILE.format(clock)]
            environment = os.environ | {"NUMBA_CACHE_DIR": cache}
            seconds.append(float(subprocess.run(command, env=environment, check=True, capture_output=True).stdout))
    yield (
        "compile of all kernels",
        f"{seconds[0]:.1f} s ({seconds[1]:.1f} s of a processor)",
        "< 15 s",
        seconds[0] < 15,
    )


def by_numpy(events: pd.DataFrame) -> list[list[float]]:
    """Return the 30 measures, computed by a plain loop over trials with numpy."""
    return [
        mousetrap_measures_of(trial["t_s"].to_numpy() * 1000, trial["x_px"].to_numpy(), trial["y_px"].to_numpy())
        for _, trial in events.groupby(["participant", "session", "task", "factor", "trial"], sort=False)
    ]


def mousetrap_measures_of(t: np.ndarray, x: np.ndarray, y: np.ndarray, hover: float = 250.0) -> list[float]:
    """Return mousetrap's measures of one trial."""
    last = np.append(np.diff(t) > 0, True)
    t, x, y = t[last], x[last], y[last]
    line = np.array([x[-1] - x[0], y[-1] - y[0]])
    along = ((x - x[0]) * line[0] + (y - y[0]) * line[1]) / (line @ line)
    ideal_x, ideal_y = x[0] + along * line[0], y[0] + along * line[1]
    deviation = np.hypot(ideal_x - x, ideal_y - y) * np.where(ideal_y > y, -1, 1) * (-1 if line[1] < 0 else 1)
    largest, above, below = np.argmax(np.abs(deviation)), np.argmax(deviation), np.argmin(deviation)
    area = 0.5 * np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) * (-1 if np.prod(line) > 0 else 1)
    dx, dy, dt = np.diff(x), np.diff(y), np.diff(t)
    signs = [np.sign(values[values != 0]) for values in (dx, dy, x, y)]
    turns = [float(np.count_nonzero(np.diff(sign))) for sign in signs]
    length = np.hypot(dx, dy)
    still = length == 0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], still, [0]])))
    rests = np.add.reduceat(np.append(dt, 0), edges)[::2] if len(edges) else np.empty(0)
    idle = rests.sum() if len(rests) else t[0]
    hovers = rests[rests > hover]
    away = np.flatnonzero((x != x[0]) | (y != y[0]))
    speed = np.concatenate([[0], length / dt])
    gain = np.concatenate([[0], np.diff(speed)[1:] / dt[:-1]])
    fastest, slowest = np.argmax(speed), np.argmin(speed)
    left = np.concatenate([t[:1], t])
    return [
        x.max(), x.min(), y.max(), y.min(), deviation[largest], t[largest], deviation[above], t[above],
        deviation[below], t[below], deviation.mean(), area, *turns, t[-1], t[away[0] - 1] if len(away) else t[-1],
        idle, hovers.sum(), len(hovers),
        length.sum(), speed[fastest], left[fastest], speed[slowest], left[slowest], gain.max(), t[np.argmax(gain)],
        gain.min(), t[np.argmin(gain)],
    ]  # fmt: skip


def mousetrap(folder: Path) -> Iterator[Row]:
    """Measure KH2017's trials, or the sample's where KH2017 is absent."""
    if kh2017.is_available():
        study, name = kh2017.study(folder), "KH2017"
    else:
        study, name = studies.small_files(folder), "the sample"
    events = ak.process(study).events("mouse_movement")
    ours = ak.mousetrap_measures(events)
    theirs = np.array(by_numpy(events))
    assert np.allclose(ours.iloc[:, -30:].to_numpy(float), theirs, rtol=1e-9, atol=1e-6)
    fast, slow = quickest(lambda: ak.mousetrap_measures(events)), quickest(lambda: by_numpy(events))
    yield (
        f"mousetrap_measures of {len(ours):,} trials of {name}",
        f"{1000 * fast:.0f} ms, a numpy loop {1000 * slow:.0f} ms: {slow / fast:.0f} times faster",
        "≥ 10 times",
        slow >= 10 * fast,
    )


def rows(folder: Path) -> Iterator[Row]:
    """Measure everything in this file."""
    warm()
    yield from parsing(folder)
    yield from mousetrap(folder)
    yield from compiling()
