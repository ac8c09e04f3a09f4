"""Write the studies that the benchmarks use, once per run."""

from __future__ import annotations

import zipfile
from pathlib import Path

from analytics_kit import sample_study


def small_files(folder: Path) -> Path:
    """4,800 members of 2.8 KB on average: 100 participants, 1,200 trials."""
    return sample_study(folder / "small_files.zip", participants=100, trials=3, trial_s=28)


def large_files(folder: Path) -> Path:
    """32 trials of about 200,000 movement rows, with their clicks, scrolls and keys: 0.2 GB raw."""
    return sample_study(folder / "large_files.zip", participants=8, trials=1, trial_s=14_500)


def two_gigabytes(folder: Path) -> Path:
    """2 GB raw."""
    return sample_study(folder / "two_gigabytes.zip", participants=100, trials=5, trial_s=2_400)


def hundred_thousand_events(folder: Path) -> Path:
    """100,000 events of 144 trials."""
    return sample_study(folder / "hundred_thousand_events.zip", participants=12, trials=3, trial_s=42)


def twenty_members(folder: Path, seed: int) -> Path:
    """A study of 20 members: five trials of one participant."""
    whole = sample_study(folder / f"whole-{seed}.zip", participants=1, trials=2, seed=seed)
    path = folder / f"twenty-{seed}.zip"
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for name in source.namelist()[:20]:
            target.writestr(name, source.read(name))
    return path


def sixteen_shards(folder: Path) -> Path:
    """1 GB raw, which is 16 shards."""
    path = folder / "sixteen_shards.zip"
    return path if path.exists() else sample_study(path, participants=100, trials=5, trial_s=1_130)


def half_a_gigabyte(folder: Path) -> Path:
    """0.5 GB raw."""
    path = folder / "half_a_gigabyte.zip"
    return path if path.exists() else sample_study(path, participants=50, trials=5, trial_s=1_130)
