"""Pass plans, shards and results of shards from one process to the next, through the store.

Each type is a Parquet table. Values are read by the order of their columns, and numbers keep every bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_kit.code_version import code_version
from analytics_kit.errors import StoreError
from analytics_kit.model import SCHEMA_VERSION, Kind
from analytics_kit.study.archive.base import Archive, Member
from analytics_kit.study.formats.layout import MemberAssignment, Trial
from analytics_kit.study.formats.registry import FormatChoice
from analytics_kit.study.metrics.entropy import X_DIFFERENCES
from analytics_kit.study.pipeline.plan import MemberRow, Plan, Shard, ShardMember
from analytics_kit.study.pipeline.shard import ShardResult
from analytics_kit.study.schema.compiling import Floats
from analytics_kit.study.schema.issues import Issue, Issues
from analytics_kit.study.store.manifests import PlanManifest, ShardManifest
from analytics_kit.study.store.paths import shard_path, table_path
from analytics_kit.study.store.store import Store

_TYPES: dict[object, pa.DataType] = {
    str: pa.string(), str | None: pa.string(), Kind: pa.string(), int: pa.int64(), int | None: pa.int64(),
    bool: pa.bool_(),
}  # fmt: skip
_MEMBER = get_type_hints(Member)
_SHARD_MEMBER = _MEMBER | {"slot": int, "kind": str, "label": str}
_SURVEY = _MEMBER | get_type_hints(MemberAssignment)
_CLOCKS = "clocks"


def write_plan(store: Store, prefix: str, archive: Archive, plan: Plan, issues: Issues) -> None:
    """Write a plan and commit it: the members of each shard, the largest shard first, and what the merge needs."""
    members = archive.members
    shards = sorted(plan.shards, key=lambda shard: -shard.raw_bytes)
    for number, shard in enumerate(shards):
        rows = [(*members[m.member], m.slot, m.kind, m.label) for m in sorted(shard.members)]
        _write(store, shard_path(prefix, number), rows, _SHARD_MEMBER)
    _write(store, table_path(prefix, "nested"), archive.nested, _MEMBER)
    _write(store, table_path(prefix, "trials"), plan.trials, get_type_hints(Trial))
    _write(store, table_path(prefix, "others"), plan.others, get_type_hints(MemberRow))
    surveys = [(*members[survey.member], *survey) for survey in plan.surveys]
    _write(store, table_path(prefix, "surveys"), surveys, _SURVEY)
    _write(store, table_path(prefix, "issues"), issues.list, get_type_hints(Issue))
    manifest: PlanManifest = {
        "schema_version": SCHEMA_VERSION,
        "code": code_version().code,
        "content": archive.fingerprint(),
        "source_bytes": archive.size_bytes,
        "raw_bytes": plan.raw_bytes,
        "format": plan.format,
        "shards": [
            {
                "index": shard.index,
                "first_trial": shard.first_trial,
                "trials": shard.trials,
                "raw_bytes": shard.raw_bytes,
                "format": shard.format,
            }
            for shard in shards
        ],
    }
    store.commit(prefix, dict(manifest))


def read_shard(store: Store, prefix: str, manifest: Mapping[str, Any], number: int) -> tuple[Shard, list[Member]]:
    """Return shard `number` of a plan, and the members to which it refers by position."""
    rows = _read(store, shard_path(prefix, number))
    positions: dict[Member, int] = {}
    shard_members = []
    for *member, slot, kind, label in rows:
        position = positions.setdefault(Member(*member), len(positions))
        shard_members.append(ShardMember(position, slot, kind, label))
    return Shard(members=tuple(shard_members), **manifest["shards"][number]), list(positions)


def read_nested(store: Store, prefix: str) -> list[Member]:
    """Return `Archive.nested` of the planned study."""
    return [Member(*row) for row in _read(store, table_path(prefix, "nested"))]


def read_plan(store: Store, prefix: str, manifest: Mapping[str, Any]) -> tuple[Plan, list[Issue], list[Member]]:
    """Return the plan without its shards, the issues of planning, and the members of its surveys."""
    surveys = _read(store, table_path(prefix, "surveys"))
    plan = Plan(
        trials=tuple(Trial(*row) for row in _read(store, table_path(prefix, "trials"))),
        shards=(),
        others=tuple(MemberRow(*row) for row in _read(store, table_path(prefix, "others"))),
        surveys=tuple(MemberAssignment(*row[len(_MEMBER) :])._replace(member=i) for i, row in enumerate(surveys)),
        raw_bytes=manifest["raw_bytes"],
        format=FormatChoice(*manifest["format"]),
    )
    issues = [Issue(*row) for row in _read(store, table_path(prefix, "issues"))]
    return plan, issues, [Member(*row[: len(_MEMBER)]) for row in surveys]


def write_result(store: Store, prefix: str, result: ShardResult, raw_bytes: int) -> None:
    """Write the result of a shard and commit it."""
    tables = {name: table_path(prefix, name) for name in ("values", "members", "issues")}
    with store.create(tables["values"]) as file:
        pq.write_table(pa.table({_CLOCKS: result.clocks, **result.values}), file, use_dictionary=False)
    if result.x_differences is not None:
        tables["steps"] = table_path(prefix, "steps")
        with store.create(tables["steps"]) as file:
            pq.write_table(pa.table({"x": result.x_differences.ravel()}), file, use_dictionary=False)
    _write(store, tables["members"], result.members, get_type_hints(MemberRow))
    _write(store, tables["issues"], result.issues, get_type_hints(Issue))
    manifest: ShardManifest = {
        "schema_version": SCHEMA_VERSION,
        "code": code_version().code,
        "first_trial": result.first_trial,
        "raw_bytes": raw_bytes,
        "read": {"rows": sum(row.rows_in or 0 for row in result.members), "files": len(result.members)},
        "tables": tables,
        "parts": result.event_files,
    }
    store.commit(prefix, dict(manifest))


def read_result(store: Store, manifest: Mapping[str, Any]) -> ShardResult:
    """Return the result of a shard that was committed with this manifest."""
    tables = manifest["tables"]
    table = _read_table(store, tables["values"])
    values = {name: np.asarray(column.to_numpy()) for name, column in zip(table.column_names, table, strict=True)}
    return ShardResult(
        first_trial=manifest["first_trial"],
        clocks=values.pop(_CLOCKS),
        values=values,
        members=[MemberRow(*row) for row in _read(store, tables["members"])],
        issues=[Issue(*row) for row in _read(store, tables["issues"])],
        event_files=manifest["parts"],
        x_differences=_x_differences(store, tables["steps"]) if "steps" in tables else None,
    )


def _x_differences(store: Store, path: str) -> Floats:
    return np.asarray(_read_table(store, path)["x"].to_numpy()).reshape(-1, X_DIFFERENCES)


def _write(store: Store, path: str, rows: Iterable[tuple[Any, ...]], types: Mapping[str, object]) -> None:
    schema = pa.schema([(name, _TYPES[kind]) for name, kind in types.items()])
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    table = pa.table([pa.array(c, field.type) for c, field in zip(columns, schema, strict=True)], schema=schema)
    with store.create(path) as file:
        pq.write_table(table, file)


def _read(store: Store, path: str) -> list[tuple[Any, ...]]:
    columns = _read_table(store, path).columns
    return list(zip(*(column.to_pylist() for column in columns), strict=True))


def _read_table(store: Store, path: str) -> pa.Table:
    try:
        with store.open(path) as file:
            return pq.read_table(file)
    except FileNotFoundError as error:
        raise missing(path) from error


def missing(path: str) -> StoreError:
    """Return the error for something that an earlier step wrote and that is not in the store."""
    return StoreError(f"{path} went missing from the store while the job was running.", hint="Retry the job.")
