"""Write the ZIP of a simulated user study."""

from __future__ import annotations

import functools
import math
import operator
import os
import secrets
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analytics_kit.errors import SettingsError
from analytics_kit.settings import user_path
from analytics_kit.study.sample.behaviour import (
    SCREEN_PX,
    FactorProfile,
    ParticipantProfile,
    TaskProfile,
    printed_keys,
    simulate_trial,
)

if TYPE_CHECKING:
    from analytics_kit.study.schema.compiling import Ints

_DAY_S = 86_400
_ROWS_PER_BATCH = 16_384
_ZIP_TIME = (2025, 3, 3, 12, 0, 0)

_TASKS = (
    TaskProfile(
        "Search",
        action_s=2.1,
        click=0.6,
        scroll=0.4,
        typing=0.03,
        form=False,
        phrases=("train to oslo\n", "lake hotel, quiet\n", "weather monday\n", '"blue teapot"\n', "opening hours\n"),
    ),
    TaskProfile(
        "Fill_Form",
        action_s=3.95,
        click=0.85,
        scroll=0.06,
        typing=0.5,
        form=True,
        phrases=(
            "Maria Jensen\t",
            "12 Harbour Street, Leith\t",
            "m.jensen@example.org\t",
            "0131 555 0142\t",
            "Two nights, no breakfast, thank you!\t",
            'The sign said "open", but was it?\t',
            "Blue, or the green one\t",
        ),
    ),
)
_FACTORS = (
    FactorProfile("Baseline", slowness=0.92, hesitation=0.9, detours=0.6, bend=0.05, retry=0.0),
    FactorProfile("Cluttered", slowness=1.08, hesitation=1.25, detours=1.3, bend=0.1, retry=0.03),
)
# A Williams design: over four participants every condition comes in every position, and after every other one.
_CONDITIONS = tuple((task, factor) for task in _TASKS for factor in _FACTORS)
_ORDERS = ((0, 1, 3, 2), (1, 2, 0, 3), (2, 3, 1, 0), (3, 0, 2, 1))

SampleFile = tuple[str, bytes]


def sample_study(
    path: str | os.PathLike[str], participants: int = 8, trials: int = 3, seed: int = 0, *, trial_s: float = 20.0
) -> Path:
    """Write the ZIP of a simulated study, with the layout and the quirks of a real download.

    Every participant does two tasks (`Search`, `Fill_Form`) under two factors (`Baseline`, and `Cluttered`, where
    paths are longer and less direct and everything takes longer), `trials` times each. Participants differ, and get
    faster with practice. As in downloads of the Fulcrum platform the newest trial is number 1, a movement row needs
    more than 10 px of travel, and a click is two rows. Every twelfth session runs over midnight.

    Parameters
    ----------
    path
        The ZIP to write; its folder must exist. A file of this name is replaced once the new one is complete.
    participants
        Number of participants, 1 or more. A participant's files are the same in a larger study.
    trials
        Trials of each task under each factor, 1 or more; a study has participants x 4 x trials trials.
    seed
        0 or more. The same arguments give the same bytes (for the same versions of numpy and zlib).
    trial_s
        Mean duration of a trial in seconds, greater than 0 and at most 86,400. A second makes about 0.4 KB of CSV.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    SettingsError
        If a number is out of range or the folder is missing.

    See Also
    --------
    analytics_kit.process : compute the result of a study.

    Examples
    --------
    >>> import analytics_kit as ak, zipfile
    >>> path = ak.sample_study("study.zip", participants=1, trials=1)
    >>> zipfile.ZipFile(path).namelist()[0]
    '1_participant_session/Search_Baseline_trial_1/Mouse Movement.csv'
    """
    target = user_path(path)
    _check(target, participants, trials, seed, trial_s)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        with zipfile.ZipFile(temporary, "x") as archive:
            for name, text in _prefetched(_members(participants, trials, seed, trial_s)):
                archive.writestr(_zip_info(name), text, compresslevel=1)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def _check(target: Path, participants: int, trials: int, seed: int, trial_s: float) -> None:
    for name, value, minimum in (("participants", participants, 1), ("trials", trials, 1), ("seed", seed, 0)):
        try:
            valid = operator.index(value) >= minimum
        except TypeError:
            valid = False
        if not valid:
            raise SettingsError(
                f"{name}={value!r} is not a whole number of at least {minimum}.",
                hint=f"For example {name}={minimum + 2}.",
            )
    if not (isinstance(trial_s, int | float | np.number) and math.isfinite(trial_s) and 0 < trial_s <= _DAY_S):
        raise SettingsError(
            f"trial_s={trial_s!r} is not a duration greater than 0 and of at most {_DAY_S:,} seconds.",
            hint="For example trial_s=20; for a larger study raise participants or trials.",
        )
    if not target.parent.is_dir():
        raise SettingsError(
            f"The folder {str(target.parent)!r} is missing.", hint="Create the folder first, or give another path."
        )
    if target.is_dir():
        raise SettingsError(f"{str(target)!r} is a folder.", hint="Give the name of a file, such as study.zip.")


def _prefetched(members: Iterator[list[SampleFile]]) -> Iterator[SampleFile]:
    """Yield the files one by one while a second thread simulates the next trial."""
    with ThreadPoolExecutor(1) as executor:
        following = executor.submit(next, members, None)
        while (current := following.result()) is not None:
            following = executor.submit(next, members, None)
            yield from current


def _zip_info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, _ZIP_TIME)
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o644 << 16
    info.create_system = 3  # otherwise the bytes would depend on the operating system
    return info


def _members(participants: int, trials: int, seed: int, trial_s: float) -> Iterator[list[SampleFile]]:
    """Yield the files of each trial, session by session, in the order of the trials."""
    for participant in range(1, participants + 1):
        yield from _session(_generator(seed, participant), participant, trials, trial_s)


def _generator(seed: int, participant: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, participant])))


def _session(rng: np.random.Generator, participant: int, trials: int, trial_s: float) -> Iterator[list[SampleFile]]:
    person = ParticipantProfile(
        slowness=rng.lognormal(-0.01, 0.13),
        bend=rng.lognormal(0.0, 0.2),
        key_interval_s=rng.lognormal(np.log(0.17), 0.2),
        typo=rng.uniform(0.02, 0.07),
    )
    practice = np.arange(1, trials + 1) ** -0.2
    practice /= practice.mean()
    clock_s = rng.uniform(9, 17) * 3600
    if participant % 12 == 0:
        clock_s = _DAY_S - 0.5 * len(_CONDITIONS) * trials * (trial_s + 10)
    reference = (0, 0)
    for repetition in range(trials):
        for condition in _ORDERS[(participant - 1) % len(_ORDERS)]:
            task, factor = _CONDITIONS[condition]
            events = simulate_trial(
                rng, person, task, factor, practice=practice[repetition], trial_s=trial_s, reference=reference
            )
            folder = f"{participant}_participant_session/{task.name}_{factor.name}_trial_{trials - repetition}"
            start_cs = int(clock_s * 100)
            yield [
                (f"{folder}/Mouse Movement.csv", _pointer_csv(start_cs, *events.movement)),
                (f"{folder}/Mouse Clicks.csv", _pointer_csv(start_cs, *events.clicks)),
                (f"{folder}/Mouse Scrolls.csv", _pointer_csv(start_cs, *events.scrolls)),
                (f"{folder}/Keyboard Inputs.csv", _keyboard_csv(start_cs, *events.keyboard)),
            ]
            _, x, y = events.movement
            reference = (int(x[-1]), int(y[-1])) if len(x) else reference
            clock_s += events.duration_s + rng.uniform(4, 16)


def _pointer_csv(start_cs: int, time_cs: Ints, x: Ints, y: Ints) -> bytes:
    x_cells, y_cells = _pixel_cells()
    return b"Time,running_time,x,y\n" + _lines(start_cs, time_cs, (x_cells, x), (y_cells, y))


def _keyboard_csv(start_cs: int, time_cs: Ints, codes: Ints) -> bytes:
    return b"Time,running_time,keys\n" + _lines(start_cs, time_cs, (_key_cells(), codes))


def _lines(start_cs: int, time_cs: Ints, *columns: tuple[NDArray[np.bytes_], Ints]) -> bytes:
    """Return CSV lines from look-up tables of cells; formatting 40 million times would take longer than the rest."""
    if not len(time_cs):
        return b""
    seconds = np.arange(int(time_cs.max()) // 100 + 1).astype("S7")
    text = []
    for first in range(0, len(time_cs), _ROWS_PER_BATCH):
        part = slice(first, first + _ROWS_PER_BATCH)
        second, hundredth = np.divmod(time_cs[part], 100)
        cells = [
            _clock_cells()[(start_cs + time_cs[part]) // 100 % _DAY_S],
            seconds[second],
            _hundredth_cells()[hundredth],
            *(table[index[part]] for table, index in columns),
        ]
        lines = np.empty(len(second), [(f"{column}", cell.dtype) for column, cell in enumerate(cells)])
        for column, cell in enumerate(cells):
            lines[f"{column}"] = cell
        text.append(lines.tobytes().translate(None, b"\0"))
    return b"".join(text)


@functools.cache
def _clock_cells() -> NDArray[np.bytes_]:
    return np.array([b"%02d:%02d:%02d," % (s // 3600, s // 60 % 60, s % 60) for s in range(_DAY_S)])


@functools.cache
def _hundredth_cells() -> NDArray[np.bytes_]:
    return np.array([b".%02d," % hundredth for hundredth in range(100)])


@functools.cache
def _pixel_cells() -> tuple[NDArray[np.bytes_], NDArray[np.bytes_]]:
    width_px, height_px = SCREEN_PX
    return np.array([b"%d," % x for x in range(width_px)]), np.array([b"%d\n" % y for y in range(height_px)])


@functools.cache
def _key_cells() -> NDArray[np.bytes_]:
    return np.array([f"{cell}\n".encode() for cell in printed_keys()])
