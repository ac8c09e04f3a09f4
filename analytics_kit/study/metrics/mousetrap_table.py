"""Compute the measures of the R package mousetrap from a DataFrame of movement events."""

from __future__ import annotations

import math
from typing import cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics_kit.errors import SettingsError
from analytics_kit.study.metrics.mousetrap import MEASURES, measure
from analytics_kit.study.schema.columns import TRIAL_COLUMNS
from analytics_kit.study.schema.compiling import Floats, Ints

COUNT_MEASURES = ("xpos_flips", "ypos_flips", "xpos_reversals", "ypos_reversals", "hovers")
MAX_SAMPLES = 20_000_000
"""The largest number of samples of a resampled trial; each takes 24 bytes."""
_EVENT_COLUMNS = ("t_s", "x_px", "y_px")


def mousetrap_measures(
    events: pd.DataFrame, resample_s: float | None = None, hold_gap_s: float | None = None, hover_s: float = 0.25
) -> pd.DataFrame:
    """Compute the 30 measures of the R package mousetrap, under its names, in its units, within 1e-9 of its numbers.

    Parameters
    ----------
    events
        Movement events, as `result.events("mouse_movement")` returns them: `t_s` in seconds, `x_px` and `y_px` in
        pixels, and any of the columns that identify a trial (participant, session, task, factor, trial, trial_order).
        Without such a column all rows are one trial. Of rows with equal times the last counts.
    resample_s
        Sample the path every this many seconds from 0 s on (mousetrap's `mt_resample`); None uses the rows as they
        are.
    hold_gap_s
        With `resample_s`: in a gap longer than this the pointer rests until half of it before the gap's end
        (mousetrap's `constant_interpolation`); None interpolates throughout the gap.
    hover_s
        A rest longer than this many seconds is a hover.

    Returns
    -------
    pandas.DataFrame
        A row per trial with at least three rows, in the order of `events`. The columns that identify the trial come
        first, then

        - xpos_max, xpos_min, ypos_max, ypos_min, MAD, MD_above, MD_below, AD, total_dist: float64, px;
        - AUC: float64, px²;
        - xpos_flips, ypos_flips, xpos_reversals, ypos_reversals, hovers: Int64;
        - RT, initiation_time, idle_time, hover_time and all columns that end in _time: float64, ms; like `t_s` they
          are not reset to the first row of the trial;
        - vel_max, vel_min: float64, px/ms; acc_max, acc_min: float64, px/ms².

        Without events the table is empty.

    Raises
    ------
    SettingsError
        If a column is missing, a time or coordinate is missing or infinite, a threshold is not a positive number,
        `hold_gap_s` is given without `resample_s`, or a trial would have more than 20 million samples.

    See Also
    --------
    StudyResult.events : the events to pass.
    metrics : the package's own metrics.

    Examples
    --------
    >>> path = pd.DataFrame({"t_s": [0.0, 0.1, 0.2], "x_px": [0, 0, 30], "y_px": [0, 40, 40]})
    >>> mousetrap_measures(path)[["MAD", "total_dist", "vel_max"]].round(3).values.tolist()
    [[24.0, 70.0, 0.4]]
    """
    step_ms, hold_ms = _ms("resample_s", resample_s), _ms("hold_gap_s", hold_gap_s)
    if hold_ms and not step_ms:
        raise SettingsError("hold_gap_s has no effect without resample_s.", hint="Give both, or neither.")
    hover_ms = _ms("hover_s", hover_s)
    t, x, y = _coordinates(events)
    trial_columns, first_rows, starts, ends, order = _trials(events, t)
    t, x, y = t[order], x[order], y[order]
    _require_few_samples(t, starts, ends, step_ms)
    out = np.full((len(starts), len(MEASURES)), np.nan)
    measure(t, x, y, starts, ends, step_ms, hold_ms or math.inf, hover_ms, out)
    measured = ~np.isnan(out[:, MEASURES.index("RT")])
    trials = events[trial_columns].iloc[first_rows[measured]].reset_index(drop=True)
    measures = pd.DataFrame(out[measured], columns=list(MEASURES)).astype(dict.fromkeys(COUNT_MEASURES, "Int64"))
    return cast(pd.DataFrame, pd.concat([trials, measures], axis=1))


def _ms(name: str, seconds: float | None) -> float:
    """Return milliseconds, 0 for None. Raises SettingsError unless `seconds` is a positive number."""
    if seconds is None:
        return 0.0
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < math.inf:
        raise SettingsError(f"{name} can't be {seconds!r}.", hint="Give a number of seconds greater than 0.")
    return round(1000 * seconds, 6)


def _coordinates(events: pd.DataFrame) -> tuple[Floats, Floats, Floats]:
    """Return t in ms, rounded to the nanosecond so that 2.87 s are 2870 ms, and x and y in px."""
    for name in _EVENT_COLUMNS:
        if name not in events:
            raise SettingsError(
                f"The events have no column {name!r}.", hint='Give what result.events("mouse_movement") returns.'
            )
    t, x, y = (events[name].to_numpy(np.float64, na_value=np.nan) for name in _EVENT_COLUMNS)
    if not all(np.isfinite(column).all() for column in (t, x, y)):
        raise SettingsError("Some events lack a time or a position.", hint="Leave them out: events.dropna().")
    return np.rint(t * 1e9) / 1e6, x, y


def _trials(
    events: pd.DataFrame, t: Floats
) -> tuple[list[str], Ints, Ints, Ints, npt.NDArray[np.intp] | slice]:  # fmt: skip
    """Return the trial columns, each trial's first row, its start and end among sorted rows, and the sort order."""
    trial_columns = [name for name in TRIAL_COLUMNS if name in events]
    trial = np.zeros(len(events), np.int64)
    for name in trial_columns:
        codes, names = pd.factorize(events[name])  # NA is -1
        trial, _ = pd.factorize(trial * (len(names) + 1) + codes + 1)
    count = int(trial.max()) + 1 if len(trial) else 0
    order: npt.NDArray[np.intp] | slice = slice(None)
    same_trial = np.diff(trial) == 0
    if (np.diff(trial) < 0).any() or (np.diff(t)[same_trial] < 0).any():
        order = np.lexsort((t, trial))
    ends = np.cumsum(np.bincount(trial, minlength=count))
    starts = np.concatenate([[0], ends])[:-1]
    _, first_rows = np.unique(trial, return_index=True)
    return trial_columns, first_rows, starts, ends, order


def _require_few_samples(t: Floats, starts: Ints, ends: Ints, step_ms: float) -> None:
    with_rows = ends > starts
    if step_ms and with_rows.any():
        longest_ms = float((t[ends[with_rows] - 1] - np.minimum(t[starts[with_rows]], 0)).max())
        if longest_ms / step_ms > MAX_SAMPLES:
            raise SettingsError(
                f"A trial of {longest_ms / 1000:,.0f} s would have more than {MAX_SAMPLES:,} samples.",
                hint="Choose a larger resample_s.",
            )
