"""Read the files of a result from its store: tables as a whole, events shard by shard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import IO, Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_kit.errors import ResultExpiredError
from analytics_kit.model import Files
from analytics_kit.study.schema.columns import TRIAL_INDEX
from analytics_kit.study.store.event_reading import read_stored_events
from analytics_kit.study.store.paths import EVENTS, table_path
from analytics_kit.study.store.store import Store


class ResultFiles:
    """The files that the manifest below `prefix` names. Methods raise ResultExpiredError if one is missing."""

    def __init__(self, store: Files, manifest: dict[str, Any], prefix: str = "") -> None:
        self._store = store
        self.manifest = manifest
        self.prefix = prefix

    @contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        try:
            with self._store.open(path) as file:
                yield file
        except (FileNotFoundError, ResultExpiredError) as error:
            present = self._store.manifest(self.prefix)
            if present is not None and present.get("revision", 0) != self.manifest.get("revision", 0):
                raise ResultExpiredError(
                    "The result was replaced since it was opened: a participant was forgotten.",
                    hint="Open it again: job.result().",
                ) from None
            if isinstance(error, ResultExpiredError):
                raise
            raise ResultExpiredError(f"The result's file {path} is gone from the store.") from None

    def table(self, name: str) -> pd.DataFrame:
        """Read one of the manifest's tables."""
        with self._open(self.manifest["tables"][name]) as file:
            return _frame(pq.read_table(file))

    def events(self, kind: str, trials: list[int] | None, columns: Sequence[str]) -> pd.DataFrame:
        """Read columns of the events of some trials, by index (None for all), with the trial index of each event."""
        tables = list(self._event_tables(kind, trials, columns))
        return _frame(pa.concat_tables(tables) if tables else _no_events(columns))

    def events_by_shard(self, kind: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """Yield the same for all trials, one shard (a range of whole trials) at a time."""
        return map(_frame, self._event_tables(kind, None, columns))

    def _event_tables(self, kind: str, trials: list[int] | None, columns: Sequence[str]) -> Iterator[pa.Table]:
        for event_file in self.manifest["parts"]:
            if event_file["kind"] != kind:
                continue
            in_file = None
            if trials is not None:
                in_file = [i for i in trials if event_file["first_trial"] <= i <= event_file["last_trial"]]
                if not in_file:
                    continue
            with self._open(event_file["path"]) as file:
                yield read_stored_events(file, in_file, columns)

    def copy_to(self, target: Store, new: Mapping[str, pd.DataFrame]) -> None:
        """Copy the result to the root of a store, adding or replacing the tables in `new`."""

        def copy(path: str, new_path: str) -> str:
            with self._open(path) as source, target.create(new_path) as file:
                while block := source.read(1 << 20):
                    file.write(block)
            return new_path

        old = {name: path for name, path in self.manifest["tables"].items() if name not in new}
        tables = {name: copy(path, table_path("", name)) for name, path in old.items()}
        for name, table in new.items():
            tables[name] = table_path("", name)
            with target.create(tables[name]) as file:
                table.to_parquet(file)
        event_files = [
            event_file | {"path": copy(event_file["path"], f"{EVENTS}/{event_file['path'].rpartition('/')[2]}")}
            for event_file in self.manifest["parts"]
        ]
        target.commit("", self.manifest | {"tables": tables, "parts": event_files})


def _no_events(columns: Sequence[str]) -> pa.Table:
    numbers = {name: pa.float64() for name in columns if name.endswith(("_s", "_px"))}
    types = {TRIAL_INDEX: pa.int32()} | {name: numbers.get(name, pa.string()) for name in columns}
    return pa.table({name: pa.array([], kind) for name, kind in types.items()})


def _frame(table: pa.Table) -> pd.DataFrame:
    """Convert to pandas, with nullable integers and strings."""
    return cast(pd.DataFrame, table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))
