"""Which kernels are kept on disk, and that their numbers do not depend on what is there."""

import hashlib
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest
from numba.core.dispatcher import Dispatcher

from analytics_kit import study
from analytics_kit.study.schema.kernel_cache import KernelCache

ROOT = Path(__file__).parents[3]
BITS = """
import hashlib, json
import numpy as np
from tests.study.metrics.trial_metrics import measure_trials

rng = np.random.default_rng(7)

def trial(rows):
    t = np.cumsum(rng.exponential(0.03, rows)).round(3)
    x, y = (np.cumsum(rng.normal(0, 7.3, rows)) for _ in "xy")
    some = np.sort(rng.choice(rows, max(2, rows // 10), replace=False))
    return {
        "moves": list(zip(t, x, y)),
        "clicks": list(zip(t[some], x[some], y[some])),
        "scrolls": list(zip(t[some], abs(x[some]), abs(y[some]))),
        "keys": [(float(at), "abcdefg"[k % 7]) for k, at in enumerate(t[some])],
    }

values = measure_trials([trial(int(rows)) for rows in rng.integers(2, 400, 100)])
print(json.dumps({name: hashlib.sha256(v.astype(float).tobytes()).hexdigest() for name, v in values.items()}))
"""


@pytest.fixture(scope="module")
def dispatchers():
    """All compiled functions of the package, by dotted name."""
    found = {}
    for module in pkgutil.walk_packages(study.__path__, f"{study.__name__}."):
        for name, value in vars(importlib.import_module(module.name)).items():
            if isinstance(value, Dispatcher) and value.py_func.__module__ == module.name:
                found[f"{module.name}.{name}"] = value
    return found


def is_kept(dispatcher):
    return isinstance(dispatcher._cache, KernelCache)


def callees(dispatcher):
    """The compiled functions that one names: `distance(…)` or `movement.measure(…)`."""
    function = dispatcher.py_func
    for value in inspect.getclosurevars(function).globals.values():
        members = (
            [getattr(value, name, None) for name in function.__code__.co_names] if inspect.ismodule(value) else []
        )
        # Without itself: an attribute of a module may have its name.
        yield from (each for each in (value, *members) if isinstance(each, Dispatcher) and each is not dispatcher)


def test_no_kernel_calls_one_that_is_kept_on_disk(dispatchers):
    """Such a callee would be inlined when it was compiled just before, and not when it was loaded."""
    assert len(dispatchers) > 40
    called = {callee for dispatcher in dispatchers.values() for callee in callees(dispatcher)}
    assert len(called) > 20
    assert [name for name, each in dispatchers.items() if each in called and is_kept(each)] == []


def test_what_only_kernels_call_is_inlined_wherever_it_is_called(dispatchers):
    inner = {name: each for name, each in dispatchers.items() if not is_kept(each)}
    assert len(inner) > 20
    assert [name for name, each in inner.items() if not each.targetoptions.get("forceinline")] == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_numbers_are_the_same_to_the_bit_whatever_is_on_disk(tmp_path):
    def bits(seed="0"):
        environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        run = subprocess.run(
            [sys.executable, "-c", BITS], env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(run.stdout)

    def entries():
        return sorted(path for path in tmp_path.glob("*/*/*") if ".measure-" in path.name)

    compiled = bits()
    assert len(set(compiled.values())) > 60
    assert bits() == compiled, "all loaded"
    assert len(entries()) >= 5
    for entry in entries():
        digest = hashlib.sha256(entry.read_bytes()).digest()
        entry.unlink()
        assert bits() == compiled, f"all loaded but {entry.name}"
        assert entry.exists(), digest
    for entry in entries():
        entry.unlink()
    assert bits(seed="1") == compiled, "compiled in another order of sets"
