"""Where is the mouse-tracking study KH2017, and what did mousetrap itself measure of its trials?"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pandas as pd

import analytics_kit as ak

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "kh2017_fulcrum"
ABSENT = "../shared/data/kh2017_fulcrum is absent"
TRIAL = ["participant", "factor", "trial"]


def there() -> bool:
    """Whether the study is here; it is no part of the project."""
    return FOLDER.is_dir()


def study(folder: Path) -> Path:
    """The path of one ZIP in `folder` with the study's 60 ZIPs in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as outer:
        for path in sorted((FOLDER / "zips").glob("*.zip")):
            outer.writestr(path.name, path.read_bytes())
    path = folder / "kh2017.zip"
    path.write_bytes(buffer.getvalue())
    return path


def events(folder: Path) -> pd.DataFrame:
    """The movement rows of its 1,140 trials."""
    return ak.process(study(folder)).events("mouse_movement")


def index() -> pd.DataFrame:
    """A row per trial: `mt_id`, TRIAL, and how it was before the logger's rule."""
    table = pd.read_csv(FOLDER / "index.csv")
    names = {"participant": table["session"].astype("str"), "factor": table["Condition"].astype("str")}
    numbers = table["member"].str.extract(r"trial_(\d+)/", expand=False).astype("Int64")
    return table.drop(columns="trial").assign(**names, trial=numbers)


def truth(name: str) -> pd.DataFrame:
    """mousetrap's own measures of each trial, from one of the two files, with TRIAL."""
    return pd.read_csv(FOLDER / name).merge(index()[["mt_id", *TRIAL]], on="mt_id")
