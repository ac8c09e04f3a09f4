"""List the metrics: name, unit, definition, formula, edge cases, source, and what the native log allows.

This file holds data only, so options can be checked without loading a kernel. The kernels are in the files beside it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from analytics_kit.model import Kind
from analytics_kit.study.schema.keys import KEY_CLASSES

Exactness = Literal["exact", "estimate", "unavailable"]


class Metric(NamedTuple):
    """A column of the trials table."""

    name: str
    unit: str
    definition: str
    formula: str
    """With the symbols of its family's `notation`."""
    edge: str
    """When it is NA, or 0, although the files it needs are there."""
    source: str
    needs: tuple[str, ...]
    """The kinds of events without which it is NA."""
    native: Exactness
    """What the native log (10 px, 10 ms) allows: exact for the rows as logged, an estimate, or unavailable."""
    thresholds: tuple[str, ...] = ()
    """The options on which it depends."""
    against_full: str = ""
    """How it compares with a log of full resolution, where that was measured and differs."""

    @property
    def is_count(self) -> bool:
        """Whether it is a whole number (Int64) rather than float64."""
        return self.unit == "count"


class Family(NamedTuple):
    """Metrics that belong together, and the symbols of their formulas."""

    title: str
    notation: str
    metrics: tuple[Metric, ...]


_ANY: tuple[str, ...] = ()
_M, _C, _S, _K = ("mouse_movement",), ("mouse_clicks",), ("mouse_scrolls",), ("keyboard",)
_MC = ("mouse_movement", "mouse_clicks")
_MT, _FU, _AE, _WR = "mousetrap", "Fulcrum", "Antal & Egyed-Zsigmond", "writing research"
_DH, _KM, _SM = "Dhakal et al. 2018", "Killourhy & Maxion 2009", "Soukoreff & MacKenzie 2003"
_MK, _KL = "MacKenzie, Kauppinen & Silfverberg 2001", "keystroke-level model"
_IDLE, _HOVER, _RESAMPLED = ("idle_gap_s",), ("hover_gap_s",), ("resample_s", "idle_gap_s")
_FLIPS, _DOUBLE, _RAGE = (
    (*_RESAMPLED, "flip_px"),
    ("double_click_s", "double_click_px"),
    ("rage_click_s", "rage_click_px"),
)
_SCROLL, _PAUSE = ("scroll_gap_s",), ("typing_pause_s",)
_SEGMENTS = "over click-to-click segments with the line between the clicks as axis"
_DISTANCE = (
    "of the distance from the line between the clicks, positive on its right; mean over click-to-click segments"
)
_EMPTY, _STILL, _FEW = "NA without rows", "NA without rows; 0 for one", "NA below 2 rows"
_BELOW_3, _NO_EVENT = "NA below 3 rows", "NA without events"
_NO_AXIS = "NA without two consecutive presses at different positions"
_NO_ROW = f"{_NO_AXIS} and a row between them"
_NO_PAIR = "NA without clicks, and if no pair is known"
_NO_RELEASE = "NA if the log has no releases, or no press has one"
_NO_NEXT = "NA if the log has no releases, or no press with one is followed by another press"
_NO_WHEEL = "NA if the log has no dx and dy, and without scroll rows"
_NO_DIRECTION = "NA if the log has neither dy nor the direction of the wheel, and without scroll rows"
_NO_INTERVAL, _NO_KEYS = "NA below 2 keys", "NA without keys"

FAMILIES: tuple[Family, ...] = (
    Family("Counts and times", "t: the running times of the events of all kinds together, sorted, t₁ ≤ … ≤ tₙ; "
           "gᵢ = tᵢ₊₁ - tᵢ.", (
        Metric("movement_count", "count", "number of movement rows", "number of rows", "0 without rows", _FU, _M, "exact",
               against_full="30-35 % fewer"),
        Metric("click_event_count", "count", "number of click rows, presses and releases", "number of rows",
               "0 without rows", _FU, _C, "exact"),
        Metric("scroll_event_count", "count", "number of scroll rows", "number of rows", "0 without rows", _FU, _S,
               "exact"),
        Metric("keystroke_count", "count", "number of key presses, auto-repeat included", "number of presses",
               "0 without rows", _FU, _K, "exact"),
        Metric("completion_time_s", "s", "largest running time of all kinds of events", "tₙ", _NO_EVENT, _FU, _ANY,
               "estimate", against_full="6 % shorter where only movement is logged; r = .94"),
        Metric("time_to_first_event_s", "s", "smallest running time of all kinds of events", "t₁", _NO_EVENT, "-", _ANY,
               "exact"),
        Metric("time_to_first_click_s", "s", "running time of the first press", "time of the first press",
               "NA without a press", "-", _C, "exact"),
        Metric("active_time_s", "s", "sum of the gaps of at most activity_gap_s between events of any kind",
               "Σ gᵢ over gᵢ ≤ activity_gap_s", "NA without events; 0 for one", "-", _ANY, "exact", ("activity_gap_s",)),
    )),
    Family("Path, rest and extent", "Movement rows (tᵢ, xᵢ, yᵢ), i = 1 … n, sorted by time; of rows with equal times "
           "only the last. gᵢ = tᵢ₊₁ - tᵢ; dᵢ: length of the step from row i to row i + 1. y grows downwards.", (
        Metric("path_length_px", "px", "sum of the step lengths", "Σ dᵢ", _STILL, f"{_MT} total_dist", _M, "estimate",
               against_full="0.8-2 % shorter; r > .99"),
        Metric("displacement_px", "px", "distance from the first to the last point", "√((xₙ - x₁)² + (yₙ - y₁)²)", _STILL,
               _AE, _M, "exact"),
        Metric("path_efficiency", "0-1", "displacement / path length", "displacement_px / path_length_px",
               "NA for a path length of 0", _AE, _M, "exact", against_full="1.3-1.6 % more; r > .96"),
        Metric("initiation_time_s", "s", "running time of the first movement row", "t₁", _EMPTY, _MT, _M, "estimate"),
        Metric("idle_time_s", "s", "sum of the movement gaps longer than idle_gap_s", "Σ gᵢ over gᵢ > idle_gap_s", _STILL,
               _MT, _M, "estimate", _IDLE, "13-20 % more; r = .92-.99"),
        Metric("hover_count", "count", "number of movement gaps longer than hover_gap_s", "number of gᵢ > hover_gap_s",
               _STILL, _MT, _M, "estimate", _HOVER, "r = .90-.97"),
        Metric("hover_time_s", "s", "sum of the movement gaps longer than hover_gap_s", "Σ gᵢ over gᵢ > hover_gap_s",
               _STILL, _MT, _M, "estimate", _HOVER, "12-17 % more; r = .94-.99"),
        Metric("movement_time_s", "s", "time from the first to the last movement row, minus idle_time_s",
               "tₙ - t₁ - idle_time_s", _STILL, _MT, _M, "estimate", _IDLE, "25-40 % less; r = .95-1"),
        Metric("x_min_px", "px", "smallest x", "min xᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("x_max_px", "px", "largest x", "max xᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("y_min_px", "px", "smallest y (y grows downwards)", "min yᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("y_max_px", "px", "largest y (y grows downwards)", "max yᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("bounding_area_px2", "px2", "area of the bounding box of all points",
               "(x_max_px - x_min_px) · (y_max_px - y_min_px)", _STILL, _MT, _M, "exact"),
    )),
    Family("Speed", "dᵢ and gᵢ as for paths; vᵢ = dᵢ / gᵢ: speed of the step from row i to row i + 1.", (
        Metric("speed_mean_px_s", "px/s", "path length / movement_time_s; an idle gap adds distance but no time",
               "Σ dᵢ / movement_time_s", "NA for a movement time of 0", _FU, _M, "estimate", _IDLE,
               "32-62 % faster; r = .92-.97"),
        Metric("speed_median_px_s", "px/s", "median of step length / step duration", "median vᵢ",
               "NA for a movement time of 0", _FU, _M, "estimate", _IDLE, "50-65 % faster; r = .79-.90"),
        Metric("speed_max_px_s", "px/s", "largest step length / step duration", "max vᵢ", _FEW, f"{_MT} vel_max", _M,
               "exact"),
        Metric("speed_max_time_s", "s", "midpoint in time of the fastest step; of equal speeds the first counts",
               "(tⱼ + tⱼ₊₁) / 2, j: step of the largest vᵢ", _FEW, _MT, _M, "exact"),
        Metric("acceleration_max_px_s2", "px/s2", "largest change of speed from one step to the next / duration of the "
               "first of the two", "max (vᵢ - vᵢ₋₁) / gᵢ₋₁", _BELOW_3, f"{_MT} acc_max", _M, "estimate"),
        Metric("acceleration_min_px_s2", "px/s2", "smallest change of speed from one step to the next / duration of the "
               "first of the two: the strongest deceleration", "min (vᵢ - vᵢ₋₁) / gᵢ₋₁", _BELOW_3, f"{_MT} acc_min", _M,
               "estimate"),
        Metric("acceleration_max_time_s", "s", "time of the largest acceleration, at the row between the two steps; of "
               "equal ones the first counts", "tⱼ, j: row of the largest (vᵢ - vᵢ₋₁) / gᵢ₋₁", _BELOW_3,
               f"{_MT} acc_max_time", _M, "estimate"),
    )),
    Family("Shape", "Resampled path: the position of the pointer every resample_s from 0 s on, and at the end. The pointer "
           "is at rest before the first row and, in a gap longer than idle_gap_s, until idle_gap_s / 2 before the gap's "
           "end. (Dx, Dy): vector from the first to the last row, D its length. δᵢ: signed distance of row i from that "
           "line, s (Dx (yᵢ - y₁) - Dy (xᵢ - x₁)) / D, where s = -1 if exactly one of Dx and Dy is negative, else 1. For "
           "Dx = 0, δᵢ is never negative if Dy > 0 and never positive if Dy < 0. For D = 0, δᵢ is the distance of row i from the "
           "first row, negative if yᵢ < y₁.", (
        Metric("x_flips", "count", "changes of direction in x on the resampled path; runs of at most flip_px are ignored",
               "number of sign changes of Δx from run to run", _STILL, f"{_MT} xpos_flips", _M, "estimate", _FLIPS,
               "14-58 % fewer; r = .85-.97"),
        Metric("y_flips", "count", "changes of direction in y on the resampled path; runs of at most flip_px are ignored",
               "number of sign changes of Δy from run to run", _STILL, f"{_MT} ypos_flips", _M, "estimate", _FLIPS,
               "13-57 % fewer; r = .88-.97"),
        Metric("maximum_absolute_deviation_px", "px", "signed deviation of largest absolute value from the line between "
               "first and last point; negative where the line has the larger y, signs flipped if y decreases from first "
               "to last point", "δⱼ, j: row of the largest |δᵢ|", f"{_FEW}; 0 on the line", f"{_MT} MAD", _M, "exact"),
        Metric("maximum_absolute_deviation_time_s", "s", "time of the maximum absolute deviation; of equal ones the first "
               "counts", "tⱼ, j: row of the largest |δᵢ|", _FEW, f"{_MT} MAD_time", _M, "exact"),
        Metric("maximum_deviation_above_px", "px", "largest signed deviation from the line, at least 0", "max δᵢ",
               f"{_FEW}; 0 on the line", f"{_MT} MD_above", _M, "exact"),
        Metric("maximum_deviation_below_px", "px", "smallest signed deviation from the line, at most 0", "min δᵢ",
               f"{_FEW}; 0 on the line", f"{_MT} MD_below", _M, "exact"),
        Metric("average_deviation_px", "px", "mean signed deviation from the line on the path resampled every "
               "resample_s, at rest before the first row and in gaps longer than idle_gap_s",
               "mean δ of the resampled path", f"{_FEW}; 0 on the line", f"{_MT} AD", _M, "estimate", _RESAMPLED,
               "r > .99, .91-.94 if not resampled; paths over 100 px"),
        Metric("area_under_curve_px2", "px2", "signed area between path and line",
               "s ½ Σ ((xᵢ - x₁)(yᵢ₊₁ - y₁) - (xᵢ₊₁ - x₁)(yᵢ - y₁)), s = -1 if Dx Dy > 0, else 1",
               f"{_FEW}; 0 on the line", f"{_MT} AUC", _M, "exact"),
    )),
    Family("Complexity and direction", "x differences: the 100 changes of x between 101 points of equal time from the first "
           "to the last row. dᵢ: length of the step from row i to row i + 1, steps of length 0 skipped; φᵢ: angle between "
           "step i - 1 and step i, 0 straight on, π back.", (
        Metric("sample_entropy", "nat", "sample entropy of the changes of x between 101 points of equal time; windows of "
               "3, tolerance 0.2 standard deviations of these changes in all trials of the study",
               "ln (A / B), A: pairs of similar windows of 3 differences, B: those whose next differences are similar too", "NA below 2 rows and for B = 0",
               f"{_MT} mt_sample_entropy", _M, "estimate", against_full="1-8 % less; r = .90-.99"),
        Metric("turning_angle_mean_rad", "rad", "mean angle by which the path turns from one step to the next; steps of "
               "length 0 are skipped", "mean φᵢ", "NA below 2 steps", f"{_MT} mt_angles", _M, "estimate",
               against_full="51 % less to 16 % more; r = .20-.83"),
        Metric("curvature_mean_rad_px", "rad/px", "mean of turning angle / length of the step before it",
               "mean φᵢ / dᵢ₋₁", "NA below 2 steps", _AE, _M, "estimate", against_full="80-93 % less; r = .16-.50"),
        *(
            Metric(f"direction_sector_{k}", "share", f"fraction of the path length in direction {45 * k} degrees (within "
                   "22.5), 0 to the right, counter-clockwise as seen", f"Σ dᵢ over steps in sector {k} / Σ dᵢ",
                   "NA for a path length of 0", _AE, _M, "exact")
            for k in range(8)
        ),
    )),
    Family("Aiming", "A segment consists of the movement rows after a press and before the next one; its axis leads from "
           "press to press. uᵢ: position of row i along the axis; wᵢ: its distance from the axis, positive on the right.", (
        Metric("task_axis_crossings", "count", f"crossings of the axis, sum {_SEGMENTS}", "Σ number of sign changes of wᵢ",
               _NO_AXIS, _MK, _MC, "estimate", against_full="22-50 % fewer; r = .81-.95"),
        Metric("movement_direction_changes", "count", f"changes of direction across the axis, sum {_SEGMENTS}",
               "Σ number of sign changes of wᵢ₊₁ - wᵢ", _NO_AXIS, _MK, _MC, "estimate",
               against_full="28-61 % fewer; r = .89-.95"),
        Metric("orthogonal_direction_changes", "count", f"changes of direction along the axis, sum {_SEGMENTS}",
               "Σ number of sign changes of uᵢ₊₁ - uᵢ", _NO_AXIS, _MK, _MC, "estimate",
               against_full="29-70 % fewer; r = .87-.95"),
        Metric("movement_variability_px", "px", f"sample standard deviation {_DISTANCE}",
               "mean √(Σ (wᵢ - mean w)² / (n - 1))", f"{_NO_AXIS} and two rows between them", _MK, _MC, "estimate",
               against_full="7 % less to 3 % more; r = .97-1"),
        Metric("movement_error_px", "px", f"mean absolute value {_DISTANCE}", "mean (Σ |wᵢ| / n)", _NO_ROW, _MK, _MC,
               "estimate", against_full="3-12 % more; r = .98-1"),
        Metric("movement_offset_px", "px", f"mean {_DISTANCE}", "mean (Σ wᵢ / n)", _NO_ROW, _MK, _MC, "estimate"),
    )),
    Family("Clicks", "Presses k = 1 … n at time pₖ, released at rₖ. A log that does not name presses and releases has them "
           "in alternate rows; if their number is odd, a row is missing and no pair is known.", (
        Metric("click_count", "count", "pairs of press and release: rows 2k - 1 and 2k, or as logged", "number of pairs",
               "0 without clicks", "-", _C, "estimate"),
        Metric("unpaired_click_events", "count", "click rows that belong to no pair", "number of rows - 2 click_count",
               "0 without clicks", "-", _C, "estimate"),
        Metric("click_hold_mean_s", "s", "mean time from press to release", "mean rₖ - pₖ", _NO_PAIR, "-", _C, "estimate"),
        Metric("click_hold_median_s", "s", "median time from press to release", "median rₖ - pₖ", _NO_PAIR, "-", _C,
               "estimate"),
        Metric("inter_click_interval_median_s", "s", "median time from press to press", "median pₖ₊₁ - pₖ",
               "NA below 2 presses", "-", _C, "estimate"),
        Metric("double_click_count", "count", "pairs of presses at most double_click_s and double_click_px apart; no press "
               "is in two pairs", "number of such pairs", "0 without clicks", "-", _C, "estimate", _DOUBLE),
        Metric("rage_click_count", "count", "runs of three presses, each less than rage_click_s and rage_click_px "
               "(|dx| + |dy|) from the one before; after three a new run begins", "number of such runs",
               "0 without clicks", "product analytics", _C, "estimate", _RAGE),
        Metric("drag_count", "count", "pairs with more than drag_px from press to release", "number of such pairs",
               "0 without clicks; NA if no pair is known", "-", _C, "estimate", ("drag_px",)),
        Metric("pre_click_pause_median_s", "s", "median time from the last movement row before a press to the press",
               "median pₖ - t of the last row with t ≤ pₖ", "NA without a press after a movement row", "-", _MC, "estimate",
               against_full="32-270 % longer; r = .82-.98"),
        Metric("click_rate_per_min", "1/min", "click_count per minute of completion_time_s",
               "60 click_count / completion_time_s", "NA for 0 s and without events", "-", _C, "estimate"),
        Metric("inter_click_path_efficiency", "0-1", "mean over click-to-click segments of straight distance / path length",
               "mean (distance from press to press / length of the path through the rows between)",
               "NA without two presses and a path between them", "-", _MC, "estimate",
               against_full="1-2 % more; r = .99-1"),
    )),
    Family("Scrolling", "Scroll rows at tᵢ, i = 1 … n; gᵢ = tᵢ₊₁ - tᵢ; (dxᵢ, dyᵢ): the wheel's steps.", (
        Metric("scroll_burst_count", "count", "runs of scroll rows with gaps of at most scroll_gap_s",
               "1 + number of gᵢ > scroll_gap_s", "0 without rows", "-", _S, "exact", _SCROLL),
        Metric("scroll_time_s", "s", "total duration of the bursts", "Σ gᵢ over gᵢ ≤ scroll_gap_s", "0 without rows", "-",
               _S, "exact", _SCROLL),
        Metric("scroll_rate_per_s", "1/s", "scroll rows / scroll_time_s", "n / scroll_time_s", "NA for 0 s", "-", _S,
               "exact", _SCROLL),
        Metric("scroll_distance_px", "px", "sum of the lengths of the wheel's steps", "Σ √(dxᵢ² + dyᵢ²)", _NO_WHEEL, "-",
               _S, "unavailable"),
        Metric("scroll_reversal_count", "count", "changes of the wheel's direction, horizontal and vertical ones added",
               "number of sign changes of dxᵢ, and of dyᵢ", _NO_DIRECTION, "-", _S, "unavailable"),
    )),
    Family("Typing", "Presses at tᵢ, i = 1 … n; gᵢ = tᵢ₊₁ - tᵢ; T = tₙ - t₁; c: number of characters, which are letters, "
           "digits, punctuation and spaces; b: number of backspaces.", (
        Metric("inter_key_interval_mean_s", "s", "mean time from press to press", "mean gᵢ", _NO_INTERVAL,
               f"{_DH}; {_KM}", _K, "exact"),
        Metric("inter_key_interval_median_s", "s", "median time from press to press", "median gᵢ", _NO_INTERVAL,
               f"{_DH}; {_KM}", _K, "exact"),
        Metric("inter_key_interval_sd_s", "s", "sample standard deviation of the times from press to press",
               "√(Σ (gᵢ - mean g)² / (n - 2))", "NA below 3 keys", f"{_DH}; {_KM}", _K, "exact"),
        Metric("inter_key_interval_cv", "ratio", "sample standard deviation / mean of the times from press to press",
               "√(Σ (gᵢ - mean g)² / (n - 2)) / mean g", "NA below 3 keys and for a mean of 0", f"{_DH}; {_KM}", _K,
               "exact"),
        Metric("keystroke_rate_per_s", "1/s", "keys after the first / time from the first to the last key", "(n - 1) / T",
               "NA for 0 s", "-", _K, "exact"),
        Metric("words_per_minute_gross", "wpm", "12 (characters - 1) / seconds from the first to the last key",
               "12 (c - 1) / T", "NA for 0 s or no character", _SM, _K, "estimate"),
        Metric("words_per_minute_net", "wpm", "12 (characters - backspaces - 1) / seconds from the first to the last key",
               "12 (c - b - 1) / T", "NA for 0 s or no remaining character", _SM, _K, "estimate"),
        Metric("keystrokes_per_character", "ratio", "keystrokes / (characters - backspaces)", "n / (c - b)",
               "NA for no remaining character", f"{_SM}; {_DH}", _K, "estimate"),
        Metric("backspace_rate", "share", "backspaces / keystrokes", "b / n", _NO_KEYS, f"{_FU}; {_DH}", _K, "exact"),
        Metric("error_corrections_per_character", "ratio", "backspaces / (characters - backspaces)", "b / (c - b)",
               "NA for no remaining character", _DH, _K, "estimate"),
        Metric("correction_burst_count", "count", "runs of backspace and delete", "number of runs", "0 without keys", "-",
               _K, "exact"),
        Metric("correction_burst_length_mean", "keys", "mean number of keys in a run of backspace and delete",
               "keys in runs / number of runs", "NA without a run", "-", _K, "exact"),
        Metric("typing_pause_count", "count", "intervals of at least typing_pause_s", "number of gᵢ ≥ typing_pause_s",
               "0 without keys", _WR, _K, "exact", _PAUSE),
        Metric("typing_pause_time_s", "s", "sum of the intervals of at least typing_pause_s",
               "Σ gᵢ over gᵢ ≥ typing_pause_s", "0 without keys", _WR, _K, "exact", _PAUSE),
        Metric("p_burst_count", "count", "runs of keys between pauses", "typing_pause_count + 1", "0 without keys", _WR,
               _K, "exact", _PAUSE),
        Metric("p_burst_length_mean", "keys", "mean number of keys in a run between pauses", "n / p_burst_count", _NO_KEYS,
               _WR, _K, "exact", _PAUSE),
        Metric("initial_pause_s", "s", "running time of the first key", "t₁", _NO_KEYS, _WR, _K, "exact"),
        *(
            Metric(f"key_share_{name}", "share", f"fraction of keystrokes in class {name}", f"number of {name} / n",
                   _NO_KEYS, "-", _K, "exact")
            for name in KEY_CLASSES
        ),
    )),
    Family("Keys down and up", "Presses of known keys at tᵢ, i = 1 … n, released at rᵢ.", (
        Metric("auto_repeat_share", "share", "fraction of keystrokes that repeat the previous key within auto_repeat_s",
               "number of presses of the previous key with tᵢ - tᵢ₋₁ ≤ auto_repeat_s / n",
               'NA unless keys="full" or the log has releases, and without keys', "-", _K, "estimate",
               ("auto_repeat_s",)),
        Metric("dwell_time_mean_s", "s", "mean time from the press to the release of a key", "mean rᵢ - tᵢ", _NO_RELEASE,
               f"{_KM} (H)", _K, "unavailable"),
        Metric("dwell_time_median_s", "s", "median time from the press to the release of a key", "median rᵢ - tᵢ",
               _NO_RELEASE, f"{_KM} (H)", _K, "unavailable"),
        Metric("flight_time_mean_s", "s", "mean time from a release to the next press, negative in rollover",
               "mean tᵢ₊₁ - rᵢ", _NO_NEXT, f"{_KM} (UD)", _K, "unavailable"),
        Metric("flight_time_median_s", "s", "median time from a release to the next press, negative in rollover",
               "median tᵢ₊₁ - rᵢ", _NO_NEXT, f"{_KM} (UD)", _K, "unavailable"),
        Metric("rollover_ratio", "share", "fraction of presses before which the previous key was not yet released",
               "number of tᵢ₊₁ ≤ rᵢ / number of tᵢ₊₁ with a known rᵢ", _NO_NEXT, _DH, _K, "unavailable"),
    )),
    Family("Mouse and keyboard", "The rows of all kinds together, sorted by time; at equal times the hand does not "
           "switch.", (
        Metric("device_switch_count", "count", "changes from mouse to keyboard or back between consecutive rows",
               "number of consecutive rows of different devices", _NO_EVENT, _KL, _ANY, "exact"),
        Metric("homing_time_median_s", "s", "median time of a change from mouse to keyboard or back, from the last row of "
               "one device to the first of the other", "median time between consecutive rows of different devices", "NA without a change", _KL, _ANY, "exact"),
    )),
)  # fmt: skip
CATALOGUE: tuple[Metric, ...] = tuple(metric for family in FAMILIES for metric in family.metrics)
METRIC_NAMES: tuple[str, ...] = tuple(metric.name for metric in CATALOGUE)
METRICS_BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}

EVENT_COUNT_METRICS: dict[Kind, str] = {
    "mouse_movement": "movement_count",
    "mouse_clicks": "click_event_count",
    "mouse_scrolls": "scroll_event_count",
    "keyboard": "keystroke_count",
}
"""The metric that counts the events of each kind: NA if a trial has no file of the kind, 0 if the file is empty."""
