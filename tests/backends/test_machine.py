"""Workers and memory by what the machine and the control groups of this process give."""

import os

import psutil
import pytest

from analytics_kit.backends.machine import (
    MAX_RESERVE_BYTES,
    MIN_RESERVE_BYTES,
    WORKER_BYTES,
    memory_of_machine,
    memory_share,
    pool_size,
)

GB = 1024**3
NO_LIMIT = "9223372036854771712"
"""What the root group of version 1 says."""
V2 = "30 23 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw"
V1_MEMORY = "35 31 0:32 {root} /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory"
V1_CPU = "32 31 0:29 {root} /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct"


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """machine(cgroup, mountinfo, files) → root of a machine of 8 CPUs and 64 GB with these groups."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 64 * GB}))

    def make(cgroup="0::/\n", mountinfo=(V2,), files=()):
        proc = tmp_path / "proc" / "self"
        proc.mkdir(parents=True)
        (proc / "cgroup").write_text(cgroup)
        (proc / "mountinfo").write_text("\n".join(mountinfo) + "\n")
        for name, text in dict(files).items():
            file = tmp_path / "sys/fs/cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(f"{text}\n")
        return tmp_path

    return make


MEMORY = {
    "no groups": ("", [], {}, 64 * GB),
    "v2, root of the machine": ("0::/\n", [V2], {"cgroup.procs": "1"}, 64 * GB),
    "v2, own group": ("0::/user/job\n", [V2], {"user/job/memory.max": 3 * GB}, 3 * GB),
    "v2, a group far above": (
        "0::/a/b/c/d/e\n", [V2],
        {"a/memory.max": 2 * GB, "a/b/memory.max": "max", "a/b/c/d/e/memory.max": 5 * GB}, 2 * GB,
    ),
    "v2, own group below a larger one": (
        "0::/a/b\n", [V2], {"a/memory.max": 9 * GB, "a/b/memory.max": 4 * GB}, 4 * GB
    ),
    "v2, group of another process": ("0::/a\n", [V2], {"b/memory.max": GB}, 64 * GB),
    "v2, container with its own namespace": ("0::/\n", [V2], {"memory.max": 2 * GB}, 2 * GB),
    "v2, namespace entered from outside": ("0::/../../other\n", [V2], {"memory.max": 2 * GB}, 2 * GB),
    "v2, no limit": ("0::/a\n", [V2], {"a/memory.max": "max"}, 64 * GB),
    "v2, more than the machine has": ("0::/a\n", [V2], {"a/memory.max": 99 * GB}, 64 * GB),
    "v1, root of the machine": (
        "4:memory:/\n", [V1_MEMORY.format(root="/")], {"memory/memory.limit_in_bytes": NO_LIMIT}, 64 * GB
    ),
    "v1, below the root": (
        "4:memory:/slurm/job_1/step_0\n0::/\n", [V1_MEMORY.format(root="/")],
        {"memory/memory.limit_in_bytes": NO_LIMIT, "memory/slurm/job_1/memory.limit_in_bytes": 6 * GB,
         "memory/slurm/job_1/step_0/memory.limit_in_bytes": NO_LIMIT}, 6 * GB,
    ),
    "v1, a container that mounts its own group": (
        "4:memory:/docker/abc\n", [V1_MEMORY.format(root="/docker/abc")], {"memory/memory.limit_in_bytes": GB}, GB
    ),
    "v1, a group in such a container": (
        "4:memory:/docker/abc/in\n", [V1_MEMORY.format(root="/docker/abc")],
        {"memory/memory.limit_in_bytes": 3 * GB, "memory/in/memory.limit_in_bytes": 2 * GB}, 2 * GB,
    ),
    "v1 and v2 together": (
        "4:memory:/a\n0::/b\n", [V1_MEMORY.format(root="/"), V2.replace("cgroup rw", "cgroup/unified rw")],
        {"memory/a/memory.limit_in_bytes": 4 * GB, "unified/b/memory.max": 3 * GB}, 3 * GB,
    ),
    "other controllers": ("5:devices:/a\n", [V1_MEMORY.format(root="/")], {"memory/a/memory.limit_in_bytes": GB},
                          64 * GB),
    "garbage": ("?\n:::\n0::/a\n", ["?", " - ", V2], {"a/memory.max": "?"}, 64 * GB),
}  # fmt: skip


@pytest.mark.parametrize("name", MEMORY)
def test_memory_is_the_smallest_limit_on_the_way_up(machine, name):
    cgroup, mounts, files, expected = MEMORY[name]
    memory = memory_of_machine(machine(cgroup, mounts, files))
    assert memory.size_bytes == expected
    assert ("this machine" in memory.origin) == (expected == 64 * GB)
    if expected < 64 * GB:
        assert "(/sys/fs/cgroup/" in memory.origin


@pytest.mark.parametrize(
    ("cgroup", "mounts", "files", "size"),
    [
        ("0::/a/b\n", [V2], {"a/cpu.max": "200000 100000", "a/b/cpu.max": "max 100000"}, 2),
        ("0::/a/b\n", [V2], {"a/b/cpu.max": "50000 100000"}, 1),
        ("0::/a\n", [V2], {"a/cpu.max": "max 100000"}, 8),
        ("0::/a\n", [V2], {"a/memory.max": 2 * GB}, 2 * GB // WORKER_BYTES),
        ("0::/a\n", [V2], {"a/memory.max": GB // 10}, 1),
        ("3:cpu,cpuacct:/a/b\n", [V1_CPU.format(root="/")],
         {"cpu,cpuacct/a/cpu.cfs_quota_us": 300000, "cpu,cpuacct/a/cpu.cfs_period_us": 100000,
          "cpu,cpuacct/a/b/cpu.cfs_quota_us": -1, "cpu,cpuacct/a/b/cpu.cfs_period_us": 100000}, 3),
    ],
)  # fmt: skip
def test_pool_size_follows_the_lowest_limit(machine, cgroup, mounts, files, size):
    assert pool_size(machine(cgroup, mounts, files)) == size


@pytest.mark.parametrize(
    ("memory", "workers", "limit"),
    [
        (64 * GB, 4, (64 * GB - MAX_RESERVE_BYTES) // 4),
        (10 * GB, 1, 9 * GB),
        (2 * GB, 2, (2 * GB - MIN_RESERVE_BYTES) // 2),
        (2 * GB, 8, WORKER_BYTES),
    ],
)
def test_memory_share_is_a_part_of_what_the_reserve_leaves(machine, memory, workers, limit):
    share = memory_share(workers, machine("0::/a\n", [V2], {"a/memory.max": memory}))
    assert share.limit_bytes == limit
    assert (share.workers, share.memory.size_bytes) == (workers, memory)


def test_a_system_without_control_groups_has_the_memory_of_the_machine(machine, tmp_path):
    machine()
    assert memory_of_machine(tmp_path / "elsewhere").size_bytes == 64 * GB
