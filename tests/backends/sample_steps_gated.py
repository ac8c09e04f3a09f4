"""Workers that take a while to get ready."""

import os
import time
from pathlib import Path

from tests.backends.sample_steps import *  # noqa: F403


def warm():
    while not Path(os.environ["DEEDS_GATE"]).exists():
        time.sleep(0.01)
