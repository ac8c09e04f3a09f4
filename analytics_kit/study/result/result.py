"""The result of a study as pandas DataFrames, read from the store when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analytics_kit.errors import ResultExpiredError, SettingsError, StoreError, nearest
from analytics_kit.model import KINDS, RESULT_TTL_S, SCHEMA_VERSION, Files
from analytics_kit.study.result.analysis.description import Over, describe
from analytics_kit.study.result.analysis.joining import beside, by_participant
from analytics_kit.study.result.analysis.quality import quality
from analytics_kit.study.result.files import Stored
from analytics_kit.study.result.html import as_html
from analytics_kit.study.result.summaries import aggregate, bimodality, digraph_latencies
from analytics_kit.study.schema.columns import EVENT_COLUMNS, TRIAL_COLUMNS, TRIAL_INDEX
from analytics_kit.study.store.paths import MANIFEST
from analytics_kit.study.store.store import Store

if TYPE_CHECKING:  # it loads the libraries of statistics
    from analytics_kit.study.result.analysis.compare import Correction

_JOINED = "joined"
"""The table of columns that `join` has added, by participant."""


class StudyResult:
    """What became of a study.

    `trials` has a row per trial, `participants`, `tasks` and `factors` sum it up, `events()` gives the rows behind
    it, `issues` tells what was lost or doubtful. A table is read once and kept: copy it before you change it.
    """

    def __init__(self, store: Files, manifest: dict[str, Any], joined: pd.DataFrame | None = None) -> None:
        self._store = store
        self._stored = Stored(store, manifest)
        self._new = {} if joined is None else {_JOINED: joined}

    @classmethod
    def open(cls, store: Files, prefix: str) -> StudyResult:
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
        What `join` has added comes last.
        """
        trials = self._stored.table("trials")
        return trials if self._joined is None else beside(trials, self._joined)

    @cached_property
    def _joined(self) -> pd.DataFrame | None:
        if _JOINED in self._new:
            return self._new[_JOINED]
        return self._stored.table(_JOINED) if _JOINED in self._stored.manifest["tables"] else None

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
        table = aggregate(self.trials, "participant")
        return table if self._joined is None else beside(table, self._joined)

    @property
    def tasks(self) -> pd.DataFrame:
        """A row per task, as `participants`."""
        return aggregate(self.trials, "task")

    @property
    def factors(self) -> pd.DataFrame:
        """A row per factor, as `participants`."""
        return aggregate(self.trials, "factor")

    def bimodality(self, by: str = "factor") -> pd.DataFrame:
        """A row per participant, task or factor (`by`), a column per metric: its bimodality coefficient over trials.

        See `groups.bimodality_coefficient`. NaN below 4 trials with a value, and where all values are equal.
        """
        return bimodality(self.trials, by)

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
        keys = self._stored.events("keyboard", None, ["t_s", "key", "action"])
        pairs = digraph_latencies(keys[keys["action"] == "press"], TRIAL_INDEX)
        rows = pairs.pop(TRIAL_INDEX).to_numpy(np.int64)
        trials = self.trials[list(TRIAL_COLUMNS)].take(rows).reset_index(drop=True)
        return pd.concat([trials, pairs.astype({"count": "Int64"})], axis=1)

    def join(self, table: pd.DataFrame, on: str = "participant") -> StudyResult:
        """A result whose `trials` and `participants` also have the columns of a table with a row per participant.

        `on` is the table's column of participants; 1, 1.0 and "1" are the same. A warning names the participants
        without a row (they get NA) and the rows without trials (they are left out). Columns of whole numbers and of
        truth values become Int64 and boolean. The columns can then be named in `compare` and `describe`; `save`
        keeps them. Raises SettingsError for two rows of a participant, and for names that are taken.
        """
        new = by_participant(self.trials, table, on)
        joined = new if self._joined is None else pd.concat([self._joined, new], axis=1)
        return StudyResult(self._store, self._stored.manifest, joined)

    def describe(
        self,
        by: str | Sequence[str] | None = "factor",
        metrics: str | Sequence[str] | None = None,
        *,
        over: Over = "trial",
    ) -> pd.DataFrame:
        """A row per group and metric: the `by` columns, metric, unit, n, n_missing, mean, sd (n - 1), median.

        `by` is factor, task, participant, session or a joined column, several of them, or None for all trials
        together; `metrics` are names, None for all. `n` counts trials with a value and `n_missing` those without.
        With `over="participant"` a participant's trials are averaged within the group first, n counts participants,
        and trials without a participant are left out: these are the means that `compare` tests. sd is NaN below 2.
        Raises SettingsError for unknown names.
        """
        return describe(self.trials, by, metrics, over)

    def compare(
        self, metric: str | Sequence[str], between: str = "factor", *, correction: Correction = "holm"
    ) -> pd.DataFrame:
        """Do means differ between factors, tasks or groups: a row per test, with estimate, interval, effect and p.

        The unit is the participant: trials are averaged per participant and level first. Where participants have all
        levels (`design` "within") a paired t test is done, where each has one ("between") Welch's; with three or more
        levels a repeated-measures ANOVA with the correction of Greenhouse and Geisser or Welch's ANOVA, in a row
        without level_a and level_b, and then the t tests of all pairs.

        Parameters
        ----------
        metric
            A name or several.
        between
            "factor", "task", or a column that `join` has added.
        correction
            "holm", "fdr_bh" (Benjamini and Hochberg) or "none": corrects p for all metrics, and apart from that p of
            the pairs for all pairs of all metrics.

        Returns
        -------
        metric, between, level_a, level_b, design; n, n_a, n_b (participants), left_out (participants who lack a value
        or do not fit the design); mean_a, mean_b, difference (a - b) and its 95 % interval ci_low, ci_high, in the
        metric's unit; effect_size, effect_size_name (Hedges g by the pooled SD, Hedges g_av by the average SD;
        of ANOVAs partial eta squared, eta squared); statistic (t or F), df, df_error (of F), p (two-sided),
        p_corrected, correction, test, why. Where no test can be done its numbers are NaN, and `why` says so.

        Raises SettingsError for unknown names, fewer than 2 or more than 20 levels, and where statsmodels is missing.
        """
        from analytics_kit.study.result.analysis.compare import compare

        return compare(self.trials, metric, between, correction)

    def learning_curve(self, *, task: object = None, factor: object = None) -> pd.DataFrame:
        """How completion_time_s falls with practice: a row per session, and a last one for all of them together.

        The power law T = a * n ** -b of the n-th trial of a session (`trial_order`), a line fitted by least squares
        to the logarithms: participant, session, n (trials used), a_s (s, of the first trial), b (0: no learning) with
        its 95 % interval b_ci_low and b_ci_high, r_squared. In the last row, whose names are NA, all sessions share
        b and each has its own level; a_s is that of their geometric mean, r_squared what b explains within them.
        Trials without time or trial_order are left out; below 3 the numbers are NaN. Conditions of different length
        hide learning: `task` and `factor` choose some, by a value or a list. Raises SettingsError where
        completion_time_s was not computed, and where scipy is missing.
        """
        from analytics_kit.study.result.analysis.learning import learning_curve

        chosen = self._rows_of({"task": task, "factor": factor})
        return learning_curve(self.trials if chosen is None else self.trials.iloc[chosen])

    def quality(self) -> pd.DataFrame:
        """How good each participant's log is: a row per participant, in the order of `participants`.

        participant, trial_count, events of each kind (`mouse_movement_rows`, …), rows_dropped, artefact_rows (a
        coordinate beyond any screen; kept); of the steps from one movement row to the next of a trial step_median_s,
        step_95_s (95 % are shorter), gap_longest_s, gap_share (longer than the option idle_gap_s), step_median_px,
        short_step_share (10 px or less: near 0 where the logger thins its rows as the platform's does; NaN without
        steps); share of trials without a file of each kind (`mouse_movement_missing_share`, …; NaN where its
        count is not among the metrics). Files of no trial, or of several, are in `issues` and `members` only.
        """
        idle_gap_s = self.provenance["options"]["idle_gap_s"]
        return quality(self.trials, self.members, self.issues, self._stored, idle_gap_s)

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
        self._stored.copy_to(target, self._new)
        return target

    def __repr__(self) -> str:
        s = self._stored.manifest["summary"]
        return (
            f"StudyResult({s['participants']} participants, {s['trials']} trials, "
            f"{s['rows_kept']} events, {s['issues']} issues)"
        )

    def _repr_html_(self) -> str:
        return as_html(self.summary, self.provenance, self.trials)


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
