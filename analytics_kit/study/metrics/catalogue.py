"""Which columns there are; of metrics also unit, definition, formula, what few rows give, source, and the log's part.

Data only, so that options can be checked without loading a kernel. The kernels are in `metrics`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from analytics_kit.model import Kind
from analytics_kit.study.schema.keys import KEY_CLASSES

Exactness = Literal["exact", "estimate", "unavailable"]


class Metric(NamedTuple):
    """One column of the trials table. `needs` are the kinds of events without which it is NA."""

    name: str
    unit: str
    definition: str
    formula: str
    """In the letters of its family's `notation`."""
    edge: str
    """What is NA, or 0, though the files that it needs are there."""
    source: str
    needs: tuple[str, ...]
    native: Exactness
    """What the 10 px, 10 ms native log allows: exact on the rows as logged, an estimate, or nothing."""
    thresholds: tuple[str, ...] = ()
    """The options that it depends on."""
    against_full: str = ""
    """How it compares with the same from a log of full resolution, where that was measured and differs."""

    @property
    def is_count(self) -> bool:
        """Whether it is a whole number (Int64) rather than a float64."""
        return self.unit == "count"


class Family(NamedTuple):
    """Metrics of a kind, and what the letters in their formulas mean."""

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
_DISTANCE = "of the distance to the line between the clicks, positive on the right; mean over click-to-click segments"
_EMPTY, _STILL, _FEW = "NA without rows", "NA without rows; 0 for one", "NA below 2 rows"
_BELOW_3, _NO_EVENT = "NA below 3 rows", "NA without events"
_NO_AXIS = "NA without two presses in a row at different places"
_NO_ROW = f"{_NO_AXIS} and a row between them"
_ODD = "NA without clicks and for an odd file"
_NO_RELEASE = "NA where the log has no releases, and where no key has one"
_NO_WHEEL = "NA where the log has no dx and dy, and without scrolls"
_NO_INTERVAL, _NO_KEYS = "NA below 2 keys", "NA without keys"

FAMILIES: tuple[Family, ...] = (
    Family("Counts and times", "t: the running times of all kinds of events together, sorted, t₁ ≤ … ≤ tₙ; gᵢ = tᵢ₊₁ - tᵢ.", (
        Metric("movement_count", "count", "movement rows", "number of rows", "0 without rows", _FU, _M, "exact",
               against_full="30-35 % fewer"),
        Metric("click_event_count", "count", "click rows: presses and releases", "number of rows", "0 without rows", _FU,
               _C, "exact"),
        Metric("scroll_event_count", "count", "scroll rows", "number of rows", "0 without rows", _FU, _S, "exact"),
        Metric("keystroke_count", "count", "key presses, auto-repeat included", "number of presses", "0 without rows",
               _FU, _K, "exact"),
        Metric("completion_time_s", "s", "largest running time over all kinds", "tₙ", _NO_EVENT, _FU, _ANY, "estimate",
               against_full="6 % shorter where only movement is logged; r = .94"),
        Metric("time_to_first_event_s", "s", "smallest running time over all kinds", "t₁", _NO_EVENT, "-", _ANY, "exact"),
        Metric("time_to_first_click_s", "s", "running time of the first press", "time of the first press",
               "NA without a press", "-", _C, "exact"),
        Metric("active_time_s", "s", "sum of gaps up to activity_gap_s over the merged kinds",
               "Σ gᵢ over gᵢ ≤ activity_gap_s", "NA without events; 0 for one", "-", _ANY, "exact", ("activity_gap_s",)),
    )),
    Family("Path, rest and place", "Movement rows (tᵢ, xᵢ, yᵢ), i = 1 … n, sorted by time, of rows of equal times the "
           "last; gᵢ = tᵢ₊₁ - tᵢ; dᵢ: distance from row i to row i + 1. y grows downwards.", (
        Metric("path_length_px", "px", "sum of step lengths", "Σ dᵢ", _STILL, f"{_MT} total_dist", _M, "estimate",
               against_full="0.8-2 % shorter; r > .99"),
        Metric("displacement_px", "px", "distance from the first to the last point", "√((xₙ - x₁)² + (yₙ - y₁)²)", _STILL,
               _AE, _M, "exact"),
        Metric("path_efficiency", "0-1", "displacement / path length", "displacement_px / path_length_px",
               "NA for path 0", _AE, _M, "exact", against_full="1.3-1.6 % more; r > .96"),
        Metric("initiation_time_s", "s", "running time of the first movement row", "t₁", _EMPTY, _MT, _M, "estimate"),
        Metric("idle_time_s", "s", "sum of movement gaps longer than idle_gap_s", "Σ gᵢ over gᵢ > idle_gap_s", _STILL, _MT,
               _M, "estimate", _IDLE, "13-20 % more; r = .92-.99"),
        Metric("hover_count", "count", "movement gaps longer than hover_gap_s", "number of gᵢ > hover_gap_s", _STILL, _MT,
               _M, "estimate", _HOVER, "r = .90-.97"),
        Metric("hover_time_s", "s", "sum of movement gaps longer than hover_gap_s", "Σ gᵢ over gᵢ > hover_gap_s", _STILL,
               _MT, _M, "estimate", _HOVER, "12-17 % more; r = .94-.99"),
        Metric("movement_time_s", "s", "last - first movement time - idle_time_s", "tₙ - t₁ - idle_time_s", _STILL, _MT,
               _M, "estimate", _IDLE, "25-40 % less; r = .95-1"),
        Metric("x_min_px", "px", "smallest x", "min xᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("x_max_px", "px", "largest x", "max xᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("y_min_px", "px", "smallest y (y grows downwards)", "min yᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("y_max_px", "px", "largest y (y grows downwards)", "max yᵢ", _EMPTY, _MT, _M, "exact"),
        Metric("bounding_area_px2", "px2", "area of the box around all points",
               "(x_max_px - x_min_px) · (y_max_px - y_min_px)", _STILL, _MT, _M, "exact"),
    )),
    Family("Speed", "dᵢ, gᵢ as for paths; vᵢ = dᵢ / gᵢ: speed of the step from row i to row i + 1.", (
        Metric("speed_mean_px_s", "px/s", "path length / movement_time_s. A gap adds distance and no time",
               "Σ dᵢ / movement_time_s", "NA for 0 s moved", _FU, _M, "estimate", _IDLE,
               "32-62 % faster; r = .92-.97"),
        Metric("speed_median_px_s", "px/s", "median of step length / step time", "median vᵢ", "NA for 0 s moved", _FU, _M,
               "estimate", _IDLE, "50-65 % faster; r = .79-.90"),
        Metric("speed_max_px_s", "px/s", "largest step length / step time, equal times merged", "max vᵢ", _FEW,
               f"{_MT} vel_max", _M, "exact"),
        Metric("speed_max_time_s", "s", "middle of the fastest step (the first one)",
               "(tⱼ + tⱼ₊₁) / 2, j: step of the largest vᵢ", _FEW, _MT, _M, "exact"),
        Metric("acceleration_max_px_s2", "px/s2", "largest change of speed from one step to the next / time of the first "
               "of the two", "max (vᵢ - vᵢ₋₁) / gᵢ₋₁", _BELOW_3, f"{_MT} acc_max", _M, "estimate"),
        Metric("acceleration_min_px_s2", "px/s2", "smallest change of speed from one step to the next / time of the first: the strongest slowing down",
               "min (vᵢ - vᵢ₋₁) / gᵢ₋₁", _BELOW_3, f"{_MT} acc_min", _M, "estimate"),
        Metric("acceleration_max_time_s", "s", "time of the largest acceleration, at the point between the two steps (the first one)",
               "tⱼ, j: row of the largest (vᵢ - vᵢ₋₁) / gᵢ₋₁", _BELOW_3, f"{_MT} acc_max_time", _M, "estimate"),
    )),
    Family("Shape", "Resampled path: where the pointer was every resample_s from 0 s on, and at the end; at rest before "
           "the first row, and in a gap longer than idle_gap_s until half of that before its end. (Dx, Dy): from the "
           "first row to the last, D its length. δᵢ: signed distance of row i to that line, "
           "s (Dx (yᵢ - y₁) - Dy (xᵢ - x₁)) / D, s = -1 if just one of Dx and Dy is negative, else 1 (for Dx = 0 no point "
           "is above the line, or below it for Dy < 0).", (
        Metric("x_flips", "count", "changes of direction in x on the resampled path; runs of up to flip_px are passed "
               "over", "number of sign changes of Δx from run to run", _STILL, f"{_MT} xpos_flips", _M, "estimate",
               _FLIPS, "14-58 % fewer; r = .85-.97"),
        Metric("y_flips", "count", "changes of direction in y on the resampled path; runs of up to flip_px are passed "
               "over", "number of sign changes of Δy from run to run", _STILL, f"{_MT} ypos_flips", _M, "estimate",
               _FLIPS, "13-57 % fewer; r = .88-.97"),
        Metric("maximum_absolute_deviation_px", "px", "signed deviation from the line first to last point where it is "
               "largest; negative below the line in stored y, signs flipped when y falls", "δⱼ, j: row of the largest |δᵢ|",
               f"{_FEW}; 0 on the line", f"{_MT} MAD", _M, "exact"),
        Metric("maximum_absolute_deviation_time_s", "s", "time of the maximum absolute deviation (the first one)", "tⱼ, j: row of the largest |δᵢ|", _FEW,
               f"{_MT} MAD_time", _M, "exact"),
        Metric("maximum_deviation_above_px", "px", "largest signed deviation from the line, 0 or more", "max δᵢ",
               f"{_FEW}; 0 on the line", f"{_MT} MD_above", _M, "exact"),
        Metric("maximum_deviation_below_px", "px", "smallest signed deviation from the line, 0 or less", "min δᵢ",
               f"{_FEW}; 0 on the line", f"{_MT} MD_below", _M, "exact"),
        Metric("average_deviation_px", "px", "mean signed deviation on the path resampled every resample_s from 0 s on, "
               "at rest before the first row and in gaps longer than idle_gap_s", "mean δ of the resampled path",
               f"{_FEW}; 0 on the line", f"{_MT} AD", _M, "estimate", _RESAMPLED,
               "r > .99, .91-.94 if not resampled; paths over 100 px"),
        Metric("area_under_curve_px2", "px2", "signed area between path and line",
               "s ½ Σ ((xᵢ - x₁)(yᵢ₊₁ - y₁) - (xᵢ₊₁ - x₁)(yᵢ - y₁)), s = -1 if Dx Dy > 0, else 1",
               f"{_FEW}; 0 on the line", f"{_MT} AUC", _M, "exact"),
    )),
    Family("Complexity and direction", "The 100 steps of x: from each of 101 points of equal time to the next, first to "
           "last row. dᵢ: length of the step from row i to row i + 1, steps of 0 passed over; φᵢ: angle between step i - 1 "
           "and step i, 0 straight on, π back.", (
        Metric("sample_entropy", "nat", "of the x steps between 101 points of equal time; windows of 3, tolerance 0.2 "
               "standard deviations of the steps of all trials processed", "ln (A / B), A: pairs of windows of 3 steps "
               "that are alike, B: those whose next steps are alike too", "NA below 2 rows and where B = 0",
               f"{_MT} mt_sample_entropy", _M, "estimate", against_full="1-8 % less; r = .90-.99"),
        Metric("turning_angle_mean_rad", "rad", "mean of pi - the angle at a point, steps of 0 passed over", "mean φᵢ",
               "NA below 2 steps", f"{_MT} mt_angles", _M, "estimate",
               against_full="51 % less to 16 % more; r = .20-.83"),
        Metric("curvature_mean_rad_px", "rad/px", "mean of turning angle / length of the step before it",
               "mean φᵢ / dᵢ₋₁", "NA below 2 steps", _AE, _M, "estimate", against_full="80-93 % less; r = .16-.50"),
        *(
            Metric(f"direction_sector_{k}", "share", f"share of path length in direction {45 * k} degrees (within 22.5), 0 "
                   "to the right, counter-clockwise as seen", f"Σ dᵢ over steps in sector {k} / Σ dᵢ", "NA for path 0",
                   _AE, _M, "exact")
            for k in range(8)
        ),
    )),
    Family("Aiming", "A segment: the movement rows after a press and before the next one; its axis goes from press to "
           "press. uᵢ: how far row i is along the axis; wᵢ: its distance to it, positive on the right.", (
        Metric("task_axis_crossings", "count", f"crossings of the axis, sum {_SEGMENTS}", "Σ number of sign changes of wᵢ",
               _NO_AXIS, _MK, _MC, "estimate", against_full="22-50 % fewer; r = .81-.95"),
        Metric("movement_direction_changes", "count", f"changes of direction across the axis, sum {_SEGMENTS}",
               "Σ number of sign changes of wᵢ₊₁ - wᵢ", _NO_AXIS, _MK, _MC, "estimate",
               against_full="28-61 % fewer; r = .89-.95"),
        Metric("orthogonal_direction_changes", "count", f"changes of direction along the axis, sum {_SEGMENTS}",
               "Σ number of sign changes of uᵢ₊₁ - uᵢ", _NO_AXIS, _MK, _MC, "estimate",
               against_full="29-70 % fewer; r = .87-.95"),
        Metric("movement_variability_px", "px", f"standard deviation (n - 1) {_DISTANCE}",
               "mean √(Σ (wᵢ - mean w)² / (n - 1))", f"{_NO_AXIS} and two rows between them", _MK, _MC, "estimate",
               against_full="7 % less to 3 % more; r = .97-1"),
        Metric("movement_error_px", "px", f"mean size {_DISTANCE}", "mean (Σ |wᵢ| / n)", _NO_ROW, _MK, _MC,
               "estimate", against_full="3-12 % more; r = .98-1"),
        Metric("movement_offset_px", "px", f"mean {_DISTANCE}", "mean (Σ wᵢ / n)", _NO_ROW, _MK, _MC, "estimate"),
    )),
    Family("Clicks", "Presses k = 1 … n at time pₖ, released at rₖ.", (
        Metric("click_count", "count", "press and release pairs (rows 2k-1 and 2k, or as logged)", "number of pairs",
               "0 without clicks", "-", _C, "estimate"),
        Metric("unpaired_click_events", "count", "rows without a partner: the odd row out",
               "number of rows - 2 click_count", "0 without clicks", "-", _C, "estimate"),
        Metric("click_hold_mean_s", "s", "mean release - press", "mean rₖ - pₖ", _ODD, "-", _C, "estimate"),
        Metric("click_hold_median_s", "s", "median release - press", "median rₖ - pₖ", _ODD, "-", _C, "estimate"),
        Metric("inter_click_interval_median_s", "s", "median press to press", "median pₖ₊₁ - pₖ", "NA below 2 presses",
               "-", _C, "estimate"),
        Metric("double_click_count", "count", "pairs of presses up to double_click_s and double_click_px apart, none in "
               "two", "number of such pairs", "0 without clicks", "-", _C, "estimate", _DOUBLE),
        Metric("rage_click_count", "count", "three presses, each less than rage_click_s and rage_click_px (|dx| + |dy|) "
               "from the one before; then anew", "number of such threes", "0 without clicks", "product analytics", _C,
               "estimate", _RAGE),
        Metric("drag_count", "count", "pairs with more than drag_px from press to release", "number of such pairs",
               "0 without clicks; NA for an odd file", "-", _C, "estimate", ("drag_px",)),
        Metric("pre_click_pause_median_s", "s", "median of press - last movement row before it",
               "median pₖ - t of the last row with t ≤ pₖ", "NA without a press after a movement row", "-", _MC, "estimate",
               against_full="32-270 % longer; r = .82-.98"),
        Metric("click_rate_per_min", "1/min", "click_count / completion_time_s", "60 click_count / completion_time_s",
               "NA for 0 s and without events", "-", _C, "estimate"),
        Metric("inter_click_path_efficiency", "0-1", "mean over click-to-click segments of straight distance / path",
               "mean (distance from press to press / length of the way by the rows between)",
               "NA without two presses and a way between them", "-", _MC, "estimate", against_full="1-2 % more; r = .99-1"),
    )),
    Family("Scrolling", "Scroll rows at tᵢ, i = 1 … n; gᵢ = tᵢ₊₁ - tᵢ; (dxᵢ, dyᵢ): the wheel's steps.", (
        Metric("scroll_burst_count", "count", "runs of scroll rows with gaps up to scroll_gap_s",
               "1 + number of gᵢ > scroll_gap_s", "0 without rows", "-", _S, "exact", _SCROLL),
        Metric("scroll_time_s", "s", "sum of the bursts' spans", "Σ gᵢ over gᵢ ≤ scroll_gap_s", "0 without rows", "-", _S,
               "exact", _SCROLL),
        Metric("scroll_rate_per_s", "1/s", "scroll rows / scroll_time_s", "n / scroll_time_s", "NA for 0 s", "-", _S,
               "exact", _SCROLL),
        Metric("scroll_distance_px", "px", "sum of the lengths of the wheel's steps", "Σ √(dxᵢ² + dyᵢ²)", _NO_WHEEL, "-",
               _S, "unavailable"),
        Metric("scroll_reversal_count", "count", "changes of the wheel's direction",
               "number of sign changes of dxᵢ, and of dyᵢ", _NO_WHEEL, "-", _S, "unavailable"),
    )),
    Family("Typing", "Presses at tᵢ, i = 1 … n; gᵢ = tᵢ₊₁ - tᵢ; T = tₙ - t₁; c: characters, which are letters, digits, "
           "punctuation and spaces; b: backspaces.", (
        Metric("inter_key_interval_mean_s", "s", "mean press to press", "mean gᵢ", _NO_INTERVAL, f"{_DH}; {_KM}", _K,
               "exact"),
        Metric("inter_key_interval_median_s", "s", "median press to press", "median gᵢ", _NO_INTERVAL, f"{_DH}; {_KM}",
               _K, "exact"),
        Metric("inter_key_interval_sd_s", "s", "standard deviation (n - 1)", "√(Σ (gᵢ - mean g)² / (n - 2))",
               "NA below 3 keys", f"{_DH}; {_KM}", _K, "exact"),
        Metric("inter_key_interval_cv", "ratio", "standard deviation / mean", "√(Σ (gᵢ - mean g)² / (n - 2)) / mean g",
               "NA below 3 keys and for a mean of 0", f"{_DH}; {_KM}", _K, "exact"),
        Metric("keystroke_rate_per_s", "1/s", "keys after the first / (last - first key)", "(n - 1) / T", "NA for 0 s",
               "-", _K, "exact"),
        Metric("words_per_minute_gross", "wpm", "12 (characters - 1) / s from first to last key", "12 (c - 1) / T",
               "NA for 0 s or no character", _SM, _K, "estimate"),
        Metric("words_per_minute_net", "wpm", "12 (characters - backspaces - 1) / s", "12 (c - b - 1) / T",
               "NA for 0 s or no character left", _SM, _K, "estimate"),
        Metric("keystrokes_per_character", "ratio", "keystrokes / (characters - backspaces)", "n / (c - b)",
               "NA for no character left", f"{_SM}; {_DH}", _K, "estimate"),
        Metric("backspace_rate", "share", "backspaces / keystrokes", "b / n", _NO_KEYS, f"{_FU}; {_DH}", _K, "exact"),
        Metric("error_corrections_per_character", "ratio", "backspaces / (characters - backspaces)", "b / (c - b)",
               "NA for no character left", _DH, _K, "estimate"),
        Metric("correction_burst_count", "count", "runs of backspace and delete", "number of runs", "0 without keys", "-",
               _K, "exact"),
        Metric("correction_burst_length_mean", "keys", "mean keys of a run of backspace and delete", "keys in runs / number of runs",
               "NA without a run", "-", _K, "exact"),
        Metric("typing_pause_count", "count", "intervals of typing_pause_s or longer", "number of gᵢ ≥ typing_pause_s",
               "0 without keys", _WR, _K, "exact", _PAUSE),
        Metric("typing_pause_time_s", "s", "sum of the intervals of typing_pause_s or longer", "Σ gᵢ over gᵢ ≥ typing_pause_s", "0 without keys", _WR, _K, "exact",
               _PAUSE),
        Metric("p_burst_count", "count", "runs of keys between pauses", "typing_pause_count + 1", "0 without keys", _WR,
               _K, "exact", _PAUSE),
        Metric("p_burst_length_mean", "keys", "mean keys of a run between pauses", "n / p_burst_count", _NO_KEYS, _WR, _K, "exact",
               _PAUSE),
        Metric("initial_pause_s", "s", "running time of the first key", "t₁", _NO_KEYS, _WR, _K, "exact"),
        *(
            Metric(f"key_share_{name}", "share", f"share of keystrokes of class {name}", f"number of {name} / n", _NO_KEYS,
                   "-", _K, "exact")
            for name in KEY_CLASSES
        ),
    )),
    Family("Keys down and up", "Presses at tᵢ, i = 1 … n, of which key, released at rᵢ.", (
        Metric("auto_repeat_share", "share", "share of keystrokes that are the key before within auto_repeat_s",
               "number of presses of the key before with tᵢ - tᵢ₋₁ ≤ auto_repeat_s / n", 'NA unless keys="full" or the log '
               "has releases, and without keys", "-", _K, "estimate", ("auto_repeat_s",)),
        Metric("dwell_time_mean_s", "s", "mean release - press of the same key", "mean rᵢ - tᵢ", _NO_RELEASE,
               f"{_KM} (H)", _K, "unavailable"),
        Metric("dwell_time_median_s", "s", "median release - press of the same key", "median rᵢ - tᵢ", _NO_RELEASE,
               f"{_KM} (H)", _K, "unavailable"),
        Metric("flight_time_mean_s", "s", "mean next press - release, negative in rollover", "mean tᵢ₊₁ - rᵢ",
               _NO_RELEASE, f"{_KM} (UD)", _K, "unavailable"),
        Metric("flight_time_median_s", "s", "median next press - release, negative in rollover", "median tᵢ₊₁ - rᵢ",
               _NO_RELEASE, f"{_KM} (UD)", _K, "unavailable"),
        Metric("rollover_ratio", "share", "share of presses up to which the key before was not released",
               "number of tᵢ₊₁ ≤ rᵢ / number of tᵢ₊₁ with a known rᵢ", _NO_RELEASE, _DH, _K, "unavailable"),
    )),
    Family("Mouse and keyboard", "The rows of all kinds together, sorted by time; at equal times the hand stays where it "
           "is.", (
        Metric("device_switch_count", "count", "changes from mouse to keyboard or back, row by row of the merged kinds",
               "number of neighbours of different devices", _NO_EVENT, _KL, _ANY, "exact"),
        Metric("homing_time_median_s", "s", "median time of such a change: last row of one device to the first of the "
               "other", "median time between such neighbours", "NA without a change", _KL, _ANY, "exact"),
    )),
)  # fmt: skip
CATALOGUE: tuple[Metric, ...] = tuple(metric for family in FAMILIES for metric in family.metrics)
NAMES: tuple[str, ...] = tuple(metric.name for metric in CATALOGUE)
BY_NAME: dict[str, Metric] = {metric.name: metric for metric in CATALOGUE}

COUNTS: dict[Kind, str] = {
    "mouse_movement": "movement_count",
    "mouse_clicks": "click_event_count",
    "mouse_scrolls": "scroll_event_count",
    "keyboard": "keystroke_count",
}
"""The metric that is NA where a trial has no file of a kind, 0 where the file is empty."""
