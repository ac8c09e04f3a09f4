"""Causes of a process's death."""

from analytics_kit.backends.worker import limits
from analytics_kit.errors import OutOfMemoryError, WorkerLostError


def test_only_a_kill_can_be_the_kernels(tmp_path):
    assert type(limits.cause(9, True)) is OutOfMemoryError
    assert type(limits.cause(9, False)) is WorkerLostError
    assert type(limits.cause(3 << 8, True)) is WorkerLostError
    assert "exit code 3" in limits.cause(3 << 8, True).message
    counts = tmp_path / "vmstat"
    counts.write_text("pgfault 7\noom_kill 12\n")
    assert limits.kernel_kills(counts) == 12
    assert limits.kernel_kills(tmp_path / "nowhere") == 0
