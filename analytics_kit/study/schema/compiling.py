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


Function = TypeVar("Function", bound=Callable[..., Any])


TOLERANCE_PX = 1e-9
"""Places that should be one differ by rounding; a difference so far below a pixel is none."""


TOLERANCE_S = 1e-9
"""Gaps are differences of decimal fractions: 0.30 - 0.20 is a bit over 0.1. A gap is longer by more than this."""


_HOW: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
"""Without a wrapper for callers in C, of which there are none: a tenth of the time to compile."""


def kernel(function: Function) -> Function:
    """Compile, cache on disk, release the GIL. NaN and infinity keep their meaning."""
    compile_: Any = numba.njit(**_HOW, fastmath={"reassoc", "contract", "nsz"})
    compiled: Function = compile_(function)
    return compiled


def literal_kernel(function: Function) -> Function:
    """As `kernel`, with every operation in the order in which it is written, to round as another program does."""
    compile_: Any = numba.njit(**_HOW)
    compiled: Function = compile_(function)
    return compiled
