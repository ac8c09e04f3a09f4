"""Studies made for tests: ZIPs from a dict of names and contents, damaged where it is asked for, and processed."""

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
    """Text of a pointer log from (t, x, y)."""
    return header + "".join(f"{clock},{t},{x},{y}\n" for t, x, y in rows)


def typed(*rows, header=KEYS, clock="10:00:00"):
    """Text of a keyboard log from (t, cell as it stands in the file)."""
    return header + "".join(f"{clock},{t},{key}\n" for t, key in rows)


def folder(participant=1, task="Search", factor="Easy", trial=1):
    """Name of a trial's folder."""
    return f"{participant}_participant_session/{task}_{factor}_trial_{trial}"


def zip_bytes(members, compression=zipfile.ZIP_DEFLATED):
    """A ZIP of {name: text or bytes}, or of (name, content) pairs; a name that ends in / is a folder."""
    buffer = io.BytesIO()
    pairs = members.items() if isinstance(members, dict) else members
    with zipfile.ZipFile(buffer, "w", compression) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name")
        for name, content in pairs:
            archive.writestr(zipfile.ZipInfo(name) if name.endswith("/") else name, content)
    return buffer.getvalue()


def patched(archived, *names, **fields):
    """The ZIP with fields (flag, method, crc, packed, raw, attributes) of some members set to other values.

    Both headers are changed, or only the file's own by `local_…`.
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
                for start, fields_there in ((central, _CENTRAL_FIELDS), (offsets[name], _LOCAL_FIELDS)):
                    if place := fields_there.get(field.removeprefix("local_") if start != central else field):
                        struct.pack_into(place[1], raw, start + place[0], value)
        central += _CENTRAL.size + length + extra + comment
    return bytes(raw)


class Studies:
    """Studies below a folder: `zip` writes one, `process` makes a result of it in a store of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.runs = 0

    def zip(self, members, name="study.zip", **settings):
        path = self.root / name
        path.write_bytes(members if isinstance(members, bytes) else zip_bytes(members, **settings))
        return str(path)

    def process(self, source, *, shard_bytes=pipeline.SHARD_BYTES, **options):
        """The result of a source: a path, or the members or bytes of a ZIP."""
        if not isinstance(source, str | Path):
            source = self.zip(source)
        self.runs += 1
        store = Store(str(self.root / "store"))
        pipeline.run(str(source), Options.of(**options), store, f"r{self.runs}", shard_bytes=shard_bytes)
        return StudyResult.open(store, f"r{self.runs}")

    @property
    def stored(self):
        """All files in the store."""
        return sorted(path for path in (self.root / "store").rglob("*") if path.is_file())


def issues_of(result):
    """(member, line, kind, rows_dropped) of each issue; line is None where it is NA."""
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
    """(rows in, rows kept, rows dropped) by the tables."""
    members = result.members
    return int(members.rows_in.sum()), int(members.rows_kept.sum()), int(result.issues.rows_dropped.sum())


NAMES = ["participant", "session", "task", "factor", "trial"]


def named(result):
    """The names of each trial; None where they are NA."""
    rows = result.trials[NAMES].astype(object).itertuples(index=False, name=None)
    return [tuple(None if pd.isna(value) else value for value in row) for row in rows]


def trial_table(participant, factor, *, task="Search", trial_order=None, **metrics):
    """A table of trials, as a result has it, from a value per trial or one for all; counts are whole numbers."""
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
