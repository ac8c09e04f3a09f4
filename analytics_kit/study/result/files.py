"""What a result has in its store: tables, and events that are read part by part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analytics_kit.errors import ResultExpiredError
from analytics_kit.model import Files
from analytics_kit.study.schema.columns import TRIAL_INDEX
from analytics_kit.study.store.event_reading import read_events
from analytics_kit.study.store.store import Store


class Stored:
    """The files of a result that its manifest names. Raises ResultExpiredError where one of them is gone."""

    def __init__(self, store: Files, manifest: dict[str, Any]) -> None:
        self._store = store
        self.manifest = manifest

    @contextmanager
    def _open(self, path: str) -> Iterator[IO[bytes]]:
        try:
            with self._store.open(path) as file:
                yield file
        except FileNotFoundError:
            raise ResultExpiredError(f"The result's file {path} is gone from the store.") from None

    def table(self, name: str) -> pd.DataFrame:
        """One of the manifest's tables."""
        with self._open(self.manifest["tables"][name]) as file:
            return _frame(pq.read_table(file))

    def events(self, kind: str, chosen: list[int] | None, columns: Sequence[str]) -> pd.DataFrame:
        """Columns of the events of the chosen rows of `trials` (None: all), with the number of that row."""
        tables = list(self._parts(kind, chosen, columns))
        return _frame(pa.concat_tables(tables)) if tables else _frame(_no_events(columns))

    def events_by_part(self, kind: str, columns: Sequence[str]) -> Iterator[pd.DataFrame]:
        """The same of all trials, some whole trials at a time, in the order of `trials`."""
        return map(_frame, self._parts(kind, None, columns))

    def _parts(self, kind: str, chosen: list[int] | None, columns: Sequence[str]) -> Iterator[pa.Table]:
        for part in self.manifest["parts"]:
            if part["kind"] != kind:
                continue
            inside = None
            if chosen is not None:
                inside = [i for i in chosen if part["first_trial"] <= i <= part["last_trial"]]
                if not inside:
                    continue
            with self._open(part["path"]) as file:
                yield read_events(file, kind, inside, columns)

    def copy_to(self, folder: Path, new: Mapping[str, pd.DataFrame]) -> None:
        """Write all of it into a folder, as a result of its own, with `new` tables beside or in place of its own."""
        kept = Store(str(folder.absolute()))

        def copied(path: str, to: str) -> str:
            with self._open(path) as source, kept.create(to) as copy:
                while block := source.read(1 << 20):
                    copy.write(block)
            return to

        old = {name: path for name, path in self.manifest["tables"].items() if name not in new}
        tables = {name: copied(path, f"{name}.parquet") for name, path in old.items()}
        for name, table in new.items():
            tables[name] = f"{name}.parquet"
            with kept.create(tables[name]) as file:
                table.to_parquet(file)
        parts = [
            part | {"path": copied(part["path"], f"events/{part['path'].rpartition('/')[2]}")}
            for part in self.manifest["parts"]
        ]
        kept.commit("", self.manifest | {"tables": tables, "parts": parts})


def _no_events(columns: Sequence[str]) -> pa.Table:
    numbers = {name: pa.float64() for name in columns if name.endswith(("_s", "_px"))}
    types = {TRIAL_INDEX: pa.int32()} | {name: numbers.get(name, pa.string()) for name in columns}
    return pa.table({name: pa.array([], kind) for name, kind in types.items()})


def _frame(table: pa.Table) -> pd.DataFrame:
    """pandas with nullable whole numbers and strings."""
    return cast(pd.DataFrame, table.to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))
