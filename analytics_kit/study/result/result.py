"""Give access to a study's result as pandas DataFrames, which are read from the store on first use."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from analytics_kit.errors import ResultExpiredError, SettingsError, StoreError, nearest
from analytics_kit.model import KINDS, RESULT_TTL_S, SCHEMA_VERSION, Files
from analytics_kit.settings import user_path, without_secrets
from analytics_kit.study.archive.source import is_url
from analytics_kit.study.result.analysis.description import Over, describe
from analytics_kit.study.result.analysis.joining import add_columns, align_to_participants
from analytics_kit.study.result.analysis.quality import quality
from analytics_kit.study.result.files import ResultFiles
from analytics_kit.study.result.html import result_html
from analytics_kit.study.result.summaries import aggregate, bimodality, digraph_latencies
from analytics_kit.study.schema.columns import EVENT_COLUMNS, TRIAL_COLUMNS, TRIAL_INDEX
from analytics_kit.study.store.paths import MANIFEST
from analytics_kit.study.store.store import Store

if TYPE_CHECKING:  # this module loads the statistics libraries
    from analytics_kit.study.result.analysis.compare import Correction

_JOINED = "joined"
"""The stored table of columns that `join` has added, with a row per participant."""


class StudyResult:
    """The result of a study: tables of trials, events and issues, summaries, and analyses.

    A table is read from the store on first use and kept in memory; copy it before you change it.

    Attributes
    ----------
    trials : pandas.DataFrame
        A row per trial with all metrics.
    participants, tasks, factors : pandas.DataFrame
        Summaries of the trials.
    issues : pandas.DataFrame
        What was lost or is doubtful in the data.
    members : pandas.DataFrame
        A row per file of the study.
    surveys : pandas.DataFrame
        A row per answer of a survey.
    digraphs : pandas.DataFrame
        Latencies of pairs of keys, if the keys were kept.
    kinds : list of str
        The kinds of events in the study.
    summary, provenance : dict
        Counts of the study; source, options and versions behind the result.

    See Also
    --------
    analytics_kit.process, Job.result : compute a result.
    analytics_kit.load : open a saved one.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> result = ak.process(ak.sample_study("study.zip", participants=4))
    >>> result.trials.shape[0], result.kinds
    (48, ['mouse_movement', 'mouse_clicks', 'mouse_scrolls', 'keyboard'])
    """

    def __init__(
        self, store: Files, manifest: dict[str, Any], joined: pd.DataFrame | None = None, prefix: str = ""
    ) -> None:
        self._store = store
        self._files = ResultFiles(store, manifest, prefix)
        self._new = {} if joined is None else {_JOINED: joined}

    @classmethod
    def open(cls, store: Files, prefix: str) -> StudyResult:
        """Open the result committed below `prefix` of a store.

        Raises
        ------
        ResultExpiredError
            If there is none.
        StoreError
            If it was written by a newer version of the package.
        """
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
        if prefix:  # a saved result is never removed, and its folder may be read-only
            store.touch(f"{prefix}/{MANIFEST}")  # defers removal, see store/retention.py
        return cls(store, manifest, prefix=prefix)

    @cached_property
    def trials(self) -> pd.DataFrame:
        """The trials with their metrics.

        Returns
        -------
        pandas.DataFrame
            A row per trial:

            - participant, session, task, factor: str, NA if the trial has none.
            - trial: Int64, its number.
            - trial_order: Int64, its position in the session by wall-clock time, from 1; NA if unknown.
            - the metrics that were requested: Int64 for counts, else float64 in the unit that ends the name; NA if
              the log cannot give them.
            - the columns that `join` has added.

        See Also
        --------
        analytics_kit.metrics : definitions of the metrics.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> result.trials[["participant", "task", "factor", "trial", "trial_order"]].head(2)
          participant       task    factor  trial  trial_order
        0           1  Fill_Form  Baseline      1           12
        1           1  Fill_Form  Baseline      2            8
        """
        trials = self._files.table("trials")
        return trials if self._joined is None else add_columns(trials, self._joined)

    @cached_property
    def _joined(self) -> pd.DataFrame | None:
        if _JOINED in self._new:
            return self._new[_JOINED]
        return self._files.table(_JOINED) if _JOINED in self._files.manifest["tables"] else None

    @cached_property
    def issues(self) -> pd.DataFrame:
        """What was lost or is doubtful in the data.

        Returns
        -------
        pandas.DataFrame
            A row per issue: member (str), line (Int64, of the first case), kind (str), message (str) and rows_dropped
            (Int64).

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> len(result.issues), list(result.issues.columns)
        (0, ['member', 'line', 'kind', 'message', 'rows_dropped'])
        """
        return self._files.table("issues")

    @cached_property
    def members(self) -> pd.DataFrame:
        """The files of the study.

        Returns
        -------
        pandas.DataFrame
            A row per file: member (str), role (str, what it was read as), and as Int64 trial_row (index of its row in
            `trials`, NA if it belongs to no trial or to several), raw_bytes (uncompressed), rows_in and rows_kept;
            participant (str, NA if it holds data of nobody or of several; missing in results of earlier versions).
        """
        return self._files.table("members")

    @cached_property
    def surveys(self) -> pd.DataFrame:
        """The answers to surveys.

        Returns
        -------
        pandas.DataFrame
            A row per answer: participant, session, survey, member, question, answer (str) and row (Int64, of the
            survey's CSV file, from 1).
        """
        return self._files.table("surveys")

    @property
    def participants(self) -> pd.DataFrame:
        """The metrics of each participant.

        Returns
        -------
        pandas.DataFrame
            A row per participant: trial_count (Int64), the sums of counts and the means of all other metrics over the
            participant's trials (NA values left out), and the columns that `join` has added.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> result.participants[["participant", "trial_count"]].head(2)
          participant  trial_count
        0           1           12
        1           2           12
        """
        table = aggregate(self.trials, "participant")
        return table if self._joined is None else add_columns(table, self._joined)

    @property
    def tasks(self) -> pd.DataFrame:
        """The metrics of each task: a row per task, columns as in `participants`."""
        return aggregate(self.trials, "task")

    @property
    def factors(self) -> pd.DataFrame:
        """The metrics of each factor: a row per factor, columns as in `participants`."""
        return aggregate(self.trials, "factor")

    def bimodality(self, by: str = "factor") -> pd.DataFrame:
        """Compute the bimodality coefficient of each metric.

        It lies between 0 and 1. A uniform distribution has 5/9; larger values hint at two modes (Pfister et al.
        2013).

        Parameters
        ----------
        by
            "participant", "task" or "factor".

        Returns
        -------
        pandas.DataFrame
            A row per value of `by`, a column per metric (float64) with its coefficient over the trials; NaN below 4
            trials with a value, and if all values are equal.

        Raises
        ------
        SettingsError
            If `by` is something else.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> coefficients = result.bimodality()
        >>> list(coefficients.factor), bool(coefficients.completion_time_s.between(0, 1).all())
        (['Baseline', 'Cluttered'], True)
        """
        return bimodality(self.trials, by)

    @property
    def digraphs(self) -> pd.DataFrame:
        """The latencies of pairs of consecutive keys.

        Returns
        -------
        pandas.DataFrame
            A row per trial and pair of keys: the columns that identify the trial, key, next_key (str), count (Int64),
            and the time from press to press as latency_mean_s, latency_median_s and latency_sd_s (float64, s; the
            last is NaN for a count of 1).

        Raises
        ------
        SettingsError
            Unless the study was processed with `keys="full"`.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4), keys="full")
        >>> list(result.digraphs.columns[6:])
        ['key', 'next_key', 'count', 'latency_mean_s', 'latency_median_s', 'latency_sd_s']
        """
        if self.provenance["options"]["keys"] != "full":
            raise SettingsError(
                "Which keys were pressed is not known, only their classes.",
                hint='Process the study with keys="full", which keeps what was typed.',
            )
        keys = self._files.events("keyboard", None, ["t_s", "key", "action"])
        pairs = digraph_latencies(keys[keys["action"] == "press"], TRIAL_INDEX)
        trial_index = pairs.pop(TRIAL_INDEX).to_numpy(np.int64)
        trials = self.trials[list(TRIAL_COLUMNS)].take(trial_index).reset_index(drop=True)
        return pd.concat([trials, pairs.astype({"count": "Int64"})], axis=1)

    def join(self, table: pd.DataFrame, on: str = "participant") -> StudyResult:
        """Add the columns of a table with a row per participant, such as a questionnaire.

        A warning names participants without a row, whose values are NA, and rows without trials, which are left out.

        Parameters
        ----------
        table
            A row per participant. Columns of integers become Int64, of truth values boolean.
        on
            The column of `table` that identifies participants; 1, 1.0 and "1" are the same participant.

        Returns
        -------
        StudyResult
            A new result whose `trials` and `participants` have the columns too. They can be used in `compare` and
            `describe`, and `save` keeps them.

        Raises
        ------
        SettingsError
            If `table` has no column `on`, no other column, more than one row for a participant, or a column whose
            name is already used.

        Examples
        --------
        >>> import analytics_kit as ak, pandas as pd
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> ages = pd.DataFrame({"participant": [1, 2, 3, 4], "age": [23, 31, 45, 28]})
        >>> result.join(ages).participants[["participant", "age"]].head(2)
          participant  age
        0           1   23
        1           2   31
        """
        new = align_to_participants(self.trials, table, on)
        joined = new if self._joined is None else pd.concat([self._joined, new], axis=1)
        return StudyResult(self._store, self._files.manifest, joined, self._files.prefix)

    def describe(
        self,
        by: str | Sequence[str] | None = "factor",
        metrics: str | Sequence[str] | None = None,
        *,
        over: Over = "trial",
    ) -> pd.DataFrame:
        """Compute number, mean, standard deviation and median of metrics by group.

        Parameters
        ----------
        by
            "factor", "task", "participant", "session" or a joined column, or several of these; None puts all trials
            into one group.
        metrics
            One or several names; None for all.
        over
            "trial" describes trials. "participant" first averages the trials of each participant within a group and
            leaves out trials without a participant; these are the means that `compare` tests.

        Returns
        -------
        pandas.DataFrame
            A row per group and metric: the `by` columns, metric, unit (str), n and n_missing (Int64, trials or
            participants with and without a value), mean, sd (n - 1 in the denominator, NaN below 2) and median
            (float64, in the metric's unit).

        Raises
        ------
        SettingsError
            If a metric or column is unknown, or the metric was not computed.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> result.describe("factor", "completion_time_s")[["factor", "metric", "unit", "n", "n_missing"]]
              factor             metric unit   n  n_missing
        0   Baseline  completion_time_s    s  24          0
        1  Cluttered  completion_time_s    s  24          0
        """
        return describe(self.trials, by, metrics, over)

    def compare(
        self, metric: str | Sequence[str], between: str = "factor", *, correction: Correction = "holm"
    ) -> pd.DataFrame:
        """Test whether the means of metrics differ between factors, tasks or groups.

        The unit of analysis is the participant: trials are first averaged per participant and level. If participants
        have all levels (`design` is "within"), two levels are compared with a paired t test; if each participant has
        one level ("between"), with Welch's t test. Three or more levels are first compared with a repeated-measures
        ANOVA (Greenhouse-Geisser correction) or Welch's ANOVA, in a row without level_a and level_b; the t tests of
        all pairs follow.

        Parameters
        ----------
        metric
            One or several names.
        between
            "factor", "task", or a column that `join` has added.
        correction
            How p is corrected for multiple tests: "holm", "fdr_bh" (Benjamini-Hochberg) or "none". The tests of all
            levels are corrected over all metrics; the tests of pairs are corrected separately, over all pairs of all
            metrics.

        Returns
        -------
        pandas.DataFrame
            A row per test. Numbers are NaN if a test is impossible, and `why` gives the reason.

            - metric, between, level_a, level_b, design: str.
            - n, n_a, n_b: Int64, participants; left_out: Int64, participants who lack a value or do not fit the
              design.
            - mean_a, mean_b, difference (a - b), ci_low, ci_high (its 95 % confidence interval): float64, in the
              metric's unit.
            - effect_size, effect_size_name: Hedges g (by the pooled SD) or g_av (by the average SD); for an ANOVA eta
              squared or partial eta squared.
            - statistic (t or F), df, df_error (of F), p (two-sided), p_corrected: float64.
            - correction, test, why: str.

        Raises
        ------
        SettingsError
            If a metric, column or correction is unknown, there are fewer than 2 or more than 20 levels, or
            statsmodels is not installed.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> test = result.compare("completion_time_s").iloc[0]
        >>> test.level_a, test.level_b, test.design, test.test, bool(test.p < 0.05)
        ('Baseline', 'Cluttered', 'within', 'paired t', True)
        """
        from analytics_kit.study.result.analysis.compare import compare

        return compare(self.trials, metric, between, correction)

    def learning_curve(self, *, task: object = None, factor: object = None) -> pd.DataFrame:
        """Fit how completion_time_s falls with practice.

        The model is the power law of practice, T = a n^(-b) for the n-th trial of a session (`trial_order`), fitted
        by least squares to the logarithms. Trials without a time or `trial_order` are left out. Conditions of
        different duration hide learning: restrict the trials by `task` and `factor`.

        Parameters
        ----------
        task, factor
            A name or a list of names to restrict the trials; None for all.

        Returns
        -------
        pandas.DataFrame
            A row per session: participant, session (str), n (Int64, trials used), a_s (s, fitted time of the first
            trial), b (0 means no learning), its 95 % confidence interval b_ci_low and b_ci_high, and r_squared
            (float64; NaN below 3 trials). In the last row, whose names are NA, all sessions share b but each has its
            own level: a_s is that of their geometric mean, r_squared the variance within sessions that b explains.

        Raises
        ------
        SettingsError
            If completion_time_s was not computed, or scipy is not installed.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> result.learning_curve(task="Search", factor="Baseline")[["participant", "session", "n"]].tail(2)
          participant session   n
        3           4       4   3
        4         NaN     NaN  12
        """
        from analytics_kit.study.result.analysis.learning import learning_curve

        trials = self._select_trials({"task": task, "factor": factor})
        return learning_curve(self.trials if trials is None else self.trials.iloc[trials])

    def quality(self) -> pd.DataFrame:
        """Assess the quality of each participant's log.

        Files that belong to no trial or to several are not counted here; see `issues` and `members`.

        Returns
        -------
        pandas.DataFrame
            A row per participant, in the order of `participants`:

            - participant: str; trial_count: Int64.
            - mouse_movement_rows, … for each kind of events, rows_dropped, artefact_rows (rows with a coordinate
              outside any screen, which are kept): Int64.
            - step_median_s, step_95_s, gap_longest_s (s), gap_share, step_median_px (px), short_step_share: float64.
              They describe the steps from one movement row to the next within a trial: median and 95th percentile of
              their duration, the longest duration, the fraction longer than the option `idle_gap_s`, median length,
              and the fraction of at most 10 px (near 0 if the logger thins its rows as the platform's does). NaN
              without steps.
            - mouse_movement_missing_share, …: float64, fraction of trials without a file of each kind; NaN if its
              count is not among the metrics.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> result.quality()[["participant", "rows_dropped", "artefact_rows", "short_step_share"]].head(2)
          participant  rows_dropped  artefact_rows  short_step_share
        0           1             0              0               0.0
        1           2             0              0               0.0
        """
        idle_gap_s = self.provenance["options"]["idle_gap_s"]
        return quality(self.trials, self.members, self.issues, self._files, idle_gap_s)

    @property
    def summary(self) -> dict[str, Any]:
        """Counts of participants, sessions, tasks, factors, trials, events per kind, rows, issues and members."""
        return dict(self._files.manifest["summary"])

    @property
    def provenance(self) -> dict[str, Any]:
        """How the result was computed: source, format, options with thresholds, versions, time."""
        return dict(self._files.manifest["provenance"])

    @property
    def kinds(self) -> list[str]:
        """The kinds of events in the study, such as "mouse_movement"."""
        return list(self._files.manifest["summary"]["events"])

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
        """Read the events of one kind, in the order of `trials` and of time.

        Parameters
        ----------
        kind
            "mouse_movement", "mouse_clicks", "mouse_scrolls", "keyboard" or "mouse_unknown".
        participant, task, factor, trial
            A value or a list of values to restrict the trials; None for all.
        columns
            The columns to return; None for all.

        Returns
        -------
        pandas.DataFrame
            A row per event: the columns that identify the trial, t_s (float64, s since the trial began), for the
            mouse x_px and y_px (float64, px; y grows downwards), for clicks also action ("press" or "release"), for
            the keyboard key (NA unless `keys="full"`), key_class and action. Empty if there are no such events.

        Raises
        ------
        SettingsError
            If the kind or a column is unknown, or `trial` is not a number.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> presses = result.events("mouse_clicks", participant=1, trial=1, columns=["task", "action"])
        >>> presses.drop_duplicates().reset_index(drop=True)
                task   action
        0  Fill_Form    press
        1  Fill_Form  release
        2     Search    press
        3     Search  release
        """
        if kind not in KINDS:
            raise SettingsError(
                f"There is no kind {kind!r}.{nearest(kind, KINDS)}", hint=f"Kinds: {', '.join(KINDS)}."
            )
        available = (*TRIAL_COLUMNS, *EVENT_COLUMNS[kind])
        requested = list(available if columns is None else [columns] if isinstance(columns, str) else columns)
        for name in requested:
            if name not in available:
                raise SettingsError(
                    f"Events of kind {kind} have no column {name!r}.{nearest(name, available)}",
                    hint=f"Columns: {', '.join(available)}.",
                )
        trials = self._select_trials({"participant": participant, "task": task, "factor": factor, "trial": trial})
        stored = [name for name in requested if name in EVENT_COLUMNS[kind]]
        return self._with_trial_columns(self._files.events(kind, trials, stored), requested, stored)

    def _select_trials(self, choice: dict[str, object]) -> list[int] | None:
        """Return the indices of the chosen trials; None for all."""
        mask = np.ones(len(self.trials), bool)
        for name, value in choice.items():
            if value is not None:
                values = list(value) if isinstance(value, list | tuple | set | pd.Series | np.ndarray) else [value]
                requested = [_trial_number(v) if name == "trial" else str(v) for v in values]
                mask &= self.trials[name].isin(requested).to_numpy(bool)
        return None if mask.all() else [int(i) for i in np.flatnonzero(mask)]

    def _with_trial_columns(
        self, events: pd.DataFrame, requested: Sequence[str], stored: Sequence[str]
    ) -> pd.DataFrame:
        """Return the requested columns, those that are not stored with the events taken from the trials."""
        trial_index = events[TRIAL_INDEX].to_numpy(np.int64)
        columns = {
            name: events[name] if name in stored else self.trials[name].take(trial_index).reset_index(drop=True)
            for name in requested
        }
        return pd.DataFrame(columns, columns=list(requested))

    def save(self, path: str | Path) -> Path | str:
        """Save the result permanently in a new folder.

        Parameters
        ----------
        path
            The folder to create, whose parent must exist; or an fsspec URL, as in "s3://bucket/results/pilot".

        Returns
        -------
        pathlib.Path or str
            The folder; a URL as it was given.

        Raises
        ------
        SettingsError
            If the folder exists and is not empty, or its parent is missing.
        StoreError
            If it can't be written.

        See Also
        --------
        analytics_kit.load : open the saved result.

        Examples
        --------
        >>> import analytics_kit as ak
        >>> result = ak.process(ak.sample_study("study.zip", participants=4))
        >>> ak.load(result.save("saved")).trials.equals(result.trials)
        True
        """
        target = require_new_folder(path)
        location = target if isinstance(target, str) else str(target.absolute())
        self._files.copy_to(Store(location), self._new)
        return target

    def __repr__(self) -> str:
        s = self._files.manifest["summary"]
        return (
            f"StudyResult({s['participants']} participants, {s['trials']} trials, "
            f"{s['rows_kept']} events, {s['issues']} issues)"
        )

    def _repr_html_(self) -> str:
        return result_html(self.summary, self.provenance, self.trials)


def require_new_folder(path: str | Path) -> Path | str:
    """Return the path or URL of a folder to be created.

    Raises SettingsError if it is not empty or its parent is missing.
    """
    if isinstance(path, str) and is_url(path):
        if Store(path).files("", recursive=False):
            raise SettingsError(f"{without_secrets(path)} exists already.", hint="Give a new folder.")
        return path
    target = user_path(path)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SettingsError(f"{target} exists already.", hint="Give a new folder.")
    if not target.absolute().parent.is_dir():
        raise SettingsError(f"The folder {target.absolute().parent} is missing.", hint="Create it first.")
    return target


def load(path: str | Path) -> StudyResult:
    """Open a result that was saved with `StudyResult.save`.

    Parameters
    ----------
    path
        The folder, or its URL.

    Returns
    -------
    StudyResult

    Raises
    ------
    SettingsError
        If the folder holds no result.
    StoreError
        If it was saved by a newer version of the package, or its storage fails.

    Examples
    --------
    >>> import analytics_kit as ak
    >>> result = ak.process(ak.sample_study("study.zip", participants=4))
    >>> ak.load(result.save("kept")).summary["trials"]
    48
    """
    if isinstance(path, str) and is_url(path):
        store = Store(path)
        if store.manifest("") is None:
            raise SettingsError(f"There is no saved result at {store.name}.", hint="result.save(path) makes one.")
        return StudyResult.open(store, "")
    folder = user_path(path).absolute()
    if not (folder / MANIFEST).is_file():
        raise SettingsError(f"There is no saved result at {folder}.", hint="result.save(path) makes one.")
    return StudyResult.open(Store(str(folder)), "")


def _trial_number(value: object) -> int:
    if not str(value).isdecimal():
        raise SettingsError(
            f"trial can't be {value!r}.", hint="Trials are chosen by whole numbers, as in 1 or [1, 2]."
        )
    return int(str(value))
