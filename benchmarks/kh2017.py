"""Read the mouse-tracking study KH2017 and mousetrap's own measures of its trials."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pandas as pd

import analytics_kit as ak

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "kh2017_fulcrum"
ABSENT = "../shared/data/kh2017_fulcrum is absent"
TRIAL = ["participant", "factor", "trial"]


def is_available() -> bool:
    """Return whether the study is available; it is not part of the repository."""
    return FOLDER.is_dir()


def study(folder: Path) -> Path:
    """Write one ZIP with the study's 60 ZIPs into `folder`; return its path."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as outer:
        for path in sorted((FOLDER / "zips").glob("*.zip")):
            outer.writestr(path.name, path.read_bytes())
    path = folder / "kh2017.zip"
    path.write_bytes(buffer.getvalue())
    return path


def events(folder: Path) -> pd.DataFrame:
    """Return the movement rows of its 1,140 trials."""
    return ak.process(study(folder)).events("mouse_movement")


def index() -> pd.DataFrame:
    """Return a row per trial: `mt_id`, TRIAL, and what is known of the full samples."""
    table = pd.read_csv(FOLDER / "index.csv")
    names = {"participant": table["session"].astype("str"), "factor": table["Condition"].astype("str")}
    numbers = table["member"].str.extract(r"trial_(\d+)/", expand=False).astype("Int64")
    return table.drop(columns="trial").assign(**names, trial=numbers)


def truth(name: str) -> pd.DataFrame:
    """Return mousetrap's own measures of each trial, from one of the two files, with TRIAL."""
    return pd.read_csv(FOLDER / name).merge(index()[["mt_id", *TRIAL]], on="mt_id")
