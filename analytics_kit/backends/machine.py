"""Determine how many workers this machine or container has room for, and how much memory each of them may use.

A container, a service or a batch job limits its processes by control groups (cgroups) of version 1 or 2, which may
lie at any depth: the group of this process and all groups above it count.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import psutil

WORKER_BYTES = 600 * 1024**2
"""Memory of one worker with its task process."""
RESERVE_FRACTION = 0.1
MIN_RESERVE_BYTES, MAX_RESERVE_BYTES = 256 * 1024**2, 2 * 1024**3
"""The memory left to all but the workers is a tenth of what there is, within these bounds."""


class Memory(NamedTuple):
    """An amount of memory in bytes, and where it comes from: the machine, or the file of a control group."""

    size_bytes: int
    origin: str


class MemoryShare(NamedTuple):
    """The memory in bytes that a step may use, as one of a number of workers that share `memory`."""

    limit_bytes: int
    workers: int
    memory: Memory


def pool_size(root: Path = Path("/")) -> int:
    """Return one worker per CPU and per 600 MB of memory that this process may use, at least one.

    Parameters
    ----------
    root : folder that holds the file systems `proc` and `sys`.

    Examples
    --------
    >>> pool_size() >= 1
    True
    """
    return max(1, min(_cpu_count(root), memory_of_machine(root).size_bytes // WORKER_BYTES))


def memory_share(workers: int, root: Path = Path("/")) -> MemoryShare:
    """Return what one of `workers` workers may use: its part of the memory without a reserve, at least 600 MB.

    >>> share = memory_share(2)
    >>> share.limit_bytes < share.memory.size_bytes or share.limit_bytes == WORKER_BYTES
    True
    """
    memory = memory_of_machine(root)
    reserve = min(max(int(memory.size_bytes * RESERVE_FRACTION), MIN_RESERVE_BYTES), MAX_RESERVE_BYTES)
    return MemoryShare(max((memory.size_bytes - reserve) // workers, WORKER_BYTES), workers, memory)


def memory_of_machine(root: Path = Path("/")) -> Memory:
    """Return the memory of the machine, or the smallest limit of the control groups of this process."""
    memory = Memory(int(psutil.virtual_memory().total), "this machine")
    for folder in _groups("memory", root):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(OSError, ValueError):  # it is missing, or says "max"
                limit = int((folder / name).read_text())
                if 0 < limit < memory.size_bytes:
                    memory = Memory(limit, f"the container or service ({_displayed(folder / name, root)})")
    return memory


def _cpu_count(root: Path) -> int:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _groups("cpu", root):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            cpus = min(cpus, int(quota) // int(period))
        with contextlib.suppress(OSError, ValueError):
            quota_us = int((folder / "cpu.cfs_quota_us").read_text())
            if quota_us > 0:
                cpus = min(cpus, quota_us // int((folder / "cpu.cfs_period_us").read_text()))
    return cpus


def _groups(controller: str, root: Path) -> Iterator[Path]:
    """Yield the folders of this process's control groups that can have limits of a controller, the own one first."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    for group in groups:
        number, _, rest = group.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" or controller in controllers.split(","):
            for mount, mount_root in _mounts(mounts, None if number == "0" else controller):
                yield from _folders(root / mount.lstrip("/"), path, mount_root)


def _mounts(mounts: list[str], controller: str | None) -> Iterator[tuple[str, str]]:
    """Yield mount point and mounted group of the hierarchies of a controller; None for those of version 2."""
    for line in mounts:
        mounted, separator, system = line.partition(" - ")
        fields, kind = mounted.split(" "), system.split(" ")
        if not separator or len(fields) < 5 or len(kind) < 3:
            continue
        is_wanted = kind[0] == "cgroup2" if controller is None else controller in kind[2].split(",")
        if is_wanted and kind[0] in ("cgroup", "cgroup2"):
            mount_root, mount = (_unescaped(field) for field in fields[3:5])
            yield mount, mount_root


def _folders(mount: Path, path: str, mount_root: str) -> Iterator[Path]:
    """Yield the folder of a group and of those above it, up to the mount point.

    In a container only a part of the hierarchy is mounted, `mount_root`; a group outside it is seen at its top.
    """
    group = PurePosixPath(path)
    below = group.relative_to(mount_root) if group.is_relative_to(mount_root) else PurePosixPath()
    folder = mount / below if ".." not in below.parts else mount
    while folder != mount:
        yield folder
        folder = folder.parent
    yield mount


def _unescaped(field: str) -> str:
    """Return a field of mountinfo, where a blank is written as its octal number."""
    for character in " \t\n\\":
        field = field.replace(f"\\{ord(character):03o}", character)
    return field


def _displayed(path: Path, root: Path) -> str:
    return f"/{path.relative_to(root)}"
