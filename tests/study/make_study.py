"""Make studies for tests: ZIPs from names and contents, intact or damaged, and their results."""

import io
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from analytics_kit.options import Options
from analytics_kit.study.pipeline import run as pipeline
from analytics_kit.study.result.result import StudyResult
from analytics_kit.study.store.store import Store

MOUSE = "Time,running_time,x,y\n"
KEYS = "Time,running_time,keys\n"
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_CENTRAL_FIELDS = {
    "flag": (8, "<H"),
    "method": (10, "<H"),
    "crc": (16, "<I"),
    "packed": (20, "<I"),
    "raw": (24, "<I"),
    "attributes": (38, "<I"),
    "offset": (42, "<I"),
}
_LOCAL_FIELDS = {"flag": (6, "<H"), "method": (8, "<H"), "crc": (14, "<I"), "packed": (18, "<I"), "raw": (22, "<I")}


def mouse(*rows, header=MOUSE, clock="10:00:00"):
    """Return the text of a pointer log from (t, x, y)."""
    return header + "".join(f"{clock},{t},{x},{y}\n" for t, x, y in rows)


def typed(*rows, header=KEYS, clock="10:00:00"):
    """Return the text of a keyboard log from (t, cell as in the file)."""
    return header + "".join(f"{clock},{t},{key}\n" for t, key in rows)


def folder(participant=1, task="Search", factor="Easy", trial=1):
    """Return the name of a trial's folder."""
    return f"{participant}_participant_session/{task}_{factor}_trial_{trial}"


def zip_bytes(members, compression=zipfile.ZIP_DEFLATED):
    """Return a ZIP of {name: text or bytes}, or of (name, content) pairs; a name that ends in / is a folder."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name) if name.endswith("/") else name, content)
    return buffer.getvalue()


def patched(archived, *names, **fields):
    """Return the ZIP with fields (flag, method, crc, packed, raw, attributes) of the named members changed.

    Both headers are changed, or only the local one by `local_…`.
    """
    raw = bytearray(archived)
    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        offsets = {info.filename: info.header_offset for info in archive.infolist()}
        central = archive.start_dir
    while raw[central : central + 4] == b"PK\1\2":
        _, *values = _CENTRAL.unpack_from(raw, central)
        length, extra, comment = values[9:12]
        name = raw[central + _CENTRAL.size : central + _CENTRAL.size + length].decode()
        if name in names:
            for field, value in fields.items():
                for start, header_fields in ((central, _CENTRAL_FIELDS), (offsets[name], _LOCAL_FIELDS)):
                    if found := header_fields.get(field.removeprefix("local_") if start != central else field):
                        offset, layout = found
                        struct.pack_into(layout, raw, start + offset, value)
        central += _CENTRAL.size + length + extra + comment
    return bytes(raw)


class Studies:
    """Studies below a folder: `zip` writes one, `process` returns its result from the folder's store."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = 0

    def zip(self, members, name="study.zip", **settings):
        path = self.root / name
        path.write_bytes(members if isinstance(members, bytes) else zip_bytes(members, **settings))
        return str(path)

    def process(self, source, *, shard_bytes=pipeline.SHARD_BYTES, **options):
        """Return the result of a source: a path, or the members or bytes of a ZIP."""
        if not isinstance(source, str | Path):
            source = self.zip(source)
        self.runs += 1
        store = Store(str(self.root / "store"))
        pipeline.run(str(source), Options.of(**options), store, f"r{self.runs}", shard_bytes=shard_bytes)
        return StudyResult.open(store, f"r{self.runs}")

    @property
    def stored(self):
        """Return the paths of all files in the store."""
        return sorted(path for path in (self.root / "store").rglob("*") if path.is_file())


def issues_of(result):
    """Return (member, line, kind, rows_dropped) of each issue; the line is None if it is NA."""
    return [
        (
            row.member,
            None if row.line is np.nan or str(row.line) == "<NA>" else int(row.line),
            row.kind,
            int(row.rows_dropped),
        )
        for row in result.issues.itertuples()
    ]


def balance(result):
    """Return (rows in, rows kept, rows dropped) by the tables."""
    members = result.members
    return int(members.rows_in.sum()), int(members.rows_kept.sum()), int(result.issues.rows_dropped.sum())


NAMES = ["participant", "session", "task", "factor", "trial"]


def named(result):
    """Return the names of each trial; None for those that are NA."""
    rows = result.trials[NAMES].astype(object).itertuples(index=False, name=None)
    return [tuple(None if pd.isna(value) else value for value in row) for row in rows]


def trial_table(participant, factor, *, task="Search", trial_order=None, **metrics):
    """Return a trials table as a result has it, from a value per trial or one for all; counts are whole numbers."""
    n = len(participant)
    table = pd.DataFrame(
        {"participant": participant, "session": participant, "task": task, "factor": factor, "trial": 1},
        index=range(n),
    )
    table["trial_order"] = range(1, n + 1) if trial_order is None else trial_order
    counts = [name for name in metrics if name.endswith("_count")]
    numbers = dict.fromkeys(["trial", "trial_order", *counts], "Int64")
    names = dict.fromkeys(["participant", "session", "task", "factor"], "str")
    return table.assign(**metrics).astype(names | numbers)
