"""Spell the layout of a store: every path below its root is made and recognised here.

::

    store.id                                      the id of this store
    .swept                                        when it was last swept (its modification time)
    results/<result key>/<job id>/                all that one job, or one call of `process`, writes
        <step>-<attempt>/                         all that one attempt at a step writes
            manifest.json                         written last; without it nothing here is read
            events/<kind>-<shard>.parquet         event tables
            <table>.parquet                       trials, issues, members, surveys; or what a step hands on
            revision-<token>/                     the files above that were replaced when participants were forgotten
            shard-<n>.parquet                     of a plan: the members of shard n
    uploads/<token>/<name>                        a study that a user uploaded; the token begins as its namespace's do
    studies/<namespace>/<study id>.json           on a web server: the upload with this study id
    contents/<namespace>/<fingerprint>.json       on a web server: the upload with this content

A result key is a SHA-256 in hex, and a namespace is hashed too. Names of steps (`begin`, `part-<n>`, `merge`) are
those of the queue's records.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Sequence

MANIFEST = "manifest.json"
STORE_ID = "store.id"
SWEEP_MARKER = ".swept"
PROBE_PREFIX = ".probe-"
RESULTS = "results"
EVENTS = "events"
UPLOADS = "uploads"
STUDY_REFERENCES = "studies"
CONTENT_REFERENCES = "contents"
RESULT_KEY = re.compile("[0-9a-f]{64}")
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}")
"""What may become the name of a folder: it names no other place."""
UPLOAD_TOKEN = re.compile("[0-9a-f]{32}")
UPLOAD_LOCATION = re.compile(rf"(?P<store>.+)/(?P<folder>{UPLOADS}/{UPLOAD_TOKEN.pattern})/[^/]+", re.DOTALL)
"""The location of an uploaded study: its store, and its folder in the store."""
UNFINISHED_UPLOAD = re.compile(rf"{UPLOADS}/{UPLOAD_TOKEN.pattern}/.+\.[0-9a-f]+~", re.DOTALL)
"""The path of an upload that is being received, or was when its process was killed."""
LEFTOVER = re.compile(
    rf"{re.escape(PROBE_PREFIX)}\d+-[0-9a-f]+(\.[0-9a-f]+~)?"
    rf"|({re.escape(STORE_ID)}|{re.escape(SWEEP_MARKER)})(\.[0-9a-f]+~?)+"
)
"""Files at the root that stay only where a process was killed while it wrote them."""
_SHARD_STEP = "part-"
_REVISION = "revision-"


def is_plain(path: str) -> bool:
    """Return whether a path stays below the folder that it is relative to.

    >>> is_plain("results/3f2a/begin-1"), is_plain("results/../../etc"), is_plain("/etc"), is_plain("")
    (True, False, False, False)
    """
    return all(PLAIN_NAME.fullmatch(name) and name.strip(".") for name in path.split("/"))


def job_folder(result_key: str, job_id: str) -> str:
    """Return the folder that holds all that a job writes."""
    return f"{RESULTS}/{result_key}/{job_id}"


def attempt_folder(job: str, step: str, attempt: int) -> str:
    """Return the folder that one attempt at a step writes to, in the folder of its job."""
    return f"{job}/{step}-{attempt}"


def attempt_number(name: str, step: str) -> int | None:
    """Return the number of the attempt at `step` whose folder has this name; None for other folders.

    >>> attempt_number("part-7-2", "part-7"), attempt_number("part-7-2", "part"), attempt_number("merge-1", "begin")
    (2, None, None)
    """
    folder_step, _, number = name.rpartition("-")
    return int(number) if folder_step == step and number.isdecimal() else None


def shard_step(number: int) -> str:
    """Return the name of the step that processes shard `number` of a plan."""
    return f"{_SHARD_STEP}{number}"


def manifest_path(prefix: str) -> str:
    """Return the path of the manifest that makes the folder `prefix` readable; the empty prefix is the root."""
    return _below(prefix, MANIFEST)


def table_path(prefix: str, table: str) -> str:
    """Return the path of a table below `prefix`; the empty prefix is the root."""
    return _below(prefix, f"{table}.parquet")


def shard_path(prefix: str, number: int) -> str:
    """Return the path of the list of members of shard `number`, below the `prefix` of a plan."""
    return table_path(prefix, f"shard-{number}")


def events_path(prefix: str, kind: str, shard: int) -> str:
    """Return the path of the event table of one kind that a shard writes below `prefix`."""
    return table_path(prefix, f"{EVENTS}/{kind}-{shard:05d}")


def revision_folder(prefix: str, token: str) -> str:
    """Return the folder below `prefix` for the files that replace some of a result's."""
    return f"{prefix}/{_REVISION}{token}"


def is_revised(path: str) -> bool:
    """Return whether a path is that of such a folder, or of a file in one.

    >>> is_revised(f"{revision_folder('results/key/job', '7f')}/trials.parquet"), is_revised("results/key/job")
    (True, False)
    """
    return any(part.startswith(_REVISION) for part in path.split("/"))


def owner_of(namespace: str) -> str:
    """Return how paths and manifests name a namespace: hashed, since it may hold characters that a path can't."""
    return hashlib.sha256(namespace.encode()).hexdigest()[:32]


def references_folder(references: str, namespace: str) -> str:
    """Return the folder of a namespace's references to uploads, STUDY_REFERENCES or CONTENT_REFERENCES."""
    return f"{references}/{owner_of(namespace)}"


def upload_owner(namespace: str) -> str:
    """Return how the tokens of a namespace's uploads begin."""
    return owner_of(namespace)[:16]


def upload_folder(namespace: str) -> str:
    """Return a new folder for an upload of a namespace."""
    return f"{UPLOADS}/{upload_owner(namespace)}{secrets.token_hex(8)}"


def reference_path(folder: str, name: str) -> str:
    """Return the path of the reference to the upload with this study id or fingerprint."""
    return f"{folder}/{name}.json"


def reference_name(path: str) -> str:
    """Return the study id or fingerprint of a reference.

    >>> reference_name(reference_path(references_folder(STUDY_REFERENCES, "ann"), "pilot.2"))
    'pilot.2'
    """
    return path.rpartition("/")[2].removesuffix(".json")


def result_manifests(paths: Sequence[str]) -> set[str]:
    """Return those of the `paths` in a job's folder that are manifests of results.

    Plans and shards have manifests too, which only the merge reads.
    """
    parts = {path: path.rpartition("/") for path in paths}
    plans = {folder for folder, _, name in parts.values() if name == shard_path("", 0)}
    found = set()
    for path, (folder, _, name) in parts.items():
        if name == MANIFEST and folder not in plans and not folder.rpartition("/")[2].startswith(_SHARD_STEP):
            found.add(path)
    return found


def _below(prefix: str, name: str) -> str:
    return f"{prefix}/{name}" if prefix else name
