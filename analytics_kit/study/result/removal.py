"""Remove all rows of one participant from a stored result, which is replaced as a whole.

New files are written beside those they replace, then the manifest; then the replaced files are removed. A process
that dies in between leaves the old or the new result; calling it again finishes the work. What remains is what it
was: values that depend on the whole study, such as sample entropies, are not computed anew.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from analytics_kit.errors import StoreError
from analytics_kit.model import KINDS, SCHEMA_VERSION
from analytics_kit.redaction import Redactor
from analytics_kit.study.formats import fulcrum
from analytics_kit.study.formats.layout import LOG_ROLE
from analytics_kit.study.formats.registry import NATIVE
from analytics_kit.study.pipeline.attempts import remove_unreferenced
from analytics_kit.study.pipeline.merge import preview, summarise
from analytics_kit.study.schema.columns import TRIAL_INDEX
from analytics_kit.study.schema.compiling import Ints
from analytics_kit.study.schema.text import natural_key
from analytics_kit.study.store import paths
from analytics_kit.study.store.event_parquet import write_columns
from analytics_kit.study.store.manifests import EventFile
from analytics_kit.study.store.store import Store

EVENT_ROLES = (*KINDS, LOG_ROLE)
FIRST_SCHEMA = 3
"""Results of an earlier one have other tables."""
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed from a result."""

    trials: int = 0
    events: int = 0
    members: int = 0
    answers: int = 0

    def __bool__(self) -> bool:
        return any((self.trials, self.events, self.members, self.answers))


def remove_participant(store: Store, prefix: str, folder: str, participant: str) -> Removed:
    """Replace the result below `prefix` by one without the participant; nothing is removed where they are not in it.

    `folder` is the job's, which holds nothing but this result. Raises StoreError where the result can't be replaced.
    """
    manifest = store.manifest(prefix)
    if manifest is None:
        return Removed()
    if not FIRST_SCHEMA <= manifest["schema_version"] <= SCHEMA_VERSION:
        raise StoreError(
            f"It has schema {manifest['schema_version']}, which this version of analytics_kit can't change.",
            hint="Delete its job.",
        )
    try:
        removed = _replace(store, prefix, manifest, participant)
    except FileNotFoundError as error:
        raise StoreError("A file of the result is missing.", hint="Delete its job.") from error
    if removed or "revision" in manifest:
        remove_unreferenced(store, folder, prefix)
    _remove_other_revisions(store, prefix)
    return removed


def _remove_other_revisions(store: Store, prefix: str) -> None:
    """Remove the files that an earlier removal wrote, or one that was interrupted."""
    manifest = store.manifest(prefix)
    if manifest is None:
        return
    used = [*manifest["tables"].values(), *(part["path"] for part in manifest["parts"])]
    for name in store.folders(prefix):
        revision = f"{prefix}/{name}"
        if not paths.is_revised(revision):
            continue
        if not any(path.startswith(f"{revision}/") for path in used):
            store.remove(revision)
            continue
        for file in store.files(revision):  # of an earlier revision some event files may still be used
            if file.path not in used:
                store.remove(file.path)


def _replace(store: Store, prefix: str, manifest: dict[str, Any], participant: str) -> Removed:
    tables = {name: _read(store, path) for name, path in manifest["tables"].items()}
    trials, members = tables["trials"], tables["members"]
    gone = _equals(trials["participant"], participant)
    is_native = manifest["provenance"]["format"] == NATIVE
    logs = _SharedLogs(store, manifest, members, len(trials))
    owned = _owned_members(members, trials, logs, participant, is_native)
    answers = _equals(tables["surveys"]["participant"], participant)
    options = manifest["provenance"]["options"]
    if not (gone.any() or owned.any() or answers.any() or participant in (options["participants"] or ())):
        return Removed()
    own_names = set(members["member"].filter(pa.array(owned)).to_pylist())
    folder = paths.revision_folder(prefix, secrets.token_hex(4))
    events, event_files = _without_events(store, folder, manifest["parts"], gone)
    members = logs.without(members, gone)
    kept_issues = [
        not (name in own_names or _is_of(name, participant, is_native))
        for name in tables["issues"]["member"].to_pylist()
    ]
    new = {
        "trials": trials.filter(pa.array(~gone)),
        "issues": tables["issues"].filter(pa.array(kept_issues, pa.bool_())),
        "members": _renumbered(members, gone).filter(pa.array(~owned)),
        "surveys": tables["surveys"].filter(pa.array(~answers)),
    }
    table_paths = {name: paths.table_path(folder, name) for name in new}
    for name, table in new.items():
        with store.create(table_paths[name]) as file:
            pq.write_table(table, file)
    raw = members["raw_bytes"].to_numpy(zero_copy_only=False)
    roles = np.isin(np.array(members["role"].to_pylist(), object), EVENT_ROLES) if len(members) else owned
    raw_bytes = manifest["summary"]["raw_bytes"] - int(np.nansum(raw[owned & roles]))
    removed = Removed(int(gone.sum()), int(events.sum()), int(owned.sum()), int(answers.sum()))
    replaced = manifest | {
        "revision": manifest.get("revision", 0) + 1,
        "provenance": _provenance(manifest["provenance"], participant, removed),
        "summary": summarise(new, event_files, max(0, raw_bytes)),
        "preview": preview(new["trials"], new["issues"]),
        "tables": table_paths,
        "parts": event_files,
    }
    if store.manifest(prefix) != manifest:
        store.delete(folder)
        raise StoreError("The result was removed or replaced meanwhile.", hint="Try again.")
    store.commit(prefix, replaced)
    return removed


def _read(store: Store, path: str) -> pa.Table:
    with store.open(path) as file:
        return pq.read_table(file)


def _equals(column: pa.ChunkedArray, participant: str) -> Mask:
    return np.asarray(pc.fill_null(pc.equal(column, participant), False).to_numpy(), bool)


def _owned_members(members: pa.Table, trials: pa.Table, logs: _SharedLogs, participant: str, is_native: bool) -> Mask:
    """Return the members that hold data of this participant and of no other."""
    names, trial_rows = members["member"].to_pylist(), members["trial_row"].to_pylist()
    rows_in = members["rows_in"].to_pylist()
    if "participant" in members.column_names:
        known = members["participant"].to_pylist()
    else:  # an earlier version stored it
        of_trial = trials["participant"].to_pylist()
        of_member = [logs.trials(i) if row is None else [row] for i, row in enumerate(trial_rows)]
        owners = [{of_trial[trial] for trial in trials_of} for trials_of in of_member]
        known = [names.pop() if len(names) == 1 else None for names in owners]
    return np.array(
        [
            owner == participant
            or (owner is None and trial is None and not rows and _is_of(name, participant, is_native))
            for name, owner, trial, rows in zip(names, known, trial_rows, rows_in, strict=True)
        ],
        bool,
    )


def _is_of(path: str, participant: str, is_native: bool) -> bool:
    """Return whether a path names the participant."""
    if is_native:
        return fulcrum.participant_of(path) == participant
    parts = PurePosixPath(path).parts
    return participant in parts or (bool(parts) and PurePosixPath(path).name.partition(".")[0] == participant)


def _without_events(
    store: Store, folder: str, parts: Sequence[EventFile], gone: Mask
) -> tuple[Ints, list[EventFile]]:
    """Write the event files anew from the first trial that goes; return the events of each trial, and all files."""
    events = np.zeros(len(gone), np.int64)
    new_index = np.arange(len(gone)) - np.cumsum(gone)
    event_files: list[EventFile] = []
    first_gone = int(np.argmax(gone)) if gone.any() else len(gone)
    for number, part in enumerate(parts):
        if part["last_trial"] < first_gone:
            event_files.append(part)
            continue
        table = _read(store, part["path"])
        index = table[TRIAL_INDEX].to_numpy()
        events += np.bincount(index, minlength=len(gone)) * gone
        kept = ~gone[part["first_trial"] : part["last_trial"] + 1]
        stay = ~gone[index]
        if not stay.any():
            continue
        columns = {name: _compact(table[name].filter(pa.array(stay))) for name in table.column_names}
        columns[TRIAL_INDEX] = pa.array(new_index[index[stay]], pa.int32())
        path = paths.events_path(folder, part["kind"], number)
        with store.create(path) as file:
            write_columns(file, columns)
        trials = new_index[part["first_trial"] : part["last_trial"] + 1][kept]
        event_files.append(
            EventFile(
                kind=part["kind"],
                path=path,
                rows=int(stay.sum()),
                first_trial=int(trials[0]),
                last_trial=int(trials[-1]),
            )
        )
    return events, event_files


def _compact(column: pa.ChunkedArray) -> pa.Array:
    """Return the column as one array, whose dictionary has no value that no row has, such as a key that was typed."""
    if pa.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column.cast(pa.string()))
    return column.combine_chunks()


class _SharedLogs:
    """The members with rows of several trials, each with its trials.

    A result does not say which trial is in which of them. Their order does: trials are sorted by the path of their
    log first, so a log has the rows of consecutive trials. Raises StoreError where the counts do not bear this out.
    """

    def __init__(self, store: Store, manifest: Mapping[str, Any], members: pa.Table, trials: int) -> None:
        names, roles = members["member"].to_pylist(), members["role"].to_pylist()
        trial_rows, kept = members["trial_row"].to_pylist(), members["rows_kept"].to_pylist()
        shared = [i for i, (trial, rows) in enumerate(zip(trial_rows, kept, strict=True)) if trial is None and rows]
        alone = [trial for trial in trial_rows if trial is not None]
        self._rows: dict[int, Ints] = {}
        """By position of a member: its rows in each trial."""
        for role in {roles[i] for i in shared}:
            of_role = sorted((i for i in shared if roles[i] == role), key=lambda i: natural_key(names[i]))
            kinds = KINDS if role == LOG_ROLE else (role,)
            for presses_only in (False, True):  # a row may be a press with its release, which are two events
                rows = _rows_by_trial(store, manifest["parts"], kinds, trials, presses_only)
                rows[alone] = 0
                ends = np.cumsum([kept[i] for i in of_role])
                last = np.searchsorted(np.cumsum(rows), ends)
                if rows.sum() == ends[-1] and np.array_equal(np.cumsum(rows)[last], ends):
                    bounds = [0, *(last + 1)]
                    for i, (start, end) in zip(of_role, pairwise(bounds), strict=True):
                        self._rows[i] = np.zeros(trials, np.int64)
                        self._rows[i][start:end] = rows[start:end]
                    break
            else:
                raise StoreError(
                    "It is not known which rows of a file that holds several participants are theirs.",
                    hint="Delete the job.",
                )

    def trials(self, member: int) -> list[int]:
        """Return the trials with rows in the member at this position."""
        return [int(i) for i in np.flatnonzero(self._rows[member])] if member in self._rows else []

    def without(self, members: pa.Table, gone: Mask) -> pa.Table:
        """Return the members with the counts of rows that they have without some trials."""
        for name in ("rows_in", "rows_kept"):
            counts = members[name].to_pylist()
            for i, rows in self._rows.items():
                counts[i] -= int(rows[gone].sum())
            members = members.set_column(members.schema.get_field_index(name), name, pa.array(counts, pa.int64()))
        return members


def _rows_by_trial(
    store: Store, parts: Sequence[EventFile], kinds: Sequence[str], trials: int, presses_only: bool
) -> Ints:
    rows = np.zeros(trials, np.int64)
    for part in parts:
        if part["kind"] in kinds:
            table = _read(store, part["path"])
            if presses_only and part["kind"] == "keyboard" and "action" in table.column_names:
                table = table.filter(pc.equal(table["action"].cast(pa.string()), "press"))
            rows += np.bincount(table[TRIAL_INDEX].to_numpy(), minlength=trials)
    return rows


def _renumbered(members: pa.Table, gone: Mask) -> pa.Table:
    """Return the members with the rows that their trials have once some are gone."""
    new_row = np.arange(len(gone)) - np.cumsum(gone)
    rows = [None if i is None or gone[i] else int(new_row[i]) for i in members["trial_row"].to_pylist()]
    position = members.schema.get_field_index("trial_row")
    return members.set_column(position, "trial_row", pa.array(rows, pa.int64()))


def _provenance(provenance: Mapping[str, Any], participant: str, removed: Removed) -> dict[str, Any]:
    """Return the provenance with how much was removed, and without the participant's name."""
    before, redactor = provenance.get("forgotten", {}), Redactor(participant)
    counts = {"participants": 1, "trials": removed.trials, "events": removed.events}
    forgotten = {name: before.get(name, 0) + count for name, count in counts.items()}
    return {
        **provenance,
        "source": redactor.location(provenance["source"]),
        "options": redactor.options(provenance["options"]),
        "forgotten": forgotten,
    }
