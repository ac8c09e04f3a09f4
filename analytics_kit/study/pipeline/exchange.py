"""How does what one process worked out reach the next: the plan, a shard's work, a shard's result?

Records lie in the store as Parquet, one table for each type; numbers keep every bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_kit.errors import StoreError
from analytics_kit.model import SCHEMA_VERSION, Kind
from analytics_kit.study.archive.base import Archive, Member
from analytics_kit.study.formats.layout import Place, Trial
from analytics_kit.study.formats.registry import Choice
from analytics_kit.study.metrics.entropy import X_DIFFERENCES
from analytics_kit.study.pipeline.plan import MemberRow, Plan, Shard, Work
from analytics_kit.study.pipeline.shard import ShardResult
from analytics_kit.study.schema.compiling import Floats
from analytics_kit.study.schema.issues import Issue, Issues
from analytics_kit.study.store.store import Store

_TYPES: dict[object, pa.DataType] = {
    str: pa.string(), str | None: pa.string(), Kind: pa.string(), int: pa.int64(), int | None: pa.int64(),
    bool: pa.bool_(),
}  # fmt: skip
_MEMBER = get_type_hints(Member)
_WORK = _MEMBER | {"slot": int, "kind": str, "label": str}
_SURVEY = _MEMBER | get_type_hints(Place)
_CLOCKS = "clocks"


def write_plan(store: Store, prefix: str, archive: Archive, plan: Plan, issues: Issues) -> None:
    """Hand out a plan: a file for each shard, the largest first, and what the merge needs; then commit it."""
    members = archive.members
    shards = sorted(plan.shards, key=lambda shard: -shard.raw_bytes)
    for part, shard in enumerate(shards):
        work = [(*members[w.member], w.slot, w.kind, w.label) for w in sorted(shard.work)]
        _write(store, f"{prefix}/shard-{part}.parquet", work, _WORK)
    _write(store, f"{prefix}/nested.parquet", archive.nested, _MEMBER)
    _write(store, f"{prefix}/trials.parquet", plan.trials, get_type_hints(Trial))
    _write(store, f"{prefix}/others.parquet", plan.others, get_type_hints(MemberRow))
    _write(store, f"{prefix}/surveys.parquet", [(*members[p.member], *p) for p in plan.surveys], _SURVEY)
    _write(store, f"{prefix}/issues.parquet", issues.list, get_type_hints(Issue))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "source_bytes": archive.size_bytes,
        "raw_bytes": plan.raw_bytes,
        "format": plan.format,
        "shards": [
            {name: getattr(shard, name) for name in ("index", "first_trial", "trials", "raw_bytes", "format")}
            for shard in shards
        ],
    }
    store.commit(prefix, manifest)


def read_shard(store: Store, prefix: str, manifest: Mapping[str, Any], part: int) -> tuple[Shard, list[Member]]:
    """The shard that is a part's work, and the members that its numbers of members stand for."""
    rows = _read(store, f"{prefix}/shard-{part}.parquet")
    numbers: dict[Member, int] = {}
    work = []
    for *member, slot, kind, label in rows:
        number = numbers.setdefault(Member(*member), len(numbers))
        work.append(Work(number, slot, kind, label))
    return Shard(work=tuple(work), **manifest["shards"][part]), list(numbers)


def read_nested(store: Store, prefix: str) -> list[Member]:
    """The ZIPs in the ZIP."""
    return [Member(*row) for row in _read(store, f"{prefix}/nested.parquet")]


def read_plan(store: Store, prefix: str, manifest: Mapping[str, Any]) -> tuple[Plan, list[Issue], list[Member]]:
    """The plan without its shards, the issues of planning, and the members that its surveys are read from."""
    surveys = _read(store, f"{prefix}/surveys.parquet")
    plan = Plan(
        trials=tuple(Trial(*row) for row in _read(store, f"{prefix}/trials.parquet")),
        shards=(),
        others=tuple(MemberRow(*row) for row in _read(store, f"{prefix}/others.parquet")),
        surveys=tuple(Place(*row[len(_MEMBER) :])._replace(member=i) for i, row in enumerate(surveys)),
        raw_bytes=manifest["raw_bytes"],
        format=Choice(*manifest["format"]),
    )
    issues = [Issue(*row) for row in _read(store, f"{prefix}/issues.parquet")]
    return plan, issues, [Member(*row[: len(_MEMBER)]) for row in surveys]


def write_result(store: Store, prefix: str, result: ShardResult, raw_bytes: int) -> None:
    """Hand in a shard's result, and commit it."""
    tables = {name: f"{prefix}/{name}.parquet" for name in ("values", "members", "issues")}
    with store.create(tables["values"]) as file:
        pq.write_table(pa.table({_CLOCKS: result.clocks, **result.values}), file, use_dictionary=False)
    if result.x_differences is not None:
        tables["steps"] = f"{prefix}/steps.parquet"
        with store.create(tables["steps"]) as file:
            pq.write_table(pa.table({"x": result.x_differences.ravel()}), file, use_dictionary=False)
    _write(store, tables["members"], result.members, get_type_hints(MemberRow))
    _write(store, tables["issues"], result.issues, get_type_hints(Issue))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "first_trial": result.first_trial,
        "raw_bytes": raw_bytes,
        "read": {"rows": sum(row.rows_in or 0 for row in result.members), "files": len(result.members)},
        "tables": tables,
        "parts": result.parts,
    }
    store.commit(prefix, manifest)


def read_result(store: Store, manifest: Mapping[str, Any]) -> ShardResult:
    """The shard's result that was committed by this manifest."""
    tables = manifest["tables"]
    table = _read_table(store, tables["values"])
    values = {name: np.asarray(column.to_numpy()) for name, column in zip(table.column_names, table, strict=True)}
    return ShardResult(
        first_trial=manifest["first_trial"],
        clocks=values.pop(_CLOCKS),
        values=values,
        members=[MemberRow(*row) for row in _read(store, tables["members"])],
        issues=[Issue(*row) for row in _read(store, tables["issues"])],
        parts=manifest["parts"],
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
        raise gone(path) from error


def gone(path: str) -> StoreError:
    """What to raise where something was handed over and is not there."""
    return StoreError(f"{path} went missing from the store while the job was at work.", hint="Retry the job.")
