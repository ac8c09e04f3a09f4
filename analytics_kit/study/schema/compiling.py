"""Compile kernels with numba, and name the types of the arrays they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int8]
"""Codes of key classes or of actions."""
Function = TypeVar("Function", bound=Callable[..., Any])

TOLERANCE_PX = 1e-9
"""Equal positions may differ by rounding; a difference up to this counts as none."""
TOLERANCE_S = 1e-9
"""Gaps are differences of decimal fractions: 0.40 - 0.30 exceeds 0.10. A gap is longer only by more than this."""

_COMPILE_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Nothing calls a kernel from C. Without the wrapper for such callers compiling takes a tenth less time."""


def kernel(function: Function) -> Function:
    """Compile a function, cached on disk, that releases the GIL and keeps the meaning of NaN and infinity.

    Sums may be reassociated, and not always alike: the last bit of a result can depend on whether the kernels that
    this one calls were compiled in the same process or loaded from the cache. Results that are compared bit by bit
    must come from kernels that were compiled alike.
    """
    compile_: Any = numba.njit(**_COMPILE_OPTIONS, fastmath={"reassoc", "contract", "nsz"})
    compiled: Function = compile_(function)
    return compiled


def literal_kernel(function: Function) -> Function:
    """Compile like `kernel`, but keep the written order of operations, to round as another program does."""
    compile_: Any = numba.njit(**_COMPILE_OPTIONS)
    compiled: Function = compile_(function)
    return compiled
