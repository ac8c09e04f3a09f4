"""Which numbers would a user of the R package mousetrap get for these events?"""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics_kit.errors import SettingsError
from analytics_kit.study.metrics.mousetrap import NAMES, measure
from analytics_kit.study.schema.columns import TRIAL_COLUMNS
from analytics_kit.study.schema.compiling import Floats, Ints

COUNTS = ("xpos_flips", "ypos_flips", "xpos_reversals", "ypos_reversals", "hovers")
MOST_SAMPLES = 20_000_000
_NEEDED = ("t_s", "x_px", "y_px")


def mousetrap_measures(
    events: pd.DataFrame, resample_s: float | None = None, hold_gap_s: float | None = None, hover_s: float = 0.25
) -> pd.DataFrame:
    """mousetrap's 30 measures of each trial, under its names and in its units, within 1e-9 of its own numbers.

    Parameters
    ----------
    events
        Movement, as `result.events("mouse_movement")` gives it: `t_s`, `x_px`, `y_px` and columns that name the
        trial, of which there may be none (then all is one trial). Of rows of equal times the last counts.
    resample_s
        Look at the path every so many seconds from 0 s on (`mt_resample`); None takes the rows as they are.
    hold_gap_s
        When resampling: in gaps longer than this the pointer rests until half of it before the gap's end
        (`constant_interpolation`); None has it move all the time.
    hover_s
        A rest longer than this is a hover.

    Returns
    -------
    A row per trial of three rows or more, in the order of `events`: the columns that name the trial; xpos_max,
    xpos_min, ypos_max, ypos_min, MAD, MD_above, MD_below, AD, total_dist (px), AUC (px²); xpos_flips, ypos_flips,
    xpos_reversals, ypos_reversals, hovers (Int64); RT, initiation_time, idle_time, hover_time and all that end in
    _time (ms, not reset to the trial's first row); vel_max, vel_min (px/ms), acc_max, acc_min (px/ms²). Without
    events the table is empty. Raises SettingsError for missing columns, missing numbers, and thresholds that make
    no sense.

    >>> path = pd.DataFrame({"t_s": [0.0, 0.1, 0.2], "x_px": [0, 0, 30], "y_px": [0, 40, 40]})
    >>> mousetrap_measures(path)[["MAD", "total_dist", "vel_max"]].round(3).values.tolist()
    [[24.0, 70.0, 0.4]]
    """
    step_ms, hold_ms = _ms("resample_s", resample_s), _ms("hold_gap_s", hold_gap_s)
    if hold_ms and not step_ms:
        raise SettingsError("hold_gap_s means nothing without resample_s.", hint="Give both, or none.")
    hover_ms = _ms("hover_s", hover_s)
    t, x, y = _numbers(events)
    named, firsts, starts, ends, order = _trials(events, t)
    t, x, y = t[order], x[order], y[order]
    _require_room(t, starts, ends, step_ms)
    out = np.full((len(starts), len(NAMES)), np.nan)
    measure(t, x, y, starts, ends, step_ms, hold_ms or math.inf, hover_ms, out)
    known = ~np.isnan(out[:, NAMES.index("RT")])
    trials = events[named].iloc[firsts[known]].reset_index(drop=True)
    measures = pd.DataFrame(out[known], columns=list(NAMES)).astype(dict.fromkeys(COUNTS, "Int64"))
    return cast(pd.DataFrame, pd.concat([trials, measures], axis=1))


def _ms(name: str, seconds: float | None) -> float:
    """Milliseconds; 0 for None."""
    if seconds is None:
        return 0.0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise SettingsError(f"{name} can't be {seconds!r}.", hint="Give seconds, more than 0.")
    return round(1000 * seconds, 6)


def _numbers(events: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """t in ms, to the nanosecond, so that 2.87 s are 2870 ms; x and y."""
    for name in _NEEDED:
        if name not in events:
            raise SettingsError(
                f"The events have no column {name!r}.", hint='Give what result.events("mouse_movement") returns.'
            )
    t, x, y = (events[name].to_numpy(np.float64, na_value=np.nan) for name in _NEEDED)
    if not all(np.isfinite(column).all() for column in (t, x, y)):
        raise SettingsError("Some events have no time or place.", hint="Leave them out: events.dropna().")
    return np.rint(t * 1e9) / 1e6, x, y


def _trials(
    events: pd.DataFrame, t: Floats
) -> tuple[list[str], Ints, Ints, Ints, npt.NDArray[np.intp] | slice]:  # fmt: skip
    """The columns that name trials; the first row of each; where each starts and ends once rows are in this order."""
    named = [name for name in TRIAL_COLUMNS if name in events]
    trial = np.zeros(len(events), np.int64)
    for name in named:
        codes, known = pd.factorize(events[name])  # NA is -1
        trial, _ = pd.factorize(trial * (len(known) + 1) + codes + 1)
    count = int(trial.max()) + 1 if len(trial) else 0
    order: npt.NDArray[np.intp] | slice = slice(None)
    same = np.diff(trial) == 0
    if (np.diff(trial) < 0).any() or (np.diff(t)[same] < 0).any():
        order = np.lexsort((t, trial))
    ends = np.cumsum(np.bincount(trial, minlength=count))
    starts = np.concatenate([[0], ends])[:-1]
    _, firsts = np.unique(trial, return_index=True)
    return named, firsts, starts, ends, order


def _require_room(t: Floats, starts: Ints, ends: Ints, step_ms: float) -> None:
    some = ends > starts
    if step_ms and some.any():
        longest_ms = float((t[ends[some] - 1] - np.minimum(t[starts[some]], 0)).max())
        if longest_ms / step_ms > MOST_SAMPLES:
            raise SettingsError(
                f"A trial of {longest_ms / 1000:,.0f} s would have more than {MOST_SAMPLES:,} samples.",
                hint="Give a larger resample_s.",
            )
