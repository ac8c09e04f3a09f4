"""The peer of the speed comparison: the pandas loop that people write today."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pandas as pd


def pandas_loop(path: Path) -> dict[str, tuple[float, float]]:
    """Return path length and mean speed per trial: read_csv per member, concat per kind, then a loop."""
    frames: dict[str, list[pd.DataFrame]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            folder, _, file = name.rpartition("/")
            with archive.open(name) as member:
                frames.setdefault(file, []).append(pd.read_csv(member).assign(trial=folder))
    tables = {file: pd.concat(parts, ignore_index=True) for file, parts in frames.items()}
    measured = {}
    for trial, rows in tables["Mouse Movement.csv"].groupby("trial", sort=False):
        steps = np.hypot(rows["x"].diff(), rows["y"].diff())
        measured[trial] = (steps.sum(), (steps / rows["running_time"].diff()).mean())
    return measured
