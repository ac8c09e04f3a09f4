"""Simulate how a participant moves, clicks, scrolls and types in one trial."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from analytics_kit.study.schema.compiling import Floats, Ints

Points: TypeAlias = "tuple[Ints, Ints, Ints]"  # time in centiseconds since the trial began, x and y in pixels

SCREEN_PX = (1920, 1080)
_REPORT_S = 0.016  # in real logs a mouse reports about every 16 ms
_LATE_FRACTION = 0.022  # reports delayed until the next one, the cause of equal running_times
_MIN_TRAVEL_PX = 10
_LEGS_PER_BATCH = 400  # keeps the arrays of a batch in the processor's cache

_START_BUTTON_PX = (240.0, 930.0)
_SUBMIT_BUTTON_PX = (1580.0, 170.0)


@dataclass(frozen=True)
class TaskProfile:
    """A task: mean seconds per action, and the fractions of actions that click, scroll and type."""

    name: str
    action_s: float
    click: float
    scroll: float
    typing: float
    form: bool
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class FactorProfile:
    """The effect of a condition: factors on times, detours per action, curvature as a fraction of distance."""

    name: str
    slowness: float
    hesitation: float
    detours: float
    bend: float
    retry: float


@dataclass(frozen=True)
class ParticipantProfile:
    """How a participant differs from others: factors on times and curvature, typos as a fraction of letters."""

    slowness: float
    bend: float
    key_interval_s: float
    typo: float


@dataclass(frozen=True)
class SimulatedTrial:
    """The rows of one trial. `keyboard` holds times and codes, which are positions in `printed_keys()`."""

    movement: Points
    clicks: Points
    scrolls: Points
    keyboard: tuple[Ints, Ints]
    duration_s: float


@dataclass(frozen=True)
class _Legs:
    """Intended straight movements of the hand, several per action: detours, the reach, its correction."""

    action: Ints
    origin_x: Floats
    origin_y: Floats
    x: Floats
    y: Floats
    pause_s: Floats
    duration_s: Floats
    last: NDArray[np.bool_]


def simulate_trial(
    rng: np.random.Generator,
    person: ParticipantProfile,
    task: TaskProfile,
    factor: FactorProfile,
    *,
    practice: float,
    trial_s: float,
    reference: tuple[int, int],
) -> SimulatedTrial:
    """Simulate what one participant does in one trial of about `trial_s` seconds.

    `practice` multiplies times and detours (1 = no effect). `reference` is the position of the last movement row
    logged before this trial, from which the logger measures its 10 px.
    """
    count = max(2, round(trial_s / task.action_s * rng.uniform(0.92, 1.08)))
    slowness = person.slowness * factor.slowness * practice
    legs = _legs(rng, count, task, factor, slowness, practice, reference)

    submit = np.arange(count) == count - 1
    clicking = (rng.random(count) < task.click) | submit
    presses = clicking * (1 + (rng.random(count) < 0.05) + 2 * (rng.random(count) < factor.retry))
    ticks = np.where((rng.random(count) < task.scroll) & ~submit, 3 + rng.geometric(0.08, count), 0)
    codes, keys = _typed(rng, task, person.typo, (rng.random(count) < task.typing) & ~submit)

    tick_s, scroll_s = _onsets(_tick_gaps(rng, int(ticks.sum())), ticks)
    key_s, typing_s = _onsets(_key_gaps(rng, codes, person.key_interval_s * slowness), keys)
    settle_s = rng.uniform(0.05, 0.2, count) * slowness
    click_s = presses * 0.2
    rest_s = settle_s + click_s + scroll_s + typing_s + 0.05

    ends_s = np.cumsum(legs.pause_s + legs.duration_s + np.where(legs.last, rest_s[legs.action], 0.0))
    begins_s = ends_s - legs.duration_s - np.where(legs.last, rest_s[legs.action], 0.0)
    arrival_s = ends_s[legs.last] - rest_s
    x, y = _pixels(legs.x[legs.last], legs.y[legs.last])

    scroll_at_s = arrival_s + settle_s + click_s
    type_at_s = scroll_at_s + scroll_s
    return SimulatedTrial(
        movement=_movement(rng, legs, begins_s, person.bend * factor.bend, reference),
        clicks=_clicks(rng, legs, begins_s, arrival_s, arrival_s + settle_s, presses, (x, y)),
        scrolls=(_centiseconds(np.repeat(scroll_at_s, ticks) + tick_s), np.repeat(x, ticks), np.repeat(y, ticks)),
        keyboard=(_centiseconds(np.repeat(type_at_s, keys) + key_s), codes),
        duration_s=float(ends_s[-1]),
    )


def _legs(
    rng: np.random.Generator,
    count: int,
    task: TaskProfile,
    factor: FactorProfile,
    slowness: float,
    practice: float,
    reference: tuple[int, int],
) -> _Legs:
    target_x, target_y = _targets(rng, count, task)
    detours = rng.poisson(factor.detours * practice, count)
    corrected = (rng.random(count) < 0.45).astype(np.int64)
    legs = 1 + detours + corrected
    action = np.repeat(np.arange(count), legs)
    number = np.arange(len(action)) - np.repeat(np.cumsum(legs) - legs, legs)
    last = number == legs[action] - 1
    detouring = number < detours[action]

    spread_px = np.where(detouring, 280.0, np.where(last, 0.0, 18.0))
    x = np.clip(target_x[action] + spread_px * rng.standard_normal(len(action)), 3, SCREEN_PX[0] - 4)
    y = np.clip(target_y[action] + spread_px * rng.standard_normal(len(action)), 3, SCREEN_PX[1] - 4)
    # Most trials are started with the button; a few from the keyboard, with the pointer left where it was.
    start = _START_BUTTON_PX if rng.random() < 0.96 else reference
    origin_x, origin_y = np.append(start[0], x[:-1]), np.append(start[1], y[:-1])

    think_s = np.maximum(0.2 * rng.lognormal(0.0, 0.55, len(action)), 0.08) * factor.hesitation * slowness
    hesitate_s = rng.uniform(0.06, 0.4, len(action)) * factor.hesitation * slowness
    correct_s = rng.uniform(0.02, 0.12, len(action))
    after_detour = np.append(False, detouring[:-1])
    pause_s = np.where(number == 0, think_s, np.where(after_detour, hesitate_s, correct_s))
    # Fitts's law (1954) in Shannon's form, for targets 40 px wide.
    difficulty_bit = np.log2(np.hypot(x - origin_x, y - origin_y) / 40 + 1)
    duration_s = (0.08 + 0.1 * difficulty_bit) * slowness * rng.uniform(0.85, 1.15, len(action))
    return _Legs(action, origin_x, origin_y, x, y, pause_s, duration_s, last)


def _targets(rng: np.random.Generator, count: int, task: TaskProfile) -> tuple[Floats, Floats]:
    """Return the targets of a trial's actions: anywhere, or down the fields of a form, and last the submit button."""
    if task.form:
        x = rng.uniform(480, 980, count)
        y = 160 + 120.0 * (np.arange(count) % 7) + rng.uniform(-15, 15, count)
    else:
        x, y = rng.uniform(140, 1780, count), rng.uniform(150, 1000, count)
    x[-1], y[-1] = _SUBMIT_BUTTON_PX[0] + rng.uniform(-40, 40), _SUBMIT_BUTTON_PX[1] + rng.uniform(-12, 12)
    return x, y


def _movement(
    rng: np.random.Generator, legs: _Legs, begins_s: Floats, bend: float, reference: tuple[int, int]
) -> Points:
    """Return the movement rows: minimum-jerk reaches (Flash & Hogan 1985), curved, thinned as the logger does."""
    bow = np.clip(bend * rng.standard_normal(len(begins_s)), -0.35, 0.35)
    rows: list[Points] = []
    for first in range(0, len(begins_s), _LEGS_PER_BATCH):
        part = slice(first, first + _LEGS_PER_BATCH)
        time_cs, x, y = _reports(rng, legs, part, begins_s, bow)
        kept = logged_rows(x, y, reference)
        if len(kept):
            rows.append((time_cs[kept], x[kept], y[kept]))
            reference = int(x[kept[-1]]), int(y[kept[-1]])
    time_cs, x, y = (np.concatenate(column) for column in zip(*rows, strict=True)) if rows else np.empty((3, 0), int)
    return time_cs, x, y


def _reports(rng: np.random.Generator, legs: _Legs, part: slice, begins_s: Floats, bow: Floats) -> Points:
    """Return what the mouse reports along some legs, before the logger drops any report."""
    reports = np.ceil(legs.duration_s[part] / _REPORT_S).astype(np.int64)
    leg = np.repeat(np.arange(len(reports)), reports)
    number = np.arange(1, len(leg) + 1) - np.repeat(np.cumsum(reports) - reports, reports)
    interval_s = (legs.duration_s[part] / reports)[leg]

    chance = rng.random(len(leg))
    delay = np.where(chance < _LATE_FRACTION, 0.75 + 10 * chance, 0.12 * chance)
    time_s = begins_s[part][leg] + (number + delay) * interval_s

    tau = number / reports[leg]
    along = tau * tau * tau * (10 + tau * (6 * tau - 15))
    aside = 4 * bow[part][leg] * along * (1 - along)
    across_x, across_y = (legs.x - legs.origin_x)[part][leg], (legs.y - legs.origin_y)[part][leg]
    tremor = 0.7 * rng.standard_normal((2, len(leg)), dtype=np.float32) * (tau < 1)
    x, y = _pixels(
        legs.origin_x[part][leg] + along * across_x - aside * across_y + tremor[0],
        legs.origin_y[part][leg] + along * across_y + aside * across_x + tremor[1],
    )
    return _centiseconds(time_s), x, y


def logged_rows(x: Ints, y: Ints, reference: tuple[int, int]) -> Ints:
    """Return the indices of the reports that are logged: each is more than 10 px from the last one logged."""
    x, y = np.append(reference[0], x), np.append(reference[1], y)
    following = np.arange(1, len(x) + 1)
    near = np.flatnonzero(_near(np.diff(x), np.diff(y)))
    while len(near):
        following[near] += 1
        near = near[following[near] < len(x)]
        to = following[near]
        near = near[_near(x[to] - x[near], y[to] - y[near])]

    # Each logged report determines the next one. Reports are dropped only in slow stretches: the loop visits these.
    slow = np.flatnonzero(following > np.arange(1, len(x) + 1))
    dropped, current = np.zeros(len(x) + 1, dtype=np.int8), 0
    for report, to in zip(slow.tolist(), following[slow].tolist(), strict=True):
        if report >= current:
            dropped[report + 1] += 1
            dropped[to] -= 1
            current = to
    return np.flatnonzero(np.cumsum(dropped[1:-1], dtype=np.int8) == 0)


def _near(across: Ints, down: Ints) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = across * across + down * down <= _MIN_TRAVEL_PX**2
    return near


def _clicks(
    rng: np.random.Generator,
    legs: _Legs,
    begins_s: Floats,
    arrival_s: Floats,
    press_s: Floats,
    presses: Ints,
    position: tuple[Ints, Ints],
) -> Points:
    """Return press and release rows: at the target or, for the few drags, with the press where the reach began."""
    click = np.repeat(np.arange(len(presses)), presses)
    number = np.arange(len(click)) - np.repeat(np.cumsum(presses) - presses, presses)
    press_cs = _centiseconds(press_s[click]) + 18 * number
    release_cs = press_cs + rng.integers(7, 12, len(click))
    x, y = np.repeat(position[0][click], 2), np.repeat(position[1][click], 2)

    straight = np.bincount(legs.action)[click] == 1
    drag = np.flatnonzero(straight & (presses[click] == 1) & (rng.random(len(click)) < 0.03))
    leg = np.flatnonzero(legs.last)[click[drag]]
    press_cs[drag] = _centiseconds(begins_s[leg] - 0.03)
    release_cs[drag] = _centiseconds(arrival_s[click[drag]] + 0.06)
    x[2 * drag], y[2 * drag] = _pixels(legs.origin_x[leg], legs.origin_y[leg])
    return np.column_stack((press_cs, release_cs)).ravel(), x, y


def _tick_gaps(rng: np.random.Generator, count: int) -> Floats:
    """Return the seconds before each tick of the wheel: short within a flick, longer between flicks."""
    return np.where(rng.random(count) < 0.05, rng.uniform(0.3, 0.9, count), rng.uniform(0.012, 0.045, count))


@functools.cache
def _key_codes() -> dict[str, int]:
    named = ("space", "enter", "tab", "shift", "backspace")
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-'!?@"
    printed = [*plain, '","', '""""', *(f"Key.{name}" for name in named)]
    return {key: code for code, key in enumerate(printed)}


def printed_keys() -> list[str]:
    """Return every key of the sample as a CSV cell: as pynput prints it, quoted where CSV requires it."""
    return list(_key_codes())


@functools.cache
def _phrase_codes(phrases: tuple[str, ...]) -> tuple[Ints, Ints]:
    """Return the codes of the keys of all phrases, concatenated, and the number of keys of each."""
    cell = {" ": "Key.space", "\n": "Key.enter", "\t": "Key.tab", ",": '","', '"': '""""'}
    codes, sizes = [], []
    for phrase in phrases:
        pressed = [key for char in phrase for key in (["Key.shift"] * (char.isupper() or char in '!?@"') + [char])]
        codes += [_key_codes()[cell.get(key, key)] for key in pressed]
        sizes.append(len(pressed))
    return np.array(codes), np.array(sizes)


def _typed(rng: np.random.Generator, task: TaskProfile, typo: float, typing: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Return a trial's key codes and the number per action: phrases, with wrong letters corrected at once."""
    phrase_codes, sizes = _phrase_codes(task.phrases)
    phrase = rng.integers(len(sizes), size=len(typing))
    lengths = np.where(typing, sizes[phrase], 0)
    begins = (np.cumsum(sizes) - sizes)[phrase]
    intended = phrase_codes[np.arange(lengths.sum()) + np.repeat(begins - np.cumsum(lengths) + lengths, lengths)]

    # A mistake of w keys is w wrong letters, w backspaces, then the intended letter.
    wrong = np.where((intended < 26) & (rng.random(len(intended)) < typo), rng.geometric(0.7, len(intended)), 0)
    strokes = 1 + 2 * wrong
    number = np.arange(strokes.sum()) - np.repeat(np.cumsum(strokes) - strokes, strokes)
    wrong_keys = np.repeat(wrong, strokes)
    typo_code = (np.repeat(intended, strokes) + rng.integers(1, 26, len(number))) % 26
    codes = np.where(
        number < wrong_keys, typo_code, np.where(number < 2 * wrong_keys, _key_codes()["Key.backspace"], 0)
    )
    codes = np.where(number == 2 * wrong_keys, np.repeat(intended, strokes), codes)
    action = np.repeat(np.arange(len(typing)), lengths)
    return codes, np.bincount(action, strokes, len(typing)).astype(np.int64)


def _key_gaps(rng: np.random.Generator, codes: Ints, interval_s: float) -> Floats:
    """Return the seconds before each key: log-normal, longer before a correction, and a pause before some words."""
    gaps_s: Floats = interval_s * rng.lognormal(-0.06, 0.35, len(codes))
    before = np.append(-1, codes[:-1])
    backspace, space = _key_codes()["Key.backspace"], _key_codes()["Key.space"]
    gaps_s[(codes == backspace) & (before != backspace)] += 0.2
    thinking = (before == space) & (rng.random(len(codes)) < 0.06)
    gaps_s[thinking] += rng.uniform(2.0, 4.5, int(thinking.sum()))
    return gaps_s


def _onsets(gaps_s: Floats, counts: Ints) -> tuple[Floats, Floats]:
    """Return the seconds from the start of its action to each event, and the duration of each action's events."""
    totals_s = np.bincount(np.repeat(np.arange(len(counts)), counts), gaps_s, len(counts)).astype(np.float64)
    return np.cumsum(gaps_s) - np.repeat(np.cumsum(totals_s) - totals_s, counts), totals_s


def _centiseconds(time_s: Floats) -> Ints:
    return (time_s * 100).astype(np.int64)


def _pixels(x: Floats, y: Floats) -> tuple[Ints, Ints]:
    return (
        np.clip(x + 0.5, 0, SCREEN_PX[0] - 1).astype(np.int64),
        np.clip(y + 0.5, 0, SCREEN_PX[1] - 1).astype(np.int64),
    )
