"""Steps whose workers are ready only once a file exists."""

import os
import time
from pathlib import Path

from tests.backends.sample_steps import *  # noqa: F403


def warm():
    while not Path(os.environ["SAMPLE_GATE"]).exists():
        time.sleep(0.01)
