"""Compiled kernels on disk: found again, never stale, never broken, not in the way of an upgrade."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from analytics_kit.code_version import PACKAGE, hash_sources, source_files
from analytics_kit.study.schema import kernel_cache
from analytics_kit.study.schema.compiling import kernel, literal_kernel

CPU = ("x86_64-unknown-linux-gnu", "generic", "")


def double(value):
    return 2.0 * value


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty cache of its own."""
    folder = tmp_path / "kernels"
    monkeypatch.setattr(kernel_cache, "cache_roots", lambda: [folder])
    kernel_cache._mark_in_use.cache_clear()
    return folder


@pytest.fixture
def entry(root):
    """The one entry of the cache."""
    assert kernel(double)(4.0) == 8.0
    return next(path for path in root.glob("*/*") if path.name != kernel_cache.IN_USE)


def was_loaded():
    """Whether a new process, as a new dispatcher stands for one, finds the kernel; it has to give the same."""
    again = kernel(double)
    assert again(4.0) == 8.0
    return bool(again.stats.cache_hits)


def test_a_kernel_is_loaded_where_it_was_compiled_before(root, entry):
    assert was_loaded()
    assert entry.parent.stat().st_mode & 0o777 == 0o700
    literal = literal_kernel(double)
    literal(4)
    assert not literal.stats.cache_hits, "another type is another entry"


@pytest.mark.parametrize("damage", ["truncated", "empty", "garbage", "one byte", "not ours", "unreadable"])
def test_a_broken_entry_is_compiled_again_and_replaced(entry, damage):
    raw = entry.read_bytes()
    flipped = bytearray(raw)
    flipped[len(raw) // 2] ^= 1
    payload = b"pickle of nobody"
    broken = {
        "truncated": raw[: len(raw) // 2],
        "empty": b"",
        "garbage": b"\x80\x05" + b"x" * 500,
        "one byte": bytes(flipped),
        "not ours": kernel_cache.HEADER + hashlib.sha256(payload).digest() + payload,
    }
    entry.unlink()
    if damage == "unreadable":  # for root too
        entry.symlink_to(entry)
    else:
        entry.write_bytes(broken[damage])
    assert not was_loaded()
    assert was_loaded(), "it was written anew"


def test_an_entry_that_anybody_could_have_written_is_not_run(root, entry):
    entry.parent.chmod(0o777)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        assert not was_loaded()


def test_without_a_writable_folder_kernels_are_compiled_in_memory_which_is_said_once(monkeypatch):
    monkeypatch.setattr(kernel_cache, "cache_roots", lambda: [Path("/dev/null/kernels")])
    kernel_cache._warn_once.cache_clear()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", RuntimeWarning)
        assert not was_loaded()
        assert not was_loaded()
    (warning,) = said
    assert "can't be kept on disk (folders tried: /dev/null/kernels)" in str(warning.message)
    assert "NUMBA_CACHE_DIR" in str(warning.message)
    assert kernel_cache.writable_root() is None


def test_the_first_folder_that_can_be_written_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_cache, "cache_roots", lambda: [Path("/dev/null/kernels"), tmp_path])
    assert kernel(double)(4.0) == 8.0
    assert was_loaded()
    assert kernel_cache.writable_root() == tmp_path


def test_the_cache_lies_where_the_environment_says():
    code = "from analytics_kit.study.schema.kernel_cache import cache_roots; print(*cache_roots())"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.environ["PYTHONPATH"], "HOME": "/h"}

    def roots(**variables):
        run = subprocess.run(
            [sys.executable, "-c", code], env=environment | variables, capture_output=True, text=True, check=True
        )
        return run.stdout.split()

    assert roots(NUMBA_CACHE_DIR="/mine") == ["/mine/analytics_kit"]
    by_default = roots(ANALYTICS_KIT_HOME="/data")
    assert by_default[-1] == "/data/cache/kernels"
    if sys.platform == "linux":
        assert by_default[0] == "/h/.cache/analytics_kit/kernels"
        assert roots(XDG_CACHE_HOME="/x")[0] == "/x/analytics_kit/kernels"


def test_an_entry_that_is_being_written_is_never_seen_half_written(tmp_path):
    path, payload = tmp_path / "entry", b"x" * 100_000

    def write(_):
        kernel_cache._write(path, payload)

    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(write, i) for i in range(100)]
        written[0].result()
        while not all(each.done() for each in written):
            assert kernel_cache._read(path) == payload
    assert [each.name for each in tmp_path.iterdir()] == ["entry"]


def test_the_key_covers_every_kernel_source_the_libraries_and_the_processor(tmp_path, monkeypatch):
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = hash_sources(kernel_cache.KERNEL_SOURCES, package=copy)
    sources = list(source_files(kernel_cache.KERNEL_SOURCES, copy))
    assert {"primitives.py", "compiling.py", "fast.py", "event_parquet.py"} <= {path.name for path in sources}
    for path in sources:
        text = path.read_text()
        path.write_text(f"{text}# changed\n")
        assert hash_sources(kernel_cache.KERNEL_SOURCES, package=copy) != before, path
        path.write_text(text)
    key = kernel_cache.cache_key(CPU)
    assert kernel_cache.cache_key((*CPU[:2], "+avx512f")) != key
    for attribute in ("KERNEL_LIBRARIES", "COMPILER_SETTINGS"):
        with monkeypatch.context() as patch:
            kernel_cache.cache_key.cache_clear()
            patch.setattr(kernel_cache, attribute, ())
            assert kernel_cache.cache_key(CPU) != key
    kernel_cache.cache_key.cache_clear()
    assert kernel_cache.cache_key(CPU) == key


class TestOldKeys:
    """Folders of other keys: removed when old, kept while a process uses them."""

    @pytest.fixture
    def others(self, root):
        """Folders of ten other keys, the last one used last."""
        folders = [root / f"{number:032x}" for number in range(10)]
        for number, folder in enumerate(folders):
            folder.mkdir(parents=True)
            (folder / kernel_cache.IN_USE).touch()
            at = time.time() - 60 * (len(folders) - number)
            os.utime(folder / kernel_cache.IN_USE, (at, at))
        return folders

    def test_those_used_last_are_kept(self, root, others):
        kernel_cache.remove_old(root, others[0].name)
        assert [folder for folder in others if folder.exists()] == [others[0], *others[2:]]

    def test_one_that_nobody_used_for_a_month_is_removed(self, root, others):
        at = time.time() - kernel_cache.KEPT_S - 60
        os.utime(others[-1] / kernel_cache.IN_USE, (at, at))
        kernel_cache.remove_old(root, others[0].name)
        assert not others[-1].exists()

    def test_one_that_a_process_uses_is_kept_however_old(self, root, others):
        code = (
            "import sys; from pathlib import Path; from analytics_kit.study.schema import kernel_cache; "
            "kernel_cache._mark_in_use(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
        )
        command = [sys.executable, "-c", code, str(others[1])]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "locked\n"
            at = time.time() - 2 * kernel_cache.KEPT_S
            os.utime(others[1] / kernel_cache.IN_USE, (at, at))
            kernel_cache.remove_old(root, others[0].name)
            assert others[1].exists()
            process.stdin.close()
            assert process.wait(30) == 0
        kernel_cache.remove_old(root, others[0].name)
        assert not others[1].exists()

    def test_they_are_looked_at_when_a_new_key_is_written(self, root, others):
        assert kernel(double)(4.0) == 8.0
        assert not others[0].exists()
        assert others[-1].exists()


def test_an_upgrade_that_changes_a_callee_in_another_file_is_seen(tmp_path):
    """The machine code of a kernel contains that of `primitives.mean`; nothing is written beside the sources."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import numpy as np; from analytics_kit.study.metrics import key_timing; out = np.zeros((1, 9)); "
        "key_timing.measure(np.array([0., 1., 2.]), np.array([.5, 1.5, 2.5]), np.array([0]), np.array([3]), out); "
        "print(out[0, 0], sum(key_timing.measure.stats.cache_hits.values()))"
    )
    environment = os.environ | {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run():
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert run().stdout.split() == ["0.5", "0"]
    callee = site / PACKAGE.name / "study/metrics/primitives.py"
    changed = callee.read_text().replace("return float(total / len(values))", "return float(2 * total / len(values))")
    assert changed != callee.read_text()
    callee.write_text(changed)
    assert run().stdout.split() == ["1.0", "0"], "the new code, and compiled: nothing of it was on disk"
    assert not list(site.rglob("*.nb[ic]"))


def test_what_was_loaded_before_an_upgrade_is_not_kept_for_processes_after_it(tmp_path):
    """A process imports a kernel, its file changes, and only then the kernel is compiled."""
    site = tmp_path / "site"
    shutil.copytree(PACKAGE, site / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import pathlib; from analytics_kit.study.metrics import key_timing; import numpy as np; "
        "path = pathlib.Path(key_timing.__file__); text = path.read_text(); "
        "path.write_text(text.replace('= repeats / n', '= 7 * repeats / n')); "
        "out = np.zeros((1, 1)); arrays = np.array([0., .01]), np.array([1, 1]), np.array([0]), np.array([2]); "
        "key_timing.measure_repeats(*arrays, 0.05, out); print(out[0, 0])"
    )
    environment = os.environ | {"PYTHONPATH": str(site), "NUMBA_CACHE_DIR": str(tmp_path / "cache")}

    def run():
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True)

    assert run().stdout == "0.5\n", "what it has loaded"
    assert run().stdout == "3.5\n", "what is installed now"
