"""The small trial that docs/metrics.md uses as its example, and its metrics."""

from __future__ import annotations

import csv
import io
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import analytics_kit as ak
from analytics_kit.model import Kind
from analytics_kit.options import Options
from analytics_kit.study.events.table import EventTable, Grouped, ReadMember
from analytics_kit.study.metrics.catalogue import CATALOGUE
from analytics_kit.study.metrics.evaluate import evaluate
from analytics_kit.study.schema.columns import PRESS, RELEASE
from analytics_kit.study.schema.keys import KEY_CLASS_CODES, classify_key

MOVES = (
    (0.10, 40, 200), (0.15, 70, 170), (0.20, 120, 110), (0.25, 200, 80), (0.30, 270, 95), (0.70, 300, 130),
    (0.75, 326, 175), (0.80, 322, 222), (0.85, 278, 246), (0.90, 292, 224), (1.60, 345, 204), (1.65, 392, 176),
)  # fmt: skip
"""Time in s, x and y in pixels."""
CLICKS = (
    (0.02, 36, 206), (0.09, 36, 206), (1.00, 292, 224), (1.08, 292, 224), (1.30, 292, 224), (1.38, 292, 224),
    (1.50, 292, 224), (1.75, 392, 176),
)  # fmt: skip
"""Presses and releases alternate; the last pair is a drag."""
SCROLLS = ((2.00, 392, 176), (2.05, 392, 176), (2.10, 392, 176), (2.60, 392, 176), (2.70, 392, 176))
WHEEL = (100, 100, 100, -100, -100)
"""Downward pixels of each scroll row, which the platform does not log."""
KEYS = (
    (3.20, "h", 3.28), (3.35, "e", 3.52), (3.50, "k", 3.58), (3.80, "Key.backspace", 3.88), (3.95, "l", None),
    (3.99, "l", 4.05), (4.20, "o", 4.29), (6.50, "Key.enter", 6.58),
)  # fmt: skip
"""Time of the press, key, and time of the release, which the platform does not log; one key is held and repeats."""
FOLDER = "1_participant_session/Greet_Once_trial_1"


def csv_text(head: str, rows: Sequence[Sequence[object]]) -> str:
    """Return a log file in the platform's layout."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([head.split(","), *rows])
    return text.getvalue()


def study(path: Path) -> Path:
    """Write a ZIP at `path` that holds the trial as the platform logs it."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, rows in (("Movement", MOVES), ("Clicks", CLICKS), ("Scrolls", SCROLLS)):
            text = csv_text("Time,running_time,x,y", [("12:00:00", f"{t:.2f}", x, y) for t, x, y in rows])
            archive.writestr(f"{FOLDER}/Mouse {name}.csv", text)
        presses = [("12:00:00", f"{t:.2f}", key) for t, key, _ in KEYS]
        archive.writestr(f"{FOLDER}/Keyboard Inputs.csv", csv_text("Time,running_time,keys", presses))
    return path


def values() -> dict[str, float]:
    """Return each metric of the trial, NaN where it is NA.

    Metrics that the platform's log cannot give are computed from events that have the missing columns.
    """
    with tempfile.TemporaryDirectory() as folder:
        client = ak.connect("local", home=folder)
        trials = client.process(study(Path(folder) / "study.zip"), keys="full").trials
    (native,) = trials.astype(dict.fromkeys((metric.name for metric in CATALOGUE), "float64")).to_dict("records")
    full = evaluate({"mouse_scrolls": wheel(), "keyboard": strokes()}, 1, Options()).values
    return {
        metric.name: float(full[metric.name][0] if metric.native == "unavailable" else native[metric.name])
        for metric in CATALOGUE
    }


def wheel() -> Grouped:
    """Return the scroll rows with the wheel's steps."""
    table = _table("mouse_scrolls", [row[0] for row in SCROLLS])
    table.dx, table.dy = np.zeros(len(WHEEL)), np.array(WHEEL, float)
    return Grouped(table, 1)


def strokes() -> Grouped:
    """Return the key presses with their releases."""
    rows = [(t, key, PRESS) for t, key, _ in KEYS]
    rows += [(released, key, RELEASE) for _, key, released in KEYS if released is not None]
    rows.sort(key=lambda row: row[0])
    t, keys, actions = zip(*rows, strict=True)
    table = _table("keyboard", t)
    table.key_class = np.array([KEY_CLASS_CODES[classify_key(key)] for key in keys], np.int8)
    table.action = np.array(actions, np.int8)
    table.key_number = pd.factorize(np.array(keys, object))[0].astype(np.int64)
    return Grouped(table, 1)


def _table(kind: Kind, t: Sequence[float]) -> EventTable:
    rows = len(t)
    members = [ReadMember(kind, 0, rows, rows)]
    return EventTable(kind, members, np.array(t, float), np.zeros(rows), np.zeros(rows), np.empty(0, np.int8), None)
