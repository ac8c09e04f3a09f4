"""Describe the manifests that make folders of a store readable, by type.

All have `schema_version`. A plan and a shard are read by later steps of their job only; a result is for users.
"""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from analytics_kit.model import Kind


class EventFile(TypedDict):
    """An event table in the store, at `path`: rows of one kind, of the trials `first_trial` to `last_trial`."""

    kind: Kind
    path: str
    rows: int
    first_trial: int
    last_trial: int


class ShardEntry(TypedDict):
    """A shard as a plan lists it; its members are in a table of their own."""

    index: int
    first_trial: int
    trials: int
    raw_bytes: int
    format: str


class PlanManifest(TypedDict):
    """What the step `begin` of a job in several shards commits."""

    schema_version: int
    code: NotRequired[str]
    """Hash of the code that made it; also in the manifests below."""
    content: NotRequired[str]
    """The fingerprint of the study."""
    source_bytes: int
    raw_bytes: int
    format: tuple[str, str]
    """The name of the format, and why it was chosen."""
    shards: list[ShardEntry]


class RowsRead(TypedDict):
    """How much a shard has read."""

    rows: int
    files: int


class ShardManifest(TypedDict):
    """What the step of one shard commits: paths of its tables, and its event tables (`parts`)."""

    schema_version: int
    code: NotRequired[str]
    first_trial: int
    raw_bytes: int
    read: NotRequired[RowsRead]
    tables: dict[str, str]
    parts: list[EventFile]


class ResultManifest(TypedDict):
    """What a result consists of: paths of its tables, its event tables (`parts`), its summary and how it was made."""

    schema_version: int
    code: NotRequired[str]
    owner: NotRequired[str]
    """The namespace, as `paths.owner_of` gives it."""
    revision: NotRequired[int]
    """How often the result was replaced by one without some participant."""
    provenance: dict[str, Any]
    summary: dict[str, Any]
    preview: NotRequired[dict[str, Any]]
    tables: dict[str, str]
    parts: list[EventFile]
