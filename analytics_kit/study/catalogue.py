"""Which columns there are; of metrics also unit, definition, source, and how well the native log can tell each.

Data only, so that options can be checked without loading a kernel. The kernels are in `metrics`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from analytics_kit.study.keys import KEY_CLASSES

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
    thresholds: tuple[str, ...] = ()
    """The options that it depends on."""
    against_full: str = ""
    """How it compares with the same from a log of full resolution, where that was measured."""

    @property
    def is_count(self) -> bool:
        """Whether it is a whole number (Int64) rather than a float64."""
        return self.unit == "count"


_ANY: tuple[str, ...] = ()
_M, _C, _S, _K = ("mouse_movement",), ("mouse_clicks",), ("mouse_scrolls",), ("keyboard",)
_MC = ("mouse_movement", "mouse_clicks")
_MT, _FU, _AE, _WR = "mousetrap", "Fulcrum", "Antal & Egyed-Zsigmond", "writing research"
_DH, _KM, _SM = "Dhakal et al. 2018", "Killourhy & Maxion 2009", "Soukoreff & MacKenzie 2003"
_MK = "MacKenzie, Kauppinen & Silfverberg 2001"
_IDLE, _HOVER, _RESAMPLED = ("idle_gap_s",), ("hover_gap_s",), ("resample_s", "idle_gap_s")
_SEGMENTS = "over click-to-click segments with the line between the clicks as axis"
_BETWEEN = "mean over click-to-click segments; distance to the line between the clicks, positive on the right"
_NO_RELEASE = "NA where the log has no releases"

CATALOGUE: tuple[Metric, ...] = (
    Metric("movement_count", "count", "movement rows; NA without the file, 0 for an empty one", _FU, _M, "exact"),
    Metric("click_event_count", "count", "click rows: presses and releases", _FU, _C, "exact"),
    Metric("scroll_event_count", "count", "scroll rows", _FU, _S, "exact"),
    Metric("keystroke_count", "count", "key presses, auto-repeat included", _FU, _K, "exact"),
    Metric("completion_time_s", "s", "largest running time over all kinds", _FU, _ANY, "estimate"),
    Metric("time_to_first_event_s", "s", "smallest running time over all kinds", "-", _ANY, "exact"),
    Metric("time_to_first_click_s", "s", "running time of the first press", "-", _C, "exact"),
    Metric("active_time_s", "s", "sum of gaps up to activity_gap_s over the merged kinds", "-", _ANY, "exact",
           ("activity_gap_s",)),
    Metric("path_length_px", "px", "sum of step lengths", f"{_MT} total_dist", _M, "estimate",
           against_full="0.8 % shorter"),
    Metric("displacement_px", "px", "distance from the first to the last point", _AE, _M, "exact"),
    Metric("path_efficiency", "0-1", "displacement / path length; NA for path 0", _AE, _M, "exact"),
    Metric("initiation_time_s", "s", "running time of the first movement row", _MT, _M, "estimate"),
    Metric("idle_time_s", "s", "sum of movement gaps longer than idle_gap_s", _MT, _M, "estimate", _IDLE, "r = .92"),
    Metric("hover_count", "count", "movement gaps longer than hover_gap_s", _MT, _M, "estimate", _HOVER),
    Metric("hover_time_s", "s", "sum of movement gaps longer than hover_gap_s", _MT, _M, "estimate", _HOVER),
    Metric("movement_time_s", "s", "last - first movement time - idle_time_s", _MT, _M, "estimate", _IDLE),
    Metric("x_min_px", "px", "smallest x", _MT, _M, "exact"),
    Metric("x_max_px", "px", "largest x", _MT, _M, "exact"),
    Metric("y_min_px", "px", "smallest y (y grows downwards)", _MT, _M, "exact"),
    Metric("y_max_px", "px", "largest y (y grows downwards)", _MT, _M, "exact"),
    Metric("bounding_area_px2", "px2", "area of the box around all points", _MT, _M, "exact"),
    Metric("speed_mean_px_s", "px/s", "path length / movement_time_s; NA for 0 s. A gap adds distance and no time", _FU,
           _M, "estimate", _IDLE),
    Metric("speed_median_px_s", "px/s", "median of step length / step time; NA for 0 s moved", _FU, _M, "estimate",
           _IDLE),
    Metric("speed_max_px_s", "px/s", "largest step length / step time, equal times merged", f"{_MT} vel_max", _M, "exact"),
    Metric("speed_max_time_s", "s", "middle of the fastest step", _MT, _M, "exact"),
    Metric("acceleration_max_px_s2", "px/s2", "largest change of speed from one step to the next / time of the first of "
           "the two; NA below 3 rows", f"{_MT} acc_max", _M, "estimate"),
    Metric("acceleration_min_px_s2", "px/s2", "the smallest, so the strongest slowing down", f"{_MT} acc_min", _M,
           "estimate"),
    Metric("acceleration_max_time_s", "s", "time of the point between the two steps (the first one)",
           f"{_MT} acc_max_time", _M, "estimate"),
    Metric("x_flips", "count", "changes of direction in x on the resampled path; runs of up to flip_px are passed over",
           f"{_MT} xpos_flips", _M, "estimate", (*_RESAMPLED, "flip_px"), "r = .997; .91 if not resampled"),
    Metric("y_flips", "count", "changes of direction in y on the resampled path; runs of up to flip_px are passed over",
           f"{_MT} ypos_flips", _M, "estimate", (*_RESAMPLED, "flip_px"), "r = .997; .91 if not resampled"),
    Metric("maximum_absolute_deviation_px", "px", "signed deviation from the line first to last point where it is "
           "largest; negative below the line in stored y, signs flipped when y falls", f"{_MT} MAD", _M, "exact"),
    Metric("maximum_absolute_deviation_time_s", "s", "its time (the first one)", f"{_MT} MAD_time", _M, "exact"),
    Metric("maximum_deviation_above_px", "px", "largest signed deviation from the line, 0 or more", f"{_MT} MD_above", _M,
           "exact"),
    Metric("maximum_deviation_below_px", "px", "smallest signed deviation from the line, 0 or less", f"{_MT} MD_below",
           _M, "exact"),
    Metric("average_deviation_px", "px", "mean signed deviation on the path resampled every resample_s from 0 s on, at "
           "rest before the first row and in gaps longer than idle_gap_s", f"{_MT} AD", _M, "estimate", _RESAMPLED,
           "r = .997; .91 if not resampled"),
    Metric("area_under_curve_px2", "px2", "signed area between path and line", f"{_MT} AUC", _M, "exact"),
    Metric("sample_entropy", "nat", "of the x steps between 101 points of equal time; windows of 3, tolerance 0.2 "
           "standard deviations of the steps of all trials processed; NA where no longer windows are alike",
           f"{_MT} mt_sample_entropy", _M, "estimate"),
    Metric("turning_angle_mean_rad", "rad", "mean of pi - the angle at a point, steps of 0 passed over; NA below 2 steps",
           f"{_MT} mt_angles", _M, "estimate"),
    Metric("curvature_mean_rad_px", "rad/px", "mean of turning angle / length of the step before it", _AE, _M,
           "estimate"),
    *(
        Metric(f"direction_sector_{k}", "share", f"share of path length in direction {45 * k} degrees (within 22.5), 0 to "
               "the right, counter-clockwise as seen; NA for path 0", _AE, _M, "exact")
        for k in range(8)
    ),
    Metric("task_axis_crossings", "count", f"crossings of the axis, sum {_SEGMENTS}; NA without a segment", _MK, _MC,
           "estimate"),
    Metric("movement_direction_changes", "count", f"changes of direction across the axis, sum {_SEGMENTS}", _MK, _MC,
           "estimate"),
    Metric("orthogonal_direction_changes", "count", f"changes of direction along the axis, sum {_SEGMENTS}", _MK, _MC,
           "estimate"),
    Metric("movement_variability_px", "px", f"standard deviation (n - 1), {_BETWEEN}", _MK, _MC, "estimate"),
    Metric("movement_error_px", "px", f"mean of its size, {_BETWEEN}", _MK, _MC, "estimate"),
    Metric("movement_offset_px", "px", f"mean, {_BETWEEN}", _MK, _MC, "estimate"),
    Metric("click_count", "count", "press and release pairs (rows 2k-1 and 2k, or as logged)", "-", _C, "estimate"),
    Metric("unpaired_click_events", "count", "rows without a partner: the odd row out", "-", _C, "estimate"),
    Metric("click_hold_mean_s", "s", "mean release - press; NA for an odd file", "-", _C, "estimate"),
    Metric("click_hold_median_s", "s", "median release - press; NA for an odd file", "-", _C, "estimate"),
    Metric("inter_click_interval_median_s", "s", "median press to press; NA below 2 presses", "-", _C, "estimate"),
    Metric("double_click_count", "count", "pairs of presses up to double_click_s and double_click_px apart, none in two",
           "-", _C, "estimate", ("double_click_s", "double_click_px")),
    Metric("rage_click_count", "count", "three presses, each less than rage_click_s and rage_click_px (|dx| + |dy|) from "
           "the one before; then anew", "product analytics", _C, "estimate", ("rage_click_s", "rage_click_px")),
    Metric("drag_count", "count", "pairs with more than drag_px from press to release; NA for an odd file", "-", _C,
           "estimate", ("drag_px",)),
    Metric("pre_click_pause_median_s", "s", "median of press - last movement row before it", "-", _MC, "estimate"),
    Metric("click_rate_per_min", "1/min", "click_count / completion_time_s", "-", _C, "estimate"),
    Metric("inter_click_path_efficiency", "0-1", "mean over click-to-click segments of straight distance / path",
           "-", _MC, "estimate"),
    Metric("scroll_burst_count", "count", "runs of scroll rows with gaps up to scroll_gap_s", "-", _S, "exact",
           ("scroll_gap_s",)),
    Metric("scroll_time_s", "s", "sum of the bursts' spans", "-", _S, "exact", ("scroll_gap_s",)),
    Metric("scroll_rate_per_s", "1/s", "scroll rows / scroll_time_s; NA for 0 s", "-", _S, "exact", ("scroll_gap_s",)),
    Metric("scroll_distance_px", "px", "sum of the lengths of the wheel's steps; NA where the log has no dx and dy", "-",
           _S, "unavailable"),
    Metric("scroll_reversal_count", "count", "changes of the wheel's direction; NA where the log has no dx and dy", "-",
           _S, "unavailable"),
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
    Metric("correction_burst_count", "count", "runs of backspace and delete", "-", _K, "exact"),
    Metric("correction_burst_length_mean", "keys", "mean keys of such a run; NA without one", "-", _K, "exact"),
    Metric("typing_pause_count", "count", "intervals of typing_pause_s or longer", _WR, _K, "exact", ("typing_pause_s",)),
    Metric("typing_pause_time_s", "s", "their sum", _WR, _K, "exact", ("typing_pause_s",)),
    Metric("p_burst_count", "count", "runs of keys between pauses: pauses + 1; 0 without keys", _WR, _K, "exact",
           ("typing_pause_s",)),
    Metric("p_burst_length_mean", "keys", "mean keys of such a run; NA without keys", _WR, _K, "exact",
           ("typing_pause_s",)),
    Metric("initial_pause_s", "s", "running time of the first key", _WR, _K, "exact"),
    *(
        Metric(f"key_share_{name}", "share", f"share of keystrokes of class {name}; NA without keys", "-", _K, "exact")
        for name in KEY_CLASSES
    ),
    Metric("auto_repeat_share", "share", "share of keystrokes that are the key before within auto_repeat_s; NA without "
           'keys="full"', "-", _K, "estimate", ("auto_repeat_s",)),
    Metric("dwell_time_mean_s", "s", f"mean release - press of the same key; {_NO_RELEASE}", f"{_KM} (H)", _K,
           "unavailable"),
    Metric("dwell_time_median_s", "s", f"median release - press of the same key; {_NO_RELEASE}", f"{_KM} (H)", _K,
           "unavailable"),
    Metric("flight_time_mean_s", "s", f"mean next press - release, negative in rollover; {_NO_RELEASE}", f"{_KM} (UD)",
           _K, "unavailable"),
    Metric("flight_time_median_s", "s", f"median next press - release, negative in rollover; {_NO_RELEASE}",
           f"{_KM} (UD)", _K, "unavailable"),
    Metric("rollover_ratio", "share", f"share of presses up to which the key before was not released; {_NO_RELEASE}",
           _DH, _K, "unavailable"),
    Metric("device_switch_count", "count", "changes from mouse to keyboard or back, row by row of the merged kinds",
           "keystroke-level model", _ANY, "exact"),
    Metric("homing_time_median_s", "s", "median time of such a change: last row of one device to the first of the other",
           "keystroke-level model", _ANY, "exact"),
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
SCREEN_LIMIT_PX = 32767
"""No screen has a coordinate beyond it; what is there is kept and said to be doubtful."""
