"""How a simulated participant moves, clicks, scrolls and types in one trial."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Points = tuple[Ints, Ints, Ints]  # time in centiseconds since the trial began, x and y in pixels

SCREEN_PX = (1920, 1080)
_REPORT_S = 0.016  # genuine logs show a mouse report about every 16 ms
_LATE_SHARE = 0.022  # reports held up until the next one: where equal running_times come from
_TRAVEL_PX = 10
_LEGS_AT_ONCE = 400  # keeps the arrays of one step inside the processor's cache

_START = (240.0, 930.0)
_SUBMIT = (1580.0, 170.0)


@dataclass(frozen=True)
class TaskProfile:
    """What there is to do: mean seconds of an action, and the shares of actions that click, scroll and type."""

    name: str
    action_s: float
    click: float
    scroll: float
    typing: float
    form: bool
    phrases: tuple[str, ...]


@dataclass(frozen=True)
class FactorProfile:
    """What a condition does to people: times as multiples, detours per action, bend as share of distance."""

    name: str
    slowness: float
    hesitation: float
    detours: float
    bend: float
    retry: float


@dataclass(frozen=True)
class ParticipantProfile:
    """How a participant differs from the others: times and bend as multiples, typos as share of letters."""

    slowness: float
    bend: float
    key_interval_s: float
    typo: float


@dataclass(frozen=True)
class SimulatedTrial:
    """The rows of one trial; `keys` are codes, rows of `printed_keys()`."""

    movement: Points
    clicks: Points
    scrolls: Points
    keyboard: tuple[Ints, Ints]
    duration_s: float


@dataclass(frozen=True)
class _Legs:
    """Straight intentions of the hand, several to an action: a detour, the reach, its correction."""

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
    """Everything one person does in one trial of about `trial_s` seconds.

    `practice` multiplies times and detours (1 = none). `reference` is the last movement row written before this
    trial: the logger measures its 10 px from there.
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
    # Most trials are started with the button; now and then from the keyboard, the pointer left where it was.
    start = _START if rng.random() < 0.96 else reference
    origin_x, origin_y = np.append(start[0], x[:-1]), np.append(start[1], y[:-1])

    think_s = np.maximum(0.2 * rng.lognormal(0.0, 0.55, len(action)), 0.08) * factor.hesitation * slowness
    doubt_s = rng.uniform(0.06, 0.4, len(action)) * factor.hesitation * slowness
    correct_s = rng.uniform(0.02, 0.12, len(action))
    after_detour = np.append(False, detouring[:-1])
    pause_s = np.where(number == 0, think_s, np.where(after_detour, doubt_s, correct_s))
    # Fitts (1954) in Shannon's form, targets 40 px wide.
    difficulty_bit = np.log2(np.hypot(x - origin_x, y - origin_y) / 40 + 1)
    duration_s = (0.08 + 0.1 * difficulty_bit) * slowness * rng.uniform(0.85, 1.15, len(action))
    return _Legs(action, origin_x, origin_y, x, y, pause_s, duration_s, last)


def _targets(rng: np.random.Generator, count: int, task: TaskProfile) -> tuple[Floats, Floats]:
    """Where the actions of a trial happen: anywhere, or down the fields of a form; at last the submit button."""
    if task.form:
        x = rng.uniform(480, 980, count)
        y = 160 + 120.0 * (np.arange(count) % 7) + rng.uniform(-15, 15, count)
    else:
        x, y = rng.uniform(140, 1780, count), rng.uniform(150, 1000, count)
    x[-1], y[-1] = _SUBMIT[0] + rng.uniform(-40, 40), _SUBMIT[1] + rng.uniform(-12, 12)
    return x, y


def _movement(
    rng: np.random.Generator, legs: _Legs, begins_s: Floats, bend: float, reference: tuple[int, int]
) -> Points:
    """The movement rows: minimum-jerk reaches (Flash & Hogan 1985), bowed sideways, thinned as the logger does."""
    bow = np.clip(bend * rng.standard_normal(len(begins_s)), -0.35, 0.35)
    rows: list[Points] = []
    for first in range(0, len(begins_s), _LEGS_AT_ONCE):
        part = slice(first, first + _LEGS_AT_ONCE)
        time_cs, x, y = _reports(rng, legs, part, begins_s, bow)
        kept = logged_rows(x, y, reference)
        if len(kept):
            rows.append((time_cs[kept], x[kept], y[kept]))
            reference = int(x[kept[-1]]), int(y[kept[-1]])
    time_cs, x, y = (np.concatenate(column) for column in zip(*rows, strict=True)) if rows else np.empty((3, 0), int)
    return time_cs, x, y


def _reports(rng: np.random.Generator, legs: _Legs, part: slice, begins_s: Floats, bow: Floats) -> Points:
    """What the mouse reports on the way along some legs, before the logger drops any."""
    reports = np.ceil(legs.duration_s[part] / _REPORT_S).astype(np.int64)
    leg = np.repeat(np.arange(len(reports)), reports)
    number = np.arange(1, len(leg) + 1) - np.repeat(np.cumsum(reports) - reports, reports)
    interval_s = (legs.duration_s[part] / reports)[leg]

    chance = rng.random(len(leg))
    delay = np.where(chance < _LATE_SHARE, 0.75 + 10 * chance, 0.12 * chance)
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
    """The indices of the reports that the logger writes: each more than 10 px from the one written before it."""
    x, y = np.append(reference[0], x), np.append(reference[1], y)
    following = np.arange(1, len(x) + 1)
    near = np.flatnonzero(_near(np.diff(x), np.diff(y)))
    while len(near):
        following[near] += 1
        near = near[following[near] < len(x)]
        to = following[near]
        near = near[_near(x[to] - x[near], y[to] - y[near])]

    # Each written report decides the next one. Only slow stretches drop any, so only those are walked through.
    slow = np.flatnonzero(following > np.arange(1, len(x) + 1))
    dropped, at = np.zeros(len(x) + 1, dtype=np.int8), 0
    for report, to in zip(slow.tolist(), following[slow].tolist(), strict=True):
        if report >= at:
            dropped[report + 1] += 1
            dropped[to] -= 1
            at = to
    return np.flatnonzero(np.cumsum(dropped[1:-1], dtype=np.int8) == 0)


def _near(across: Ints, down: Ints) -> NDArray[np.bool_]:
    near: NDArray[np.bool_] = across * across + down * down <= _TRAVEL_PX**2
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
    """Press and release rows: at the target, or, for the few drags, a press where the reach began."""
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
    """Seconds before each tick of the wheel: quick within a flick, a longer gap between flicks."""
    return np.where(rng.random(count) < 0.05, rng.uniform(0.3, 0.9, count), rng.uniform(0.012, 0.045, count))


@functools.cache
def _key_codes() -> dict[str, int]:
    named = ("space", "enter", "tab", "shift", "backspace")
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-'!?@"
    printed = [*plain, '","', '""""', *(f"Key.{name}" for name in named)]
    return {key: code for code, key in enumerate(printed)}


def printed_keys() -> list[str]:
    """Every key of the sample as its CSV cell: as pynput prints it, quoted where CSV asks for it."""
    return list(_key_codes())


@functools.cache
def _phrase_codes(phrases: tuple[str, ...]) -> tuple[Ints, Ints]:
    """The keys pressed for each phrase, all in a row, and how many each has."""
    cell = {" ": "Key.space", "\n": "Key.enter", "\t": "Key.tab", ",": '","', '"': '""""'}
    codes, sizes = [], []
    for phrase in phrases:
        pressed = [key for char in phrase for key in (["Key.shift"] * (char.isupper() or char in '!?@"') + [char])]
        codes += [_key_codes()[cell.get(key, key)] for key in pressed]
        sizes.append(len(pressed))
    return np.array(codes), np.array(sizes)


def _typed(rng: np.random.Generator, task: TaskProfile, typo: float, typing: NDArray[np.bool_]) -> tuple[Ints, Ints]:
    """Key codes of a trial, and how many belong to each action: a phrase with wrong letters put right at once."""
    phrase_codes, sizes = _phrase_codes(task.phrases)
    phrase = rng.integers(len(sizes), size=len(typing))
    lengths = np.where(typing, sizes[phrase], 0)
    begins = (np.cumsum(sizes) - sizes)[phrase]
    wanted = phrase_codes[np.arange(lengths.sum()) + np.repeat(begins - np.cumsum(lengths) + lengths, lengths)]

    # A letter goes wrong by w keys: w strays, w backspaces, then the letter that was meant.
    wrong = np.where((wanted < 26) & (rng.random(len(wanted)) < typo), rng.geometric(0.7, len(wanted)), 0)
    strokes = 1 + 2 * wrong
    number = np.arange(strokes.sum()) - np.repeat(np.cumsum(strokes) - strokes, strokes)
    wrong_here = np.repeat(wrong, strokes)
    stray = (np.repeat(wanted, strokes) + rng.integers(1, 26, len(number))) % 26
    codes = np.where(number < wrong_here, stray, np.where(number < 2 * wrong_here, _key_codes()["Key.backspace"], 0))
    codes = np.where(number == 2 * wrong_here, np.repeat(wanted, strokes), codes)
    action = np.repeat(np.arange(len(typing)), lengths)
    return codes, np.bincount(action, strokes, len(typing)).astype(np.int64)


def _key_gaps(rng: np.random.Generator, codes: Ints, interval_s: float) -> Floats:
    """Seconds before each key: log-normal, slower into a correction, now and then a thought before a word."""
    gaps_s: Floats = interval_s * rng.lognormal(-0.06, 0.35, len(codes))
    before = np.append(-1, codes[:-1])
    backspace, space = _key_codes()["Key.backspace"], _key_codes()["Key.space"]
    gaps_s[(codes == backspace) & (before != backspace)] += 0.2
    thinking = (before == space) & (rng.random(len(codes)) < 0.06)
    gaps_s[thinking] += rng.uniform(2.0, 4.5, int(thinking.sum()))
    return gaps_s


def _onsets(gaps_s: Floats, counts: Ints) -> tuple[Floats, Floats]:
    """Seconds from the start of its action to each event, and seconds that each action's events take."""
    totals_s = np.bincount(np.repeat(np.arange(len(counts)), counts), gaps_s, len(counts)).astype(np.float64)
    return np.cumsum(gaps_s) - np.repeat(np.cumsum(totals_s) - totals_s, counts), totals_s


def _centiseconds(time_s: Floats) -> Ints:
    return (time_s * 100).astype(np.int64)


def _pixels(x: Floats, y: Floats) -> tuple[Ints, Ints]:
    return (
        np.clip(x + 0.5, 0, SCREEN_PX[0] - 1).astype(np.int64),
        np.clip(y + 0.5, 0, SCREEN_PX[1] - 1).astype(np.int64),
    )
