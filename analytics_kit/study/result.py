"""The result of a study as pandas DataFrames, read from the store when they are asked for."""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analytics_kit.errors import ResultExpiredError, SettingsError, StoreError, nearest
from analytics_kit.model import KINDS, RESULT_TTL_S, SCHEMA_VERSION
from analytics_kit.study.catalogue import BY_NAME, EVENT_COLUMNS, HEAD_COLUMNS, TRIAL_COLUMNS, TRIAL_INDEX
from analytics_kit.study.groups import bimodality_coefficient, digraph_latencies
from analytics_kit.study.store import MANIFEST, Store
from analytics_kit.study.stored import Stored

_GROUPS = ("participant", "task", "factor")


class StudyResult:
    """What became of a study.

    `trials` has a row per trial, `participants`, `tasks` and `factors` sum it up, `events()` gives the rows behind
    it, `issues` tells what was lost or doubtful. A table is read once and kept: copy it before you change it.
    """

    def __init__(self, store: Store, manifest: dict[str, Any]) -> None:
        self._stored = Stored(store, manifest)

    @classmethod
    def open(cls, store: Store, prefix: str) -> StudyResult:
        """The result committed below `prefix`. Raises ResultExpiredError where there is none."""
        manifest = store.manifest(prefix)
        if manifest is None:
            raise ResultExpiredError(
                f"There is no result at {prefix or store.name} any more: "
                f"results are removed {RESULT_TTL_S // 86_400} days after they were completed."
            )
        if manifest["schema_version"] > SCHEMA_VERSION:
            raise StoreError(
                f"The result has schema {manifest['schema_version']}, this analytics_kit reads {SCHEMA_VERSION}.",
                hint="Upgrade: pip install -U analytics_kit.",
            )
        if prefix:  # what was saved for good is nobody's to change
            store.touch(f"{prefix}/{MANIFEST}")  # used now: see lifetime.py
        return cls(store, manifest)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """A row per trial: participant, session, task, factor (str), trial, trial_order (Int64), then the metrics.

        Counts are Int64, other metrics float64 in the unit their name ends in; NA where the log can't say.
        """
        return self._stored.table("trials")

    @cached_property
    def issues(self) -> pd.DataFrame:
        """What was lost or doubtful: member, line (of the first case), kind, message, rows_dropped."""
        return self._stored.table("issues")

    @cached_property
    def members(self) -> pd.DataFrame:
        """A row per file: member, role, trial_row (row of `trials`), raw_bytes, rows_in, rows_kept."""
        return self._stored.table("members")

    @cached_property
    def surveys(self) -> pd.DataFrame:
        """A row per answer: participant, session, survey, member, row, question, answer."""
        return self._stored.table("surveys")

    @property
    def participants(self) -> pd.DataFrame:
        """A row per participant: trial_count, sums of counts, means of the other metrics over its trials."""
        return self._aggregate("participant")

    @property
    def tasks(self) -> pd.DataFrame:
        """A row per task, as `participants`."""
        return self._aggregate("task")

    @property
    def factors(self) -> pd.DataFrame:
        """A row per factor, as `participants`."""
        return self._aggregate("factor")

    def _aggregate(self, by: str) -> pd.DataFrame:
        metrics = [name for name in self.trials.columns if name in BY_NAME]
        groups = self.trials.groupby(by, dropna=False, sort=False)
        columns = {"trial_count": groups.size().astype("Int64")}
        for name in metrics:
            columns[name] = groups[name].sum(min_count=1) if BY_NAME[name].is_count else groups[name].mean()
        return pd.DataFrame(columns).reset_index()

    def bimodality(self, by: str = "factor") -> pd.DataFrame:
        """A row per participant, task or factor (`by`), a column per metric: its bimodality coefficient over trials.

        See `groups.bimodality_coefficient`. NaN below 4 trials with a value, and where all values are equal.
        """
        if by not in _GROUPS:
            raise SettingsError(
                f"Trials can't be grouped by {by!r}.{nearest(by, _GROUPS)}", hint=f"Group by {', '.join(_GROUPS)}."
            )
        metrics = [name for name in self.trials.columns if name in BY_NAME]
        groups = self.trials.groupby(by, dropna=False, sort=False)
        return groups[metrics].agg(bimodality_coefficient).astype("float64").reset_index()

    @property
    def digraphs(self) -> pd.DataFrame:
        """A row per trial and pair of keys that follow each other: how often, and the times from press to press.

        The trial columns, key, next_key, count (Int64), latency_mean_s, latency_median_s, latency_sd_s (NaN for one).
        Raises SettingsError where the keys were not kept.
        """
        if self.provenance["options"]["keys"] != "full":
            raise SettingsError(
                "Which keys were pressed is not known, only their classes.",
                hint='Process the study with keys="full", which keeps what was typed.',
            )
        keys = self._stored.events("keyboard", None, ["t_s", "key"])
        pairs = digraph_latencies(keys, TRIAL_INDEX)
        rows = pairs.pop(TRIAL_INDEX).to_numpy(np.int64)
        trials = self.trials[list(TRIAL_COLUMNS)].take(rows).reset_index(drop=True)
        return pd.concat([trials, pairs.astype({"count": "Int64"})], axis=1)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts: participants, sessions, tasks, factors, trials, events per kind, rows in, kept and dropped, …"""
        return dict(self._stored.manifest["summary"])

    @property
    def provenance(self) -> dict[str, Any]:
        """How the result came to be: source, options with thresholds, versions, time."""
        return dict(self._stored.manifest["provenance"])

    @property
    def kinds(self) -> list[str]:
        """The kinds of events there are."""
        return list(self._stored.manifest["summary"]["events"])

    def events(
        self,
        kind: str,
        *,
        participant: object = None,
        task: object = None,
        factor: object = None,
        trial: object = None,
        columns: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """The events of one kind, in the order of `trials` and of time.

        Parameters
        ----------
        kind
            "mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard" or "mouse_unknown".
        participant, task, factor, trial
            A value or a list of values to choose by; None takes all.
        columns
            Only these columns.

        Returns
        -------
        The trial columns, then `t_s` (s since the trial began) and `x_px`, `y_px` (y grows downwards), for clicks
        also `action` (press, release); for keys `key` (NA unless keys="full"), `key_class`, `action`. Without
        events of the kind the table is empty. Raises SettingsError for unknown kinds and columns.
        """
        if kind not in KINDS:
            raise SettingsError(
                f"There is no kind {kind!r}.{nearest(kind, KINDS)}", hint=f"Kinds: {', '.join(KINDS)}."
            )
        known = (*TRIAL_COLUMNS, *EVENT_COLUMNS[kind])
        wanted = list(known if columns is None else [columns] if isinstance(columns, str) else columns)
        for name in wanted:
            if name not in known:
                raise SettingsError(
                    f"Events of kind {kind} have no column {name!r}.{nearest(name, known)}",
                    hint=f"Columns: {', '.join(known)}.",
                )
        chosen = self._rows_of({"participant": participant, "task": task, "factor": factor, "trial": trial})
        stored = [name for name in wanted if name in EVENT_COLUMNS[kind]]
        return self._named(self._stored.events(kind, chosen, stored), wanted, stored)

    def _rows_of(self, choice: dict[str, object]) -> list[int] | None:
        """Rows of the trials chosen; None for all."""
        mask = np.ones(len(self.trials), bool)
        for name, value in choice.items():
            if value is not None:
                values = list(value) if isinstance(value, list | tuple | set | pd.Series | np.ndarray) else [value]
                asked = [_trial_number(v) if name == "trial" else str(v) for v in values]
                mask &= self.trials[name].isin(asked).to_numpy(bool)
        return None if mask.all() else [int(i) for i in np.flatnonzero(mask)]

    def _named(self, frame: pd.DataFrame, wanted: Sequence[str], stored: Sequence[str]) -> pd.DataFrame:
        """The events with the trials' names beside them."""
        rows = frame[TRIAL_INDEX].to_numpy(np.int64)
        columns = {
            name: frame[name] if name in stored else self.trials[name].take(rows).reset_index(drop=True)
            for name in wanted
        }
        return pd.DataFrame(columns, columns=list(wanted))

    def save(self, path: str | Path) -> Path:
        """Keep the result for good, in a new folder; `analytics_kit.load(path)` opens it again.

        Raises SettingsError where the folder exists and is not empty or lies nowhere, StoreError where it can't be
        written.
        """
        target = require_new(path)
        self._stored.copy_to(target)
        return target

    def __repr__(self) -> str:
        s = self._stored.manifest["summary"]
        return (
            f"StudyResult({s['participants']} participants, {s['trials']} trials, "
            f"{s['rows_kept']} events, {s['issues']} issues)"
        )

    def _repr_html_(self) -> str:
        s = self._stored.manifest["summary"]
        events = " · ".join(f"{html.escape(kind.replace('_', ' '))} {rows:,}" for kind, rows in s["events"].items())
        loss = (
            f"{s['issues']:,} issues, {s['rows_dropped']:,} of {s['rows_in']:,} rows dropped: see <code>issues</code>"
        )
        head = self.trials[[name for name in HEAD_COLUMNS if name in self.trials.columns]].head()
        return (
            f"<p><b>Study result</b>: {s['participants']:,} participants, {s['tasks']:,} tasks, "
            f"{s['factors']:,} factors, {s['trials']:,} trials<br>{events or 'No events.'}<br>"
            f"{loss if s['issues'] else 'No issues.'}</p>"
            f"{head.to_html(index=False, border=0, float_format='{:,.1f}'.format)}"
            f"<p>The first {len(head)} of {s['trials']:,} rows of <code>trials</code>, some of its columns</p>"
        )


def require_new(path: str | Path) -> Path:
    """The folder that a result may be kept in. Raises SettingsError where there is something, or no folder above."""
    target = Path(path).expanduser()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SettingsError(f"{target} exists already.", hint="Give a new folder.")
    if not target.absolute().parent.is_dir():
        raise SettingsError(f"The folder {target.absolute().parent} is missing.", hint="Make it first.")
    return target


def load(path: str | Path) -> StudyResult:
    """The result that `result.save(path)` kept. Raises SettingsError where there is none."""
    folder = Path(path).expanduser().absolute()
    if not (folder / MANIFEST).is_file():
        raise SettingsError(f"There is no saved result at {folder}.", hint="result.save(path) makes one.")
    return StudyResult.open(Store(str(folder)), "")


def _trial_number(value: object) -> int:
    if not str(value).isdecimal():
        raise SettingsError(
            f"trial can't be {value!r}.", hint="Trials are chosen by whole numbers, as in 1 or [1, 2]."
        )
    return int(str(value))
