"""Measure what the logger's 10 px rule and its 10 ms clock do to each metric of movement.

The same movement is logged in three ways: every report of the mouse at 10 µs; every report by the 10 ms clock; and as
the platform does, a row only when it is more than 10 px from the previous one. It comes from the sample's model of
the hand, before its reports are thinned, and, where available, from Balabit's logs of real hands, whose rows come
every 0.11 s: they show the effect of the 10 px rule, not of the clock.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd

import analytics_kit as ak
from analytics_kit.study.metrics.catalogue import CATALOGUE
from analytics_kit.study.sample import behaviour
from benchmarks import kh2017

BALABIT = Path(__file__).parents[2] / "shared" / "data" / "balabit_sample"
MOVEMENT_METRICS = [metric.name for metric in CATALOGUE if "mouse_movement" in metric.needs]
TRIAL = ["participant", "task", "factor", "trial"]
PARTICIPANTS, TRIALS = 40, 3
PER_S = 100_000
WINDOW_S, MIN_ROWS = 60, 50
FAR_PX = 100
RESAMPLED = {"average_deviation_px": "AD", "x_flips": "xpos_flips", "y_flips": "ypos_flips"}
Rows = pd.DataFrame
"""t_s, x, y of a trial."""
Trial = tuple[str, Rows, Rows]
"""Its folder, movement, clicks."""


def hands(folder: Path) -> Iterator[Trial]:
    """Yield every report of the mouse in the trials of a sample study, by session, in order."""
    plain = ak.sample_study(folder / "plain.zip", PARTICIPANTS, TRIALS)
    with (
        mock.patch.object(behaviour, "logged_rows", lambda x, y, reference: np.arange(len(x))),
        mock.patch.object(behaviour, "_centiseconds", lambda time_s: (time_s * PER_S).astype(np.int64)),
    ):
        fine = ak.sample_study(folder / "reports.zip", PARTICIPANTS, TRIALS)
    with zipfile.ZipFile(plain) as logged, zipfile.ZipFile(fine) as reported:
        for name in logged.namelist():
            trial, _, file = name.partition("/Mouse ")
            if file == "Movement.csv":
                moves = _read(reported, name)
                moves["t_s"] *= 100 / PER_S
                yield trial, moves, _read(logged, f"{trial}/Mouse Clicks.csv")


def _read(archive: zipfile.ZipFile, name: str) -> Rows:
    with archive.open(name) as file:
        return pd.read_csv(file, usecols=["running_time", "x", "y"]).rename(columns={"running_time": "t_s"})


def balabit() -> Iterator[Trial]:
    """Yield the minutes of Balabit's sessions that have enough rows for a trial."""
    for participant, path in enumerate(sorted(BALABIT.glob("user*.csv")), 1):
        rows = pd.read_csv(path).rename(columns={"client timestamp": "t_s"})
        rows = rows[(rows.x < 32767) & (rows.y < 32767) & (rows.button != "Scroll")]
        minute = (rows.t_s // WINDOW_S).astype(int)
        kept = 0
        for start, part in rows.groupby(minute):
            part = part.assign(t_s=part.t_s - WINDOW_S * int(str(start)))
            moves = part[part.state.isin(["Move", "Drag"])]
            if len(moves) >= MIN_ROWS:
                kept += 1
                clicks = part[part.state.isin(["Pressed", "Released"])]
                folder = f"{participant}_participant_session/Work_Free_trial_{kept}"
                yield folder, moves[["t_s", "x", "y"]], clicks[["t_s", "x", "y"]]


def changed(moves: Rows) -> Rows:
    """Drop reports of an unchanged position: no system sends those."""
    return moves[(moves.x.diff() != 0) | (moves.y.diff() != 0)]


def clocked(moves: Rows) -> Rows:
    """Round times down to the 10 ms clock."""
    return moves.assign(t_s=np.floor(moves.t_s * 100 + 1e-6) / 100)


def thinned(trials: Iterable[Trial]) -> Iterator[Trial]:
    """Keep the rows that the logger writes; the last one carries over to the next trial of a session."""
    session, reference = "", (0, 0)
    for folder, moves, clicks in trials:
        if folder.partition("/")[0] != session:
            session, reference = folder.partition("/")[0], (0, 0)
        kept = moves.iloc[behaviour.logged_rows(moves.x.to_numpy(), moves.y.to_numpy(), reference)]
        if len(kept):
            reference = int(kept.x.iloc[-1]), int(kept.y.iloc[-1])
        yield folder, kept, clicks


def processed(path: Path, trials: Iterable[Trial], **options: Any) -> ak.StudyResult:
    """Process these trials, written as the platform writes them."""
    with zipfile.ZipFile(path, "w") as archive:
        for folder, moves, clicks in trials:
            for name, rows in (("Movement", moves), ("Clicks", clicks)):
                rows = rows.rename(columns={"t_s": "running_time"}).assign(Time="12:00:00")
                text = rows[["Time", "running_time", "x", "y"]].to_csv(index=False, float_format="%.5f")
                archive.writestr(f"{folder}/Mouse {name}.csv", text)
    return ak.process(path, metrics=MOVEMENT_METRICS, **options)


def compared(values: pd.Series, truth: pd.Series) -> tuple[float, float, float, float, int]:
    """Return median relative bias and quartiles, where the truth is not 0; r; and the trials where both are known."""
    known = values.notna() & truth.notna()
    a, b = values[known].to_numpy(float), truth[known].to_numpy(float)
    bias = (a - b)[b != 0] / np.abs(b[b != 0])
    low, middle, high = np.percentile(bias, [25, 50, 75]) if len(bias) else (np.nan,) * 3
    r = float(np.corrcoef(a, b)[0, 1]) if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0 else np.nan
    return float(middle), float(low), float(high), r, len(a)


def percent(fraction: float) -> str:
    """Format as `-0.8 %`; what rounds to 0 has no sign."""
    digits = 1 if abs(fraction) < 0.0995 else 0
    text = f"{100 * fraction:+.{digits}f} %"
    return "" if np.isnan(fraction) else text[1:] if text[1:] == "0.0 %" else text


def correlation(r: float) -> str:
    """Format as `.997`; 1 for what rounds to it."""
    return "" if np.isnan(r) else f"{r:.3f}".replace("0.", ".", 1).replace("1.000", "1")


def lines(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    head = list(head)
    for row in (head, ["---", *["--:"] * (len(head) - 1)], *rows):
        yield f"| {' | '.join(row)} |"


def differences(logged: pd.DataFrame, whole: pd.DataFrame, fine: pd.DataFrame | None) -> Iterator[list[str]]:
    """Yield a row per metric."""
    for name in MOVEMENT_METRICS:
        middle, low, high, r, count = compared(logged[name], whole[name])
        row = [f"`{name}`", percent(middle), f"{percent(low)} … {percent(high)}", correlation(r)]
        if fine is not None:
            middle, _, _, r, _ = compared(whole[name], fine[name])
            row += [percent(middle), correlation(r)]
        yield [*row, f"{count:,}"]


def resampling(logged: ak.StudyResult, whole: pd.DataFrame) -> Iterator[list[str]]:
    """Compare averages over samples, from the rows as logged and resampled, with those of all reports resampled.

    Only trials that end away from where they began: elsewhere a few pixels turn the reference line.
    """
    as_they_are = ak.mousetrap_measures(logged.events("mouse_movement")).set_index(TRIAL)
    trials = logged.trials.set_index(TRIAL)
    far = whole["displacement_px"] > FAR_PX
    for name, measure in RESAMPLED.items():
        truth = whole[name][far]
        rows, ours = compared(as_they_are[measure][far], truth), compared(trials[name][far], truth)
        yield [
            f"`{name}`",
            percent(rows[0]),
            correlation(rows[3]),
            percent(ours[0]),
            correlation(ours[3]),
            f"{ours[4]}",
        ]


def row_counts(counts: Mapping[str, ak.StudyResult]) -> str:
    """Format the number of movement rows of each way of logging."""
    return ", ".join(f"{name} {result.summary['events']['mouse_movement']:,}" for name, result in counts.items())


def of_hands(folder: Path) -> Iterator[str]:
    """Yield the table of the model."""
    reports = [(name, changed(moves), clicks) for name, moves, clicks in hands(folder)]
    by_clock = [(name, clocked(moves), clicks) for name, moves, clicks in reports]
    results = {
        "all reports": processed(folder / "fine.zip", reports),
        "by the clock": processed(folder / "whole.zip", by_clock),
        "as logged": processed(folder / "logged.zip", thinned(by_clock)),
    }
    fine, whole, logged = (result.trials.set_index(TRIAL) for result in results.values())
    yield f"The sample's model of the hand: {len(whole):,} trials; movement rows: {row_counts(results)}"
    yield ""
    head = ("metric", "10 px rule", "middle half", "r", "10 ms clock", "r", "trials")
    yield from lines(head, differences(logged, whole, fine))
    yield ""
    over = f"trials of more than {FAR_PX} px"
    yield from lines(
        ("metric", "rows as they are", "r", "resampled", "r", over), resampling(results["as logged"], whole)
    )


def of_balabit(folder: Path) -> Iterator[str]:
    """Yield the table of Balabit's logs."""
    if not BALABIT.is_dir():
        yield "Balabit: ../shared/data/balabit_sample is absent"
        return
    trials = [(name, changed(moves), clicks) for name, moves, clicks in balabit()]
    results = {
        "as recorded": processed(folder / "recorded.zip", trials, idle_gap_s=0.3),
        "as logged": processed(folder / "balabit.zip", thinned(trials), idle_gap_s=0.3),
    }
    whole, logged = (result.trials.set_index(TRIAL) for result in results.values())
    yield f"Balabit, idle_gap_s=0.3: {len(whole):,} minutes of {WINDOW_S} s; movement rows: {row_counts(results)}"
    yield ""
    yield from lines(("metric", "10 px rule", "middle half", "r", "minutes"), differences(logged, whole, None))


def of_kh2017(folder: Path) -> Iterator[str]:
    """Compare the time of the last row with the trial's end; the full movement is not available."""
    if not kh2017.is_available():
        yield f"KH2017: {kh2017.ABSENT}"
        return
    last = kh2017.events(folder).groupby(kh2017.TRIAL, as_index=False)["t_s"].max()
    joined = last.merge(kh2017.index(), on=kh2017.TRIAL)
    middle, low, high, r, count = compared(joined.t_s, joined.RT_full_ms / 1000)
    rows = f"{joined.n_full.sum():,} samples, {joined.n_native.sum():,} rows"
    yield f"KH2017: {count:,} trials, {rows}; time of the last row against the trial's end:"
    yield f"{percent(middle)} ({percent(low)} … {percent(high)}), r {correlation(r)}"


def report(folder: Path) -> Iterator[str]:
    """Yield the lines of all tables."""
    for part in (of_hands, of_balabit, of_kh2017):
        yield from part(folder)
        yield ""
