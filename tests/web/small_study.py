"""Small studies for tests of the HTTP API, each made once."""

import functools
import tempfile
from pathlib import Path

import analytics_kit as ak


@functools.cache
def small_zip(seed):
    """The bytes of a small study."""
    with tempfile.TemporaryDirectory() as folder:
        path = ak.sample_study(Path(folder) / "s.zip", participants=1, trials=1, seed=seed, trial_s=3)
        return path.read_bytes()
