"""A trial with all of its metrics computed by hand, and the metrics of no event, one event and two events."""

import itertools
import math
import statistics

import numpy as np

NA = math.nan

# One trial, by hand. Of the two rows at 0.20 s the last counts for all that needs a path.
MOVES = [(0.10, 10, 20), (0.15, 13, 24), (0.20, 99, 99), (0.20, 13, 36), (0.60, 21, 51), (0.65, 21, 44)]
# steps: 3-4-5, 12 down, 8-15-17, 7 up: 5 + 12 + 17 + 7 = 41 px; from (10, 20) to (21, 44): (11, 24)
STRAIGHT = math.sqrt(11**2 + 24**2)
CLICKS = [(0.5, 10, 10), (0.6, 10, 10), (1.0, 40, 50), (1.2, 40, 50), (2.0, 40, 90), (2.6, 40, 90)]
SCROLLS = [(1.0, 5, 5), (1.1, 5, 5), (1.2, 5, 5), (2.0, 5, 5), (2.2, 5, 5)]
KEYS = [(1.0, "a"), (1.2, "b"), (1.6, "Key.backspace"), (1.7, "c"), (2.5, " ")]
FULL = {"moves": MOVES, "clicks": CLICKS, "scrolls": SCROLLS, "keys": KEYS}
# The movement rows between the clicks at 0.5 s and 1.0 s are those at 0.60 and 0.65 s.
FIRST_WAY = math.hypot(11, 41) + 7 + math.hypot(19, 6)
EFFICIENCY = (50 / FIRST_WAY + 40 / 40) / 2

# Deviations times STRAIGHT are 0, -28, 104, 77, 0 at the rows. Every 0.01 s: 10 at rest before the first row; 5 of
# each step of 0.05 s; 35 at rest from 0.20 to 0.54 s, then 5 that go on; the last.
DEVIATIONS = 0 * 10 + 5 * 0 - 28 * 2 + 5 * -28 + 132 * 2 + 104 * 35 + 5 * 104 - 27 * 2 + 5 * 77 - 77 * 2 + 0
TURNS = [math.acos(48 / 60), math.acos(15 / 17), math.acos(-15 / 17)]


def sample_entropy(t, x, tolerance=None):
    """Return the sample entropy of a trial by its definition, window by window."""
    d = np.diff(np.interp(np.linspace(t[0], t[-1], 101), t, x))
    r = 0.2 * statistics.stdev(d) if tolerance is None else tolerance
    alike = {
        width: sum(
            max(abs(d[i : i + width] - d[j : j + width])) <= r + 1e-9 for i, j in itertools.combinations(range(97), 2)
        )
        for width in (3, 4)
    }
    return math.log(alike[3] / alike[4])


# metric: (empty files, one event of each kind, two events of each kind, by hand)
ONE = {"moves": [(0.5, 3, 4)], "clicks": [(0.7, 3, 4)], "scrolls": [(0.8, 0, 0)], "keys": [(0.9, "a")]}
TWO = {
    "moves": [(0.5, 3, 4), (0.6, 6, 8)], "clicks": [(0.7, 3, 4), (0.75, 3, 4)], "scrolls": [(0.8, 0, 0), (0.9, 0, 0)],
    "keys": [(1.0, "a"), (1.5, "b")],
}  # fmt: skip
EXPECTED = {
    "movement_count": (0, 1, 2, 6),
    "click_event_count": (0, 1, 2, 6),
    "scroll_event_count": (0, 1, 2, 5),
    "keystroke_count": (0, 1, 2, 5),
    "completion_time_s": (NA, 0.9, 1.5, 2.6),
    "time_to_first_event_s": (NA, 0.5, 0.5, 0.1),
    "time_to_first_click_s": (NA, 0.7, 0.7, 0.5),
    "active_time_s": (NA, 0.4, 1.0, 2.5),
    "path_length_px": (NA, 0, 5, 41),
    "displacement_px": (NA, 0, 5, STRAIGHT),
    "path_efficiency": (NA, NA, 1, STRAIGHT / 41),
    "initiation_time_s": (NA, 0.5, 0.5, 0.1),
    "idle_time_s": (NA, 0, 0, 0.4),
    "hover_count": (NA, 0, 0, 1),
    "hover_time_s": (NA, 0, 0, 0.4),
    "movement_time_s": (NA, 0, 0.1, 0.15),
    "x_min_px": (NA, 3, 3, 10),
    "x_max_px": (NA, 3, 6, 21),
    "y_min_px": (NA, 4, 4, 20),
    "y_max_px": (NA, 4, 8, 51),
    "bounding_area_px2": (NA, 0, 12, 11 * 31),
    "speed_mean_px_s": (NA, NA, 50, 41 / 0.15),
    "speed_median_px_s": (NA, NA, 50, 120),  # of 100, 240, 42.5 and 140
    "speed_max_px_s": (NA, NA, 50, 240),
    "speed_max_time_s": (NA, NA, 0.55, 0.175),
    # changes of speed: 140 in 0.05 s, -197.5 in 0.05 s, 97.5 in 0.4 s
    "acceleration_max_px_s2": (NA, NA, NA, 2800),
    "acceleration_min_px_s2": (NA, NA, NA, -3950),
    "acceleration_max_time_s": (NA, NA, NA, 0.15),
    "x_flips": (NA, 0, 0, 0),
    "y_flips": (NA, 0, 0, 1),
    "maximum_absolute_deviation_px": (NA, NA, 0, 104 / STRAIGHT),  # at (13, 36): 11·16 - 24·3 = 104
    "maximum_absolute_deviation_time_s": (NA, NA, 0.5, 0.2),
    "maximum_deviation_above_px": (NA, NA, 0, 104 / STRAIGHT),
    "maximum_deviation_below_px": (NA, NA, 0, -28 / STRAIGHT),  # at (13, 24): 11·4 - 24·3 = -28
    "average_deviation_px": (NA, NA, 0, DEVIATIONS / 66 / STRAIGHT),
    "area_under_curve_px2": (NA, NA, 0, 62),  # ½ (36 - 83 - 77) = -62, negated as the end has larger x and y
    "sample_entropy": (NA, NA, 0, sample_entropy([0.10, 0.15, 0.20, 0.60, 0.65], [10, 13, 13, 21, 21])),
    "turning_angle_mean_rad": (NA, NA, NA, statistics.mean(TURNS)),
    "curvature_mean_rad_px": (NA, NA, NA, (TURNS[0] / 5 + TURNS[1] / 12 + TURNS[2] / 17) / 3),
    "direction_sector_0": (NA, NA, 0, 0),
    "direction_sector_1": (NA, NA, 0, 0),
    "direction_sector_2": (NA, NA, 0, 7 / 41),
    "direction_sector_3": (NA, NA, 0, 0),
    "direction_sector_4": (NA, NA, 0, 0),
    "direction_sector_5": (NA, NA, 0, 0),
    "direction_sector_6": (NA, NA, 0, 12 / 41),
    "direction_sector_7": (NA, NA, 1, 22 / 41),
    # rows 0.60 and 0.65 s, axis (30, 40) / 50 from (10, 10): 0.6·41 - 0.8·11 and 0.6·34 - 0.8·11
    "task_axis_crossings": (NA, NA, NA, 0),
    "movement_direction_changes": (NA, NA, NA, 0),
    "orthogonal_direction_changes": (NA, NA, NA, 0),
    "movement_variability_px": (NA, NA, NA, 2.1 * math.sqrt(2)),
    "movement_error_px": (NA, NA, NA, 13.7),
    "movement_offset_px": (NA, NA, NA, 13.7),
    "click_count": (0, 0, 1, 3),
    "unpaired_click_events": (0, 1, 0, 0),
    "click_hold_mean_s": (NA, NA, 0.05, 0.3),  # 0.1, 0.2, 0.6
    "click_hold_median_s": (NA, NA, 0.05, 0.2),
    "inter_click_interval_median_s": (NA, NA, NA, 0.75),  # 0.5, 1.0
    "double_click_count": (0, 0, 0, 0),
    "rage_click_count": (0, 0, 0, 0),
    "drag_count": (0, NA, 0, 0),
    "pre_click_pause_median_s": (NA, 0.2, 0.1, 0.35),  # 0.3, 0.35, 1.35
    "click_rate_per_min": (NA, 0, 1 / 1.5 * 60, 3 / 2.6 * 60),
    "inter_click_path_efficiency": (NA, NA, NA, EFFICIENCY),
    "scroll_burst_count": (0, 1, 1, 2),
    "scroll_time_s": (0, 0, 0.1, 0.4),
    "scroll_rate_per_s": (NA, NA, 20, 12.5),
    "scroll_distance_px": (NA, NA, NA, NA),
    "scroll_reversal_count": (NA, NA, NA, NA),
    "inter_key_interval_mean_s": (NA, NA, 0.5, 0.375),  # 0.2, 0.4, 0.1, 0.8
    "inter_key_interval_median_s": (NA, NA, 0.5, 0.3),
    "inter_key_interval_sd_s": (NA, NA, NA, math.sqrt(0.2875 / 3)),
    "inter_key_interval_cv": (NA, NA, NA, math.sqrt(0.2875 / 3) / 0.375),
    "keystroke_rate_per_s": (NA, NA, 2, 4 / 1.5),
    "words_per_minute_gross": (NA, NA, 24, 24),  # 12 · 3 characters more / 1.5 s
    "words_per_minute_net": (NA, NA, 24, 16),
    "keystrokes_per_character": (NA, 1, 1, 5 / 3),
    "backspace_rate": (NA, 0, 0, 0.2),
    "error_corrections_per_character": (NA, 0, 0, 1 / 3),
    "correction_burst_count": (0, 0, 0, 1),
    "correction_burst_length_mean": (NA, NA, NA, 1),
    "typing_pause_count": (0, 0, 0, 0),
    "typing_pause_time_s": (0, 0, 0, 0),
    "p_burst_count": (0, 1, 1, 1),
    "p_burst_length_mean": (NA, 1, 2, 5),
    "initial_pause_s": (NA, 0.9, 1.0, 1.0),
    "key_share_letter": (NA, 1, 1, 3 / 5),
    "key_share_digit": (NA, 0, 0, 0),
    "key_share_punctuation": (NA, 0, 0, 0),
    "key_share_space": (NA, 0, 0, 1 / 5),
    "key_share_enter": (NA, 0, 0, 0),
    "key_share_backspace": (NA, 0, 0, 1 / 5),
    "key_share_delete": (NA, 0, 0, 0),
    "key_share_navigation": (NA, 0, 0, 0),
    "key_share_modifier": (NA, 0, 0, 0),
    "key_share_function": (NA, 0, 0, 0),
    "key_share_other": (NA, 0, 0, 0),
    # metrics that need the key itself, and when it was released
    "auto_repeat_share": (NA, NA, NA, NA),
    "dwell_time_mean_s": (NA, NA, NA, NA),
    "dwell_time_median_s": (NA, NA, NA, NA),
    "flight_time_mean_s": (NA, NA, NA, NA),
    "flight_time_median_s": (NA, NA, NA, NA),
    "rollover_ratio": (NA, NA, NA, NA),
    # mouse | 1.0 | 1.1 1.2 | 1.2 1.6 1.7 | 2.0 2.2 | 2.5 | 2.6, changes after 0, 0.1, 0, 0.3, 0.3, 0.1 s
    "device_switch_count": (NA, 1, 1, 6),
    "homing_time_median_s": (NA, 0.1, 0.1, 0.1),
}
EMPTY = {"moves": [], "clicks": [], "scrolls": [], "keys": []}
