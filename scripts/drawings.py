"""Draw what the spatial metrics measure on the example, one drawing per metric or group of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from analytics_kit.study.metrics import entropy
from scripts.canvas import BLUE, GREEN, HEIGHT, INK, PALE, RED, Canvas, Point
from scripts.example import CLICKS
from scripts.geometry import (  # fmt: skip
    AIMED,
    AXIS,
    OPTIONS,
    PATH,
    SPEEDS,
    START,
    STEPS,
    TARGET,
    XY,
    T,
    along_axis,
    beside_axis,
    deviations,
    foot,
    resampled,
)

Values = Mapping[str, float]
DASH = "5 4"


def path(canvas: Canvas, values: Values) -> None:
    """Path and displacement."""
    canvas.line([PATH[0], PATH[-1]], RED, 2, DASH)
    _trial(canvas, BLUE, 3)
    canvas.text((128, 76), f"path {values['path_length_px']:.0f} px", BLUE, "end")
    canvas.text((150, 216), f"displacement {values['displacement_px']:.0f} px", RED)
    canvas.text((14, 256), f"efficiency {values['displacement_px']:.0f} / {values['path_length_px']:.0f} = "
                f"{values['path_efficiency']:.2f}")  # fmt: skip


def rest(canvas: Canvas, values: Values) -> None:
    """Gaps along the path and along time."""
    _trial(canvas, PALE, 2)
    time_x = [24 + 225 * t for t in T]
    canvas.line([(24, 258), (time_x[-1] + 10, 258)], INK, 1)
    for i, gap in enumerate(np.diff(T)):
        if gap > OPTIONS.idle_gap_s:
            canvas.line(PATH[i : i + 2], RED, 4)
            canvas.area([(time_x[i], 251), (time_x[i + 1], 251), (time_x[i + 1], 265), (time_x[i], 265)], RED, 0.3)
            middle = XY[i : i + 2].mean(axis=0)
            canvas.text((middle[0] + 8, middle[1] + (-6 if i < 5 else 20)), f"{gap:.1f} s", RED)
    for x in time_x:
        canvas.line([(x, 251), (x, 265)], INK)
    canvas.text((14, 24), f"initiation {values['initiation_time_s']:g} s, then moving "
                f"{values['movement_time_s']:.2f} s, idle {values['idle_time_s']:.1f} s in "
                f"{values['hover_count']:.0f} hovers")  # fmt: skip


def box(canvas: Canvas, values: Values) -> None:
    """The bounding box of all points."""
    left, right, top, bottom = (values[f"{name}_px"] for name in ("x_min", "x_max", "y_min", "y_max"))
    canvas.area([(left, top), (right, top), (right, bottom), (left, bottom)], BLUE, 0.12, edge=True)
    _trial(canvas, named=False)
    canvas.text((left + 6, 150), f"x {left:.0f}", BLUE)
    canvas.text((right - 6, 150), f"x {right:.0f}", BLUE, "end")
    canvas.text((200, top - 7), f"y {top:.0f}", BLUE, "middle")
    canvas.text((200, bottom + 16), f"y {bottom:.0f}", BLUE, "middle")
    canvas.text((60, 104), f"{values['bounding_area_px2']:,.0f} px²", BLUE)


def speed(canvas: Canvas, values: Values) -> None:
    """Speed of each step over time, with mean, median and maximum."""
    at, high = _speeds(canvas)
    for name, colour in (("mean", RED), ("median", GREEN)):
        value = values[f"speed_{name}_px_s"]
        canvas.line([(at(T[0]), high(value)), (at(T[-1]), high(value))], colour, 2, DASH)
        canvas.text((at(1.0), high(value) - 6), f"{name} {value:,.0f} px/s", colour)
    top, moment = values["speed_max_px_s"], values["speed_max_time_s"]
    canvas.dots([(at(moment), high(top))], BLUE, 5)
    canvas.text((at(moment) + 22, high(top) + 4), f"largest {top:,.0f} px/s at {moment:g} s", BLUE)


def acceleration(canvas: Canvas, values: Values) -> None:
    """The largest acceleration and the largest deceleration."""
    at, high = _speeds(canvas)
    changes = np.diff(SPEEDS) / np.diff(T)[:-1]
    for name, row, colour in (("max", changes.argmax(), GREEN), ("min", changes.argmin(), RED)):
        t, value = T[row + 1], values[f"acceleration_{name}_px_s2"]
        canvas.arrow((at(t), high(SPEEDS[row])), (at(t), high(SPEEDS[row + 1])), colour, 3)
        position = (at(0.36), high(SPEEDS[row + (name == "max")]) + 4)
        canvas.text(position, f"{value:+,.0f} px/s² at {t:g} s", colour)


def flips(canvas: Canvas, values: Values) -> None:
    """The points where the path changes direction in x, and in y."""
    _trial(canvas)
    for axis, colour, radius, name in ((0, BLUE, 7.0, "x"), (1, RED, 11.0, "y")):
        turns = [PATH[i] for i in range(1, len(PATH) - 1) if STEPS[i - 1, axis] * STEPS[i, axis] < 0]
        canvas.dots(turns, colour, radius, hollow=True)
        count = values[f"{name}_flips"]
        assert count == len(turns)  # noqa: S101 - the drawing must agree with the metric
        canvas.text((14, 24 + 16 * axis), f"○ {count:.0f} flips in {name}", colour)


def deviation(canvas: Canvas, values: Values) -> None:
    """The largest deviations from the straight line."""
    _straight(canvas)
    _trial(canvas)
    signed = deviations(XY)
    for row, name, colour in ((signed.argmax(), "above", BLUE), (signed.argmin(), "below", RED)):
        canvas.line([PATH[row], foot(XY[row])], colour, 3)
        value = values[f"maximum_deviation_{name}_px"]
        canvas.text((XY[row, 0] + (8 if name == "above" else -8), XY[row, 1] + (60 if name == "above" else 12)),
                    f"{name} {value:.0f} px", colour, "start" if name == "above" else "end")  # fmt: skip
    largest = values["maximum_absolute_deviation_px"]
    canvas.text((14, 24), f"maximum absolute {largest:.0f} px at {values['maximum_absolute_deviation_time_s']:g} s")


def average(canvas: Canvas, values: Values) -> None:
    """The deviations of the points of the resampled path."""
    _straight(canvas)
    _trial(canvas, PALE, 1.5)
    points = resampled()
    for point in points:
        canvas.line([(point[0], point[1]), foot(point)], BLUE, 1)
    canvas.dots([(x, y) for x, y in points], BLUE, 2)
    canvas.text((14, 24), f"mean of {len(points)} points {values['average_deviation_px']:.1f} px", BLUE)
    canvas.text((14, 40), f"one every {OPTIONS.resample_s:g} s; most lie where the pointer rested")


def area(canvas: Canvas, values: Values) -> None:
    """The area between path and line, in one colour for each side."""
    signed = deviations(XY)
    shape: list[Point] = [PATH[0]]
    for i in range(1, len(PATH)):
        before, now = signed[i - 1], signed[i]
        if before * now < 0:
            crossing = XY[i - 1] + before / (before - now) * STEPS[i - 1]
            shape.append((crossing[0], crossing[1]))
            canvas.area(shape, BLUE if before > 0 else RED, 0.3)
            shape = [shape[-1]]
        shape.append(PATH[i])
    canvas.area(shape, BLUE if signed[-2] > 0 else RED, 0.3)
    _straight(canvas)
    _trial(canvas)
    canvas.text((14, 24), f"above minus below {values['area_under_curve_px2']:,.0f} px²")


def turning(canvas: Canvas, values: Values) -> None:
    """The turning angle at each point."""
    _trial(canvas)
    for i in range(1, len(PATH) - 1):
        before, after = (np.arctan2(step[1], step[0]) for step in (STEPS[i - 1], STEPS[i]))
        turn = (after - before + np.pi) % (2 * np.pi) - np.pi
        angles = before + np.linspace(0, turn, 12)
        arc = [(XY[i, 0] + 18 * np.cos(a), XY[i, 1] + 18 * np.sin(a)) for a in angles]
        ahead = (XY[i, 0] + 26 * np.cos(before), XY[i, 1] + 26 * np.sin(before))
        canvas.line([PATH[i], ahead], PALE, 1, "3 3")
        canvas.area([PATH[i], *arc], RED, 0.45)
    canvas.text((14, 24), f"mean angle {values['turning_angle_mean_rad']:.2f} rad", RED)
    canvas.text(
        (14, 40), f"mean of angle / length of the step before it {values['curvature_mean_rad_px']:.4f} rad/px"
    )


def sectors(canvas: Canvas, values: Values) -> None:
    """All steps drawn from one point, and the eight sectors with their fractions of the path length."""
    x, y, scale = 210.0, 136.0, 1.05
    for k in range(8):
        edge, middle = np.radians(45 * k + 22.5), np.radians(45 * k)
        canvas.line([(x, y), (x + 112 * np.cos(edge), y - 112 * np.sin(edge))], PALE, 1)
        fraction = values[f"direction_sector_{k}"]
        position = (x + 122 * np.cos(middle), y + 4 - 112 * np.sin(middle))
        anchor = "middle" if k in (2, 6) else "start" if np.cos(middle) > 0 else "end"
        canvas.text(position, f"{k}: {fraction:.2f}", BLUE if fraction else PALE, anchor)
    for dx, dy in STEPS:
        canvas.arrow((x, y), (x + scale * dx, y + scale * dy), BLUE)


def axis(canvas: Canvas, values: Values) -> None:
    """The task axis of the first segment: crossings, and changes of direction across and along it."""
    _aimed(canvas)
    along, across = along_axis(np.array(AIMED))
    for i in range(1, len(AIMED)):
        if across[i - 1] * across[i] < 0:
            fraction = across[i - 1] / (across[i - 1] - across[i])
            x, y = np.array(AIMED[i - 1]) + fraction * (np.array(AIMED[i]) - np.array(AIMED[i - 1]))
            canvas.dots([(x, y)], RED, 6)
    for values_along, colour, radius in ((across, BLUE, 8), (along, GREEN, 12)):
        moved = np.diff(values_along)
        canvas.dots(
            [AIMED[i + 1] for i in range(len(moved) - 1) if moved[i] * moved[i + 1] < 0], colour, radius, True
        )
    for row, (text, name, colour) in enumerate((
        ("● {:.0f} crossing of the axis", "task_axis_crossings", RED),
        ("○ {:.0f} changes of direction across it", "movement_direction_changes", BLUE),
        ("○ {:.0f} changes along it", "orthogonal_direction_changes", GREEN),
    )):  # fmt: skip
        canvas.text((14, 24 + 16 * row), text.format(values[name]), colour)


def offset(canvas: Canvas, values: Values) -> None:
    """Distances from the task axis, their mean and standard deviation."""
    mean, spread = values["movement_offset_px"], values["movement_variability_px"]
    canvas.area([*beside_axis(mean - spread), *reversed(beside_axis(mean + spread))], GREEN, 0.12)
    canvas.line(beside_axis(mean), GREEN, 2, DASH)
    _aimed(canvas)
    along, _ = along_axis(np.array(AIMED))
    for point, position in zip(AIMED, along, strict=True):
        x, y = np.array(START) + position * AXIS
        canvas.line([point, (x, y)], BLUE, 2)
    canvas.text((14, 24), f"offset: mean of the distances {mean:.0f} px, left of the axis", GREEN)
    canvas.text((14, 40), f"variability: their standard deviation {spread:.0f} px", GREEN)
    canvas.text((14, 56), f"error: mean of their absolute values {values['movement_error_px']:.0f} px", BLUE)


def segments(canvas: Canvas, values: Values) -> None:
    """The first segment: straight line and path from press to press."""
    canvas.line([START, *AIMED, TARGET], BLUE, 3)
    canvas.dots(AIMED, INK)
    canvas.line([START, TARGET], RED, 2, DASH)
    _presses(canvas)
    canvas.text((14, 24), f"dashed / solid {values['inter_click_path_efficiency']:.2f}, mean over segments")


def presses(canvas: Canvas, values: Values) -> None:
    """The presses at the target, enlarged twice, with the thresholds of double and rage clicks."""
    (x0, y0), scale = TARGET, 2.0

    def zoomed(x: float, y: float) -> Point:
        return 140 + scale * (x - x0), 150 + scale * (y - y0)

    near, far = OPTIONS.double_click_px, OPTIONS.rage_click_px
    canvas.area(
        [zoomed(x0 + dx * far, y0 + dy * far) for dx, dy in ((1, 0), (0, 1), (-1, 0), (0, -1))], RED, 0.1, True
    )
    canvas.dots([zoomed(x0, y0)], BLUE, scale * near, hollow=True)
    canvas.arrow(zoomed(*CLICKS[-2][1:]), zoomed(*CLICKS[-1][1:]), GREEN)
    canvas.dots([zoomed(x0, y0)], INK, 4)
    canvas.text((14, 24), "three presses at one position; enlarged twice")
    canvas.text((14, 52), f"{values['double_click_count']:.0f} double click: up to {near:g} px apart", BLUE)
    canvas.text((14, 254), f"{values['rage_click_count']:.0f} rage click: |dx| + |dy| below {far:g} px", RED)
    canvas.text((270, 118), f"{values['drag_count']:.0f} drag: over {OPTIONS.drag_px:g} px", GREEN)


def complexity(canvas: Canvas, values: Values) -> None:
    """The hundred differences of x, and the tolerance within which two are similar."""
    differences = np.empty(entropy.X_DIFFERENCES)
    entropy.x_differences(np.array(T), XY[:, 0].copy(), differences)
    tolerance, base, scale = entropy.TOLERANCE * float(np.std(differences, ddof=1)), 190.0, 5.0
    for k, step in enumerate(differences):
        x = 12 + 4 * k
        canvas.area([(x, base), (x + 3, base), (x + 3, base - scale * step), (x, base - scale * step)], BLUE, 0.8)
    canvas.line([(12, base), (412, base)], INK, 1)
    canvas.text(
        (14, 24),
        f"{len(differences)} differences of x, one every {1000 * (T[-1] - T[0]) / len(differences):.1f} ms",
        BLUE,
    )
    canvas.text((14, 40), f"similar up to {tolerance:.2f} px apart; entropy {values['sample_entropy']:.3f}")


DRAWINGS: dict[str, tuple[Callable[[Canvas, Values], None], tuple[str, ...]]] = {
    "path": (path, ("path_length_px", "displacement_px", "path_efficiency")),
    "rest": (rest, ("initiation_time_s", "idle_time_s", "hover_count", "hover_time_s", "movement_time_s")),
    "box": (box, ("x_min_px", "x_max_px", "y_min_px", "y_max_px", "bounding_area_px2")),
    "speed": (speed, ("speed_mean_px_s", "speed_median_px_s", "speed_max_px_s", "speed_max_time_s")),
    "acceleration": (
        acceleration, ("acceleration_max_px_s2", "acceleration_min_px_s2", "acceleration_max_time_s"),
    ),
    "flips": (flips, ("x_flips", "y_flips")),
    "deviation": (deviation, (
        "maximum_absolute_deviation_px", "maximum_absolute_deviation_time_s", "maximum_deviation_above_px",
        "maximum_deviation_below_px",
    )),
    "average": (average, ("average_deviation_px",)),
    "area": (area, ("area_under_curve_px2",)),
    "complexity": (complexity, ("sample_entropy",)),
    "turning": (turning, ("turning_angle_mean_rad", "curvature_mean_rad_px")),
    "sectors": (sectors, tuple(f"direction_sector_{k}" for k in range(8))),
    "axis": (axis, ("task_axis_crossings", "movement_direction_changes", "orthogonal_direction_changes")),
    "offset": (offset, ("movement_variability_px", "movement_error_px", "movement_offset_px")),
    "presses": (presses, ("double_click_count", "rage_click_count", "drag_count")),
    "segments": (segments, ("inter_click_path_efficiency",)),
}  # fmt: skip
"""Each drawing with the metrics that it shows."""


def drawn(name: str, values: Values) -> str:
    """Return the SVG of a drawing."""
    draw, _ = DRAWINGS[name]
    canvas = Canvas((draw.__doc__ or "").strip())
    draw(canvas, values)
    return canvas.svg()


def _trial(canvas: Canvas, colour: str = INK, width: float = 1.5, named: bool = True) -> None:
    canvas.line(PATH, colour, width)
    canvas.dots(PATH, INK)
    if not named:
        return
    canvas.text((PATH[0][0], PATH[0][1] + 18), "first", INK, "middle")
    canvas.text((PATH[-1][0], PATH[-1][1] - 10), "last", INK, "middle")


def _straight(canvas: Canvas) -> None:
    canvas.line([PATH[0], PATH[-1]], INK, 1.5, DASH)


def _speeds(canvas: Canvas) -> tuple[Callable[[float], float], Callable[[float], float]]:
    def at(t: float) -> float:
        return 30 + 225 * t

    def high(value: float) -> float:
        return 230 - 0.115 * value

    corners = [(at(t), high(v)) for i, v in enumerate(SPEEDS) for t in T[i : i + 2]]
    canvas.area([(at(T[0]), high(0)), *corners, (at(T[-1]), high(0))], PALE, 0.25)
    canvas.line(corners, INK)
    canvas.line([(at(0), high(0)), (at(T[-1]), high(0))], INK, 1)
    for t in (0.0, 0.5, 1.0, 1.5):
        canvas.text((at(t), HEIGHT - 22), f"{t:g} s", INK, "middle")
    return at, high


def _aimed(canvas: Canvas) -> None:
    canvas.line([START, TARGET], INK, 1.5, DASH)
    canvas.line(AIMED, PALE, 2)
    canvas.dots(AIMED, INK)
    _presses(canvas)


def _presses(canvas: Canvas) -> None:
    for (x, y), name, aside, anchor in ((START, "press 1", (0, 20), "start"), (TARGET, "press 2", (-10, -8), "end")):
        canvas.line([(x - 5, y - 5), (x + 5, y + 5)], INK, 2)
        canvas.line([(x - 5, y + 5), (x + 5, y - 5)], INK, 2)
        canvas.text((x + aside[0], y + aside[1]), name, INK, anchor)
