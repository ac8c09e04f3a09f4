"""The program that a pool starts as `python -m analytics_kit.backends.worker`.

A pool of an earlier version, which runs on while the package is upgraded, starts its workers by the same command.
"""

import sys

from analytics_kit.backends.worker.worker import main

if __name__ == "__main__":
    sys.exit(main())
