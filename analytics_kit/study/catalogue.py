"""Which columns there are; of metrics also unit, definition, source, and how well the native log can tell each.

Data only, so that options can be checked without loading a kernel. The kernels are in `metrics`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Exactness = Literal["exact", "estimate", "unavailable"]


class Metric(NamedTuple):
    """One column of the trials table. `needs` are the kinds of events without which it is NA."""

    name: str
    unit: str
    definition: str
    source: str
    needs: tuple[str, ...]
    native: Exactness
    """What the 10 px, 10 ms native log allows: exact on the rows as logged, an estimate, or nothing."""

    @property
    def is_count(self) -> bool:
        """Whether it is a whole number (Int64) rather than a float64."""
        return self.unit == "count"


_ANY: tuple[str, ...] = ()
_M, _C, _S, _K = ("mouse_movement",), ("mouse_clicks",), ("mouse_scrolls",), ("keyboard",)
_MC = ("mouse_movement", "mouse_clicks")
_MT, _FU, _AE = "mousetrap", "Fulcrum", "Antal & Egyed-Zsigmond"
_DH, _KM, _SM = "Dhakal et al. 2018", "Killourhy & Maxion 2009", "Soukoreff & MacKenzie 2003"

CATALOGUE: tuple[Metric, ...] = (
    Metric("movement_count", "count", "movement rows; NA without the file, 0 for an empty one", _FU, _M, "exact"),
    Metric("click_event_count", "count", "click rows: presses and releases", _FU, _C, "exact"),
    Metric("scroll_event_count", "count", "scroll rows", _FU, _S, "exact"),
    Metric("keystroke_count", "count", "key presses, auto-repeat included", _FU, _K, "exact"),
    Metric("completion_time_s", "s", "largest running time over all kinds", _FU, _ANY, "estimate"),
    Metric("time_to_first_event_s", "s", "smallest running time over all kinds", "-", _ANY, "exact"),
    Metric("time_to_first_click_s", "s", "running time of the first press", "-", _C, "exact"),
    Metric("active_time_s", "s", "sum of gaps up to activity_gap_s over the merged kinds", "-", _ANY, "exact"),
    Metric("path_length_px", "px", "sum of step lengths", f"{_MT} total_dist", _M, "estimate"),
    Metric("displacement_px", "px", "distance from the first to the last point", _AE, _M, "exact"),
    Metric("path_efficiency", "0-1", "displacement / path length; NA for path 0", _AE, _M, "exact"),
    Metric("initiation_time_s", "s", "running time of the first movement row", _MT, _M, "estimate"),
    Metric("idle_time_s", "s", "sum of movement gaps longer than idle_gap_s", _MT, _M, "estimate"),
    Metric("hover_count", "count", "movement gaps longer than hover_gap_s", _MT, _M, "estimate"),
    Metric("hover_time_s", "s", "sum of movement gaps longer than hover_gap_s", _MT, _M, "estimate"),
    Metric("movement_time_s", "s", "last - first movement time - idle_time_s", _MT, _M, "estimate"),
    Metric("x_min_px", "px", "smallest x", _MT, _M, "exact"),
    Metric("x_max_px", "px", "largest x", _MT, _M, "exact"),
    Metric("y_min_px", "px", "smallest y (y grows downwards)", _MT, _M, "exact"),
    Metric("y_max_px", "px", "largest y (y grows downwards)", _MT, _M, "exact"),
    Metric("bounding_area_px2", "px2", "area of the box around all points", _MT, _M, "exact"),
    Metric("speed_mean_px_s", "px/s", "path length / movement_time_s; NA for 0 s", _FU, _M, "estimate"),
    Metric("speed_median_px_s", "px/s", "median of step length / step time; NA for 0 s moved", _FU, _M, "estimate"),
    Metric("speed_max_px_s", "px/s", "largest step length / step time, equal times merged", f"{_MT} vel_max", _M, "exact"),
    Metric("speed_max_time_s", "s", "middle of the fastest step", _MT, _M, "exact"),
    Metric("maximum_absolute_deviation_px", "px", "signed deviation from the line first to last point where it is "
           "largest; negative below the line in stored y, signs flipped when y falls", f"{_MT} MAD", _M, "exact"),
    Metric("maximum_absolute_deviation_time_s", "s", "its time (the first one)", f"{_MT} MAD_time", _M, "exact"),
    Metric("area_under_curve_px2", "px2", "signed area between path and line", f"{_MT} AUC", _M, "exact"),
    Metric("click_count", "count", "press and release pairs (rows 2k-1 and 2k)", "-", _C, "estimate"),
    Metric("unpaired_click_events", "count", "the odd row out", "-", _C, "estimate"),
    Metric("click_hold_mean_s", "s", "mean release - press; NA for an odd file", "-", _C, "estimate"),
    Metric("click_hold_median_s", "s", "median release - press; NA for an odd file", "-", _C, "estimate"),
    Metric("inter_click_interval_median_s", "s", "median press to press; NA below 2 presses", "-", _C, "estimate"),
    Metric("click_rate_per_min", "1/min", "click_count / completion_time_s", "-", _C, "estimate"),
    Metric("inter_click_path_efficiency", "0-1", "mean over click-to-click segments of straight distance / path",
           "-", _MC, "estimate"),
    Metric("scroll_burst_count", "count", "runs of scroll rows with gaps up to scroll_gap_s", "-", _S, "exact"),
    Metric("scroll_time_s", "s", "sum of the bursts' spans", "-", _S, "exact"),
    Metric("scroll_rate_per_s", "1/s", "scroll rows / scroll_time_s; NA for 0 s", "-", _S, "exact"),
    Metric("scroll_distance_px", "px", "needs the wheel's dx and dy, which the native log lacks", "-", _S, "unavailable"),
    Metric("scroll_reversal_count", "count", "needs the wheel's dx and dy, which the native log lacks", "-", _S,
           "unavailable"),
    Metric("inter_key_interval_mean_s", "s", "mean press to press; NA below 2 keys", f"{_DH}; {_KM}", _K, "exact"),
    Metric("inter_key_interval_median_s", "s", "median press to press; NA below 2 keys", f"{_DH}; {_KM}", _K, "exact"),
    Metric("inter_key_interval_sd_s", "s", "standard deviation (n - 1); NA below 3 keys", f"{_DH}; {_KM}", _K, "exact"),
    Metric("inter_key_interval_cv", "ratio", "standard deviation / mean", f"{_DH}; {_KM}", _K, "exact"),
    Metric("keystroke_rate_per_s", "1/s", "(n - 1) / (last - first key); NA for 0 s", "-", _K, "exact"),
    Metric("words_per_minute_gross", "wpm", "12 (characters - 1) / s from first to last key; NA for 0 s or no character",
           _SM, _K, "estimate"),
    Metric("words_per_minute_net", "wpm", "12 (characters - backspaces - 1) / s; NA for 0 s or no character left",
           _SM, _K, "estimate"),
    Metric("keystrokes_per_character", "ratio", "keystrokes / (characters - backspaces); NA for 0 or less",
           f"{_SM}; {_DH}", _K, "estimate"),
    Metric("backspace_rate", "share", "backspaces / keystrokes; NA without keys", f"{_FU}; {_DH}", _K, "exact"),
    Metric("error_corrections_per_character", "ratio", "backspaces / (characters - backspaces); NA for 0 or less",
           _DH, _K, "estimate"),
)  # fmt: skip
NAMES: tuple[str, ...] = tuple(metric.name for metric in CATALOGUE)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}

TRIAL_COLUMNS = ("participant", "session", "task", "factor", "trial", "trial_order")
HEAD_COLUMNS = (
    "participant", "task", "factor", "trial", "click_count", "keystroke_count", "completion_time_s", "path_length_px",
)  # fmt: skip
"""Columns of the trials table that are shown where there is room for a few."""
EVENT_COLUMNS = {
    "mouse_movement": ("t_s", "x_px", "y_px"),
    "mouse_clicks": ("t_s", "x_px", "y_px", "action"),
    "mouse_scrolls": ("t_s", "x_px", "y_px"),
    "mouse_unknown": ("t_s", "x_px", "y_px"),
    "keyboard": ("t_s", "key", "key_class", "action"),
}
"""Columns of an event table of each kind, after the columns that name the trial."""
TRIAL_INDEX = "trial_index"
"""The column of stored events that says which row of the trials table they belong to."""
