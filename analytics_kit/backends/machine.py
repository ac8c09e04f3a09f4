"""Determine how many workers this machine or container has room for."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

WORKER_BYTES = 600 * 1024**2
"""Memory of one worker with its task process."""


def pool_size(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Return one worker per CPU and per 600 MB of memory that this process may use, at least one.

    Parameters
    ----------
    cgroup : root of the control groups, whose limits count when they are lower than what the machine has.

    Examples
    --------
    >>> pool_size() >= 1
    True
    """
    return max(1, min(_cpu_count(cgroup), _memory_bytes(cgroup) // WORKER_BYTES))


def _cpu_count(cgroup: Path) -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):
        quota, period = (cgroup / "cpu.max").read_text().split()
        cpus = min(cpus, int(quota) // int(period))
    with contextlib.suppress(OSError, ValueError):
        quota_us = int((cgroup / "cpu" / "cpu.cfs_quota_us").read_text())
        if quota_us > 0:
            cpus = min(cpus, quota_us // int((cgroup / "cpu" / "cpu.cfs_period_us").read_text()))
    return cpus


def _memory_bytes(cgroup: Path) -> int:
    memory = int(psutil.virtual_memory().total)
    for limit in ("memory.max", "memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            memory = min(memory, int((cgroup / limit).read_text()))
    return memory
