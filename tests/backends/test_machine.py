"""The size of the worker pool by CPUs and memory of machine and container."""

import os

import psutil
import pytest

from analytics_kit.backends.machine import WORKER_BYTES, pool_size

GB = 1024**3


@pytest.fixture
def machine(monkeypatch):
    """A machine of 8 CPUs and 64 GB."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"total": 64 * GB}))


@pytest.mark.parametrize(
    ("files", "size"),
    [
        ({}, 8),
        ({"cpu.max": "200000 100000"}, 2),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "50000 100000"}, 1),
        ({"memory.max": str(2 * GB)}, 2 * GB // WORKER_BYTES),
        ({"memory.max": "max"}, 8),
        ({"memory.max": str(GB // 10)}, 1),
        ({"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"memory/memory.limit_in_bytes": str(3 * GB)}, 3 * GB // WORKER_BYTES),
    ],
)
def test_pool_size_follows_the_lowest_limit(machine, tmp_path, files, size):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    assert pool_size(tmp_path) == size
