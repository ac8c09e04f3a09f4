"""Assess each participant's log: rows, losses, artefacts, gaps, thinning, missing files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics_kit.model import KINDS
from analytics_kit.study.metrics.catalogue import EVENT_COUNT_METRICS
from analytics_kit.study.result.files import ResultFiles
from analytics_kit.study.schema.columns import SCREEN_LIMIT_PX, TRIAL_INDEX

POINTER_KINDS = tuple(kind for kind in KINDS if kind != "keyboard")
THINNED_PX = 10.0
"""The platform's logger writes a movement row only after more than this travel."""
_STEP_COLUMNS = ("step_median_s", "step_95_s", "gap_longest_s", "gap_share", "step_median_px", "short_step_share")


def quality(
    trials: pd.DataFrame, members: pd.DataFrame, issues: pd.DataFrame, result_files: ResultFiles, idle_gap_s: float
) -> pd.DataFrame:
    """Implement `StudyResult.quality`."""
    codes, participants = pd.factorize(trials["participant"], use_na_sentinel=False)  # a code per trial
    count = len(participants)
    table = pd.DataFrame({"participant": participants})
    table["trial_count"] = pd.Series(codes).value_counts().reindex(table.index).astype("Int64")
    for kind in KINDS:
        table[f"{kind}_rows"] = _event_counts(result_files, kind, codes, count)
    files = members[members["trial_row"].notna()].drop_duplicates("member")
    code_of_member = pd.Series(codes[files["trial_row"].to_numpy(np.int64)], files["member"])
    dropped = issues["rows_dropped"].groupby(issues["member"].map(code_of_member)).sum()
    table["rows_dropped"] = dropped.reindex(table.index).fillna(0)
    table["artefact_rows"] = _artefact_counts(result_files, codes, count)
    steps = {code: _describe_steps(found, idle_gap_s) for code, found in _steps(result_files, codes)}
    for column, name in enumerate(_STEP_COLUMNS):
        table[name] = [steps[code][column] if code in steps else np.nan for code in table.index]
    for kind, metric in EVENT_COUNT_METRICS.items():
        missing = trials[metric].isna() if metric in trials else pd.Series(np.nan, trials.index)
        table[f"{kind}_missing_share"] = missing.astype("float64").groupby(codes).mean()
    counts = [name for name in table.columns if name.endswith("_rows") or name == "rows_dropped"]
    return table.astype({"participant": "str"} | dict.fromkeys(counts, "Int64"))


def _event_counts(
    result_files: ResultFiles, kind: str, codes: npt.NDArray[np.int64], participants: int
) -> npt.NDArray[np.int64]:
    """Count the events of a kind by participant."""
    counts = np.zeros(participants, np.int64)
    for events in result_files.events_by_shard(kind, []):
        counts += np.bincount(codes[events[TRIAL_INDEX].to_numpy(np.int64)], minlength=participants)
    return counts


def _artefact_counts(
    result_files: ResultFiles, codes: npt.NDArray[np.int64], participants: int
) -> npt.NDArray[np.int64]:
    """Count the pointer events outside any screen by participant."""
    counts = np.zeros(participants, np.int64)
    for kind in POINTER_KINDS:
        for events in result_files.events_by_shard(kind, ["x_px", "y_px"]):
            outside = (events[["x_px", "y_px"]].abs() > SCREEN_LIMIT_PX).any(axis=1)
            counts += np.bincount(codes[events.loc[outside, TRIAL_INDEX].to_numpy(np.int64)], minlength=participants)
    return counts


def _steps(result_files: ResultFiles, codes: npt.NDArray[np.int64]) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield each participant's code with duration and length of all steps between movement rows of the same trial.

    A participant is yielded as soon as the last of its trials was read. So memory holds the events of one shard, and
    those participants whose trials continue in the next.
    """
    last_trial = pd.Series(np.arange(len(codes))).groupby(codes).max()
    unfinished: defaultdict[int, list[pd.DataFrame]] = defaultdict(list)
    for events in result_files.events_by_shard("mouse_movement", ["t_s", "x_px", "y_px"]):
        trial = events[TRIAL_INDEX].to_numpy(np.int64)
        same_trial = trial[1:] == trial[:-1]
        moved = events[["t_s", "x_px", "y_px"]].diff().iloc[1:][same_trial]
        steps = pd.DataFrame({"s": moved["t_s"], "px": np.hypot(moved["x_px"], moved["y_px"])})
        for code, found in steps.groupby(codes[trial[1:][same_trial]]):
            unfinished[code].append(found)
        for code in [code for code in unfinished if last_trial[code] <= trial[-1]]:
            yield code, pd.concat(unfinished.pop(code))
    for code, pieces in unfinished.items():
        yield code, pd.concat(pieces)


def _describe_steps(steps: pd.DataFrame, idle_gap_s: float) -> tuple[float, ...]:
    """Return the values of `_STEP_COLUMNS`."""
    s, px = steps["s"].to_numpy(), steps["px"].to_numpy()
    return (
        float(np.median(s)), float(np.quantile(s, 0.95)), float(s.max()), float((s > idle_gap_s).mean()),
        float(np.median(px)), float((px <= THINNED_PX).mean()),
    )  # fmt: skip
