"""Compile kernels with numba, and name the types of the arrays they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

from analytics_kit.study.schema.kernel_cache import KernelCache

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
"""Codes of key classes or of actions."""
Function = TypeVar("Function", bound=Callable[..., Any])

TOLERANCE_PX = 1e-9
"""Equal positions may differ by rounding; a difference up to this counts as none."""
TOLERANCE_S = 1e-9
"""Gaps are differences of decimal fractions: 0.40 - 0.30 exceeds 0.10. A gap is longer only by more than this."""

_COMPILE_OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Nothing calls a kernel from C. Without the wrapper for such callers compiling takes a tenth less time."""
_FAST = {"reassoc", "contract", "nsz"}


def kernel(function: Function) -> Function:
    """Compile a function that Python calls: it releases the GIL and keeps the meaning of NaN and infinity.

    The machine code, with that of all subkernels it calls, is kept on disk as one piece. So it is the same to the
    bit whether it was loaded or compiled, and whatever else is on disk. No kernel calls another one: sums may be
    reassociated, and not alike when a callee is compiled along as when it was loaded.
    """
    return _cached(function, fastmath=_FAST)


def subkernel(function: Function) -> Function:
    """Compile a function that only kernels call, into each of them; by itself it is never kept on disk."""
    return _compiled(function, fastmath=_FAST, forceinline=True)


def literal_kernel(function: Function) -> Function:
    """Compile like `kernel`, but keep the written order of operations, to round as another program does."""
    return _cached(function)


def literal_subkernel(function: Function) -> Function:
    """Compile like `subkernel`, but keep the written order of operations."""
    return _compiled(function, forceinline=True)


def _compiled(function: Function, **options: Any) -> Function:
    compile_: Any = numba.njit(**_COMPILE_OPTIONS, **options)
    compiled: Function = compile_(function)
    return compiled


def _cached(function: Function, **options: Any) -> Function:
    compiled: Any = _compiled(function, **options)
    if hasattr(compiled, "_cache"):  # not with NUMBA_DISABLE_JIT
        # The interface between numba's dispatcher and its caches; `cache=True` sets numba's own cache here.
        compiled._cache = KernelCache(function)
    return compiled  # type: ignore[no-any-return]
