"""How good is each participant's log: rows, losses, artefacts, gaps, thinning, files that are not there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from analytics_kit.model import KINDS
from analytics_kit.study.metrics.catalogue import COUNTS
from analytics_kit.study.result.files import Stored
from analytics_kit.study.schema.columns import SCREEN_LIMIT_PX, TRIAL_INDEX

POINTER = tuple(kind for kind in KINDS if kind != "keyboard")
THINNED_PX = 10.0
"""The platform's logger writes a movement row after more than so much travel."""
_STEPS = ("step_median_s", "step_95_s", "gap_longest_s", "gap_share", "step_median_px", "short_step_share")


def quality(
    trials: pd.DataFrame, members: pd.DataFrame, issues: pd.DataFrame, stored: Stored, idle_gap_s: float
) -> pd.DataFrame:
    """See `StudyResult.quality`."""
    codes, people = pd.factorize(trials["participant"], use_na_sentinel=False)
    table = pd.DataFrame({"participant": people})
    places = table.index
    table["trial_count"] = pd.Series(codes).value_counts().reindex(places).astype("Int64")
    files = members[members["trial_row"].notna()]
    files = files.assign(who=codes[files["trial_row"].to_numpy(np.int64)])
    for kind in KINDS:
        table[f"{kind}_rows"] = _rows(stored, kind, codes, len(people))
    whose = files.drop_duplicates("member").set_index("member")["who"]
    dropped = issues["rows_dropped"].groupby(issues["member"].map(whose)).sum()
    table["rows_dropped"] = dropped.reindex(places).fillna(0)
    table["artefact_rows"] = _artefacts(stored, codes, len(people))
    steps = {who: _about(found, idle_gap_s) for who, found in _steps(stored, codes)}
    for place, name in enumerate(_STEPS):
        table[name] = [steps[who][place] if who in steps else np.nan for who in places]
    for kind, count in COUNTS.items():
        lacking = trials[count].isna() if count in trials else pd.Series(np.nan, trials.index)
        table[f"{kind}_missing_share"] = lacking.astype("float64").groupby(codes).mean()
    counts = [name for name in table.columns if name.endswith("_rows") or name == "rows_dropped"]
    return table.astype({"participant": "str"} | dict.fromkeys(counts, "Int64"))


def _rows(stored: Stored, kind: str, codes: npt.NDArray[np.int64], people: int) -> npt.NDArray[np.int64]:
    """Events of a kind, by participant."""
    found = np.zeros(people, np.int64)
    for part in stored.events_by_part(kind, []):
        found += np.bincount(codes[part[TRIAL_INDEX].to_numpy(np.int64)], minlength=people)
    return found


def _artefacts(stored: Stored, codes: npt.NDArray[np.int64], people: int) -> npt.NDArray[np.int64]:
    """Rows of pointer events outside any screen, by participant."""
    found = np.zeros(people, np.int64)
    for kind in POINTER:
        for part in stored.events_by_part(kind, ["x_px", "y_px"]):
            outside = (part[["x_px", "y_px"]].abs() > SCREEN_LIMIT_PX).any(axis=1)
            found += np.bincount(codes[part.loc[outside, TRIAL_INDEX].to_numpy(np.int64)], minlength=people)
    return found


def _steps(stored: Stored, codes: npt.NDArray[np.int64]) -> Iterator[tuple[int, pd.DataFrame]]:
    """Of each participant the time and length of all steps from one movement row to the next of the same trial.

    A participant is handed out once the last trial was read, so no more is held than a part and those it left open.
    """
    last = pd.Series(np.arange(len(codes))).groupby(codes).max()
    waiting: defaultdict[int, list[pd.DataFrame]] = defaultdict(list)
    for part in stored.events_by_part("mouse_movement", ["t_s", "x_px", "y_px"]):
        trial = part[TRIAL_INDEX].to_numpy(np.int64)
        same = trial[1:] == trial[:-1]
        moved = part[["t_s", "x_px", "y_px"]].diff().iloc[1:][same]
        steps = pd.DataFrame({"s": moved["t_s"], "px": np.hypot(moved["x_px"], moved["y_px"])})
        for who, found in steps.groupby(codes[trial[1:][same]]):
            waiting[who].append(found)
        for who in [who for who in waiting if last[who] <= trial[-1]]:
            yield who, pd.concat(waiting.pop(who))
    for who, found_parts in waiting.items():
        yield who, pd.concat(found_parts)


def _about(steps: pd.DataFrame, idle_gap_s: float) -> tuple[float, ...]:
    """What `_STEPS` names."""
    s, px = steps["s"].to_numpy(), steps["px"].to_numpy()
    return (
        float(np.median(s)), float(np.quantile(s, 0.95)), float(s.max()), float((s > idle_gap_s).mean()),
        float(np.median(px)), float((px <= THINNED_PX).mean()),
    )  # fmt: skip
